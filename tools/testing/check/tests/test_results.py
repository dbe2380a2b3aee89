# SPDX-License-Identifier: GPL-2.0-only
"""What is printed of the cases, and what counts."""

from check.command import Failed
from check.results import read_skips

from .doubles import WithFolder, printed


def fails():
    raise Failed("this\nand that")


class ResultsTest(WithFolder):

    def test_each_is_printed_and_counted(self):
        results = self.results(skips={"c/three": "reason"})
        self.assertEqual(printed(results.report, "ok", "a/one"), "ok a/one\n")
        self.assertEqual(printed(results.report, "not ok", "b/two", "why\n"),
                         "not ok b/two\n    why\n")
        self.assertEqual(printed(results.report, "skip", "c/three", "no device"),
                         "skip c/three: no device\n")
        self.assertEqual(results.sum(), "1 passed, 1 failed, 1 skipped")
        self.assertTrue(results.failed)

    def test_nothing_has_failed(self):
        results = self.results()
        printed(results.report, "ok", "a/one")
        self.assertFalse(results.failed)

    def test_skip_that_is_not_listed_is_a_failure(self):
        results = self.results(skips={"c/other": "reason"})
        text = printed(results.report, "skip", "c/three@b", "no device")
        self.assertIn("not ok c/three@b\n    skipped (no device), and not listed in", text)
        self.assertEqual(results.sum(), "0 passed, 1 failed, 0 skipped")

    def test_skip_is_listed_for_one_boot_or_for_all(self):
        results = self.results(skips={"c/one": "reason", "c/two@b": "reason"})
        for name in ("c/one@a", "c/one@b", "c/two@b", "c/two@a"):
            printed(results.report, "skip", name, "no device")
        self.assertEqual(results.sum(), "0 passed, 1 failed, 3 skipped")

    def test_what_was_not_wanted_counts_only_if_it_failed(self):
        results = self.results(wanted=lambda name: name.startswith("a/"), skips={"c/one": "reason"})
        self.assertEqual(printed(results.report, "ok", "b/one"), "")
        self.assertEqual(printed(results.report, "skip", "c/one", "no device"), "")
        self.assertEqual(results.sum(), "0 passed, 0 failed, 0 skipped")
        self.assertEqual(printed(results.report, "not ok", "b/two"), "not ok b/two\n")
        self.assertEqual(results.sum(), "0 passed, 1 failed, 0 skipped")

    def test_of_long_details_the_end_is_printed_and_all_is_in_a_file(self):
        results = self.results()
        detail = "\n".join(f"line {number}" for number in range(1, 27))
        lines = printed(results.report, "not ok", "a/one@b", detail).splitlines()
        self.assertRegex(lines[1], r"^    \.\.\. all of it in .*logs/a-one@b$")
        self.assertEqual((lines[2], lines[-1], len(lines)), ("    line 2", "    line 26", 27))
        self.assertEqual((self.folder / "logs/a-one@b").read_text(), detail)

    def test_details_that_fit_are_in_no_file(self):
        text = printed(self.results().report, "not ok", "a/one", "line\n" * 25)
        self.assertEqual(text.count("    line\n"), 25)
        self.assertFalse((self.folder / "logs").exists())

    def test_case_fails_by_what_it_raises(self):
        results = self.results()
        self.assertEqual(printed(results.run, "a/one", lambda: None), "ok a/one\n")
        self.assertEqual(printed(results.run, "a/two", fails),
                         "not ok a/two\n    this\n    and that\n")
        self.assertEqual(printed(results.run, "a/three", lambda: self.assertEqual(1, 2)),
                         "not ok a/three\n    1 != 2\n")
        self.assertEqual(results.sum(), "1 passed, 2 failed, 0 skipped")

    def test_fault_of_a_case_itself_does_not_end_the_rest(self):
        results = self.results()
        said = printed(results.run, "a/one", lambda: 1 // 0)
        self.assertTrue(said.startswith("not ok a/one\n    Traceback"))
        self.assertIn("ZeroDivisionError", said)
        self.assertEqual(results.sum(), "0 passed, 1 failed, 0 skipped")

    def test_note_does_not_count(self):
        results = self.results()
        self.assertEqual(printed(results.note, "p@b", "12 times"), "note p@b: 12 times\n")
        self.assertEqual(results.sum(), "0 passed, 0 failed, 0 skipped")


class SkipsTest(WithFolder):

    def read(self, text):
        file = self.folder / "skips"
        file.write_text(text)
        return read_skips(file)

    def test_names_and_reasons(self):
        self.assertEqual(self.read("# Comment\n\np/f.one no device there\np/f.two@b why\n"),
                         {"p/f.one": "no device there", "p/f.two@b": "why"})

    def test_each_needs_a_reason(self):
        with self.assertRaisesRegex(SystemExit, "p/f.one has no reason"):
            self.read("p/f.one \n")
