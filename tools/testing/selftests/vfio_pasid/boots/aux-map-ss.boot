# SPDX-License-Identifier: GPL-2.0-only
# What aux spaces map, with second-stage tables. There is memory for a page of
# 1 GB, at an address that is a multiple of it. And files on a disk with DAX: 32 MB
# of memory at 256 MB, for which the debug kernel has no file system.
kernel stock
guest --append 'memmap=32M!256M'
guest --module nd_e820 --module nd_pmem --module ext4
guest --fsts off --iommu snoop-control=on
guest --memory 5G
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --pasid-device 'id=wide0,bus=rp0'
guest --pasid-device 'id=wide1,addr=10.0'
huge 1048576 1
huge 2048 8
vfio 0000:00:10.0 0000:01:00.0
allow vfio_pasid_helper_warn_short_unmap|Call Trace:
run aux_map_dma
run own_space
run own_space_pinned
run unmap_short
run memory_cost
run memory_file
