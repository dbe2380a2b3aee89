# SPDX-License-Identifier: GPL-2.0-only
# Four devices without PASIDs, each in an IOMMU group of its own: conventional
# PCI with INTx and MSI, and PCIe with function-level reset.
guest --fsts on
guest --device edu,addr=10.0 --device edu,addr=11.0
guest --device nvme,serial=1,addr=12.0 --device nvme,serial=2,addr=13.0
vfio 0000:00:10.0 0000:00:11.0 0000:00:12.0 0000:00:13.0
run params
run pasid
run info
run identity
run lifecycle
run race
run vfio_mm
run handle
run stock
run close_race close_race.ours_is_safe
