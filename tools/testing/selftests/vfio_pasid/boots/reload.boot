# SPDX-License-Identifier: GPL-2.0-only
# The modules, a thousand times. Not in the debug kernel, which keeps freed
# memory for a while, so that its counters say little.
kernel long
guest --device edu,addr=10.0 --timeout 1800
vfio 0000:00:10.0
export VFIO_PASID_RELOADS=1000
run lifecycle lifecycle.modules_that_come_and_go_cost_nothing
