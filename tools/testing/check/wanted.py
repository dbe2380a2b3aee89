# SPDX-License-Identifier: GPL-2.0-only
"""T: which cases are wanted."""

import re
import sys


def pattern_filter(pattern):
    """Whether a name matches."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        sys.exit(f"check: T={pattern} is not a regular expression: {error}")
    return lambda name: bool(expression.search(name))
