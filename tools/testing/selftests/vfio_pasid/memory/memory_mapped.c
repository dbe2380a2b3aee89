// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory that aux spaces map: what keeps it registered, and whom.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define PAGES	16
#define IOVA	0x100000
#define ACCESS	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

FIXTURE(memory_mapped) {
	struct before before;
	struct container container;
	struct container other;
	char *memory;
	u32 space;
	int fd;
};

FIXTURE_SETUP(memory_mapped)
{
	long space;

	self->container = NO_CONTAINER;
	self->other = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_EQ(0, container_open(&self->container, device_index(20, 0)));
	self->fd = self->container.fd;
	self->memory = new_pages(PAGES);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	space = aux_create(self->fd);
	ASSERT_LT(0, space);
	self->space = space;
}

FIXTURE_TEARDOWN(memory_mapped)
{
	container_close(&self->other);
	container_close(&self->container);
	ASSERT_TRUE(holds(&self->before, 0, 0));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, count_of("spaces"));
}

static int unregister(int container, void *memory)
{
	return unregister_pages(container, memory, 0, PAGES);
}

TEST_F(memory_mapped, EBUSY_while_it_is_mapped)
{
	/* The first page and the last. */
	ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS, self->memory, IOVA,
			     PAGE));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	ASSERT_EQ(0, aux_map(self->fd, self->space, VFIO_AUX_MAP_READ,
			     self->memory + (PAGES - 1) * PAGE, 2 * IOVA, PAGE));
	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->space, IOVA, PAGE));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 1, PAGES));
	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->space, 2 * IOVA, PAGE));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 0, 0));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->space, ACCESS, self->memory,
				   IOVA, PAGE));
}

TEST_F(memory_mapped, only_the_last_reference_is_EBUSY)
{
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS, self->memory, IOVA,
			     PAGES * PAGE));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	/* It is still there to be mapped. */
	ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS, self->memory,
			     4 * IOVA, PAGE));
	/* One more and one less again. */
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	ASSERT_EQ((PAGES + 1) * PAGE, aux_unmap_all(self->fd, self->space));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

TEST_F(memory_mapped, a_mapping_counts_on_its_own_range)
{
	char *others = new_pages(PAGES);

	ASSERT_EQ(0, register_pages(self->fd, 0, others, 0, PAGES));
	ASSERT_EQ(0, aux_map(self->fd, self->space, VFIO_AUX_MAP_READ, others,
			     IOVA, PAGE));
	ASSERT_EQ(-EBUSY, unregister(self->fd, others));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_EQ(0, aux_destroy(self->fd, self->space));
	ASSERT_EQ(0, unregister(self->fd, others));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

TEST_F(memory_mapped, mappings_of_every_space_count)
{
	long second = aux_create(self->fd);

	ASSERT_LT(0, second);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS,
				     self->memory, IOVA * (i + 1), PAGE));
		ASSERT_EQ(0, aux_map(self->fd, second, ACCESS, self->memory,
				     IOVA * (i + 1), PAGE));
	}
	ASSERT_EQ(6, count_of("mappings"));
	ASSERT_EQ(3 * PAGE, aux_unmap_all(self->fd, self->space));
	ASSERT_EQ(-EBUSY, unregister(self->fd, self->memory));
	ASSERT_EQ(0, aux_destroy(self->fd, second));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* What another container maps is that one's business. */
TEST_F(memory_mapped, mappings_of_another_container_do_not_count)
{
	long space;

	ASSERT_EQ(0, container_open(&self->other, device_index(8, 0)));
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
	space = aux_create(self->other.fd);
	ASSERT_LT(0, space);
	ASSERT_EQ(0, aux_map(self->other.fd, space, ACCESS, self->memory, IOVA,
			     PAGES * PAGE));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 1, PAGES));
	ASSERT_EQ(-EBUSY, unregister(self->other.fd, self->memory));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->space, ACCESS, self->memory,
				   IOVA, PAGE));
	/* Neither the first container's close nor its own leaves anything. */
	container_close(&self->container);
	ASSERT_TRUE(holds(&self->before, 1, PAGES));
	ASSERT_EQ(1, count_of("mappings"));
	container_close(&self->other);
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

TEST_F(memory_mapped, close_unmaps_and_unpins)
{
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS,
				     self->memory + i % PAGES * PAGE,
				     IOVA + i * PAGE, PAGE));
	ASSERT_EQ(100, count_of("mappings"));
	container_close(&self->container);
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* What a failed map had counted is taken back. */
TEST_F(memory_mapped, a_map_that_fails_does_not_count)
{
	ASSERT_EQ(-ERANGE, aux_map(self->fd, self->space, ACCESS, self->memory,
				   MSI_START, PAGE));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->space, ACCESS, self->memory,
				   IOVA, (PAGES + 1) * PAGE));
	ASSERT_EQ(0, aux_map(self->fd, self->space, ACCESS, self->memory, IOVA,
			     PAGE));
	ASSERT_EQ(-EEXIST, aux_map(self->fd, self->space, ACCESS, self->memory,
				   IOVA, PAGE));
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->space));
	ASSERT_EQ(0, unregister(self->fd, self->memory));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

TEST_HARNESS_MAIN
