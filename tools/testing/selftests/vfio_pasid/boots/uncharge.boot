# SPDX-License-Identifier: GPL-2.0-only
# A killed process closes last, thousands of times.
kernel long
guest --device edu,addr=10.0 --timeout 1200
vfio 0000:00:10.0
export VFIO_PASID_ROUNDS=2000
run uncharge
