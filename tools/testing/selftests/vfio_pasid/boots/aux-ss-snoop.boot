# SPDX-License-Identifier: GPL-2.0-only
# With the tables that aux-fs-snoop.boot has not.
kernel long
guest --fsts off --iommu snoop-control=on --trace 'vtd_inv_desc*'
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide0,addr=10.0'
guest --pasid-device 'id=wide1,bus=rp0'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8'
guest --pasid-device 'id=none,addr=11.0 --no-tlp-prefix'
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:02:00.0
run aux
run memory_mapped
run aux_dma
run aux_race
run aux_invalidate
