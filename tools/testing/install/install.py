# SPDX-License-Identifier: GPL-2.0-only
"""What a new user meets: setups that cannot work end with a sentence that says why
and what to do, and those that can work. scripts/check runs each of these functions
as a case, install/NAME; it fails with an AssertionError.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
CASES = {}


def case(function):
    CASES[f"install/{function.__name__}"] = function
    return function


def run(*command, cwd=TOP, **environment):
    """Exit status and all output of a command, with nothing in the environment that
    chooses a kernel but what is named here; None takes a variable away."""
    env = {**os.environ, **environment}
    for name in ("KERNEL", "KDIR", "T", "INSTALL_MOD_PATH"):
        if name not in environment:
            env.pop(name, None)
    done = subprocess.run([str(word) for word in command], cwd=cwd, text=True,
                          env={name: str(value) for name, value in env.items()
                               if value is not None},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    return done.returncode, done.stdout


def succeeds(*command, **more):
    status, output = run(*command, **more)
    assert status == 0, f"{' '.join(map(str, command))}: exit status {status}\n{output}"
    return output


def refuses(*command, why, what, **more):
    """The command fails; its last lines are a sentence that matches why, and one that
    matches what, which says what to do. A compiler or apt said nothing after them."""
    status, output = run(*command, **more)
    assert status, f"{' '.join(map(str, command))} succeeded:\n{output}"
    lines = [line for line in output.splitlines() if not line.startswith("make: ***")]
    errors = [number for number, line in enumerate(lines) if re.match(r"[\w-]+: error: ", line)]
    assert errors, f"there is no sentence:\n{output}"
    text = lines[errors[0]:]
    assert len(errors) == 1 and re.search(why, text[0]), f"not '{why}':\n{output}"
    assert re.search(what, "\n".join(text[1:])), f"not '{what}':\n{output}"
    assert all(re.match(r"[\w-]+:   ", line) for line in text[1:]), f"more than that:\n{output}"
    return output


def scratch():
    """A folder for files that all programs of the build root can see."""
    folder = TOP / "build/install"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder)


def copy_of_the_tree(folder):
    names = succeeds("git", "ls-files", "-coz", "--exclude-standard").split("\0")
    for name in filter(None, names):
        source, target = TOP / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def kernel_tree(show, kernel="7.3"):
    output = succeeds("scripts/kernel-tree", "--show", show, kernel)
    return Path(output.splitlines()[-1])


def own_tree(folder):
    """A build tree that can be changed, like that of scripts/kernel-tree."""
    made = folder / "kdir"
    made.mkdir()
    for file in kernel_tree("build").iterdir():
        (made / file.name).symlink_to(file)
    return made


def change(file, pattern, text):
    """In a copy, if it is a link."""
    old = file.read_text()
    new = re.sub(pattern, text, old, flags=re.MULTILINE)
    assert new != old, f"{file} has no {pattern}"
    file.unlink()
    file.write_text(new)


# Which kernel


@case
def release_that_is_not_there():
    refuses("make", KERNEL="7.2.99+deb13-amd64",
            why="there is no linux-headers-7.2.99[+]deb13-amd64",
            what=r"KERNEL=7.2 takes the newest[\s\S]*there: 7\.2\.")


@case
def series_that_is_not_there():
    refuses("make", KERNEL="7.99", why="no kernel of the series 7.99", what="there: .*7.3")


@case
def release_mistyped():
    for name in ("seven", "7.3.4 deb13-amd64", "../7.3"):
        refuses("scripts/modules", KERNEL=name, why="neither a release such as",
                what="KERNEL=7.3")


@case
def series_without_rust():
    """And before more than the headers is downloaded."""
    output = refuses("make", KERNEL="6.12", why="built without CONFIG_RUST", what="7.2 on")
    assert "kernel and source" not in output, output
    folder = kernel_tree("root").parents[1]
    left = [file.name for file in folder.glob("6.12*")]
    assert not left, f"{folder} still has {left}"


# A build tree of one's own


@case
def own_tree_of_debians_headers():
    headers = next((kernel_tree("root") / "usr/src").glob("linux-headers-*-amd64"))
    refuses("make", KDIR=headers, why="has no Rust metadata",
            what=r"KERNEL=7\.3\.\S+ makes it[\s\S]*rust-metadata")


@case
def own_tree_that_is_none():
    refuses("make", KDIR=TOP / "Documentation", why="not a prepared kernel build tree",
            what="modules_prepare")


@case
def own_tree_of_another_rustc():
    with scratch() as folder:
        made = own_tree(Path(folder))
        change(made / ".config", "^CONFIG_RUSTC_VERSION_TEXT=.*", 'CONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3"')
        refuses("make", KDIR=made, why="built with rustc 1.2.3, and here is rustc 1",
                what="install that rustc")


@case
def own_tree_of_another_gcc():
    with scratch() as folder:
        made = own_tree(Path(folder))
        change(made / ".config", "^CONFIG_CC_VERSION_TEXT=.*",
               'CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-14 (Other) 14.0"')
        refuses("make", KDIR=made, why="built with .*Other.* and here is x86_64-linux-gnu-gcc-14",
                what="install that compiler")


@case
def own_tree_without_what_vfio_needs():
    for symbol, why in (("RUST", "without CONFIG_RUST"), ("VFIO_CONTAINER", "no VFIO containers"),
                        ("VFIO_IOMMU_TYPE1", "type1 as a module")):
        with scratch() as folder:
            made = own_tree(Path(folder))
            change(made / ".config", f"^CONFIG_{symbol}=.*", f"# CONFIG_{symbol} is not set")
            refuses("make", KDIR=made, why=why, what="Debian's")


@case
def kernel_built_again():
    """Under the same release, with files that are older than what was built here."""
    with scratch() as folder:
        tree = copy_of_the_tree(Path(folder) / "tree")
        made = own_tree(Path(folder))
        succeeds("make", KDIR=made, cwd=tree)
        module = next(tree.glob("build/*-amd64/vfio_pasid.ko"))
        first = module.stat().st_mtime
        assert "RUSTC" not in succeeds("make", KDIR=made, cwd=tree)
        change(made / "Module.symvers", r"\Z", "0x00000000\tnone\tvmlinux\tEXPORT_SYMBOL\t\n")
        os.utime(made / "Module.symvers", (0, 0))
        output = succeeds("make", KDIR=made, cwd=tree)
        assert "another build than before" in output and module.stat().st_mtime > first, output


# Where the tree is


@case
def path_with_a_space():
    with scratch() as folder:
        tree = Path(folder) / "my tree"
        shutil.copytree(TOP / "scripts", tree / "scripts")
        shutil.copy(TOP / "Makefile", tree)
        refuses("make", cwd=tree, why="space or a colon", what="move the tree")
        refuses("make", why="space or a colon", what="XDG_CACHE_HOME",
                XDG_CACHE_HOME=Path(folder) / "my cache")
        made = Path(folder) / "my kernel"
        made.mkdir()
        refuses("make", KDIR=made, why="space or a colon", what="move")
