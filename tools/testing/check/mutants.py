# SPDX-License-Identifier: GPL-2.0-only
"""The planted bugs: what tools/testing/mutants has."""

import re
import sys

from .project import TOP

MUTANTS = TOP / "tools/testing/mutants"


class Mutant:
    """A patch, and what its head says."""

    def __init__(self, file):
        self.file = file
        self.name = file.stem
        head = file.read_text().partition("\n--- ")[0]
        self.kills = self.field(head, "Kills")
        self.kernel = self.field(head, "Kernel") or "stock"
        if not self.kills:
            sys.exit(f"{file}: there is no line Kills: PATTERN above the patch")
        if self.kernel not in ("stock", "debug", "long"):
            sys.exit(f"{file}: Kernel is {self.kernel}, and can only be debug or long")

    @staticmethod
    def field(head, name):
        found = re.search(f"^{name}: *(.*?) *$", head, re.MULTILINE)
        return found[1] if found else None

    @classmethod
    def all(cls, folder=MUTANTS):
        return [cls(file) for file in sorted(folder.glob("*.patch"))]
