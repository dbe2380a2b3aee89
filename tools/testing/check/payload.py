# SPDX-License-Identifier: GPL-2.0-only
"""The files that a guest gets."""

import glob
import os
import re
import shutil
from pathlib import Path

from .command import Failed, output_of
from .project import SELFTESTS


def copy_as_is(path, folder):
    """A file of the build root, below folder, with the links that lead to it: two
    copies of one library are two libraries."""
    while True:
        path = path.parent.resolve() / path.name
        target = folder / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            shutil.copy(path, target)
            return
        if not target.is_symlink():
            target.symlink_to(os.readlink(path))
        path = path.parent / os.readlink(path)


def found(pattern):
    """The files of the build root that match."""
    files = sorted(glob.glob(pattern))
    if not files:
        raise Failed(f"there is no {pattern} in the build root")
    return files


def with_libraries(file):
    """A program or library and what it loads; anything else, such as a script, alone."""
    path = Path(file)
    if path.is_dir():
        return [name for below in sorted(path.rglob("*")) if not below.is_dir()
                for name in with_libraries(below)]
    with open(path, "rb") as start:
        loads = start.read(4) == b"\x7fELF"
    return [path, *(re.findall(r"/\S+", output_of("ldd", path)) if loads else [])]


def bring(files, folder):
    """Files of the build root, and what they load. Below /lib64, where the loader
    is looked for, is what is below /usr/lib64, as in the build root."""
    lib64 = folder / "lib64"
    lib64.symlink_to("usr/lib64")
    for file in files:
        for path in with_libraries(file):
            copy_as_is(Path(path), folder)


def fill(folder, plan, build):
    """Programs, modules, and what to run."""
    selftests = folder / "selftests"
    updates = folder / "lib/modules" / build.name / "updates"
    selftests.mkdir(parents=True)
    updates.mkdir(parents=True)
    for name in (*plan.expected, *plan.built):
        shutil.copy(build / "selftests" / name, selftests)
    if plan.found:
        bring(plan.found, folder)
    shutil.copy(SELFTESTS / "in_guest.sh", selftests)
    for module in (*build.glob("*.ko"), *build.glob("selftests/*/*.ko")):
        shutil.copy(module, updates)
    (selftests / "plan.setup").write_text("\n".join(plan.boot.setup) + "\n")
    (selftests / "plan").write_text("\n".join(plan.script) + "\n")
