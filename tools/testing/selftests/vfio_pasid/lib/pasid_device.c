// SPDX-License-Identifier: GPL-2.0-only
/* See pasid_device.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "pasid_device.h"

#define VENDOR_DEVICE		0x50411234

/* Offsets in BAR 0. */
#define REG_MAGIC		0x000
#define REG_PASID		0x008
#define REG_LENGTH		0x00c
#define REG_IOVA		0x010
#define REG_DOORBELL		0x018
#define REG_STATUS		0x01c
#define REG_FAULT_ADDRESS	0x020
#define REG_TRANSFERRED		0x028
#define REG_PAGE_INFO		0x02c
#define REG_RESETS		0x03c
#define REG_PAGE_REQUESTS	0x040
#define WINDOW			0x1000
#define BAR_SIZE		0x2000

#define MAGIC			0x44495350
#define HAS_PASID		0x80000000
#define STATUS_IDLE		0
#define STATUS_BUSY		1

/* Steps of 200 us that a request may take; a busy machine is slow. */
#define PATIENCE		(30 * 5000)

/* VT-d specification, 10.4.3. */
#define ECAP_SC			7
#define ECAP_FSTS		47

static bool vtd_has(int bit)
{
	FILE *file = fopen("/sys/class/iommu/dmar0/intel-iommu/ecap", "re");
	unsigned long long value;

	if (!file || fscanf(file, "%llx", &value) != 1) {
		printf("# this machine has no VT-d that can be read\n");
		exit(1);
	}
	fclose(file);
	return value >> bit & 1;
}

int use_processes(const struct limits *limits)
{
	return use_modules(limits) ?: pretend_to_walk_processes();
}

bool first_stage(void)
{
	return vtd_has(ECAP_FSTS);
}

bool snoop_control(void)
{
	return vtd_has(ECAP_SC);
}

u32 no_page(void)
{
	return first_stage() ? NO_PAGE_FIRST_STAGE : NO_PAGE_SECOND_STAGE;
}

/* What vfio-pci hides, root sees in sysfs. */
struct config {
	u32 words[1024];
};

static int read_config(int index, struct config *config)
{
	char path[128];
	ssize_t size;
	int fd;

	if (index < 0)
		return index;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config",
		 group_device(index));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	memset(config, 0, sizeof(*config));
	size = read(fd, config->words, sizeof(config->words));
	close(fd);
	return size < 0 ? -errno : 0;
}

