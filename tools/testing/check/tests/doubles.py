# SPDX-License-Identifier: GPL-2.0-only
"""What stands in for selftests and for what looks at results."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from check.results import Results


class Recorder:
    """Results that are only remembered."""

    def __init__(self):
        self.reports = []
        self.notes = []

    def report(self, verdict, name, detail=""):
        self.reports.append((verdict, name, detail))

    def note(self, about, text):
        self.notes.append((about, text))

    def verdicts(self):
        return {name: verdict for verdict, name, _ in self.reports}

    def detail(self, name):
        return next(detail for _, known, detail in self.reports if known == name)


class WithFolder(unittest.TestCase):
    """Each test has a folder for files."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def results(self, wanted=lambda name: True, skips=()):
        return Results(wanted, self.folder / "logs", dict(skips))

    def program(self, name, *cases):
        """A selftest with these cases, all of one fixture."""
        rows = [f"{'' if number else name:20} {'':25} {case}" for number, case in enumerate(cases)]
        file = self.folder / name
        file.write_text("\n".join(["#!/bin/sh", "cat <<'END'", *rows, "END", ""]))
        file.chmod(0o755)

    def boot_file(self, name, *lines):
        file = self.folder / f"{name}.boot"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file


def printed(function, *arguments):
    """What it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        function(*arguments)
    return output.getvalue()
