# SPDX-License-Identifier: GPL-2.0-only
# What of aux-map-fs.boot aux-map-ss.boot has left out.
kernel long
guest --fsts off --iommu snoop-control=on
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --memory 5G
guest --pasid-device 'id=wide0,bus=rp0'
guest --pasid-device 'id=wide1,addr=10.0'
huge 1048576 1
huge 2048 8
vfio 0000:00:10.0 0000:01:00.0
run aux_map
run own_space_groups
run aux_map_lifecycle
run aux_map_trace
run aux_map_race
