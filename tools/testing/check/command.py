# SPDX-License-Identifier: GPL-2.0-only
"""Commands that must succeed."""

import re
import subprocess

from .project import TOP


class Failed(Exception):
    """A case failed; the text says how."""


def output_of(*command, cwd=TOP, **more):
    """What a command printed on both streams; Failed if it failed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", **more,
    )
    if done.returncode:
        raise Failed(done.stdout.strip() or f"{command[0]}: exit status {done.returncode}")
    return done.stdout


def no_warning_in(text):
    if re.search("warning:", text, re.IGNORECASE):
        raise Failed(text)
