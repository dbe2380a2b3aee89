# SPDX-License-Identifier: GPL-2.0-only
# With the tables and the snoop control that aux-ss.boot has not.
kernel long
guest --fsts on --iommu snoop-control=off --trace 'vtd_inv_desc*'
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide,addr=10.0'
guest --pasid-device 'id=hot,bus=rp0'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8'
guest --pasid-device 'id=none,addr=11.0 --no-pasid'
guest --pasid-spare id=spare
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:02:00.0
# vfio_aux_detach_device() of what is not attached warns.
allow vfio_pasid_helper_warn_not_attached|Call Trace:
run aux_dma
run aux_lifecycle
run aux_invalidate
run aux_hotplug
run default_pasid
