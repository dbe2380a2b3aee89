// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process space, and a page of its process that never comes: who waits for it.
 * Without page requests nobody does. With them everybody does who detaches a
 * process on that IOMMU, which is why root must allow it.
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <sys/mman.h>

#include "pasid_device.h"
#include "user_memory.h"

FIXTURE(blocked_process) {
	struct container container;
	struct pasid_device device;
	struct fuse_file file;
	bool serves;
	void *page;
	u32 group;
	long pasid;
};

FIXTURE_VARIANT(blocked_process) {
	int width;
	bool asks;
};

/* One that makes page requests, and one that does not. */
FIXTURE_VARIANT_ADD(blocked_process, pri) {
	.width = 20,
	.asks = true,
};

FIXTURE_VARIANT_ADD(blocked_process, no_pri) {
	.width = 16,
};

FIXTURE_SETUP(blocked_process)
{
	self->serves = false;
	self->pasid = process_start(&self->container, &self->device,
				    variant->width, true);
	ASSERT_LT(0, self->pasid);
	self->group = group_number(device_index(variant->width, 0));
	ASSERT_EQ(0, fuse_start(&self->file, FUSE_ROOT));
	self->serves = true;
	self->page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->file.fd, 0);
	ASSERT_NE(MAP_FAILED, self->page);
}

FIXTURE_TEARDOWN(blocked_process)
{
	/* Else closing the device would wait for the page. */
	if (self->serves)
		fuse_abort(&self->file);
	container_stop(&self->container, &self->device);
}

/* What a thread does when it may, and what came of it. */
struct step {
	long (*act)(struct step *step);
	struct pasid_device *device;
	int fd;
	u32 group;
	u32 pasid;
	void *page;
	bool may_start;
	long result;
	bool done;
};

static void *do_step(void *arg)
{
	struct step *step = arg;

	while (!__atomic_load_n(&step->may_start, __ATOMIC_ACQUIRE))
		usleep(1000);
	step->result = step->act(step);
	__atomic_store_n(&step->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static long detach(struct step *step)
{
	return aux_detach(step->fd, step->pasid, step->group);
}

static long peek(struct step *step)
{
	return device_peek(step->device, step->pasid, (uintptr_t)step->page);
}

/* Stock type1 keeps the mmap_lock until the page is there, or is an error. */
static long map(struct step *step)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ,
		.vaddr = (uintptr_t)step->page,
		.size = PAGE,
	};

	return call(step->fd, VFIO_IOMMU_MAP_DMA, &map);
}

/* It is the process itself here; it would be anyone on this IOMMU. */
TEST_F(blocked_process, only_page_requests_keep_others_from_detaching)
{
	struct step waits = {
		.act = detach, .device = &self->device,
		.fd = self->container.fd, .group = self->group,
		.pasid = self->pasid, .page = self->page,
	};
	struct step asks = waits;
	struct container other;
	pthread_t threads[2];
	int i;

	ASSERT_EQ(0, container_open_device(&other, device_index(8, 0)));
	asks.act = variant->asks ? peek : map;
	asks.fd = other.fd;
	/* Whoever serves the page has the mmap_lock: no new threads then. */
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, do_step, &waits));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, do_step, &asks));
	__atomic_store_n(&asks.may_start, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, fuse_wait(&self->file, 10000));
	__atomic_store_n(&waits.may_start, true, __ATOMIC_RELEASE);
	for (i = 0; i < 100 && !__atomic_load_n(&waits.done, __ATOMIC_ACQUIRE);
	     i++)
		usleep(10 * 1000);
	EXPECT_EQ(variant->asks, i == 100);
	EXPECT_FALSE(__atomic_load_n(&asks.done, __ATOMIC_ACQUIRE));
	fuse_abort(&self->file);
	self->serves = false;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(0, waits.result);
	EXPECT_NE(DMA_DONE, asks.result);
	EXPECT_NE(0, asks.result);
	EXPECT_EQ(0, count_of("attachments"));
	container_close(&other);
}

TEST_HARNESS_MAIN
