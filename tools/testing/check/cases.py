# SPDX-License-Identifier: GPL-2.0-only
"""The cases that need no plan."""

from install import install
from kernels import kernels

from . import client, crates, demo, initramfs, layers, lints, pages
from .builds import fresh_build, modinfo
from .command import output_of
from .project import SERIES, TOP


def unit_tests():
    """Of this package."""
    output_of("python3", "-B", "-m", "unittest", "discover", "-q", "-s", "check", "-t", ".",
              cwd=TOP / "tools/testing")


def fresh(kernel):
    return lambda: fresh_build(kernel=kernel)


def static_cases(kind):
    if kind == "debug":
        return {"build/debug": fresh("debug")}
    if kind == "long":
        return {
            "tools/fuzz": lambda: output_of("scripts/fuzz", 120),
            "tools/run.program": demo.run_program,
            **initramfs.CASES,
            **install.LONG,
        }
    return {
        **lints.CASES,
        **layers.CASES,
        **pages.CASES,
        **crates.CASES,
        **client.CASES,
        "tools/check": unit_tests,
        **install.CASES,
        **kernels.CASES,
        "build/modinfo": modinfo,
        **{f"build/{series}": fresh(series) for series in SERIES},
    }
