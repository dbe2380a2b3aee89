// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attachments as many as there can be: enough domain ids of the IOMMU are left
 * for everybody else. This takes a minute and much memory.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define DOMAIN_IDS	65536	/* of the emulated VT-d; a quarter is spared */
#define ATTACHMENTS	(DOMAIN_IDS - DOMAIN_IDS / 4)

FIXTURE(domain_ids) {
	struct container container;
	int index;
	int other;
};

FIXTURE_SETUP(domain_ids)
{
	struct limits limits = PASID_LIMITS(65535, 1, PASID_LAST);

	self->container = NO_CONTAINER;
	limits.attachments = 65535;
	ASSERT_EQ(0, use_modules(&limits));
	self->index = device_index(20, 0);
	self->other = device_index(20, 1);
	ASSERT_LE(0, self->other);
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
}

FIXTURE_TEARDOWN(domain_ids)
{
	container_close(&self->container);
	EXPECT_EQ(0, count_of("attachments"));
}

/* Attaches as many spaces as it may: how many, or the error that is not ENOSPC. */
static long attach_all(int fd, int index)
{
	long attached = 0, pasid;
	int ret;

	for (;;) {
		pasid = aux_create(fd);
		if (pasid < 0)
			return pasid;
		ret = aux_attach(fd, pasid, group_number(index));
		if (ret)
			return ret == -ENOSPC ? attached : ret;
		attached++;
	}
}

TEST_F_TIMEOUT(domain_ids, a_device_is_closed_with_all_of_them, 500)
{
	long attached = attach_all(self->container.fd, self->index);
	u64 begin;

	ASSERT_EQ(ATTACHMENTS, attached);

	/* The one loop that VFIO's callbacks have. */
	begin = nanoseconds();
	close_fd(&self->container.device);
	printf("# note: closing a device with %ld attachments takes %llu ms\n",
	       attached, (unsigned long long)(nanoseconds() - begin) / 1000000);
	ASSERT_EQ(0, count_of("attachments"));
}

TEST_F_TIMEOUT(domain_ids, others_have_some_left, 500)
{
	struct container stock;

	ASSERT_EQ(ATTACHMENTS, attach_all(self->container.fd, self->index));

	/* Another user comes and goes, and the host has its device again. */
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, container_open_device(&stock, self->other));
		container_close(&stock);
	}
}

TEST_HARNESS_MAIN
