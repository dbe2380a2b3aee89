# SPDX-License-Identifier: GPL-2.0-only
# Noise and storm in the debug kernel, for longer than beside others.
kernel debug
guest --fsts on --iommu snoop-control=on
guest --qemu -device --qemu pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --qemu -device --qemu pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --pasid-device 'id=wide0,bus=rp0'
guest --pasid-device 'id=wide1,addr=10.0'
guest --pasid-device 'id=narrow,addr=11.0 --pasid-width 8'
guest --pasid-device 'id=none,bus=rp1 --no-pasid'
vfio 0000:00:10.0 0000:00:11.0 0000:01:00.0 0000:02:00.0
export VFIO_PASID_ROUNDS=5000
export VFIO_PASID_SECONDS=15
bring vfio-pasid
beside ./vfio-pasid list --watch --json
run noise
run storm
