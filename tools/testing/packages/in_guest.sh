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
# fact NAME COMMAND...: its exit status, and all that it says in one line.
fact() {
	local name=$1 text status=0
	shift
	text=$("$@" 2>&1) || status=$?
	echo "$name $status $(tr -s ' \n' ' ' <<<"$text")"
}
as_user() {
	setpriv --reuid=1000 --regid=1000 --clear-groups "$@"
}
fact first-dma first_dma "$group" "$device"
fact doctor vfio-pasid doctor --quiet
# As a udev rule does it.
chown 1000 "/dev/vfio/$group"
fact user-first-dma as_user first_dma "$group" "$device"
fact user-doctor as_user vfio-pasid doctor
fact user-version as_user vfio-pasid --version
echo "autopkgtest $(/root/extension >/dev/null 2>&1; echo $?)"
status=$(journalctl -b -q -o cat -t vfio-pasid | tr -s ' \n' ' ')
echo "status ${status:-silent}"
echo "failed $(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
echo end
systemctl poweroff --force
