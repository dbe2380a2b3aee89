# SPDX-License-Identifier: GPL-2.0-only
"""What a guest prints, and what it means."""

import re


class Tap:
    """Turns what a guest prints into results."""

    def __init__(self, plan, results):
        self.plan = plan
        self.results = results
        self.missing = {program: list(cases) for program, cases in plan.expected.items()}
        self.program = None
        self.lines = []
        self.left = []
        self.unchecked = list(plan.expected)

    def feed(self, line):
        mark = re.fullmatch(r"@(begin|end|leftover|checked) (.*)", line)
        case = re.fullmatch(r"(ok|not ok) \d+ (\S+)(?: # (SKIP)? ?(.*))?", line)
        if mark:
            getattr(self, mark[1])(mark[2])
        elif case and case[2] in self.missing.get(self.program, []):
            self.missing[self.program].remove(case[2])
            verdict = "skip" if case[3] else case[1]
            detail = case[4] if case[3] else "\n".join([*self.lines, line])
            self.case(verdict, case[2], detail or "")
            self.lines = []
        elif line.startswith("# note: "):
            self.results.note(self.plan.boot.full(self.program), line.removeprefix("# note: "))
        elif not re.match(r"TAP version|1\.\.\d|#\s+(RUN|OK) ", line):
            self.lines.append(line)

    def case(self, verdict, name, detail):
        self.results.report(verdict, self.plan.boot.full(f"{self.program}/{name}"), detail)

    def begin(self, program):
        self.program = program
        self.lines = []
        self.left = []

    def end(self, reason):
        """The program has ended: what it did not report has failed."""
        for name in self.missing.pop(self.program, []):
            self.case("not ok", name, "\n".join([*self.lines, f"did not report: {reason}"]))
            self.lines = []
        self.program = None

    def leftover(self, text):
        self.left.append(text)

    def checked(self, program):
        self.unchecked.remove(program)
        self.report_left(program, "\n".join(self.left))

    def report_left(self, program, text):
        self.results.report("not ok" if text else "ok", self.plan.boot.full(f"left/{program}"),
                            text)

    def close(self):
        """The guest is gone."""
        if self.program:
            self.end(f"{self.program} had not ended when the guest did")
        self.lines = []
        for program in list(self.missing):
            self.program = program
            self.end(f"see {self.plan.title}")
        for program in self.unchecked:
            self.report_left(program, f"did not report: see {self.plan.title}")
