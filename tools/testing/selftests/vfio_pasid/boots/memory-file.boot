# SPDX-License-Identifier: GPL-2.0-only
# Files on a disk with DAX: 32 MB of memory at 256 MB. The debug kernel has no
# file system for it.
kernel stock
guest --append 'memmap=32M!256M'
guest --module nd_e820 --module nd_pmem --module ext4
guest --device edu,addr=10.0
vfio 0000:00:10.0
run memory_file
