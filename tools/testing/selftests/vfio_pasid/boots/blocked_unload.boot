# SPDX-License-Identifier: GPL-2.0-only
# The modules against calls that wait in them. If they can be unloaded, this guest
# crashes; so no other program is here.
kernel stock
guest --device edu,addr=10.0
vfio 0000:00:10.0
run blocked_unload
