# SPDX-License-Identifier: GPL-2.0-only
"""What came of the cases: printed as they end, and counted."""

import os
import sys
import threading
import traceback

from .command import Failed
from .project import SELFTESTS, TOP

SKIPS = SELFTESTS / "skips"
# Of what a failed case has to say, this much is printed.
SHOWN = 25


def read_skips(file=SKIPS):
    """Which cases may be skipped, each with the reason."""
    skips = {}
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            if not reason.strip():
                sys.exit(f"skips: {name} has no reason")
            skips[name] = reason.strip()
    return skips


class Results:
    """Prints each case as it ends, and counts."""

    def __init__(self, wanted, logs, skips):
        self.wanted = wanted
        self.logs = logs
        self.skips = skips
        self.lock = threading.Lock()
        self.counts = {"ok": 0, "not ok": 0, "skip": 0}

    @property
    def failed(self):
        return self.counts["not ok"] > 0

    def report(self, verdict, name, detail=""):
        """What was not asked for, but had to run, only counts if it failed."""
        if verdict == "skip" and not {name, name.split("@")[0]} & self.skips.keys():
            verdict = "not ok"
            detail = f"skipped ({detail}), and not listed in {SELFTESTS.name}/skips"
        if verdict != "not ok" and not self.wanted(name):
            return
        text = f"{verdict} {name}\n"
        if verdict == "skip":
            text = f"skip {name}: {detail}\n"
        elif verdict == "not ok":
            text += self.indented(name, detail)
        with self.lock:
            self.counts[verdict] += 1
            sys.stdout.write(text)
            sys.stdout.flush()

    def indented(self, name, detail):
        """The end of it, if it is long; then all of it is in a file."""
        lines = detail.strip().splitlines()
        if len(lines) > SHOWN:
            self.logs.mkdir(parents=True, exist_ok=True)
            log = self.logs / name.replace("/", "-")
            log.write_text(detail)
            lines = [f"... all of it in {os.path.relpath(log, TOP)}", *lines[-SHOWN:]]
        return "".join(f"    {line}\n" for line in lines)

    def note(self, about, text):
        """What was measured: printed, not judged."""
        with self.lock:
            print(f"note {about}: {text}", flush=True)

    def run(self, name, function):
        if self.ends(name, function):
            self.report("ok", name)

    def ends(self, name, function):
        """Whether it comes to its end. If not, the case has failed, and the others go on."""
        try:
            function()
        except (Failed, AssertionError) as failure:
            self.report("not ok", name, str(failure))
        except Exception:
            self.report("not ok", name, traceback.format_exc())
        else:
            return True
        return False

    def sum(self):
        """The last line."""
        return "{ok} passed, {not ok} failed, {skip} skipped".format(**self.counts)
