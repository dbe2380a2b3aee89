# SPDX-License-Identifier: GPL-2.0-only
"""What the pages say of other files: links lead somewhere, functions are where a page
says, and all of it becomes HTML without a warning."""

import re
from pathlib import Path

from .command import Failed, output_of
from .project import TOP
from .sources import files, kernel_tree

PATH_PAGE = "Documentation/ioctl-to-hardware.rst"
# The kernel whose functions the pages name.
PAGES_KERNEL = "7.3"


def names(*patterns):
    """Of the files of the project, from its top on."""
    return [str(file.relative_to(TOP)) for file in files(*patterns)]


def docs():
    """Sphinx, kernel-doc and rustdoc have nothing to warn of."""
    output_of("scripts/docs")


def none(bad):
    if bad:
        raise Failed("\n".join(bad))


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


def links():
    """Relative links lead to files that are there, and to headings in them."""
    texts = {name: (TOP / name).read_text() for name in names("*.rst", "*.md")}
    there = {place for name in names() for place in (name, str(Path(name).parent))}
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
            if target not in there:
                bad.append(f"{name}: there is no {target}")
            elif anchor and anchor not in anchors.get(target, ()):
                bad.append(f"{name}: {target} has no heading #{anchor}")
    if found <= 50:
        raise Failed(f"only {found} links were found")
    none(bad)


# Functions

# ``name()`` (path): the one form in which pages say where a function is.
NAMED = re.compile(r"``([\w:]+(?:\(\w+\))?)\(\)``\s+\(([\w./-]+\.(?:c|h|rs))\)")


def kernel_source():
    """The kernel's source, if it is of the series that the pages are about."""
    source = kernel_tree("source")
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


def functions():
    """Where a page names the file of a function, the file defines it; and the page that
    follows an ioctl names the file of each."""
    bad, kernel = [], kernel_source()
    for page in names("Documentation/*.rst"):
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
            if len(named) <= 80:
                raise Failed(f"{page}: only {len(named)} functions were found")
    none(bad)


CASES = {"lint/docs": docs, "lint/links": links, "lint/functions": functions}
