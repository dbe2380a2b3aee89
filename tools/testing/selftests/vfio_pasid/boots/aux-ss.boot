# SPDX-License-Identifier: GPL-2.0-only
guest --fsts off --iommu snoop-control=off --trace 'vtd_inv_desc*'
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=hot,bus=rp0'
guest --pasid-device 'id=wide,addr=10.0'
guest --pasid-device 'id=narrow,addr=11.0 --pasid-width 8'
guest --pasid-device 'id=none,bus=rp1 --no-pasid'
guest --pasid-spare id=spare
guest --device edu,addr=12.0
vfio 0000:00:10.0 0000:00:11.0 0000:00:12.0 0000:01:00.0 0000:02:00.0
# vfio_aux_detach_device() of what is not attached warns.
allow vfio_pasid_helper_warn_not_attached|Call Trace:
run aux_dma
run aux_lifecycle
run aux_invalidate
run own_space_edu
run aux_hotplug
run default_pasid
