# SPDX-License-Identifier: GPL-2.0-only
"""ruff sees all Python: it does not look for scripts whose names do not end with .py."""

import tomllib
import unittest

from check.project import TOP
from check.sources import files


class RuffTest(unittest.TestCase):

    def test_each_script_is_included(self):
        included = tomllib.loads((TOP / "ruff.toml").read_text())["include"]
        python = [str(file.relative_to(TOP)) for file in files("scripts/*")
                  if file.read_text().startswith("#!/usr/bin/env python3\n")]
        self.assertEqual(included, ["*.py", *python])
