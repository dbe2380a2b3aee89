# SPDX-License-Identifier: GPL-2.0-only
# Process spaces, and a device that asks the process for pages.
guest --fsts on --iommu snoop-control=off,device-iotlb=on,svm=on --trace vtd_inv_desc
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide0,bus=rp0 --ats --keeps-translations --pri --walks-processes'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8 --ats --walks-processes'
vfio 0000:01:00.0 0000:02:00.0
allow_kernel_flushes
run sva_pri
