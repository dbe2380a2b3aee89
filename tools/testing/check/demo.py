# SPDX-License-Identifier: GPL-2.0-only
"""`make run PROGRAM=`."""

from .command import Failed, output_of
from .project import TOP


def run_program():
    """`make run PROGRAM=` as README shows it, and what it says if it cannot be."""
    shown = (TOP / "README.md").read_text().partition("$ make run PROGRAM=")[2]
    name, *lines = shown.partition("\n```")[0].splitlines()
    said = output_of("scripts/run", name).splitlines()
    missing = [line for line in lines if line != "..." and line not in said]
    if missing or len(lines) < 4:
        raise Failed("\n".join(["not said:", *missing, "but:", *said]))
    for file, why in (("nothing.c", "there is no nothing.c"),
                      ("/usr/bin/true", "is not in this tree")):
        try:
            output_of("scripts/run", file)
        except Failed as failure:
            if why not in str(failure):
                raise
        else:
            raise Failed(f"scripts/run {file} succeeds")
