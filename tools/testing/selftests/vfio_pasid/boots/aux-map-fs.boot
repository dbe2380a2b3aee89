# SPDX-License-Identifier: GPL-2.0-only
# What aux spaces map, with first-stage tables. There is memory for a page of
# 1 GB, at an address that is a multiple of it.
guest --fsts on --iommu snoop-control=off
guest --memory 5G
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --pasid-device 'id=wide0,addr=10.0'
guest --pasid-device 'id=wide1,bus=rp0'
guest --device edu,addr=12.0
huge 1048576 1
huge 2048 8
vfio 0000:00:10.0 0000:00:12.0 0000:01:00.0
run aux_map
run aux_map_dma
run own_space
run own_space_edu
run own_space_groups
run own_space_race
run aux_map_lifecycle
run aux_map_trace
run aux_map_race
