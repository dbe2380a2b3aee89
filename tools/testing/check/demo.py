# SPDX-License-Identifier: GPL-2.0-only
"""`make run PROGRAM=`."""

from .command import Failed, output_of
from .project import TOP

CRASHES = """\
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	int unused;

	printf("as far as this\\n");
	abort();
}
"""


def refusal(file):
    """What `make run PROGRAM=` says of a program that fails, or that it does not run."""
    try:
        output_of("scripts/run", file)
    except Failed as failure:
        return str(failure)
    raise Failed(f"scripts/run {file} succeeds")


def run_program():
    """`make run PROGRAM=` as README shows it, and what it says if it cannot be."""
    shown = (TOP / "README.md").read_text().partition("$ make run PROGRAM=")[2]
    name, *lines = shown.partition("\n```")[0].splitlines()
    said = output_of("scripts/run", name).splitlines()
    missing = [line for line in lines if line != "..." and line not in said]
    if missing or len(lines) < 4:
        raise Failed("\n".join(["not said:", *missing, "but:", *said]))
    crashes = TOP / "build/crashes.c"
    crashes.write_text(CRASHES)
    for file, words in (("nothing.c", ["there is no nothing.c"]),
                        ("/usr/bin/true", ["is not in this tree"]),
                        (crashes, ["unused variable", "as far as this", "Aborted"])):
        said = refusal(file)
        missing = [text for text in words if text not in said]
        if missing:
            raise Failed(f"scripts/run {file} does not say {missing}, but:\n{said}")
