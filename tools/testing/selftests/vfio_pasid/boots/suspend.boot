# SPDX-License-Identifier: GPL-2.0-only
# Suspended and resumed; the kernel waits a second in between, not 5.
kernel long
guest --suspend on --fsts on --append suspend.pm_test_delay=1
guest --pasid-device 'id=wide,addr=10.0'
vfio 0000:00:10.0
run suspend
