# SPDX-License-Identifier: GPL-2.0-only
"""What of each boot is to be run, and which of them first."""

import math
import shlex
import sys

from .boots import BOOTS, Boot
from .command import Failed
from .payload import found
from .programs import cases_of


class Plan:
    """What of a boot is to be run: of each program the cases that match."""

    def __init__(self, boot, programs, wanted):
        self.boot = boot
        self.title = f"boot/{boot.name}"
        self.script = []
        self.expected = {}
        self.whole = True
        for program, *cases in boot.programs:
            known = cases_of(programs / program)
            names = cases or known
            if not {*names} <= {*known}:
                sys.exit(f"{boot.name}: {program} has no {', '.join({*names} - {*known})}")
            if program in self.expected:
                sys.exit(f"{boot.name}: {program} is there twice")
            chosen = self.chosen(program, names, wanted)
            self.whole = self.whole and chosen == names
            if chosen:
                self.expected[program] = chosen
                self.script.append(self.command(program, [] if chosen == known else chosen))
        wanted_files = boot.brought if self.expected else []
        self.built = [name for name in wanted_files if not name.startswith("/")]
        self.found = [file for name in wanted_files if name.startswith("/") for file in found(name)]

    def chosen(self, program, names, wanted):
        """Whether anything is left of a program, or the guest ends as it should, is known
        when something has run: all cases, if none was asked for by name."""
        cases = [name for name in names if wanted(self.boot.full(f"{program}/{name}"))]
        if wanted(self.title) or wanted(self.boot.full(f"left/{program}")):
            return cases or names
        return cases

    @staticmethod
    def command(program, cases):
        return shlex.join(["run", program, *(word for name in cases for word in ("-r", name))])

    def names(self):
        if not self.expected:
            return []
        return [*(self.boot.full(f"{program}/{case}")
                  for program, cases in self.expected.items() for case in cases),
                *(self.boot.full(f"left/{program}") for program in self.expected), self.title]

    def told_how_long(self):
        return any(line.startswith("export VFIO_PASID_") for line in self.boot.setup)


def longest_first(plans, took):
    """So that none is left at the end for one processor. By how long they took when they
    last ran; before these, those of which that is not known: first what is told how long
    it takes, then by what they have to do."""
    return sorted(plans, key=lambda plan: (-took.get(plan.title, math.inf),
                                           not plan.told_how_long(), -len(plan.names())))


def make_plans(programs, wanted, results, kernel, took, folder=BOOTS):
    plans = []
    for boot in Boot.all(folder):
        try:
            if boot.is_for(kernel):
                plans.append(Plan(boot, programs, wanted))
        except Failed as failure:
            results.report("not ok", f"boot/{boot.name}", str(failure))
    return longest_first([plan for plan in plans if plan.expected], took)
