#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs in a guest of scripts/check: what `plan`, written by that script, says,
# with vfio, allow, beside and run. The TAP of each program goes out between the lines
# "@begin PROGRAM" and "@end REASON". After a program nothing may be left of it:
# each thing that is makes a line "@leftover TEXT"; "@checked PROGRAM" ends that.
# In a debug kernel the first complaint ends all of it, as its detectors fall
# silent or misjudge what comes after; and no memory may be lost.
cd "$(dirname "$0")" || exit 1

trouble='WARNING|\<BUG\>|Oops|Call Trace|circular|refcount_t|detected stall|DMAR: .*Error|QI HEAD|blocked for more|suspected memory leaks'
allowed='^$'
mark='tests: the log was read up to here'
kmemleak=/sys/kernel/debug/kmemleak
beside=
in_use=/sys/kernel/debug/vfio_pasid/in_use

die() {
	echo "$*"
	exit 1
}

# Gives the devices to vfio-pci.
vfio() {
	local address device
	modprobe vfio-pci || die "no vfio-pci in this kernel"
	for address; do
		device=/sys/bus/pci/devices/$address
		[ -e "$device" ] || die "there is no device $address"
		[ ! -e "$device/driver" ] || echo "$address" >"$device/driver/unbind"
		echo vfio-pci >"$device/driver_override"
		echo "$address" >/sys/bus/pci/drivers_probe
		[ -e "/sys/bus/pci/drivers/vfio-pci/$address" ] ||
			die "vfio-pci does not take $address"
		[ -e "$device/iommu_group" ] || die "$address has no IOMMU group"
	done
}

# huge KB COUNT: so many pages of that size. Not from the kernel's command line:
# kmemleak would look through what is in them.
huge() {
	local file=/sys/kernel/mm/hugepages/hugepages-$1kB/nr_hugepages
	echo "$2" >"$file"
	[ "$(cat "$file")" = "$2" ] || die "no memory for $2 pages of $1 kB"
}

# allow REGEX: messages of the kernel that the tests provoke.
allow() {
	allowed="$allowed|$*"
}

# While a process is attached, the kernel flushes more than QEMU's IOMMU can when it
# frees page tables of its own: Documentation/testing.rst.
allow_kernel_flushes() {
	allow 'Invalidation Queue Error|QI HEAD: PASID-based IOTLB Invalidation .*qw1 = 0xff[0-9a-f]{14}$'
}

# beside COMMAND...: runs beside each program. It goes on by itself, and prints a line
# now and then.
beside() {
	beside="$*"
}

# Again when it ends, as it may when there are no modules.
begin_beside() {
	rm -f /tmp/beside
	# shellcheck disable=SC2016 # for that shell
	setsid sh -c 'while :; do $1; sleep 0.2; done 2>/dev/null |
		awk "{ print NR; fflush() }" >/tmp/beside' sh "$beside" &
	watcher=$!
}

end_beside() {
	local times
	kill -9 -- "-$watcher"
	times=$(tail -n 1 /tmp/beside)
	printf '\n# note: beside it, %s said something %s times\n' "$beside" "${times:-0}"
	[ "${times:-0}" -gt 0 ] || echo "@leftover nothing from $beside, which is to run beside it"
}

