# SPDX-License-Identifier: GPL-2.0-only
"""A boot, run in a guest."""

import subprocess
import tempfile
from pathlib import Path

from .builds import debug_kernel
from .payload import fill
from .project import TOP
from .tap import Tap


def guest_kernel(kind, build):
    """Options for scripts/guest.

    slab_debug: without it, kmemleak finds little. no5lvl: with five levels of
    page tables, KASAN may misjudge an interrupt that comes while the kernel
    learns of them, in identify_cpu(). kunit.autorun: unit tests would run each
    time that a program loads the module; kunit.boot is for them. init_on_alloc:
    nobody looks at what it clears, and a page of 1 GB takes it 6 seconds. timeout:
    at least twice what the longest takes on two slow cores without KVM.
    """
    if kind != "debug":
        return ["--kernel", build.name, "--append", "init_on_alloc=0", "--timeout", "600"]
    return ["--image", debug_kernel("image"), "--modules", debug_kernel("modules"),
            "--append", "slab_debug=F iommu.debug_pagealloc=1 no5lvl kunit.autorun=0",
            "--memory", "1G", "--timeout", "1800"]


def run_boot(plan, results, kind, build):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        fill(scratch / "payload", plan, build)
        results.logs.mkdir(parents=True, exist_ok=True)
        log = results.logs / f"{plan.boot.name}.log"
        command = [TOP / "scripts/guest", *guest_kernel(kind, build), *plan.boot.guest,
                   "--payload", scratch / "payload", "--log", log, "/selftests/in_guest.sh"]
        with open(scratch / "stderr", "w+") as errors:
            trouble = listen(command, Tap(plan, results), errors)
        results.report("not ok" if trouble else "ok", plan.title, trouble)


def listen(command, tap, errors):
    """What the guest had to say besides what its programs said, if it failed."""
    stray = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=errors, text=True, errors="replace") as guest:
        for line in guest.stdout:
            if not tap.program:
                stray.append(line)
            tap.feed(line.rstrip("\r\n"))
    tap.close()
    errors.seek(0)
    return "".join(stray) + errors.read() if guest.returncode else ""
