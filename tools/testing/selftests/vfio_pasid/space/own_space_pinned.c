// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory in the own space of a container whose emulated device has
 * pinned some of it: who unmaps asks the device to let go first. Only for kernels
 * without lockdep: it complains about how stock vfio_notify_dma_unmap() takes its
 * two locks, whoever calls it.
 */
#include <kselftest_harness.h>

#include "module/vfio_pasid_emulated.h"
#include "vfio_pasid_utils.h"

#define OWN		VFIO_AUX_OWN_SPACE
#define IOVA		0x40000000ull
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)
#define PAGES		8
#define SIZE		(PAGES * PAGE)

FIXTURE(own_space_pinned) {
	struct before before;
	int group;
	int device;
	int fd;
	u8 *memory;
};

FIXTURE_SETUP(own_space_pinned)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	self->fd = container_node();
	self->group = emulated_group_node();
	ASSERT_LE(0, self->group);
	ASSERT_EQ(0, set_container(self->group, self->fd));
	ASSERT_EQ(0, set_iommu(self->fd, VFIO_TYPE1v2_IOMMU));
	self->device = call(self->group, VFIO_GROUP_GET_DEVICE_FD,
			    "vfio_pasid_emulated");
	ASSERT_LE(0, self->device);
	self->memory = new_pages(PAGES);
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ_WRITE, self->memory, IOVA,
			     SIZE));
}

FIXTURE_TEARDOWN(own_space_pinned)
{
	close(self->device);
	close(self->group);
	close(self->fd);
	EXPECT_TRUE(holds(&self->before, 0, 0));
	EXPECT_EQ(0, count_of("mappings"));
	unload_module("vfio_pasid_emulated");
}

static int pin(int device, u64 iova)
{
	struct vfio_pasid_emulated_dma dma = { .iova = iova };

	return call(device, VFIO_PASID_EMULATED_PIN, &dma);
}

#define PINS()	(pinned_pages() - self->before.pinned - PAGES)

TEST_F(own_space_pinned, AUX_UNMAP_asks_the_device)
{
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ_WRITE, self->memory, 2 * IOVA,
			     SIZE));
	ASSERT_EQ(0, pin(self->device, IOVA));
	ASSERT_EQ(0, pin(self->device, IOVA + 3 * PAGE));
	ASSERT_EQ(0, pin(self->device, 2 * IOVA));
	ASSERT_EQ(3, PINS());
	/* What would cut is refused before anybody is asked. */
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, OWN, IOVA, IOVA + PAGE));
	ASSERT_EQ(SIZE, aux_unmap(self->fd, OWN, IOVA, SIZE));
	ASSERT_EQ(1, PINS());
	ASSERT_EQ(SIZE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, PINS());
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, SIZE));
}

TEST_F(own_space_pinned, UNMAP_DMA_asks_the_device)
{
	ASSERT_EQ(0, pin(self->device, IOVA));
	ASSERT_EQ(0, pin(self->device, IOVA + PAGE));
	ASSERT_EQ(SIZE, unmap_dma(self->fd, IOVA, SIZE));
	ASSERT_EQ(0, PINS());
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, SIZE));
}

/* What the device has pinned, and what it pins then, is dirty. */
TEST_F(own_space_pinned, pinned_pages_are_dirty)
{
	u64 bits;

	ASSERT_EQ(0, pin(self->device, IOVA));
	ASSERT_EQ(0, track_dirty(self->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	ASSERT_EQ(0, pin(self->device, IOVA + 4 * PAGE));
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ_WRITE, self->memory, 2 * IOVA,
			     SIZE));
	ASSERT_EQ(0, pin(self->device, 2 * IOVA + PAGE));
	ASSERT_EQ(0, get_dirty(self->fd, IOVA, &bits));
	ASSERT_EQ(0x11, bits);
	ASSERT_EQ(0, get_dirty(self->fd, 2 * IOVA, &bits));
	ASSERT_EQ(0x02, bits);
}

TEST_HARNESS_MAIN
