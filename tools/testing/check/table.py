# SPDX-License-Identifier: GPL-2.0-only
"""What --table prints: how much each program is, and what it is good for."""

import re

from .boots import BOOTS, Boot
from .columns import aligned
from .mutants import MUTANTS, Mutant
from .plan import Plan
from .programs import sources

HEAD = ("folder", "program", "lines", "cases", "in all guests", "with a mutant", "mutants")


class Row:
    """A program, with its cases in all guests."""

    def __init__(self, name, source, lines):
        self.name = name
        self.folder = source.parent.name if source else "-"
        self.lines = lines
        self.runs = set()
        self.left = set()
        self.killed = set()
        self.killers = set()

    @property
    def cases(self):
        return {case_of(name) for name in self.runs}

    def look(self, mutant):
        """Whether it names a case of this program, or what is left of it."""
        killed = {name for name in self.runs if re.search(mutant.kills, name)}
        self.killed |= {case_of(name) for name in killed}
        if killed or any(re.search(mutant.kills, name) for name in self.left):
            self.killers.add(mutant.name)

    def cells(self):
        return (self.folder, self.name, self.lines, len(self.cases), len(self.runs),
                len(self.killed), len(self.killers))


def case_of(name):
    return name.partition("@")[0]


def rows(programs, boots=BOOTS, mutants=MUTANTS, known=None):
    """One for each program that runs in a guest."""
    known = sources() if known is None else known
    found = {}
    for boot in Boot.all(boots):
        for program, cases in Plan(boot, programs, lambda name: True).expected.items():
            if program not in found:
                source = known.get(program)
                lines = len(source.read_text().splitlines()) if source else 0
                found[program] = Row(program, source, lines)
            found[program].runs |= {boot.full(f"{program}/{case}") for case in cases}
            found[program].left.add(boot.full(f"left/{program}"))
    for mutant in Mutant.all(mutants):
        for row in found.values():
            row.look(mutant)
    return sorted(found.values(), key=lambda row: (row.folder, row.name))


def printed(all_rows):
    cells = [HEAD, *(row.cells() for row in all_rows)]
    cells.append(("", "all", *(sum(column) for column in list(zip(*cells[1:], strict=True))[2:6]),
                  len(set().union(*(row.killers for row in all_rows)))))
    return aligned(cells, left=(0, 1))
