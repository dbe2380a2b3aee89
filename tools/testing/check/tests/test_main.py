# SPDX-License-Identifier: GPL-2.0-only
"""The options, and the cases."""

import contextlib
import io
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from check import builds, main
from check.cases import static_cases
from check.options import Options
from check.project import KERNEL, SERIES

from .doubles import WithFolder, printed


class OptionsTest(unittest.TestCase):

    def test_kinds(self):
        for words, kind, kernel, logs in (([], "stock", KERNEL, "check"),
                                          (["--debug"], "debug", "debug", "check-debug"),
                                          (["--long"], "long", KERNEL, "check-long")):
            options = Options(words)
            self.assertEqual((options.kind, options.kernel, options.logs.name),
                             (kind, kernel, logs))

    def test_flags(self):
        self.assertEqual([(options.first, options.list, options.table) for options in map(
            Options, ([], ["--first"], ["--list", "--long"], ["--table"]))],
            [(False, False, False), (True, False, False), (False, True, False),
             (False, False, True)])

    def test_unknown(self):
        for words in (["--fast"], ["--debug", "--long"], [""]):
            with self.assertRaisesRegex(SystemExit, "unknown option"):
                Options(words)

    def test_help(self):
        self.assertEqual(printed(main.main, "\nUsage\n", ["-h"]), "Usage\n")


class Offline(Options):
    """Logs are in a folder of the test's."""

    folder: Path

    @property
    def logs(self):
        return self.folder / "check"


class RunTest(WithFolder):
    """Without a build: cases are functions of the test."""

    def start(self, pattern, *words, **cases):
        options = Offline(words)
        options.folder = self.folder
        run = main.Run(options, pattern)
        run.static = {name: case for name, case in cases.items() if run.wanted(name)}
        run.first = {}
        run.build_and_plan = lambda: None
        return run

    def test_no_match_is_a_failure(self):
        run = self.start("nothing", a=lambda: None)
        text = printed(run.all)
        self.assertTrue(text.endswith("no case matches T=nothing; scripts/check --list names them\n"
                                      "0 passed, 1 failed, 0 skipped\n"), text)

    def test_times_are_told_before_the_sum_and_kept(self):
        run = self.start("", a=lambda: None)
        lines = printed(run.all).splitlines()
        self.assertEqual((lines[0], lines[-1]), ("ok a", "1 passed, 0 failed, 0 skipped"))
        self.assertRegex(lines[1], r"^note slowest: +0\.\d s  a$")
        self.assertRegex(lines[2], r"^note slowest: +0\.\d s  from begin to end$")
        self.assertEqual((self.folder / "check/times").read_text(), "0.0\ta\n")

    def test_what_the_last_run_had_to_say_goes_but_not_its_times(self):
        logs = self.folder / "check"
        (logs / "folder").mkdir(parents=True)
        (logs / "a-one").write_text("")
        (logs / "times").write_text("1.0\tboot/a\n")
        run = self.start("")
        self.assertEqual(([file.name for file in logs.iterdir()], run.times.before),
                         (["times"], {"boot/a": 1.0}))

    def boots(self, *words, failed, whole):
        """The names of the boots that have run, as their times have them."""
        run = self.start("", *words)
        run.results.counts["not ok"] = failed
        with mock.patch.object(main, "run_boot"):
            run.boot(SimpleNamespace(title="boot/b", whole=whole))
        return [*run.times.took]

    def test_first_runs_no_boot_when_a_case_has_failed(self):
        self.assertEqual(self.boots("--first", failed=0, whole=True), ["boot/b"])
        self.assertEqual(self.boots("--first", failed=1, whole=True), [])
        self.assertEqual(self.boots(failed=1, whole=True), ["boot/b"])

    def test_time_of_a_part_is_not_that_of_the_whole(self):
        self.assertEqual(self.boots(failed=0, whole=False), ["boot/b, in part"])

    def test_status(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(self.start("", a=lambda: None).all(), 0)
            self.assertEqual(self.start("", a=self.fail).all(), 1)


class CasesTest(unittest.TestCase):

    def test_kernel_is_built_on_every_series(self):
        names = static_cases("stock")
        self.assertLessEqual({"lint/boots", "tools/check", *(f"build/{name}" for name in SERIES)},
                             {*names})
        self.assertEqual([*static_cases("debug")], ["build/debug"])
        self.assertIn("tools/fuzz", static_cases("long"))

    def test_warning_is_a_failure(self):
        with self.assertRaises(builds.Failed):
            builds.no_warning_in("a.c:1: Warning: b")
        builds.no_warning_in("no warnings")
