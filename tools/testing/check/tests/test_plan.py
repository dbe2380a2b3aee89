# SPDX-License-Identifier: GPL-2.0-only
"""What of each boot is to be run, and which first."""

from check.boots import Boot
from check.command import Failed
from check.plan import Plan, make_plans
from check.wanted import pattern_filter

from .doubles import Recorder, WithFolder


class PlanTest(WithFolder):

    def setUp(self):
        super().setUp()
        self.program("p", "one", "two")
        self.program("q", "one", "two", "three")

    def plan(self, pattern, *lines):
        return Plan(Boot(self.boot_file("b", *lines)), self.folder, pattern_filter(pattern))

    def test_all(self):
        plan = self.plan("", "run p", "run q")
        self.assertEqual(plan.script, ["run p", "run q"])
        self.assertEqual(plan.expected, {"p": ["p.one", "p.two"],
                                         "q": ["q.one", "q.two", "q.three"]})
        self.assertEqual(plan.names(), [
            "p/p.one@b", "p/p.two@b", "q/q.one@b", "q/q.two@b", "q/q.three@b",
            "left/p@b", "left/q@b", "boot/b"])
        self.assertTrue(plan.whole)

    def test_some_cases_of_a_program(self):
        plan = self.plan(r"q\.t", "run p", "run q")
        self.assertEqual(plan.script, ["run q -r q.two -r q.three"])
        self.assertEqual(plan.expected, {"q": ["q.two", "q.three"]})
        self.assertFalse(plan.whole)

    def test_program_that_is_to_run_some_cases_only(self):
        plan = self.plan("", "run q q.three q.one")
        self.assertEqual(plan.script, ["run q -r q.three -r q.one"])
        self.assertTrue(plan.whole)
        self.assertEqual(self.plan("two", "run q q.three q.one").expected, {})

    def test_one_program_of_two_is_a_part(self):
        plan = self.plan("^p/", "run p", "run q")
        self.assertEqual(plan.script, ["run p"])
        self.assertFalse(plan.whole)

    def test_what_is_left_needs_all_of_its_program(self):
        plan = self.plan("^left/q@", "run p", "run q")
        self.assertEqual(plan.script, ["run q"])

    def test_what_is_left_after_those_that_are_wanted(self):
        plan = self.plan("^left/q@|q.one", "run p", "run q")
        self.assertEqual(plan.script, ["run q -r q.one"])

    def test_end_of_the_guest_needs_all_programs(self):
        self.assertEqual(self.plan("^boot/b$", "run p", "run q").script, ["run p", "run q"])

    def test_no_match_is_nothing(self):
        plan = self.plan("other", "bring r /nowhere/*", "run p")
        self.assertEqual((plan.script, plan.names(), plan.built, plan.found), ([], [], [], []))

    def test_files(self):
        (self.folder / "a.so").write_text("")
        plan = self.plan("", f"bring r {self.folder}/*.so", "run p")
        self.assertEqual((plan.built, plan.found), (["r"], [f"{self.folder}/a.so"]))
        with self.assertRaisesRegex(Failed, r"there is no /nowhere/\* in the build root"):
            self.plan("", "bring /nowhere/*", "run p")

    def test_case_that_the_program_has_not(self):
        with self.assertRaisesRegex(SystemExit, "^b: p has no p.three$"):
            self.plan("", "run p p.one p.three")

    def test_program_that_is_there_twice(self):
        with self.assertRaisesRegex(SystemExit, "^b: p is there twice$"):
            self.plan("", "run p p.one", "run p p.two")


class PlansTest(WithFolder):

    def setUp(self):
        super().setUp()
        self.program("p", "one", "two")
        self.program("q", "one")
        self.boot_file("few", "run q")
        self.boot_file("many", "run p", "run q")
        self.boot_file("told", "export VFIO_PASID_SECONDS=9", "run q")
        self.boot_file("long", "kernel long", "run p")
        self.boot_file("debug", "kernel debug", "run p")
        self.boot_file("stock", "kernel stock", "run p")
        self.recorder = Recorder()

    def order(self, kernel="stock", pattern="", **took):
        took = {f"boot/{name}": seconds for name, seconds in took.items()}
        plans = make_plans(self.folder, pattern_filter(pattern), self.recorder, kernel, took,
                           self.folder)
        return [plan.boot.name for plan in plans]

    def test_of_each_kernel(self):
        self.assertEqual({*self.order()}, {"few", "many", "told", "stock"})
        self.assertEqual({*self.order("debug")}, {"few", "many", "told", "debug"})
        self.assertEqual({*self.order("long")}, {"long"})

    def test_what_is_told_how_long_is_first_then_what_has_most_to_do(self):
        self.assertEqual(self.order(), ["told", "many", "stock", "few"])

    def test_longest_of_the_last_time_is_first(self):
        self.assertEqual(self.order(few=9.5, stock=30, many=10, told=1),
                         ["stock", "many", "few", "told"])

    def test_what_has_not_run_yet_is_before_all(self):
        self.assertEqual(self.order(stock=30, few=40), ["told", "many", "few", "stock"])

    def test_boot_without_a_match_is_none(self):
        self.assertEqual(self.order(pattern="^p/"), ["many", "stock"])
        self.assertEqual(self.order(pattern="nothing"), [])

    def test_boot_that_cannot_be_planned_fails_alone(self):
        self.boot_file("broken", "run r")
        self.assertEqual(len(self.order()), 4)
        self.assertEqual(self.recorder.verdicts(), {"boot/broken": "not ok"})
