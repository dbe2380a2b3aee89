# SPDX-License-Identifier: GPL-2.0-only
"""What is said of each program: lines, cases, and mutants."""

from check.programs import sources
from check.table import printed, rows

from .doubles import WithFolder


class TableTest(WithFolder):

    def setUp(self):
        super().setUp()
        self.program("p", "one", "two")
        self.program("script", "one")
        self.boot_file("a", "run p", "run script")
        self.boot_file("debug", "kernel debug", "run p p.two")
        (self.folder / "concept").mkdir()
        (self.folder / "concept/p.c").write_text("#include <kselftest_harness.h>\nint first;\n")
        (self.folder / "concept/shared.c").write_text("int second;\n")

    def mutant(self, name, kills):
        (self.folder / f"{name}.patch").write_text(f"What.\n\nKills: {kills}\n\n--- a/file\n")

    def rows(self):
        return {row.name: row.cells() for row in rows(
            self.folder, self.folder, self.folder, sources(self.folder))}

    def test_a_program_includes_the_harness(self):
        self.assertEqual(sources(self.folder), {"p": self.folder / "concept/p.c"})

    def test_lines_and_cases_of_all_guests(self):
        self.assertEqual(self.rows(), {"p": ("concept", "p", 2, 2, 3, 0, 0),
                                       "script": ("-", "script", 0, 1, 1, 0, 0)})

    def test_mutants_that_name_a_case(self):
        self.mutant("1", r"p/p\.two@")
        self.mutant("2", r"p/p\.two@debug")
        self.mutant("3", r"lint/p\.two")
        self.assertEqual(self.rows()["p"][-2:], (1, 2))

    def test_a_mutant_that_leaves_something(self):
        self.mutant("1", "left/p@")
        self.assertEqual(self.rows()["p"][-2:], (0, 1))

    def test_a_mutant_of_two_programs_counts_once_in_the_sum(self):
        self.mutant("1", r"\.one@")
        lines = [line.split() for line in printed(rows(
            self.folder, self.folder, self.folder, sources(self.folder)))]
        self.assertEqual(lines[-1], ["all", "2", "3", "4", "2", "1"])
