# SPDX-License-Identifier: GPL-2.0-only
# Every allocation fails once.
kernel debug
guest --fsts on --iommu device-iotlb=on
guest --pasid-device 'id=wide0,addr=10.0' --pasid-device 'id=wide1,addr=11.0'
guest --pasid-device 'id=ats,addr=12.0 --pasid-width 16 --ats --walks-processes'
vfio 0000:00:10.0 0000:00:11.0 0000:00:12.0
# An allocation that was made to fail may say so.
allow page allocation failure|Call Trace:
run fail_nth
