# SPDX-License-Identifier: GPL-2.0-only
# What a hot reset hits: functions of one slot in three IOMMU groups, devices
# behind a conventional bridge in one, a bridge below a bridge, and a device on
# the root complex, which nothing resets. Where the firmware does the hot-plugging,
# as here, the kernel resets buses only; hot-reset-slot.boot, where it resets slots
# too, is enough for every day.
kernel long
guest --module pci-stub
# A slow link, as the kernel does not wait for its training: with edu as function
# 0, QEMU never reports it trained.
guest --device pcie-root-port,id=rp0,addr=1c.0,chassis=1,slot=1,x-speed=2_5
guest --device edu,bus=rp0,addr=0.0,multifunction=on
guest --device igb,bus=rp0,addr=0.1,romfile= --device igb,bus=rp0,addr=0.2,romfile=
guest --device edu,bus=rp0,addr=0.3
guest --device pcie-root-port,id=rp1,addr=1d.0,chassis=2,slot=2
guest --device pcie-pci-bridge,id=shared,bus=rp1
guest --device edu,bus=shared,addr=1.0 --device edu,bus=shared,addr=2.0
guest --device pcie-root-port,id=rp2,addr=1e.0,chassis=3,slot=3
guest --device pcie-pci-bridge,id=upper,bus=rp2
guest --device edu,bus=upper,addr=1.0
guest --device pci-bridge,id=inner,bus=upper,addr=2.0,chassis_nr=4
guest --device edu,bus=inner,addr=1.0
guest --device edu,addr=10.0
vfio 0000:00:10.0
vfio 0000:01:00.0 0000:01:00.1 0000:01:00.2 0000:01:00.3
vfio 0000:03:01.0 0000:03:02.0
vfio 0000:05:01.0 0000:06:01.0
run hot_reset
