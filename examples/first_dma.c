// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT
/*
 * From nothing to a DMA under a PASID, with the header alone:
 *
 *     cc -I include/uapi -o first_dma examples/first_dma.c
 *     ./first_dma 26 0000:00:12.0
 *
 * 26 is the device's IOMMU group, /dev/vfio/26. The device is bound to vfio-pci.
 * Without such a device, `make run PROGRAM=examples/first_dma.c` does it in a guest.
 * All is taken back when the descriptors close. What is special about the device,
 * here the test device of Documentation/device.rst, is in ring_doorbell(): a
 * driver of another one has that instead.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio_pasid.h>

#define SIZE	(2 << 20)
#define IOVA	0x100000	/* where the device finds the memory: any address will do */

/* A call that must not fail. */
static int must(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

/* Where a region is in the device's file: configuration space, or a BAR. */
static off_t region(int device, int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

/* Without these bits, the device has no registers and sends no requests. */
static void enable(int device)
{
	off_t command = region(device, VFIO_PCI_CONFIG_REGION_INDEX) + PCI_COMMAND;
	__u16 bits;

	must(pread(device, &bits, sizeof(bits), command), "read PCI_COMMAND");
	bits |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	must(pwrite(device, &bits, sizeof(bits), command), "write PCI_COMMAND");
}

/* Makes the device write @text to @iova under @pasid. Returns its STATUS: 2 is done. */
static __u32 ring_doorbell(int device, __u32 pasid, __u64 iova, const char *text)
{
	off_t bar = region(device, VFIO_PCI_BAR0_REGION_INDEX);
	__u32 tag = 1u << 31 | pasid, length = strlen(text) + 1, write_memory = 2, status;

	pwrite(device, &tag, 4, bar + 0x008);
	pwrite(device, &length, 4, bar + 0x00c);
	pwrite(device, &iova, 8, bar + 0x010);
	pwrite(device, text, length, bar + 0x1000);
	must(pwrite(device, &write_memory, 4, bar + 0x018), "ring the doorbell");
	do {
		usleep(1000);
		must(pread(device, &status, 4, bar + 0x01c), "read STATUS");
	} while (status == 1);
	return status;
}

int main(int argc, char **argv)
{
	char path[64];
	int container, group, device;
	__u32 number, status;
	char *memory;

	if (argc != 3)
		errx(2, "usage: first_dma GROUP ADDRESS");
	number = strtoul(argv[1], NULL, 10);
	snprintf(path, sizeof(path), "/dev/vfio/%u", number);

	/* 1. A container, and in it the group of the device: as always with VFIO. */
	container = must(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), "open /dev/vfio/vfio");
	group = must(open(path, O_RDWR | O_CLOEXEC), path);
	must(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_PASID_EXTENSION) <= 0)
		errx(1, "the kernel's own type1 is loaded: load vfio_iommu_type1 of vfio-pasid");
	must(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
	device = must(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]), argv[2]);
	enable(device);

	/* 2. An address space under a new PASID, and the device attached to it. */
	struct vfio_iommu_aux_create create = { .argsz = sizeof(create) };

	must(ioctl(container, VFIO_IOMMU_AUX_CREATE, &create), "VFIO_IOMMU_AUX_CREATE");
	struct vfio_iommu_aux_attach attach = {
		.argsz = sizeof(attach), .pasid = create.pasid, .group = number,
	};

	must(ioctl(container, VFIO_IOMMU_AUX_ATTACH, &attach), "VFIO_IOMMU_AUX_ATTACH");

	/* 3. Memory: pinned and charged once, then mapped, here and in other spaces. */
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

	/* 4. The DMA: tell the device the PASID, and what it writes is there. */
	status = ring_doorbell(device, create.pasid, IOVA, "the first DMA");
	printf("PASID %u: STATUS %u, the memory has \"%s\"\n", create.pasid, status, memory);

	/* 5. Behind what is mapped it is a fault, and so it is under any other PASID. */
	status = ring_doorbell(device, create.pasid, IOVA + SIZE, "the second");
	printf("PASID %u, behind it: STATUS %#x\n", create.pasid, status);
	status = ring_doorbell(device, create.pasid - 1, IOVA, "the third");
	printf("PASID %u: STATUS %#x\n", create.pasid - 1, status);
	return strcmp(memory, "the first DMA") != 0;
}
