# SPDX-License-Identifier: GPL-2.0-only
# vfio-pasid (tools/cli) in each situation that somebody can be in; tools/cli-check
# is the program, and runs the examples as well. The last device is bound to nothing.
kernel stock
guest --fsts on
guest --pasid-device 'id=wide,addr=10.0'
guest --pasid-device 'id=narrow,addr=11.0 --pasid-width 8'
guest --device edu,addr=12.0
guest --pasid-device 'id=unbound,addr=13.0'
vfio 0000:00:10.0 0000:00:11.0 0000:00:12.0
bring vfio-pasid first_dma first_dma_rs with_vfio_ioctls with_dpdk
# DPDK, and all that it loads.
bring /usr/lib/*/librte_eal.so.*
run cli
