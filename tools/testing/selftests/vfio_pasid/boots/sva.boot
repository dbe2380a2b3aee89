# SPDX-License-Identifier: GPL-2.0-only
# Process spaces: devices with ATS, one of them behind an IOMMU that does not ask
# it for coherency, and five levels of tables.
guest --module zram --fsts on --iommu snoop-control=off,device-iotlb=on --trace vtd_inv_desc
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --qemu -device --qemu pcie-root-port,id=rp2,chassis=3,addr=10.0
guest --pasid-device 'id=wide0,bus=rp0 --ats --keeps-translations --walks-processes'
guest --pasid-device 'id=wide1,bus=rp1 --ats --keeps-translations --walks-processes'
guest --pasid-device 'id=narrow,bus=rp2 --pasid-width 8 --walks-processes'
vfio 0000:01:00.0 0000:02:00.0 0000:03:00.0
allow_kernel_flushes
run sva
run sva_memory
