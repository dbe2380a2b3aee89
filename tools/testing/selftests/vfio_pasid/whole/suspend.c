// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine is suspended while a space is attached and maps memory, as deep as
 * the kernel's test levels go (/sys/power/pm_test): the devices only, or all but
 * the last step into the firmware. Afterwards everything still works.
 *
 * Needs a guest with --suspend on.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define IOVA	0x40000000
#define PASID	777

FIXTURE(suspend) {
	struct before before;
	struct container container;
	struct pasid_device device;
	char *memory;
	u32 group;
	int fd;
};

FIXTURE_VARIANT(suspend) {
	const char *level;
	const char *state;
};

FIXTURE_VARIANT_ADD(suspend, devices_freeze) {
	.level = "devices",
	.state = "freeze",
};

FIXTURE_VARIANT_ADD(suspend, devices_mem) {
	.level = "devices",
	.state = "mem",
};

/* VT-d's registers are saved and written again here. */
FIXTURE_VARIANT_ADD(suspend, core) {
	.level = "core",
	.state = "mem",
};

FIXTURE_SETUP(suspend)
{
	int index = device_index(20, 0);

	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_LE(0, index);
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	self->memory = new_pages(2);
	ASSERT_NE(NULL, self->memory);
	ASSERT_EQ(0, container_start(&self->container, &self->device, index));
	self->fd = self->container.fd;
	self->group = group_number(index);
	ASSERT_EQ(PASID, pasid_alloc(self->fd, PASID, PASID));
	ASSERT_EQ(0, aux_create_fixed(self->fd, PASID));
	ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, 2));
	ASSERT_EQ(0, write_file("/sys/power/pm_test", variant->level));
}

FIXTURE_TEARDOWN(suspend)
{
	write_file("/sys/power/pm_test", "none");
	device_stop(&self->device);
	container_close(&self->container);
	EXPECT_TRUE(holds(&self->before, 0, 0));
}

/* The harness's FIXTURE_DATA(suspend), which checkpatch cannot read. */
static int map(struct _test_data_suspend *self, u64 offset)
{
	return aux_map(self->fd, PASID,
		       VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
		       self->memory + offset, IOVA + offset, PAGE);
}

static bool reaches(struct _test_data_suspend *self, u64 offset)
{
	return device_reaches(&self->device, PASID, IOVA + offset,
			      self->memory + offset);
}

TEST_F(suspend, a_space_that_is_attached_survives)
{
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, map(self, 0));
		ASSERT_TRUE(reaches(self, 0));
		ASSERT_EQ(0, write_file("/sys/power/state", variant->state));
		/* What was there before, */
		ASSERT_EQ(1, aux_is_attached(self->fd, PASID, self->group));
		ASSERT_TRUE(reaches(self, 0));
		ASSERT_EQ(no_page(), device_touch(&self->device, PASID,
						  IOVA + PAGE));
		ASSERT_TRUE(holds(&self->before, 1, 2));
		/* and what changes now. */
		ASSERT_EQ(0, map(self, PAGE));
		ASSERT_TRUE(reaches(self, PAGE));
		ASSERT_EQ(2 * PAGE, aux_unmap_all(self->fd, PASID));
		ASSERT_EQ(no_page(), device_touch(&self->device, PASID, IOVA));
		ASSERT_EQ(0, aux_detach(self->fd, PASID, self->group));
		ASSERT_EQ(NO_PASID_ENTRY, device_touch(&self->device, PASID,
						       IOVA));
		ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	}
}

TEST_HARNESS_MAIN