# The processes besides this shell's own; kernel threads have no executable.
processes() {
	local exe pid own
	read -r own _ </proc/self/stat
	for exe in /proc/[0-9]*/exe; do
		pid=${exe#/proc/}
		pid=${pid%/exe}
		if [ "$pid" != "$own" ] && [ -e "$exe" ]; then
			echo "process $pid: $(cat "/proc/$pid/comm" 2>/dev/null)"
		fi
	done
}

# The references on what is loaded besides our modules, and the pinned pages, to
# which each processor would add its share once in a while.
references() {
	echo 1 >/proc/sys/vm/stat_refresh
	local module
	for module in vfio vfio_pci_core vfio_pci; do
		[ ! -e /sys/module/$module/refcnt ] ||
			echo "references on $module: $(cat /sys/module/$module/refcnt)"
	done
	awk '/^nr_foll_pin_acquired/ { a = $2 } /^nr_foll_pin_released/ { r = $2 }
		END { print "pinned pages: " a - r }' /proc/vmstat
}

# What a killed process held is given back a little later, so look again.
settle() {
	local i=0
	until "$@" || [ $i = 20 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	"$@"
}

gone() {
	[ ! -e "/sys/module/$1/initstate" ] || rmmod "$1" 2>/dev/null
}

same_processes() {
	[ "$(processes)" = "$processes" ]
}

# What is there beyond what was there before, which may not stay.
new_processes() {
	local line pid
	processes >/tmp/processes
	while read -r line; do
		case $processes in
		*"$line"*) ;;
		*)
			echo "@leftover $line"
			pid=${line#process }
			kill -9 "${pid%%:*}"
			;;
		esac
	done </tmp/processes
}

# vfio_pasid counts what it has.
counters() {
	[ ! -e $in_use ] || awk 'NF && $2 != 0 { print "vfio_pasid has " $1 ": " $2 }' $in_use
}

nothing_in_use() {
	[ -z "$(counters)" ]
}

same_references() {
	[ "$(references)" = "$references" ]
}

unload() {
	local module
	for module in vfio_pasid_test vfio_pasid_emulated vfio_iommu_type1 vfio_pasid; do
		settle gone $module ||
			echo "@leftover $module cannot be unloaded: $(cat /sys/module/$module/refcnt) references"
	done
}

# The kernel's log is a ring: if the first line is gone, so may be what matters.
mark_the_log() {
	echo "$mark" >/dev/kmsg
}

# Prints the new messages of the kernel from where it found something wrong.
look_at_the_log() {
	dmesg -c >/tmp/log
	mark_the_log
	grep -qF "$mark" /tmp/log || echo 'the kernel said more than its log can hold'
	if grep -E "$trouble" /tmp/log | grep -qvE "$allowed"; then
		grep -E -A 50 "$trouble" /tmp/log
	fi
}

run() {
	local program=$1 status
	shift
	echo "@begin $program"
	[ -z "$beside" ] || begin_beside
	"./$program" "$@"
	status=$?
	[ -z "$beside" ] || end_beside
	printf '\n@end exit status %s\n' $status
	settle same_processes || new_processes
	settle nothing_in_use || counters | sed "s/^/@leftover /"
	unload
	settle same_references || references | sed "s/^/@leftover /"
	look_at_the_log >/tmp/trouble
	sed 's/^/@leftover log: /' /tmp/trouble
	echo "@checked $program"
	if [ -e $kmemleak ] && [ -s /tmp/trouble ]; then
		die "the kernel is not sound after $program, so nothing more runs"
	fi
}

# An object is only reported when it is some seconds old and two scans found no
# pointer to it. The report names the program that allocated it.
look_for_lost_memory() {
	! echo 'suspected memory leaks' | grep -qE "$allowed" || return 0
	local start
	start=$(date +%s)
	echo scan >$kmemleak
	until [ $(($(date +%s) - start)) -gt 6 ]; do
		sleep 1
	done
	echo scan >$kmemleak
	cat $kmemleak >/tmp/lost
	if [ -s /tmp/lost ]; then
		cat /tmp/lost
		die 'memory was lost'
	fi
}

expect_no_trouble() {
	log=$(look_at_the_log)
	[ -z "$log" ] || die "trouble before any program ran: $log"
}

echo on >/proc/sys/kernel/printk_devkmsg
mark_the_log
expect_no_trouble
# shellcheck disable=SC1091 # written for each run
. ./plan.setup
unload
# It would scan by itself a minute after the boot, and every ten minutes.
[ ! -e $kmemleak ] || { echo scan=off >$kmemleak; echo clear >$kmemleak; }
expect_no_trouble
processes=$(processes)
references=$(references)
# shellcheck disable=SC1091 # written for each run
. ./plan
[ ! -e $kmemleak ] || look_for_lost_memory
