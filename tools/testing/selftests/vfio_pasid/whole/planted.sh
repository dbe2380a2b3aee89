#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Plants one bug for each detector of the debug kernel (bugs/), in C and, where
# the compiler has a part in it, in Rust too, and demands that each is reported,
# so that silence about other code means something. TAP, and the options -l and
# -r NAME of a kselftest. The kernel is not sound afterwards.
cd "$(dirname "$0")" || exit 1

# BUG REPORT: what the kernel must say after it. Lockdep falls silent after its
# first report and after some others, so its bug comes first; what kills the task
# that runs into it comes last.
bugs='kunit not ok [0-9]+ planted
rust_lock_inversion possible circular locking dependency
rust_sleep_in_atomic BUG: sleeping function called from invalid context
failed_rust_allocation failed_rust_allocation: ENOMEM
failed_page_allocation failed_page_allocation: ENOMEM
hang blocked for more than
warn WARNING: .*c_bugs
refcount_underflow refcount_t: underflow
list_corruption list_del corruption
array_index UBSAN: array-index-out-of-bounds
shift UBSAN: shift-out-of-bounds
free_active_work ODEBUG: free active
free_mapped_page iommu: Detected page leak
rust_leak unreferenced object.* rust_leak\+
use_after_free BUG: KASAN: slab-use-after-free in use_after_free
out_of_bounds BUG: KASAN: slab-out-of-bounds in out_of_bounds
vmalloc_out_of_bounds BUG: KASAN: vmalloc-out-of-bounds in vmalloc_out_of_bounds
stack_out_of_bounds BUG: KASAN: stack-out-of-bounds in stack_out_of_bounds
rust_use_after_free BUG: KASAN: slab-use-after-free in rust_use_after_free
rust_out_of_bounds BUG: KASAN: slab-out-of-bounds in rust_out_of_bounds
rust_stack_out_of_bounds BUG: KASAN: stack-out-of-bounds in rust_stack_out_of_bounds
rust_overflow attempt to add with overflow
rust_debug_assert panicked at .*rust_bugs.rs
get_free_page VM_BUG_ON_'

debug=/sys/kernel/debug

# An oops must not end the boot, and a hang is to be seen soon. The failures are
# those that a task asks for (fail-nth), of allocations of every kind.
prepare() {
	echo 0 >/proc/sys/kernel/panic_on_oops
	echo 2 >/proc/sys/kernel/hung_task_timeout_secs
	echo N >$debug/failslab/ignore-gfp-wait
	echo N >$debug/fail_page_alloc/ignore-gfp-wait
	echo 0 >$debug/fail_page_alloc/min-order
}

# Twice, as an object is only reported when it is some seconds old.
find_leaks() {
	echo scan >$debug/kmemleak
	sleep 6
	echo scan >$debug/kmemleak
	# One object, one line.
	sed 's/^unreferenced/@&/' $debug/kmemleak | tr '\n@' ' \n'
	echo clear >$debug/kmemleak
}

plant() {
	echo "planted.sh: $1" >/dev/kmsg
	[ -e $debug/vfio_pasid_bugs ] ||
		insmod "/lib/modules/$(uname -r)/updates/vfio_pasid_bugs.ko"
	# A process of its own, as it may not come back. (kunit came with the module.)
	[ "$1" = kunit ] || sh -c 'echo "$1" >"$2"' sh "$1" $debug/vfio_pasid_bugs
	case $1 in
	rust_leak) find_leaks >/tmp/report ;;
	*) dmesg | sed "/planted.sh: $1\$/,\$!d" >/tmp/report ;;
	esac
}

names() {
	echo "$bugs" | cut -d' ' -f1
}

wanted=
while [ $# -gt 0 ]; do
	case $1 in
	-l)
		names | while read -r name; do
			printf '%-20s %-25s %s\n' planted '' "$name"
		done
		exit
		;;
	-r)
		wanted="$wanted ${2#planted.}"
		shift 2
		;;
	*)
		echo "usage: planted.sh [-l] [-r NAME]..."
		exit 1
		;;
	esac
done
: "${wanted:=$(names)}"

prepare
echo 'TAP version 13'
# shellcheck disable=SC2086 # a list of words
echo "1..$(echo $wanted | wc -w)"
number=0
failed=0
for name in $wanted; do
	number=$((number + 1))
	plant "$name" 2>&1 | sed 's/^/# /'
	if grep -qE "$(echo "$bugs" | sed -n "s/^$name //p")" /tmp/report; then
		echo "ok $number planted.$name"
	else
		failed=1
		sed 's/^/# /' /tmp/report
		echo "not ok $number planted.$name"
	fi
done
exit $failed
