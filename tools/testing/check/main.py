# SPDX-License-Identifier: GPL-2.0-only
"""All of it, in order."""

import concurrent.futures
import os
import sys

from . import table
from .builds import build_selftests, remove
from .cases import static_cases
from .guest import run_boot
from .options import Options
from .plan import make_plans
from .project import TOP
from .results import Results, read_skips
from .times import Times
from .wanted import pattern_filter

TIMES = "times"


class Run:
    """One run of scripts/check."""

    def __init__(self, options, pattern):
        self.options = options
        self.pattern = pattern
        self.wanted = pattern_filter(pattern)
        for old in options.logs.glob("*"):
            if old.name != TIMES:
                remove(old)
        self.results = Results(self.wanted, options.logs, read_skips())
        self.times = Times(options.logs / TIMES)
        self.static = {name: run for name, run in static_cases(options.kind).items()
                       if self.wanted(name)}
        # The selftests are built for this one, so it goes before them.
        self.first = {name: self.static.pop(name) for name in (f"build/{options.kernel}",)
                      if name in self.static}
        self.folder = None
        self.plans = []

    def case(self, name, function):
        with self.times.of(name):
            self.results.run(name, function)

    def boot(self, plan):
        """With --first, none when a case has failed."""
        if self.options.first and self.results.failed:
            return
        # How long a part takes says nothing of the whole.
        with self.times.of(plan.title if plan.whole else f"{plan.title}, in part"):
            self.results.ends(plan.title, lambda: run_boot(
                plan, self.results, self.options.kind, self.folder))

    def build_and_plan(self):
        print(f"check: building the modules and the selftests for {self.options.kernel} ...",
              file=sys.stderr, flush=True)

        def build():
            self.folder = build_selftests(self.options.kernel)
        self.case("build/selftests", build)
        if self.folder:
            self.plans = make_plans(self.folder / "selftests", self.wanted, self.results,
                                    self.options.kind, self.times.before)

    def list(self):
        self.build_and_plan()
        print(*self.first, *self.static, *(name for plan in self.plans for name in plan.names()),
              sep="\n")
        return 0

    def table(self):
        """For all guests, of whatever kind."""
        self.build_and_plan()
        if not self.folder:
            return 1
        print(*table.printed(table.rows(self.folder / "selftests")), sep="\n")
        return 0

    def all(self):
        for name, function in self.first.items():
            self.case(name, function)
        self.build_and_plan()
        self.run_side_by_side()
        self.tell_times()
        if not any(self.results.counts.values()):
            print(f"no case matches T={self.pattern}; scripts/check --list names them")
            self.results.counts["not ok"] = 1
        print(self.results.sum())
        return 1 if self.results.failed else 0

    def run_side_by_side(self):
        workers = 1 if self.options.first else os.cpu_count()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            work = [pool.submit(self.case, name, run) for name, run in self.static.items()]
            work += [pool.submit(self.boot, plan) for plan in self.plans]
            for done in concurrent.futures.as_completed(work):
                done.result()

    def tell_times(self):
        for line in self.times.slowest():
            self.results.note("slowest", line)
        self.times.write()


def main(usage, words):
    if {*words} & {"-h", "--help"}:
        print(usage.strip())
        return 0
    options = Options(words)
    if "IN_SANDBOX" not in os.environ:
        os.environ.pop("KDIR", None)
        os.execv(TOP / "scripts/sandbox", ["sandbox", TOP / "scripts/check", *words])
    run = Run(options, os.environ.get("T") or "")
    if options.list:
        return run.list()
    return run.table() if options.table else run.all()
