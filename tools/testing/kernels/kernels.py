# SPDX-License-Identifier: GPL-2.0-only
"""What make check-kernels does with the list of kernels and what it makes of README's
table, with an archive and a scripts/check that only say what they are told to; and
that all who name kernels name the same. scripts/check runs each of these functions as
a case, kernels/NAME.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
CASES = {}
HEAD = "| kernel | Debian | rustc | `make check` |\n|---|---|---|---|\n"
LIST = "# Comment\n\ntrixie 7.3\ntrixie 7.2\nsid 7.2\n"
PASSED = "ok a/b\n900 passed, 0 failed, 1 skipped"

# Of the archive, of what was made, and of the check, each has a file for each kernel.
KERNEL_TREE = """#!/bin/sh
here=${0%/*}
echo "$SUITE $*" >>$here/log
case $* in
"--newest "*) [ -e $here/$SUITE-$KERNEL.archive ] || exit 3; cat $here/$SUITE-$KERNEL.archive ;;
"--update "*) cp $here/$SUITE-$KERNEL.archive $here/$SUITE-$KERNEL.made ;;
"--show release "*) cat $here/$SUITE-$KERNEL.made ;;
"--show version "*) echo "$(cat $here/$SUITE-$KERNEL.made)-1" ;;
esac
"""
SANDBOX = """#!/bin/sh
case $SUITE in sid) echo "rustc 1.97.1 (x)" ;; *) echo "rustc 1.85.1 (x)" ;; esac
"""
CHECK = """#!/bin/sh
echo "$SUITE check $KERNEL T=${T-}" >>${0%/*}/log
cat ${0%/*}/$SUITE-$KERNEL.check
! grep -q "not ok" ${0%/*}/$SUITE-$KERNEL.check
"""


def case(function):
    CASES[f"kernels/{function.__name__}"] = function
    return function


class Tree:
    """A tree in which only scripts/check-kernels is real."""

    def __init__(self, folder):
        self.top = Path(folder)
        self.scripts = self.top / "scripts"
        self.scripts.mkdir()
        shutil.copy(TOP / "scripts/check-kernels", self.scripts)
        for name, text in (("kernel-tree", KERNEL_TREE), ("sandbox", SANDBOX), ("check", CHECK)):
            (self.scripts / name).write_text(text)
            (self.scripts / name).chmod(0o755)
        (self.scripts / "kernels.list").write_text(LIST)
        self.readme = self.top / "README.md"
        self.readme.write_text(f"Before.\n\n{HEAD}| old | row | 1 | 2 |\n\nAfter.\n")
        for suite, series, release in (("trixie", "7.3", "7.3.4"), ("trixie", "7.2", "7.2.12"),
                                       ("sid", "7.2", "7.2.13")):
            self.put(suite, series, "archive", release)
            self.put(suite, series, "made", release)
            self.put(suite, series, "check", PASSED)

    def put(self, suite, series, what, text):
        (self.scripts / f"{suite}-{series}.{what}").write_text(f"{text}\n")

    def run(self, *options):
        """Exit status and what it printed."""
        done = subprocess.run([self.scripts / "check-kernels", *options], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={**os.environ, "T": "some"})
        return done.returncode, done.stdout

    def rows(self):
        """Of the table; what is around it must be as it was."""
        text = self.readme.read_text()
        assert text.startswith(f"Before.\n\n{HEAD}|") and text.endswith("|\n\nAfter.\n"), text
        return [tuple(cell.strip() for cell in line.strip("|").split("|"))
                for line in text.splitlines()[4:-2]]

    def log(self):
        return (self.scripts / "log").read_text().splitlines()


def scratch():
    return tempfile.TemporaryDirectory()


@case
def each_is_checked_and_has_a_row():
    with scratch() as folder:
        tree = Tree(folder)
        status, output = tree.run()
        assert status == 0 and output.endswith("\n2700 passed, 0 failed, 3 skipped\n"), output
        assert [row[:3] for row in tree.rows()] == [
            ("7.3.4-1", "trixie", "1.85.1"), ("7.2.12-1", "trixie", "1.85.1"),
            ("7.2.13-1", "sid", "1.97.1")], tree.rows()
        for row in tree.rows():
            assert re.fullmatch(r"900 passed, 0 failed, 1 skipped, \d+ \w+ \d{4}", row[3]), row
        checks = [line for line in tree.log() if "check" in line]
        assert checks == ["trixie check 7.3 T=", "trixie check 7.2 T=", "sid check 7.2 T="], checks
        assert not [line for line in tree.log() if "--update" in line], tree.log()
        before = tree.readme.read_text()
        tree.run()
        assert tree.readme.read_text() == before


@case
def what_left_the_archive_is_a_listed_skip():
    with scratch() as folder:
        tree = Tree(folder)
        (tree.scripts / "trixie-7.2.archive").unlink()
        status, output = tree.run()
        assert status == 0 and output.endswith("\n1800 passed, 0 failed, 3 skipped\n"), output
        assert "skip trixie 7.2: it has left the archive" in output, output
        assert tree.rows()[1][:3] == ("7.2", "trixie", ""), tree.rows()
        assert tree.rows()[1][3].startswith("not in the archive on "), tree.rows()
        assert "trixie check 7.2 T=" not in tree.log(), tree.log()


@case
def newer_release_is_made_first():
    with scratch() as folder:
        tree = Tree(folder)
        tree.put("sid", "7.2", "archive", "7.2.14")
        status, output = tree.run()
        assert status == 0 and tree.rows()[2][0] == "7.2.14-1", output
        log = tree.log()
        assert log.index("sid --update 7.2") < log.index("sid check 7.2 T="), log


@case
def what_fails_is_told_and_the_others_are_checked():
    with scratch() as folder:
        tree = Tree(folder)
        tree.put("trixie", "7.3", "check", "not ok a/b\n899 passed, 1 failed, 1 skipped")
        tree.put("trixie", "7.2", "check", "Traceback")
        status, output = tree.run()
        assert status == 1 and output.endswith("\n1799 passed, 2 failed, 2 skipped\n"), output
        assert "not ok a/b" in output, output
        rows = tree.rows()
        assert rows[0][3].startswith("899 passed, 1 failed, 1 skipped, "), rows
        assert "did not come to its end" in rows[1][3] and rows[2][3].startswith("900 passed"), rows


@case
def readme_without_the_table_stays():
    with scratch() as folder:
        tree = Tree(folder)
        tree.readme.write_text("Nothing.\n")
        status, output = tree.run()
        assert status and "put back the line" in output, output
        assert tree.readme.read_text() == "Nothing.\n"


@case
def upstream_test_that_does_not_compile_fails_alone():
    """It is replaced by a program that says so; the others are there."""
    done = subprocess.run([TOP / "scripts/kernel-tree", "--show", "source"], check=True,
                          stdout=subprocess.PIPE, text=True)
    source = Path(done.stdout.splitlines()[-1])
    (TOP / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOP / "build") as folder:
        tests = [Path(folder) / "vfio" / name
                 for name in ("vfio_dma_mapping_test", "vfio_pci_device_test")]
        broken = source / "tools/testing/selftests/vfio/vfio_dma_mapping_test.c"
        done = subprocess.run(
            ["bwrap", "--dev-bind", "/", "/", "--overlay-src", source, "--tmp-overlay", source,
             "sh", "-euc", 'echo "#error of this release" >>$1; shift; exec make "$@"', "sh",
             broken, "-C", TOP / "tools/testing/selftests/vfio_pasid", f"KSRC={source}",
             f"OUTPUT={folder}",
             *tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        said = subprocess.run([tests[0], "-l"], stdout=subprocess.PIPE, text=True)
        for text in ("does not compile", "of this release"):
            assert said.returncode and text in said.stdout, f"{said.returncode}: {said.stdout}"
        assert tests[1].read_bytes().startswith(b"\x7fELF")


@case
def list_and_table_and_package_name_the_same():
    """And the package builds for no series that is not listed."""
    listed = [line.split() for line in (TOP / "scripts/kernels.list").read_text().splitlines()
              if line.strip() and not line.startswith("#")]
    table = (TOP / "README.md").read_text().partition(HEAD)[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    named = [[suite, re.match(r"\d+\.\d+", kernel)[0]] for kernel, suite, *_ in rows]
    assert named == listed, f"README.md has {named}, and scripts/kernels.list {listed}"
    for major in range(6, 9):
        for minor in range(30):
            series = f"{major}.{minor}"
            done = subprocess.run(["bash", "-c", '. scripts/kernel.sh; tested_series "$1"', "bash",
                                   f"{series}.4+deb13-amd64"], cwd=TOP)
            built = done.returncode == 0
            assert built == (series in {series for _, series in listed}), f"{series}: {built}"
