# SPDX-License-Identifier: GPL-2.0-only
"""Where the time goes."""

import contextlib
import re
import time


class Times:
    """How many seconds each thing took, in this run and the ones before it. A file has a
    line for each, the seconds and the name, so that the next run knows."""

    def __init__(self, file):
        self.file = file
        self.start = time.monotonic()
        self.took = {}
        self.before = {}
        if file.exists():
            # What is no such line was cut off.
            lines = re.findall(r"^(\d+\.\d)\t(.+)\n", file.read_text(), re.M)
            self.before = {name: float(seconds) for seconds, name in lines}

    @contextlib.contextmanager
    def of(self, name):
        start = time.monotonic()
        yield
        self.took[name] = time.monotonic() - start

    def slowest(self, count=10):
        """A line for each of them, and one for all."""
        first = sorted(self.took.items(), key=lambda item: -item[1])[:count]
        return [line(seconds, name) for name, seconds in first] + [
            line(time.monotonic() - self.start, "from begin to end")]

    def write(self):
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(f"{seconds:.1f}\t{name}\n" for name, seconds
                                     in sorted({**self.before, **self.took}.items())))


def line(seconds, name):
    return f"{seconds:6.1f} s  {name}"