/* The device has one extended capability at most besides PASID: look at both. */
static u32 pasid_capability(const struct config *config)
{
	u32 at = PCI_CFG_SPACE_SIZE;

	while (at >= PCI_CFG_SPACE_SIZE) {
		u32 header = config->words[at / 4];

		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_PASID)
			return config->words[at / 4 + 1] & 0xffff;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

static bool takes_tlp_prefix(const struct config *config)
{
	const u8 *bytes = (const u8 *)config->words;
	u8 at = bytes[PCI_CAPABILITY_LIST];

	while (at && bytes[at] != PCI_CAP_ID_EXP)
		at = bytes[at + 1];
	return at && config->words[(at + PCI_EXP_DEVCAP2) / 4] &
		PCI_EXP_DEVCAP2_EE_PREFIX;
}

static unsigned int usable_width(const struct config *config)
{
	if (!takes_tlp_prefix(config))
		return 0;
	return pasid_capability(config) >> 8 & 0x1f;
}

int device_index(unsigned int width, int nth)
{
	struct config config;

	for (int index = 0; index < group_count(); index++)
		if (!read_config(index, &config) &&
		    config.words[0] == VENDOR_DEVICE &&
		    usable_width(&config) == width && !nth--)
			return index;
	printf("# needs one more pasid-device with PASIDs of %u bits\n", width);
	return -ENXIO;
}

bool lacks_tlp_prefix(int index)
{
	struct config config;

	return !read_config(index, &config) && !takes_tlp_prefix(&config);
}

u32 device_caps(int index)
{
	struct config config;
	u32 caps;

	if (read_config(index, &config))
		return 0;
	caps = pasid_capability(&config);
	return (caps & PCI_PASID_CAP_EXEC ? VFIO_PASID_CAP_EXEC : 0) |
	       (caps & PCI_PASID_CAP_PRIV ? VFIO_PASID_CAP_PRIV : 0);
}

/* Whole accesses, as many and in the order as here. */

static u32 read32(struct pasid_device *device, u32 offset)
{
	return __atomic_load_n((u32 *)(device->bar + offset), __ATOMIC_SEQ_CST);
}

static u64 read64(struct pasid_device *device, u32 offset)
{
	return __atomic_load_n((u64 *)(device->bar + offset), __ATOMIC_SEQ_CST);
}

static void write32(struct pasid_device *device, u32 offset, u32 value)
{
	__atomic_store_n((u32 *)(device->bar + offset), value, __ATOMIC_RELEASE);
}

static void write64(struct pasid_device *device, u32 offset, u64 value)
{
	__atomic_store_n((u64 *)(device->bar + offset), value, __ATOMIC_RELEASE);
}

static int region(int fd, u32 index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) {
		.argsz = sizeof(*info),
		.index = index,
	};
	return call(fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

static int check_alive(struct pasid_device *device)
{
	u32 magic = read32(device, REG_MAGIC);

	if (magic == MAGIC)
		return 0;
	printf("# the pasid-device is dead: its MAGIC is %#x\n", magic);
	return -EIO;
}

int device_set_bus_master(struct pasid_device *device, bool on)
{
	u64 at = device->config + PCI_COMMAND;
	__u16 command;

	if (pread(device->fd, &command, sizeof(command), at) != sizeof(command))
		return -EIO;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (!on)
		command &= ~PCI_COMMAND_MASTER;
	if (pwrite(device->fd, &command, sizeof(command), at) != sizeof(command))
		return -EIO;
	return 0;
}

int device_open(struct pasid_device *device, int fd)
{
	struct vfio_region_info config, bar;
	int ret;

	*device = NO_DEVICE;
	ret = region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (!ret)
		ret = region(fd, VFIO_PCI_BAR0_REGION_INDEX, &bar);
	if (ret)
		return ret;
	if (bar.size < BAR_SIZE)
		return -ENODEV;
	device->fd = fd;
	device->config = config.offset;
	device->bar = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   fd, bar.offset);
	if (device->bar == MAP_FAILED) {
		*device = NO_DEVICE;
		return -errno;
	}
	ret = device_set_bus_master(device, true);
	if (ret)
		device_stop(device);
	return ret;
}

int device_start(struct pasid_device *device, int fd)
{
	int ret = device_open(device, fd) ?: check_alive(device);

	if (ret)
		device_stop(device);
	return ret;
}

void device_stop(struct pasid_device *device)
{
	if (device->bar)
		munmap(device->bar, BAR_SIZE);
	*device = NO_DEVICE;
}

int container_start(struct container *container, struct pasid_device *device,
		    int index)
{
	int ret;

	*container = NO_CONTAINER;
	*device = NO_DEVICE;
	if (index < 0)
		return index;
	ret = container_open_device(container, index);
	return ret ? ret : device_start(device, container->device);
}

void container_stop(struct container *container, struct pasid_device *device)
{
	device_stop(device);
	container_close(container);
}

long process_start(struct container *container, struct pasid_device *device,
		   unsigned int width, bool pri)
{
	int index, ret;
	long pasid;

	*container = NO_CONTAINER;
	*device = NO_DEVICE;
	ret = use_processes(&PROCESS_LIMITS(pri));
	if (ret)
		return ret;
	index = device_index(width, 0);
	ret = container_start(container, device, index);
	if (ret)
		return ret;
	pasid = aux_create_process(container->fd);
	if (pasid < 0)
		return pasid;
	ret = aux_attach(container->fd, pasid, group_number(index));
	return ret ? ret : pasid;
}

long device_resets(struct pasid_device *device)
{
	int ret = check_alive(device);

	return ret ? ret : (long)read32(device, REG_RESETS);
}

long device_page_requests(struct pasid_device *device)
{
	int ret = check_alive(device);

	return ret ? ret : (long)read32(device, REG_PAGE_REQUESTS);
}

static int wait_until_done(struct pasid_device *device, u32 *status)
{
	for (int i = 0; i < PATIENCE; i++) {
		*status = read32(device, REG_STATUS);
		if (*status != STATUS_BUSY)
			return 0;
		usleep(200);
	}
	printf("# the pasid-device is busy for too long\n");
	return -ETIMEDOUT;
}

int device_dma(struct pasid_device *device, enum command command, u32 pasid,
	       u64 iova, u32 length, struct outcome *outcome)
{
	u32 page_info;
	int ret;

	ret = check_alive(device);
	if (ret)
		return ret;
	write32(device, REG_PASID, pasid == NO_PASID_TAG ? 0 :
				    HAS_PASID | pasid);
	write32(device, REG_LENGTH, length);
	write64(device, REG_IOVA, iova);
	write32(device, REG_DOORBELL, command);
	ret = wait_until_done(device, &outcome->status);
	if (ret)
		return ret;
	outcome->transferred = read32(device, REG_TRANSFERRED);
	outcome->fault_address = read64(device, REG_FAULT_ADDRESS);
	page_info = read32(device, REG_PAGE_INFO);
	outcome->page_size_log2 = page_info & 0xff;
	outcome->snoop = page_info >> 8 & 1;
	outcome->kept = page_info >> 9 & 1;
	outcome->translation_type = page_info >> 12 & 7;
	ret = check_alive(device);
	if (!ret && outcome->status == STATUS_IDLE) {
		printf("# the pasid-device did not take the request\n");
		ret = -EIO;
	}
	return ret;
}

long device_touch(struct pasid_device *device, u32 pasid, u64 iova)
{
	struct outcome outcome;
	int ret = device_dma(device, DMA_WRITE, pasid, iova, 8, &outcome);

	return ret ? ret : (long)outcome.status;
}

long device_touch_anew(int index, u32 pasid, u64 iova)
{
	struct container container;
	struct pasid_device device;
	long ret = container_start(&container, &device, index);

	if (!ret)
		ret = device_touch(&device, pasid, iova);
	container_stop(&container, &device);
	return ret;
}

long device_peek(struct pasid_device *device, u32 pasid, u64 iova)
{
	struct outcome outcome;
	int ret = device_dma(device, DMA_READ, pasid, iova, 8, &outcome);

	return ret ? ret : (long)outcome.status;
}

bool device_reaches(struct pasid_device *device, u32 pasid, u64 iova,
		    void *memory)
{
	static u64 round;
	u64 pattern = 0x0123456789abcdef + ++round, seen;
	long status;

	device_set_data(device, &pattern, sizeof(pattern));
	status = device_touch(device, pasid, iova);
	memcpy(&seen, memory, sizeof(seen));
	if (status != DMA_DONE || seen != pattern) {
		printf("# PASID %u, IOVA %#llx: STATUS %#lx, wrote %#llx, memory has %#llx\n",
		       pasid, iova, status, pattern, seen);
		return false;
	}
	pattern = ~pattern;
	memcpy(memory, &pattern, sizeof(pattern));
	status = device_peek(device, pasid, iova);
	device_get_data(device, &seen, sizeof(seen));
	if (status != DMA_DONE || seen != pattern) {
		printf("# PASID %u, IOVA %#llx: STATUS %#lx, memory has %#llx, read %#llx\n",
		       pasid, iova, status, pattern, seen);
		return false;
	}
	return true;
}

bool device_shares(struct pasid_device *device, u32 pasid, void *memory)
{
	return device_reaches(device, pasid, (uintptr_t)memory, memory);
}

void device_set_data(struct pasid_device *device, const void *from, u32 size)
{
	memcpy(device->bar + WINDOW, from, size);
}

void device_get_data(struct pasid_device *device, void *to, u32 size)
{
	memcpy(to, device->bar + WINDOW, size);
}
