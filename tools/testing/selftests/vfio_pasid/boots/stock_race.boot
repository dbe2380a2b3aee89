# SPDX-License-Identifier: GPL-2.0-only
# The proof that close_race can fail: the kernel's own type1 does.
kernel debug
guest --device edu,addr=10.0
vfio 0000:00:10.0
allow .
run close_race close_race.the_kernels_own_is_reported
