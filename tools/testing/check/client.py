# SPDX-License-Identifier: GPL-2.0-only
"""The client crate, as others get it."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from .command import Failed, output_of
from .project import SUITE, TOP
from .sources import files

CLIENT = TOP / "tools/vfio-pasid"
# How it is checked.
HERE = [Path(__file__), Path(__file__).with_name("command.py")]


def of_client(*command, target, cwd=CLIENT):
    return output_of(*command, cwd=cwd, env={
        **os.environ, "CARGO_TARGET_DIR": f"{TOP}/build/{target}"})


def unless_passed(check):
    """cargo would build the crate anew each time, so what passed is remembered: by all
    that the crate is made of, the compiler, and how it is checked."""
    def run():
        made_of = hashlib.sha256(output_of("rustc", "--version").encode())
        for file in [*files("tools/vfio-pasid"), TOP / "tools/Cargo.toml",
                     TOP / "tools/Cargo.lock", *HERE]:
            made_of.update(f"{file.relative_to(TOP)}\0".encode() + file.read_bytes())
        passed = TOP / f"build/passed/{check.__name__}-{made_of.hexdigest()}"
        if not passed.exists():
            check()
            passed.parent.mkdir(parents=True, exist_ok=True)
            passed.touch()
    return run


def manifest_value(key):
    text = (TOP / "tools/Cargo.toml").read_text()
    return re.search(rf'^{key} = "(.*)"$', text, re.M)[1]


def client_publish():
    """cargo would publish it, without a warning, and so builds it alone; with the
    oldest compiler that it is said to need, which is trixie's."""
    oldest = manifest_value("rust-version")
    rustc = output_of("rustc", "--version")
    if SUITE == "trixie" and not rustc.startswith(f"rustc {oldest}."):
        raise Failed(f"rust-version is {oldest}, and this is {rustc}"
                     "so what the oldest compiler says is not known")
    text = of_client("cargo", "publish", "--dry-run", "--allow-dirty", target="client")
    if re.search("^warning: (?!aborting upload due to dry run)", text, re.M):
        raise Failed(text)


def client_alone():
    """Its tests and examples pass outside of the workspace."""
    of_client("cargo", "package", "-q", "--no-verify", "--allow-dirty", target="client-alone")
    packages = TOP / "build/client-alone/package"
    package = max(packages.glob("vfio-pasid-*.crate"), key=lambda file: file.stat().st_mtime)
    folder = packages / package.stem
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(package, packages, "gztar")
    of_client("cargo", "test", "-q", target="client-alone/target", cwd=folder)


CASES = {
    "tools/client.publish": unless_passed(client_publish),
    "tools/client.alone": unless_passed(client_alone),
}
