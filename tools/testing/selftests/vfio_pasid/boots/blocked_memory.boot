# SPDX-License-Identifier: GPL-2.0-only
# Functions of one slot in two IOMMU groups; the third has no driver, so that VFIO
# does not reset the slot. (The debug kernel has no FUSE.)
kernel stock
# A slow link, as in hot-reset.boot.
guest --device pcie-root-port,id=rp0,addr=8.0,chassis=1,slot=1,x-speed=2_5
guest --device edu,bus=rp0,addr=0.0,multifunction=on
guest --device igb,bus=rp0,addr=0.1,romfile= --device edu,bus=rp0,addr=0.2
guest --device edu,addr=10.0
guest --pasid-device 'id=wide,addr=11.0'
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:01:00.1
run blocked_memory
# The last one: if it fails, the guest crashes.
run blocked_unload
