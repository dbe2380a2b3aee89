# SPDX-License-Identifier: GPL-2.0-only
"""The files of the project, and those of the kernels that it is checked with."""

import subprocess
from pathlib import Path

from .command import output_of
from .project import KERNEL, TOP


def files(*patterns):
    """The files of the project, also those that are not committed yet."""
    text = output_of("git", "ls-files", "-co", "--exclude-standard", "--", *patterns)
    return sorted(TOP / name for name in text.splitlines() if (TOP / name).exists())


def kernel_tree(show, kernel=KERNEL):
    done = subprocess.run(
        [TOP / "scripts/kernel-tree", "--show", show, kernel],
        check=True, stdout=subprocess.PIPE, text=True,
    )
    return Path(done.stdout.strip())
