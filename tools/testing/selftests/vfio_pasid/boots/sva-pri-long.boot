# SPDX-License-Identifier: GPL-2.0-only
# As sva-pri.boot, with 10,000 page requests.
kernel long
guest --timeout 1200 --fsts on --iommu snoop-control=off,device-iotlb=on,svm=on
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide0,bus=rp0 --ats --pri --walks-processes'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8 --ats --walks-processes'
vfio 0000:01:00.0 0000:02:00.0
allow_kernel_flushes
export VFIO_PASID_LONG=1
run sva_pri sva_pri.many_requests_while_the_process_changes_its_memory
