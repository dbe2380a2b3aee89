# SPDX-License-Identifier: GPL-2.0-only
# Programs for type1 that nobody here wrote. Two network adapters are wired to
# each other; the kernel's tests use the first one.
kernel stock
guest --memory 1G
guest --qemu -netdev --qemu hubport,id=net0,hubid=0
guest --qemu -netdev --qemu hubport,id=net1,hubid=0
guest --device pcie-root-port,id=rp0,chassis=1,addr=8.0
guest --device pcie-root-port,id=rp1,chassis=2,addr=9.0
guest --device igb,bus=rp0,netdev=net0,romfile=
guest --device igb,bus=rp1,netdev=net1,romfile=
guest --pasid-device 'id=wide,addr=10.0'
huge 2048 64
vfio 0000:00:10.0 0000:01:00.0 0000:02:00.0
export VFIO_SELFTESTS_BDF=0000:01:00.0
bring /usr/bin/dpdk-testpmd
# Its drivers, which it looks for there.
bring /usr/lib/*/dpdk/pmds-*/librte_net_e1000.so.*
bring /usr/lib/*/dpdk/pmds-*/librte_mempool_ring.so.*
bring vfio/vfio_dma_mapping_test vfio/vfio_dma_mapping_mmio_test
bring vfio/vfio_pci_device_test
run clients
