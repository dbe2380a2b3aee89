// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory in the own space of a device that is not ours and knows no
 * PASIDs: QEMU's edu, which has a DMA engine that reaches 256 MB.
 * Registers: docs/specs/edu.rst of QEMU.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define EDU		"0000:00:12.0"
#define IOVA		0x1000000ull
#define PAGES		4
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_DESTINATION	0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_RUN		1
#define EDU_DMA_TO_MEMORY	2
#define EDU_BUFFER		0x40000

FIXTURE(own_space_edu) {
	struct before before;
	struct container container;
	struct pasid_device device;
	u8 *memory;		/* registered, PAGES */
};

static int index_of(const char *address)
{
	for (int index = 0; index < group_count(); index++)
		if (!strcmp(group_device(index), address))
			return index;
	return -ENXIO;
}

FIXTURE_SETUP(own_space_edu)
{
	int index;

	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	index = index_of(EDU);
	ASSERT_LE(0, index);
	ASSERT_EQ(0, container_open_device(&self->container, index));
	ASSERT_EQ(0, device_open(&self->device, self->container.device));
	self->memory = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_EQ(0, register_memory(self->container.fd, 0, self->memory,
				     PAGES * PAGE));
}

FIXTURE_TEARDOWN(own_space_edu)
{
	device_stop(&self->device);
	container_close(&self->container);
	EXPECT_TRUE(holds(&self->before, 0, 0));
}

static void set(u8 *bar, u32 offset, u64 value)
{
	__atomic_store_n((u64 *)(bar + offset), value, __ATOMIC_SEQ_CST);
}

static u64 get(u8 *bar, u32 offset)
{
	return __atomic_load_n((u64 *)(bar + offset), __ATOMIC_SEQ_CST);
}

/* Copies 8 bytes, and waits until that is done. */
static void transfer(u8 *bar, u64 from, u64 to, u64 command)
{
	set(bar, EDU_DMA_SOURCE, from);
	set(bar, EDU_DMA_DESTINATION, to);
	set(bar, EDU_DMA_COUNT, 8);
	set(bar, EDU_DMA_COMMAND, command | EDU_DMA_RUN);
	while (get(bar, EDU_DMA_COMMAND) & EDU_DMA_RUN)
		usleep(1000);
}

TEST_F(own_space_edu, it_reads_and_writes_registered_memory)
{
	const u64 size = PAGES * PAGE;
	u64 *first = (u64 *)self->memory;
	u64 *last = (u64 *)(self->memory + size - 8);

	ASSERT_EQ(0, aux_map(self->container.fd, VFIO_AUX_OWN_SPACE, READ_WRITE,
			     self->memory, IOVA, size));
	*first = 0x1122334455667788;
	transfer(self->device.bar, IOVA, EDU_BUFFER, 0);
	transfer(self->device.bar, EDU_BUFFER, IOVA + size - 8, EDU_DMA_TO_MEMORY);
	ASSERT_EQ(0x1122334455667788, *last);

	/* What is unmapped is not reached any more. */
	ASSERT_EQ(size, aux_unmap_all(self->container.fd, VFIO_AUX_OWN_SPACE));
	*last = 0;
	transfer(self->device.bar, EDU_BUFFER, IOVA + size - 8, EDU_DMA_TO_MEMORY);
	ASSERT_EQ(0, *last);
}

TEST_HARNESS_MAIN
