# SPDX-License-Identifier: GPL-2.0-only
"""Lints: what can be said of the files of the project without running them."""

import hashlib
import json
import re

from .boots import Boot
from .builds import fresh_build
from .command import Failed, no_warning_in, output_of
from .programs import sources
from .project import CACHE, KERNEL, LOGS, SELFTESTS, TOP
from .sources import files, kernel_tree


def rustfmt():
    output_of("rustfmt", "--check", "--config-path", TOP / ".rustfmt.toml",
              *files("rust/*.rs"))


def checkpatch():
    """Strict; but user space has no BIT(), which the uapi headers could use, and
    the macros of tracepoints are not laid out as functions are."""
    uapi = set(files("include/uapi/*.h"))
    trace = set(files("include/trace/*.h"))
    LOGS.mkdir(parents=True, exist_ok=True)  # where it leaves a cache of its own
    script = kernel_tree("source") / "scripts/checkpatch.pl"
    command = ["perl", script, "--no-tree", "--strict", "--terse", "--no-summary",
               "--show-types", "-f"]
    base = hashlib.sha256(script.read_bytes())
    for names, *options in (
        ({*files("*.c", "*.h")} - uapi - trace,),
        (uapi, "--ignore", "BIT_MACRO"),
        (trace, "--ignore", "PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE"),
    ):
        # A minute for all, so what passed is remembered by its content.
        passed = {name: CACHE / "checkpatch" / digest(base, name, *options) for name in names}
        new = sorted(name for name in names if not passed[name].exists())
        if new:
            output_of(*command, *options, *new, cwd=LOGS)
        for name in new:
            passed[name].parent.mkdir(parents=True, exist_ok=True)
            passed[name].touch()


def digest(base, name, *options):
    """Of all that decides about a file: base is of what asks."""
    of_file = base.copy()
    of_file.update("\0".join([str(name.relative_to(TOP)), *options, ""]).encode())
    of_file.update(name.read_bytes())
    return of_file.hexdigest()


def kernel_doc():
    no_warning_in(output_of("python3", "-B", kernel_tree("source") / "tools/docs/kernel-doc",
                            "-none", "-Wall", *files("include/*.h")))


def shellcheck():
    scripts = [file for file in files("scripts/*", ".ci/*", "*.sh", "packaging/*", "debian/*")
               if file.read_text().startswith(("#!/bin/sh", "#!/bin/bash", "#!/bin/busybox sh",
                                               "#!/usr/bin/env bash"))]
    output_of("shellcheck", "-x", *scripts, TOP / "scripts/lib.sh")


def clippy():
    fresh_build("--clippy", kernel=KERNEL)


def reuse():
    """Every file has a licence, and each text of a licence is there and used."""
    output_of("reuse", "lint", "--lines")


def licences():
    """What is under the GPL's version 2 alone must not link what is under the Apache
    licence alone: nobody may hand out the result."""
    crates = json.loads(output_of("cargo", "-q", "metadata", "--locked", "--format-version", "1",
                                  cwd=TOP / "tools"))
    packages = {package["id"]: package for package in crates["packages"]}
    links = {node["id"]: [dep["pkg"] for dep in node["deps"]
                          if any(kind["kind"] is None for kind in dep["dep_kinds"])]
             for node in crates["resolve"]["nodes"]}
    bad = []
    for member in crates["workspace_members"]:
        license = packages[member]["license"]
        if not license:
            bad.append(f"{packages[member]['name']}: Cargo.toml names no licence")
        elif "OR" not in license:
            bad += [f"{packages[member]['name']}, {license}, links {packages[crate]['name']}, "
                    f"{packages[crate]['license']}"
                    for crate in sorted(linked_by(member, links))
                    if packages[crate]["license"] == "Apache-2.0"]
    if bad:
        raise Failed("\n".join(bad))


def linked_by(crate, links):
    """Also by what it links."""
    linked, new = set(), {crate}
    while new:
        linked |= new
        new = {name for each in new for name in links[each]} - linked
    return linked


def version():
    """VERSION, and where else it must be said."""
    expected = (TOP / "VERSION").read_text().strip()
    for name, pattern in (("tools/Cargo.toml", r'^version = "(.*)"$'),
                          ("CHANGELOG.md", r"^## (\S+)"),
                          ("debian/changelog", r"^vfio-pasid \((.*)-[^-]*\)")):
        found = re.search(pattern, (TOP / name).read_text(), re.MULTILINE)
        if not found or found[1] != expected:
            raise Failed(f"VERSION is {expected}, and {name} says {found and found[1]}")


def unsafe():
    output_of("scripts/check-unsafe")


def boots():
    """Every selftest runs in some guest."""
    run = {program[0] for boot in Boot.all() for program in boot.programs}
    missing = {*sources()} - run
    if missing:
        raise Failed(f"in no file of {SELFTESTS.name}/boots: {' '.join(sorted(missing))}")


CASES = {
    "lint/rustfmt": rustfmt,
    "lint/checkpatch": checkpatch,
    "lint/kernel-doc": kernel_doc,
    "lint/shellcheck": shellcheck,
    "lint/reuse": reuse,
    "lint/licences": licences,
    "lint/version": version,
    "lint/unsafe": unsafe,
    "lint/clippy": clippy,
    "lint/boots": boots,
}
