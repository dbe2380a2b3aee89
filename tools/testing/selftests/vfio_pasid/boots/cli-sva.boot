# SPDX-License-Identifier: GPL-2.0-only
# vfio-pasid (tools/cli) where processes can be attached: as in sva.boot.
kernel stock
guest --fsts on --iommu device-iotlb=on
guest --device pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --device pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide,bus=rp0 --ats --walks-processes'
guest --pasid-device 'id=narrow,bus=rp1 --pasid-width 8 --walks-processes'
vfio 0000:01:00.0 0000:02:00.0
allow_kernel_flushes
bring vfio-pasid
run cli_sva
