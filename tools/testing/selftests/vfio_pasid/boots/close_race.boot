# SPDX-License-Identifier: GPL-2.0-only
# Ioctls against the close of the last group, for long.
kernel debug
# On a busy machine, it takes longer than all else.
guest --timeout 2700
guest --device edu,addr=10.0
vfio 0000:00:10.0
export VFIO_PASID_ROUNDS=10000
bring vfio-pasid
beside ./vfio-pasid list --watch --json
run close_race close_race.ours_is_safe
