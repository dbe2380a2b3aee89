# SPDX-License-Identifier: GPL-2.0-only
# vfio-pasid (tools/cli) where the kernel uses no IOMMU.
kernel stock
guest --append intel_iommu=off
guest --device edu,addr=10.0
# Its modules, and no device.
vfio
bring vfio-pasid
run cli_no_iommu
