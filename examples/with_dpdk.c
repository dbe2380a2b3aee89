// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT
/*
 * A DPDK program with a device that has PASIDs, beside its ports:
 *
 *     cc -I include/uapi $(pkg-config --cflags libdpdk) \
 *        -o with_dpdk examples/with_dpdk.c -lrte_eal
 *     ./with_dpdk 0000:00:12.0 --no-pci
 *
 * What follows the address goes to DPDK. The device is bound to vfio-pci, and here
 * it is the test device of Documentation/device.rst.
 *
 * DPDK has a container of its own, but rte_vfio_get_container_fd() need not be the
 * one that a device is in. So this makes a container and puts the device's group
 * into it, before DPDK sets the device up; then DPDK gives the container its IOMMU,
 * and from then on all of linux/vfio_pasid.h works on it.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio_pasid.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_vfio.h>

#define SYSFS	"/sys/bus/pci/devices"
#define SIZE	(2 << 20)
#define IOVA	0x100000

static int must(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static off_t region(int device, int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

/* As in first_dma.c: the device writes @text to @iova under @pasid. */
static __u32 ring_doorbell(int device, __u32 pasid, __u64 iova, const char *text)
{
	off_t command = region(device, VFIO_PCI_CONFIG_REGION_INDEX) + PCI_COMMAND;
	off_t bar = region(device, VFIO_PCI_BAR0_REGION_INDEX);
	__u16 bits = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	__u32 tag = 1u << 31 | pasid, length = strlen(text) + 1, write_memory = 2, status;

	must(pwrite(device, &bits, sizeof(bits), command), "write PCI_COMMAND");
	must(pwrite(device, &tag, 4, bar + 0x008), "write PASID");
	must(pwrite(device, &length, 4, bar + 0x00c), "write LENGTH");
	must(pwrite(device, &iova, 8, bar + 0x010), "write IOVA");
	must(pwrite(device, text, length, bar + 0x1000), "write DATA");
	must(pwrite(device, &write_memory, 4, bar + 0x018), "ring the doorbell");
	do {
		usleep(1000);
		must(pread(device, &status, 4, bar + 0x01c), "read STATUS");
	} while (status == 1);
	return status;
}

int main(int argc, char **argv)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	const char *address = argv[1];
	int container, group, device;
	__u32 status;
	char *memory;

	if (argc < 2)
		errx(2, "usage: with_dpdk ADDRESS [EAL OPTION...]");
	argv[1] = argv[0];
	if (rte_eal_init(argc - 1, argv + 1) < 0)
		errx(1, "rte_eal_init: %s", rte_strerror(rte_errno));

	/* 1. A container of this program's own, with the group, and then the device. */
	if (rte_vfio_get_group_num(SYSFS, address, &group) <= 0)
		errx(1, "%s is not bound to vfio-pci", address);
	container = rte_vfio_container_create();
	if (container < 0 || rte_vfio_container_group_bind(container, group) < 0)
		errx(1, "no container for group %d", group);
	if (rte_vfio_setup_device(SYSFS, address, &device, &info))
		errx(1, "DPDK cannot set %s up", address);
	printf("the default container is %s\n",
	       rte_vfio_get_container_fd() == container ? "the same" : "another");
	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_PASID_EXTENSION) <= 0)
		errx(1, "the kernel's own type1 is loaded: load vfio_iommu_type1 of vfio-pasid");

	/* 2. From here on as in first_dma.c. */
	struct vfio_iommu_aux_create create = { .argsz = sizeof(create) };

	must(ioctl(container, VFIO_IOMMU_AUX_CREATE, &create), "VFIO_IOMMU_AUX_CREATE");
	struct vfio_iommu_aux_attach attach = {
		.argsz = sizeof(attach), .pasid = create.pasid, .group = group,
	};

	must(ioctl(container, VFIO_IOMMU_AUX_ATTACH, &attach), "VFIO_IOMMU_AUX_ATTACH");
	/* Memory of rte_malloc() or of a mempool will do as well. */
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	struct vfio_iommu_register_memory pinned = {
		.argsz = sizeof(pinned), .vaddr = (uintptr_t)memory, .size = SIZE,
	};

	must(ioctl(container, VFIO_IOMMU_REGISTER_MEMORY, &pinned), "VFIO_IOMMU_REGISTER_MEMORY");
	struct vfio_iommu_aux_map map = {
		.argsz = sizeof(map), .flags = VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
		.pasid = create.pasid, .vaddr = (uintptr_t)memory, .iova = IOVA, .size = SIZE,
	};

	must(ioctl(container, VFIO_IOMMU_AUX_MAP, &map), "VFIO_IOMMU_AUX_MAP");

	status = ring_doorbell(device, create.pasid, IOVA, "a DMA beside DPDK");
	printf("PASID %u: STATUS %u, the memory has \"%s\"\n", create.pasid, status, memory);

	/* 3. Back: what is in the container goes with its last group. */
	rte_vfio_release_device(SYSFS, address, device);
	rte_vfio_container_group_unbind(container, group);
	rte_vfio_container_destroy(container);
	rte_eal_cleanup();
	return status != 2 || strcmp(memory, "a DMA beside DPDK");
}
