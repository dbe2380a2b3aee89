#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Loads vfio_pasid into a kernel with KUnit, which then runs the #[kunit_tests]
# of the module, and prints their results: TAP, and the options -l and
# -r SUITE.TEST of a kselftest. A test that did not run has failed.

# SUITE.TEST, one a line; the Makefile takes them from the source.
tests='@TESTS@'

results=/sys/kernel/debug/kunit

wanted=
while [ $# -gt 0 ]; do
	case $1 in
	-l)
		for name in $tests; do
			printf '%-20s %-25s %s\n' "${name%.*}" '' "${name#*.}"
		done
		exit
		;;
	-r)
		wanted="$wanted $2"
		shift 2
		;;
	*)
		echo "usage: kunit [-l] [-r SUITE.TEST]..."
		exit 1
		;;
	esac
done
: "${wanted:=$tests}"

insmod "/lib/modules/$(uname -r)/updates/vfio_pasid.ko" || exit 1

echo 'TAP version 13'
# shellcheck disable=SC2086 # a list of words
echo "1..$(echo $wanted | wc -w)"
number=0
failed=0
for name in $wanted; do
	number=$((number + 1))
	suite=$results/${name%.*}/results
	if grep -qE "^ +ok [0-9]+ ${name#*.}( |$)" "$suite"; then
		echo "ok $number $name"
	else
		failed=1
		sed 's/^/# /' "$suite"
		echo "not ok $number $name"
	fi
done
exit $failed
