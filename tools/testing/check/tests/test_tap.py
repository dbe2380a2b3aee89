# SPDX-License-Identifier: GPL-2.0-only
"""What a guest prints, and what it means."""

import unittest
from types import SimpleNamespace

from check.tap import Tap

from .doubles import Recorder


def heard(text, **expected):
    """What comes of a guest that was to run these programs, and printed this text."""
    results = Recorder()
    boot = SimpleNamespace(full=lambda case: f"{case}@b")
    tap = Tap(SimpleNamespace(boot=boot, title="boot/b", expected=expected), results)
    for line in text.splitlines():
        tap.feed(line)
    tap.close()
    return results


class TapTest(unittest.TestCase):

    def test_ok(self):
        results = heard("@begin p\nTAP version 13\n1..1\n#  RUN           f.one ...\n"
                        "#            OK  f.one\nok 1 f.one\n@end exit status 0\n@checked p\n",
                        p=["f.one"])
        self.assertEqual(results.verdicts(), {"p/f.one@b": "ok", "left/p@b": "ok"})

    def test_not_ok_has_what_was_printed_since_the_last_case(self):
        results = heard("@begin p\n# of one\nok 1 f.one\n#  RUN           f.two ...\n"
                        "# p.c:7: Expected 1 == 2\nnot ok 2 f.two\n"
                        "@end exit status 1\n@checked p\n", p=["f.one", "f.two"])
        self.assertEqual(results.reports[1], (
            "not ok", "p/f.two@b", "# p.c:7: Expected 1 == 2\nnot ok 2 f.two"))
        self.assertEqual(results.verdicts()["p/f.one@b"], "ok")

    def test_skip_has_its_reason(self):
        results = heard("@begin p\nok 1 f.one # SKIP no device\n@end exit status 4\n@checked p\n",
                        p=["f.one"])
        self.assertEqual(results.reports[0], ("skip", "p/f.one@b", "no device"))

    def test_comment_behind_a_verdict_is_no_skip(self):
        results = heard("@begin p\nok 1 f.one # slow\nnot ok 2 f.two # timeout\n"
                        "@end exit status 1\n@checked p\n", p=["f.one", "f.two"])
        self.assertEqual(results.verdicts(),
                         {"p/f.one@b": "ok", "p/f.two@b": "not ok", "left/p@b": "ok"})

    def test_program_that_dies_half_way(self):
        results = heard("@begin p\nok 1 f.one\n# about to\n@end exit status 139\n@checked p\n",
                        p=["f.one", "f.two", "f.three"])
        self.assertEqual(results.reports[1:3], [
            ("not ok", "p/f.two@b", "# about to\ndid not report: exit status 139"),
            ("not ok", "p/f.three@b", "did not report: exit status 139")])
        self.assertEqual(results.verdicts()["left/p@b"], "ok")

    def test_guest_that_dies(self):
        results = heard("@begin p\nok 1 f.one\nBUG: bad\n", p=["f.one", "f.two"], q=["g.one"])
        self.assertEqual(results.verdicts(), {
            "p/f.one@b": "ok", "p/f.two@b": "not ok", "q/g.one@b": "not ok",
            "left/p@b": "not ok", "left/q@b": "not ok"})
        self.assertEqual(results.detail("p/f.two@b"),
                         "BUG: bad\ndid not report: p had not ended when the guest did")
        self.assertEqual(results.detail("q/g.one@b"), "did not report: see boot/b")
        self.assertEqual(results.detail("left/q@b"), "did not report: see boot/b")

    def test_guest_that_dies_between_end_and_look(self):
        results = heard("@begin p\nok 1 f.one\n@end exit status 0\n", p=["f.one"])
        self.assertEqual(results.verdicts(), {"p/f.one@b": "ok", "left/p@b": "not ok"})

    def test_guest_that_says_nothing(self):
        self.assertEqual(heard("", p=["f.one"]).verdicts(),
                         {"p/f.one@b": "not ok", "left/p@b": "not ok"})

    def test_leftovers_are_those_of_their_program(self):
        results = heard("@begin p\nok 1 f.one\n@end exit status 0\n@leftover process 7: p\n"
                        "@leftover pinned pages: 1\n@checked p\n"
                        "@begin q\nok 1 g.one\n@end exit status 0\n@checked q\n",
                        p=["f.one"], q=["g.one"])
        self.assertEqual(results.detail("left/p@b"), "process 7: p\npinned pages: 1")
        self.assertEqual(results.verdicts()["left/p@b"], "not ok")
        self.assertEqual(results.verdicts()["left/q@b"], "ok")

    def test_note_is_the_programs_and_no_detail(self):
        results = heard("@begin p\n# note: 12 times\nnot ok 1 f.one\n"
                        "@end exit status 1\n@checked p\n", p=["f.one"])
        self.assertEqual(results.notes, [("p@b", "12 times")])
        self.assertEqual(results.detail("p/f.one@b"), "not ok 1 f.one")

    def test_case_reported_twice_counts_once(self):
        results = heard("@begin p\nok 1 f.one\nok 1 f.one\n@end exit status 0\n@checked p\n",
                        p=["f.one"])
        self.assertEqual(len(results.reports), 2)

    def test_case_that_was_not_asked_for_does_not_count(self):
        results = heard("@begin p\nok 1 f.other\nok 2 f.one\n@end exit status 0\n@checked p\n",
                        p=["f.one"])
        self.assertEqual(results.verdicts(), {"p/f.one@b": "ok", "left/p@b": "ok"})

    def test_case_of_another_program_does_not_count(self):
        results = heard("@begin p\nok 1 g.one\n@end exit status 0\n@checked p\n",
                        p=["f.one"], q=["g.one"])
        self.assertEqual(results.verdicts()["q/g.one@b"], "not ok")

    def test_case_between_programs_does_not_count(self):
        results = heard("ok 1 f.one\n", p=["f.one"])
        self.assertEqual(results.verdicts()["p/f.one@b"], "not ok")
