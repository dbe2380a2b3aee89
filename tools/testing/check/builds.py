# SPDX-License-Identifier: GPL-2.0-only
"""The modules and their selftests, built for a kernel: a release, a series, or debug."""

import os
import shutil
import subprocess
from pathlib import Path

from .command import Failed, no_warning_in, output_of
from .project import KERNEL, TOP


def debug_kernel(show):
    done = subprocess.run(
        [TOP / "scripts/debug-kernel", "--show", show, KERNEL],
        stdout=subprocess.PIPE, text=True,
    )
    if done.returncode:
        raise Failed("scripts/debug-kernel made no kernel")
    return done.stdout.strip()


def build(*options, kernel):
    which = {"KDIR": debug_kernel("build")} if kernel == "debug" else {"KERNEL": kernel}
    return output_of("scripts/modules", *options, env={**os.environ, **which})


def build_folder(*options, kernel=KERNEL):
    # Before it, what a kernel tree that is made for that says.
    return Path(build("--show", *options, kernel=kernel).splitlines()[-1])


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fresh_build(*options, kernel):
    """From nothing, as a compiler only warns of what it compiles; unless all that is
    there was compiled by this, without a warning. The selftests stay, because their
    warnings are errors; but not their module."""
    folder = build_folder(*options, kernel=kernel)
    silent = folder / ".silent"
    objects = {*folder.rglob("*.o")} - {*folder.glob("selftests/**/*.o")}
    if not silent.exists() or any(file.stat().st_mtime > silent.stat().st_mtime
                                  for file in objects):
        for old in {*folder.glob("*")} - {folder / ".kernel"}:
            remove(old / "module" if old.name == "selftests" else old)
    silent.unlink(missing_ok=True)
    no_warning_in(build(*options, kernel=kernel))
    silent.touch()


def build_selftests(kernel):
    """The folder that they and the modules are in."""
    text = build("--tests", kernel=kernel)
    folder = build_folder(kernel=kernel)
    try:
        no_warning_in(text)
    except Failed:
        remove(folder / "selftests")  # to be warned again
        raise
    return folder


def modinfo():
    """Who looks can tell these modules from the kernel's own."""
    folder = build_folder()
    expected = (TOP / "VERSION").read_text().strip()
    for name in ("vfio_pasid", "vfio_iommu_type1"):
        module = folder / f"{name}.ko"
        version, description = (output_of("modinfo", "-F", field, module).strip()
                                for field in ("version", "description"))
        if version != expected:
            raise Failed(f"the version of {name} is {version}, and not {expected}")
        if ".BTF" not in output_of("readelf", "-SW", module):
            raise Failed(f"{name} has no type information (BTF)")
        if name == "vfio_iommu_type1" and "vfio-pasid" not in description:
            raise Failed(f"the description of {name} is the stock one: {description}")
