# SPDX-License-Identifier: GPL-2.0-only
"""T."""

import unittest

from check.wanted import pattern_filter


class WantedTest(unittest.TestCase):

    def test_nothing_matches_all(self):
        self.assertTrue(pattern_filter("")("a/one@b"))

    def test_matches_anywhere_and_gives_a_boolean(self):
        wanted = pattern_filter("one|^two")
        self.assertIs(wanted("a/one@b"), True)
        self.assertIs(wanted("two/x"), True)
        self.assertIs(wanted("a/two"), False)

    def test_what_is_no_expression_is_told(self):
        with self.assertRaisesRegex(SystemExit, r"^check: T=\(a is not a regular expression: "):
            pattern_filter("(a")
