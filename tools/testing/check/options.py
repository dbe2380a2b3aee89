# SPDX-License-Identifier: GPL-2.0-only
"""The options of scripts/check."""

import sys

from .project import KERNEL, LOGS


class Options:
    """What is to be run, and how."""

    def __init__(self, words):
        kinds = [kind for kind in ("debug", "long") if f"--{kind}" in words]
        if not {*words} <= {"--debug", "--long", "--first", "--list", "--table"} or len(kinds) > 1:
            sys.exit("check: unknown option; scripts/check --help")
        self.kind = kinds[0] if kinds else "stock"
        self.first = "--first" in words
        self.list = "--list" in words
        self.table = "--table" in words

    @property
    def kernel(self):
        return "debug" if self.kind == "debug" else KERNEL

    @property
    def logs(self):
        """What a failed case had to say, in full; and what the guests' kernels said."""
        return LOGS if self.kind == "stock" else LOGS.with_name(f"{LOGS.name}-{self.kind}")
