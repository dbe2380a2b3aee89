# SPDX-License-Identifier: GPL-2.0-only
"""The crates of user space, all of them."""

import os

from .command import output_of
from .project import TOP


def cargo(*arguments):
    def run():
        output_of("cargo", *arguments, cwd=TOP / "tools", env={
            # Not in the cache: cargo takes one clone's files for those of another.
            **os.environ, "CARGO_TARGET_DIR": f"{TOP}/build/tools"})
    return run


CASES = {
    "lint/tools-rustfmt": cargo("fmt", "--all", "--check"),
    "lint/tools-clippy": cargo("clippy", "-q", "--all-targets", "--", "-D", "warnings"),
    "tools/test": cargo("test", "-q"),
}
