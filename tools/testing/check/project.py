# SPDX-License-Identifier: GPL-2.0-only
"""Where things are, and which kernels the project is checked with."""

import os
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SELFTESTS = TOP / "tools/testing/selftests/vfio_pasid"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vfio-pasid"
LOGS = TOP / "build/check"
SUITE = os.environ.get("SUITE") or "trixie"
# It must pass on KERNEL and compile on all of the suite.
SERIES = [line.split()[1] for line in (TOP / "scripts/kernels.list").read_text().splitlines()
          if line.startswith(f"{SUITE} ")]
KERNEL = os.environ.get("KERNEL") or SERIES[0]
