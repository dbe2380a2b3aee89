// SPDX-License-Identifier: GPL-2.0-only
/*
 * An ioctl that sits in user memory while everything is closed keeps the code
 * that it returns to: the modules cannot be unloaded before it has. (The kernel's
 * own type1 can be, which is fatal.)
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>

#include "conventions.h"
#include "user_memory.h"

/* Milliseconds. */
#define IN_TIME		2000
#define SOON		5000

struct caller {
	pthread_t thread;
	int container;
	unsigned long request;
	void *argument;
	long result;
	bool done;
};

static void *sit_there(void *arg)
{
	struct caller *caller = arg;

	caller->result = call(caller->container, caller->request,
			      caller->argument);
	__atomic_store_n(&caller->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Closes everything, and may have to wait for it. */
struct closer {
	pthread_t thread;
	struct container container;
	bool done;
};

static void *close_all(void *arg)
{
	struct closer *closer = arg;

	container_close(&closer->container);
	__atomic_store_n(&closer->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool is_done_in(const bool *done, int milliseconds)
{
	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE) && milliseconds-- > 0)
		usleep(1000);
	return __atomic_load_n(done, __ATOMIC_ACQUIRE);
}

static int unload_soon(const char *name)
{
	int ret = unload_module(name);

	for (int i = 0; i < SOON / 20 && ret == -EWOULDBLOCK; i++) {
		usleep(20 * 1000);
		ret = unload_module(name);
	}
	return ret;
}

FIXTURE(unload) {
	struct caller caller;
	struct closer closer;
	char *page;	/* that blocks; the one before it does not */
	int uffd;
};

FIXTURE_VARIANT(unload) {
	unsigned long request;
	union argument argument;
	bool pins;	/* it is memory to be pinned that blocks */
};

FIXTURE_VARIANT_ADD(unload, get_info) {
	.request = VFIO_IOMMU_GET_INFO,
	/* Its argsz is at the same place. */
	.argument.argsz = sizeof(struct vfio_iommu_type1_info),
};

FIXTURE_VARIANT_ADD(unload, pasid_info) {
	.request = VFIO_IOMMU_PASID_INFO,
	.argument.info = {
		.argsz = sizeof(struct vfio_iommu_pasid_info),
		.group = VFIO_PASID_NO_GROUP,
	},
};

FIXTURE_VARIANT_ADD(unload, register_memory) {
	.request = VFIO_IOMMU_REGISTER_MEMORY,
	.argument.memory = {
		.argsz = sizeof(struct vfio_iommu_register_memory),
		.size = PAGE,
	},
	.pins = true,
};

/* It sets out with reading its argument, before anything of the container. */
FIXTURE_VARIANT_ADD(unload, setup) {
	.request = VFIO_IOMMU_SETUP,
	.argument.setup.argsz = sizeof(struct vfio_iommu_setup),
};

FIXTURE_SETUP(unload)
{
	union argument argument = variant->argument;
	char *pages = new_pages(2);

	ASSERT_NE(NULL, pages);
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open_device(&self->closer.container, 0));
	self->page = pages + PAGE;
	self->caller.container = self->closer.container.fd;
	self->caller.request = variant->request;
	self->caller.argument = self->page;
	if (variant->pins) {
		argument.memory.vaddr = (uintptr_t)self->page;
		self->caller.argument = pages;
	}
	/* What is served in the end; or what can be read before. */
	memcpy(pages, &argument, sizeof(argument));
	self->uffd = uffd_open(self->page, UFFD_ALL);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, pthread_create(&self->caller.thread, NULL, sit_there,
				    &self->caller));
	ASSERT_EQ(0, uffd_wait(self->uffd, IN_TIME));
	ASSERT_EQ(0, pthread_create(&self->closer.thread, NULL, close_all,
				    &self->closer));
}

FIXTURE_TEARDOWN(unload)
{
	pthread_join(self->closer.thread, NULL);
	close(self->uffd);
}

TEST_F(unload, waits_for_a_call_that_waits_for_memory)
{
	bool closed = is_done_in(&self->closer.done, IN_TIME);

	EXPECT_TRUE(closed);
	EXPECT_FALSE(is_done_in(&self->caller.done, 0));
	if (closed) {
		EXPECT_EQ(-EWOULDBLOCK, unload_module("vfio_iommu_type1"));
		EXPECT_EQ(-EWOULDBLOCK, unload_module("vfio_pasid"));
		EXPECT_FALSE(is_done_in(&self->caller.done, 0));
	}
	EXPECT_EQ(0, uffd_serve(self->uffd, self->page, UFFD_ALL,
				self->page - PAGE));
	ASSERT_EQ(0, pthread_join(self->caller.thread, NULL));
	if (!closed)
		return;
	EXPECT_EQ(-ENODEV, self->caller.result);
	ASSERT_EQ(0, unload_soon("vfio_iommu_type1"));
	ASSERT_EQ(0, unload_soon("vfio_pasid"));
}

TEST_HARNESS_MAIN
