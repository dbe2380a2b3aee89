# SPDX-License-Identifier: GPL-2.0-only
"""The guests that boots/NAME.boot describe."""

import shlex
import sys

from .project import SELFTESTS

BOOTS = SELFTESTS / "boots"
# Functions of in_guest.sh.
SETUP = ("vfio", "huge", "allow", "allow_kernel_flushes", "export", "beside")


class Boot:
    """A guest: its devices and the programs that run in it, from a .boot file.

    kernel debug      only for the debug kernel, or
    kernel stock      only for the distribution's, or
    kernel long       as stock, but only with --long
    guest OPTION...   options for scripts/guest
    vfio ADDRESS...   devices that vfio-pci gets
    huge KB COUNT     pages of that size
    allow REGEX       messages of the kernel that the tests provoke
    allow_kernel_flushes
                      its message about a flush that process spaces provoke
    export NAME=VALUE for the programs
    beside COMMAND... runs beside each program
    bring FILE...     files that they need: of the build root (patterns; of folders
                      all), with the libraries that these load, or built with the
                      programs
    run PROGRAM [CASE...]
    """

    def __init__(self, file):
        self.name = file.stem
        self.kernels = {"stock", "debug"}
        self.guest = []
        self.setup = []
        self.brought = []
        self.programs = []
        for number, line in enumerate(file.read_text().splitlines(), 1):
            words = shlex.split(line, comments=True)
            if words and not self.takes(*words):
                sys.exit(f"{file}:{number}: not what scripts/check knows: {line}")

    def takes(self, keyword, *rest):
        """A line; whether it is one that may be there."""
        if keyword == "kernel" and {*rest} <= {"stock", "debug", "long"}:
            self.kernels = {*rest}
        elif keyword == "guest":
            self.guest += rest
        elif keyword in SETUP:
            self.setup.append(shlex.join([keyword, *rest]))
        elif keyword == "bring":
            self.brought += rest
        elif keyword == "run" and rest:
            self.programs.append(rest)
        else:
            return False
        return True

    @classmethod
    def all(cls, folder=BOOTS):
        return [cls(file) for file in sorted(folder.glob("*.boot"))]

    def is_for(self, kernel):
        return kernel in self.kernels

    def full(self, case):
        return f"{case}@{self.name}"
