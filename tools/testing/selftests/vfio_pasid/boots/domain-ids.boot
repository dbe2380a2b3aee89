# SPDX-License-Identifier: GPL-2.0-only
# As many attachments as there can be: some hundred MB of page tables, each space
# having its own.
kernel long
guest --memory 6G
guest --pasid-device 'id=wide0,addr=10.0'
guest --pasid-device 'id=wide1,addr=11.0'
vfio 0000:00:10.0 0000:00:11.0
run domain_ids
