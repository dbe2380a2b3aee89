# SPDX-License-Identifier: GPL-2.0-only
# The aux-* boots have every pair of: first- or second-stage tables, snoop
# control or not, a device with 20 bits of PASID, 8 or none, on the root bus or
# behind a root port. Every aux program runs with both kinds of tables; in the
# debug kernel, which is slow, once, as our code is the same.
guest --fsts on --iommu snoop-control=off
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide,addr=10.0'
guest --pasid-device 'id=hot,bus=rp0'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8'
guest --pasid-device 'id=none,addr=11.0 --no-pasid'
guest --pasid-spare id=spare
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:02:00.0
run aux
run memory_mapped
run aux_dma
run aux_race
run aux_hotplug
run noise
run storm
