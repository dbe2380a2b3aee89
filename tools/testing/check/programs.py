# SPDX-License-Identifier: GPL-2.0-only
"""The programs of the selftests, and which cases they have."""

import re
import subprocess

from .command import Failed
from .project import SELFTESTS


def sources(folder=SELFTESTS):
    """The file of each program: in a folder by its concept, and with the harness."""
    return {file.stem: file for file in sorted(folder.glob("*/*.c"))
            if "#include <kselftest_harness.h>" in file.read_text()}


def cases_of(program):
    """The names of the cases of a kselftest_harness.h program, by its -l."""
    if not program.exists():
        raise Failed(f"a boot runs {program.name}, which {SELFTESTS.name}/Makefile does not build")
    done = subprocess.run([program, "-l"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    names = listed(done.stdout)
    if not names:
        raise Failed(f"{program} -l lists no cases:\n{done.stdout}")
    return names


def listed(text):
    """Each test of a fixture is a case with each of the fixture's variants."""
    return [".".join(filter(None, (fixture, variant, test)))
            for fixture, variants, tests in fixtures(text)
            for variant in variants or [""] for test in tests]


def fixtures(text):
    """Each with its variants and its tests."""
    found = []
    for line in text.splitlines():
        # "%-20s %-25s %s": fixture (on its first line only), variant, test.
        row = re.fullmatch(r"(\S{20,}|.{20}) (\S{25,}|.{25}) (\S*)", line)
        if not row or line.startswith("#"):
            continue
        fixture, variant, test = (column.strip() for column in row.groups())
        if fixture:
            found.append((fixture, [], []))
        if variant:
            found[-1][1].append(variant)
        if test:
            found[-1][2].append(test)
    return found
