# SPDX-License-Identifier: GPL-2.0-only
# Room for large pages: one of 1 GB, which must be taken as long as memory is in
# one piece, and 32 of 2 MB. With less than 5 GB there is no such piece: some lies
# below 4 GB, where the firmware's tables are, and the kernel's own data is last.
guest --memory 5G
guest --device edu,addr=10.0 --device edu,addr=11.0
huge 1048576 1
huge 2048 32
vfio 0000:00:10.0 0000:00:11.0
run memory
run memory_kinds
run memory_race
run memory_suspect
run setup
