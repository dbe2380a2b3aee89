# SPDX-License-Identifier: GPL-2.0-only
# Process spaces on a device with page requests, and on one without. (The debug
# kernel has no FUSE.)
kernel stock
guest --fsts on --iommu snoop-control=off,device-iotlb=on,svm=on
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide,bus=rp0 --ats --pri --walks-processes'
guest --pasid-device 'id=middle,bus=rp1 --pasid-width 16 --ats --walks-processes'
guest --pasid-device 'id=narrow,addr=10.0 --pasid-width 8'
vfio 0000:01:00.0 0000:02:00.0 0000:00:10.0
allow_kernel_flushes
run blocked_process
