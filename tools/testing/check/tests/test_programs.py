# SPDX-License-Identifier: GPL-2.0-only
"""What kselftest_harness.h lists."""

from check.command import Failed
from check.programs import cases_of, listed

from .doubles import WithFolder


def row(fixture, variant, test):
    return f"{fixture:20} {variant:25} {test}\n"


HEAD = row("# FIXTURE", "VARIANT", "TEST")


class ListedTest(WithFolder):

    def test_without_a_fixture(self):
        self.assertEqual(listed(HEAD + row("global", "", "one") + row("", "", "two")),
                         ["global.one", "global.two"])

    def test_each_test_with_each_variant(self):
        text = HEAD + (row("f", "v1", "") + row("", "v2", "") + row("", "", "one")
                       + row("", "", "two") + row("g", "", "one"))
        self.assertEqual(listed(text), ["f.v1.one", "f.v1.two", "f.v2.one", "f.v2.two", "g.one"])

    def test_names_that_are_longer_than_their_columns(self):
        fixture, variant = "f" * 25, "v" * 30
        text = row(fixture, "", "one") + row("g", variant, "") + row("", "", "two")
        self.assertEqual(listed(text), [f"{fixture}.one", f"g.{variant}.two"])

    def test_other_lines_are_no_cases(self):
        self.assertEqual(listed(HEAD + "usage: p [-l]\n" + row("g", "", "one") + "\n"), ["g.one"])

    def test_program_is_asked(self):
        self.program("p", "one", "two")
        self.assertEqual(cases_of(self.folder / "p"), ["p.one", "p.two"])

    def test_program_that_lists_nothing_fails(self):
        self.program("p")
        with self.assertRaisesRegex(Failed, "p -l lists no cases"):
            cases_of(self.folder / "p")

    def test_program_that_is_not_there_fails(self):
        with self.assertRaisesRegex(Failed, "runs p, which .*Makefile does not build"):
            cases_of(self.folder / "p")
