# SPDX-License-Identifier: GPL-2.0-only
# The aux-* boots have every pair of: first- or second-stage tables, snoop
# control or not, a device with 20 bits of PASID, 8 or none, on the root bus or
# behind a root port. Here and in aux-ss.boot every aux program runs once, in the
# others, which are for check-long, with the other kind of tables: our code is
# the same for both. What flushes, and what DMA sees, is not: always both.
guest --fsts on --iommu snoop-control=on --trace 'vtd_inv_desc*'
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide0,bus=rp0'
guest --pasid-device 'id=wide1,addr=10.0'
guest --pasid-device 'id=narrow,addr=11.0 --pasid-width 8'
guest --pasid-device 'id=none,bus=rp1 --no-tlp-prefix'
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:02:00.0
run aux
run memory_mapped
run aux_dma
run aux_race
run aux_invalidate
run held
run noise
run storm
