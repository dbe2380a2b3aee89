# SPDX-License-Identifier: GPL-2.0-only
# Room for large pages: 32 of 2 MB, and one of 1 GB, which must be reserved as
# long as memory is in one piece.
guest --memory 4G --append 'hugepages=32 hugepagesz=1G hugepages=1'
guest --device edu,addr=10.0 --device edu,addr=11.0
vfio 0000:00:10.0 0000:00:11.0
run memory
run memory_kinds
run memory_race
run setup
