# SPDX-License-Identifier: GPL-2.0-only
"""What the pages say of other files: links lead somewhere, functions are where a page
says, and all of it becomes HTML without a warning. scripts/check runs each of these
functions as a case, lint/NAME; it fails with an AssertionError.
"""

import os
import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SUITE = os.environ.get("SUITE") or "trixie"
KERNEL = os.environ.get("KERNEL") or next(
    line.split()[1] for line in (TOP / "scripts/kernels.list").read_text().splitlines()
    if line.startswith(f"{SUITE} "))
PATH_PAGE = "Documentation/ioctl-to-hardware.rst"
# The kernel whose functions the pages name.
PAGES_KERNEL = "7.3"
CASES = {}


def case(function):
    CASES[f"lint/{function.__name__}"] = function
    return function


def tracked(*patterns):
    """Files of the project, also those that are not committed yet."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                          cwd=TOP, check=True, stdout=subprocess.PIPE, text=True)
    return sorted(name for name in done.stdout.splitlines() if (TOP / name).is_file())


@case
def docs():
    """Sphinx, kernel-doc and rustdoc have nothing to warn of."""
    done = subprocess.run(["scripts/docs"], cwd=TOP, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    assert done.returncode == 0, done.stdout


# Links


def doctree(text):
    from docutils.core import publish_doctree
    return publish_doctree(text, settings_overrides={"report_level": 5, "halt_level": 5,
                                                     "file_insertion_enabled": False})


def rst_links(text):
    from docutils import nodes
    tree = doctree(text)
    yield from (node["refuri"] for node in tree.findall(nodes.reference) if "refuri" in node)
    yield from (node["uri"] for node in tree.findall(nodes.image))


def rst_anchors(text):
    return {name for node in doctree(text).findall() for name in getattr(node, "attributes", {})
            .get("ids", [])}


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def md_links(text):
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def md_anchors(text):
    """As GitHub makes them of headings."""
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", without_code(text), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = 0
        while (new := f"{slug}-{number}" if number else slug) in anchors:
            number += 1
        anchors.add(new)
    return anchors


KINDS = {".rst": (rst_links, rst_anchors), ".md": (md_links, md_anchors)}


@case
def links():
    """Relative links lead to files that are there, and to headings in them."""
    texts = {name: (TOP / name).read_text() for name in tracked("*.rst", "*.md")}
    files, folders = set(tracked()), {str(Path(name).parent) for name in tracked()}
    anchors = {name: KINDS[Path(name).suffix][1](text) for name, text in texts.items()}
    bad, found = [], 0
    for name, text in texts.items():
        for link in KINDS[Path(name).suffix][0](text):
            if re.match(r"[a-z]+:", link):
                continue
            found += 1
            path, _, anchor = link.partition("#")
            target = str((TOP / name).parent.joinpath(path).resolve().relative_to(TOP))
            target = target if path else name
            if target not in files | folders:
                bad.append(f"{name}: there is no {target}")
            elif anchor and anchor not in anchors.get(target, ()):
                bad.append(f"{name}: {target} has no heading #{anchor}")
    assert found > 50, f"only {found} links were found"
    assert not bad, "\n".join(bad)


# Functions

# ``name()`` (path): the one form in which pages say where a function is.
NAMED = re.compile(r"``([\w:]+(?:\(\w+\))?)\(\)``\s+\(([\w./-]+\.(?:c|h|rs))\)")


def kernel_source():
    """The kernel's source, if it is of the series that the pages are about."""
    done = subprocess.run([TOP / "scripts/kernel-tree", "--show", "source", KERNEL], check=True,
                          stdout=subprocess.PIPE, text=True)
    source = Path(done.stdout.strip())
    series = re.findall(r"^(?:VERSION|PATCHLEVEL) = (\d+)$", (source / "Makefile").read_text(),
                        re.M)
    return source if ".".join(series) == PAGES_KERNEL else None


def has_body(text, end):
    """Whether what follows the name is a definition: { comes before ; does."""
    rest = re.search(r"[{;]", text[end:])
    return bool(rest) and rest[0] == "{"


def defines_rust(text, name):
    """Type::method: in an impl block of the type; and anything else outside of them."""
    kind, _, method = name.rpartition("::")
    impl = re.compile(r"^(?:unsafe )?impl\b[^{]*\{$.*?^\}$", re.S | re.M)
    if kind:
        head = re.compile(rf"^(?:unsafe )?impl(?:<[^{{]*?>)? (?:[^{{]* for )?{kind}\b[^{{]*\{{$",
                          re.M)
        parts = [block[0] for block in impl.finditer(text) if head.match(block[0])]
    else:
        parts = [impl.sub("", text)]
    return any(has_body(part, found.end()) for part in parts
               for found in re.finditer(rf"\bfn {method}\b", part))


def defines_c(text, name):
    """A name before its arguments, in a line that begins a definition or ends its head."""
    pattern = rf"^(?:[a-z_][^;{{}}()=]*[\s*])?{re.escape(name)}\("
    return any(has_body(text, found.end()) for found in re.finditer(pattern, text, re.M))


def defines(file, name):
    return (defines_rust if file.suffix == ".rs" else defines_c)(file.read_text(), name)


@case
def functions():
    """Where a page names the file of a function, the file defines it; and the page that
    follows an ioctl names the file of each."""
    bad, kernel = [], kernel_source()
    for page in tracked("Documentation/*.rst"):
        text = (TOP / page).read_text()
        named = NAMED.findall(text)
        for name, path in named:
            file = TOP / path
            if not file.exists():
                if not kernel:
                    continue
                file = kernel / path
            if not file.exists():
                bad.append(f"{page}: there is no {path}, here or in the kernel")
            elif not defines(file, name):
                bad.append(f"{page}: {path} does not define {name}()")
        if page == PATH_PAGE:
            every = set(re.findall(r"``([\w:]+(?:\(\w+\))?)\(\)``", text))
            bad += [f"{page}: {name}() without its file"
                    for name in sorted(every - {name for name, _ in named})]
            assert len(named) > 80, f"{page}: only {len(named)} functions were found"
    assert not bad, "\n".join(bad)
