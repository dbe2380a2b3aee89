# SPDX-License-Identifier: GPL-2.0-only
"""Where the time goes."""

from check.times import Times

from .doubles import WithFolder


class TimesTest(WithFolder):

    def setUp(self):
        super().setUp()
        self.file = self.folder / "new/times"

    def test_next_run_knows_them(self):
        times = Times(self.file)
        self.assertEqual(times.before, {})
        times.took = {"boot/b": 12.345, "build/7.3": 0.04}
        times.write()
        self.assertEqual(self.file.read_text(), "12.3\tboot/b\n0.0\tbuild/7.3\n")
        self.assertEqual(Times(self.file).before, {"boot/b": 12.3, "build/7.3": 0.0})

    def test_what_did_not_run_is_kept_and_what_ran_is_new(self):
        times = Times(self.file)
        times.took = {"boot/a": 1, "boot/b": 2}
        times.write()
        times = Times(self.file)
        times.took = {"boot/b": 3}
        times.write()
        self.assertEqual(Times(self.file).before, {"boot/a": 1, "boot/b": 3})

    def test_line_that_was_cut_off_is_none(self):
        self.file.parent.mkdir()
        self.file.write_text("1.0\tboot/a\n\nten\tboot/b\n2.0\tboo")
        self.assertEqual(Times(self.file).before, {"boot/a": 1.0})

    def test_slowest_first_and_all_of_it_last(self):
        times = Times(self.file)
        times.took = {f"a/{number}": number for number in range(20)}
        lines = times.slowest(3)
        self.assertEqual(lines[:3], ["  19.0 s  a/19", "  18.0 s  a/18", "  17.0 s  a/17"])
        self.assertRegex(lines[3], r"^   0\.\d s  from begin to end$")

    def test_is_measured(self):
        times = Times(self.file)
        with times.of("a/one"):
            pass
        self.assertLess(times.took["a/one"], 5)
