#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs in a machine of scripts/check-packages when it has booted, as a unit of
# systemd: says what it has, one fact a line, and switches it off.
exec >/dev/ttyS1 2>&1

echo "release $(uname -r)"
# What the initramfs has loaded, if VFIO is in it.
if [ -e /sys/module/vfio_iommu_type1 ]; then
	echo "early $(cat /sys/module/vfio_iommu_type1/version)"
else
	echo "early none"
fi
modprobe vfio-pci
echo "version $(cat /sys/module/vfio_iommu_type1/version 2>/dev/null || echo none)"
echo "pasid-version $(cat /sys/module/vfio_pasid/version 2>/dev/null || echo none)"
device=0000:00:10.0
echo vfio-pci >/sys/bus/pci/devices/$device/driver_override
echo $device >/sys/bus/pci/drivers_probe
group=$(basename "$(readlink /sys/bus/pci/devices/$device/iommu_group)")
/root/first "$group"
echo "autopkgtest $(/root/extension >/dev/null 2>&1; echo $?)"
echo "status $(journalctl -b -o cat -u vfio-pasid-status | grep '^vfio-pasid:' || echo silent)"
echo "failed $(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
echo end
systemctl poweroff --force
