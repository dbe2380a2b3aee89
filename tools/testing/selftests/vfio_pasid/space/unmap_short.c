// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOMMU driver that unmaps less than it is asked to: what cannot be proved
 * to be unmapped stays mapped and pinned until no device can reach it. The test
 * module makes iommu_unmap_fast() say so. That warns once for each load of
 * vfio_pasid, which the guest's .boot file allows.
 */
#include <kselftest_harness.h>

#include <fcntl.h>

#include "module/vfio_pasid_test.h"
#include "pasid_device.h"

#define IOVA		0x40000000
#define PAGES		4
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

FIXTURE(unmap_short) {
	struct container container;
	int fd;
	int module;
	u32 group;
	long pasid;
	u8 *memory;
};

FIXTURE_SETUP(unmap_short)
{
	int index;

	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_test_module(&DEFAULT_LIMITS));
	self->module = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->module);
	index = device_index(20, 0);
	ASSERT_EQ(0, container_open_device(&self->container, index));
	self->fd = self->container.fd;
	self->group = group_number(index);
	self->memory = new_pages(PAGES);
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, PAGES * PAGE));
	self->pasid = aux_create(self->fd);
	ASSERT_LT(0, self->pasid);
	ASSERT_EQ(0, aux_attach(self->fd, self->pasid, self->group));
	/* Two mappings. */
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ_WRITE, self->memory,
			     IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ_WRITE,
			     self->memory + PAGE, IOVA + PAGE, PAGE));
}

FIXTURE_TEARDOWN(unmap_short)
{
	call(self->module, VFIO_PASID_TEST_SHORT_UNMAPS, NULL);
	close(self->module);
	container_close(&self->container);
	EXPECT_EQ(0, count_of("mappings"));
	EXPECT_EQ(0, count_of("pinned_pages"));
}

#define SHORT_UNMAPS(count) \
	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_SHORT_UNMAPS, \
			  (void *)(uintptr_t)(count)))

TEST_F(unmap_short, what_was_not_unmapped_stays_a_mapping)
{
	SHORT_UNMAPS(1);
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, self->memory,
					    PAGES * PAGE));
	ASSERT_EQ(-EEXIST, aux_map(self->fd, self->pasid, READ_WRITE,
				   self->memory, IOVA, PAGE));
	/* The other one is gone as usual. */
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ_WRITE,
			     self->memory + PAGE, IOVA + PAGE, PAGE));
	ASSERT_EQ(PAGES, count_of("pinned_pages"));
}

TEST_F(unmap_short, it_goes_when_the_space_is_detached_and_goes)
{
	SHORT_UNMAPS(1);
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->pasid));
	SHORT_UNMAPS(1000);
	ASSERT_EQ(0, aux_destroy(self->fd, self->pasid));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, PAGES * PAGE));
	ASSERT_EQ(0, count_of("pinned_pages"));
}

TEST_F(unmap_short, it_goes_with_the_last_group)
{
	SHORT_UNMAPS(1000);
	ASSERT_EQ(0, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(2, count_of("mappings"));
	container_close(&self->container);
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, count_of("pinned_pages"));
}

TEST_HARNESS_MAIN
