# SPDX-License-Identifier: GPL-2.0-only
# Noise and storm where processes can be attached to devices.
kernel debug long
guest --fsts on --iommu snoop-control=off,device-iotlb=on
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --qemu -device --qemu pcie-root-port,id=rp2,chassis=3,addr=10.0
guest --qemu -device --qemu pcie-root-port,id=rp3,chassis=4,addr=11.0
guest --pasid-device 'id=wide0,bus=rp0 --ats --walks-processes'
guest --pasid-device 'id=wide1,bus=rp1 --ats --walks-processes'
guest --pasid-device 'id=narrow,bus=rp2 --pasid-width 8 --ats --walks-processes'
guest --pasid-device 'id=none,bus=rp3 --no-pasid'
vfio 0000:01:00.0 0000:02:00.0 0000:03:00.0 0000:04:00.0
allow_kernel_flushes
export VFIO_PASID_PROCESSES=1
run noise
run storm
