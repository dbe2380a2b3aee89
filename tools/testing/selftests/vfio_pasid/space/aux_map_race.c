// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that map and unmap, against each other and against whatever takes the
 * space, the memory, the device or the container away. Rounds are counted, not
 * timed; every value that an ioctl returns must be one that some order of events
 * allows, and at the end nothing is left.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "pasid_device.h"

#define IOVA		0x40000000
#define PASID		601
#define PAGES		16
#define SIZE		(PAGES * PAGE)
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

/* A debug kernel is slow. */
#define PATIENCE	240

FIXTURE(aux_map_race) {
	struct container container;
	int index;
	u32 group;
	int fd;
	u8 *memory;
};

/* A container with PASID, which has a space, and with the memory. */
static int start(struct container *container, int index, const u8 *memory)
{
	int ret = container_open_device(container, index);

	if (ret)
		return ret;
	ret = pasid_alloc(container->fd, PASID, PASID);
	if (ret == PASID)
		ret = aux_create_fixed(container->fd, PASID);
	return ret ? ret : register_memory(container->fd, 0, memory, SIZE);
}

FIXTURE_SETUP(aux_map_race)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	self->memory = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_EQ(0, start(&self->container, self->index, self->memory));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
}

FIXTURE_TEARDOWN(aux_map_race)
{
	container_close(&self->container);
	EXPECT_EQ(0, count_of("mappings"));
	EXPECT_EQ(0, count_of("registrations"));
	EXPECT_EQ(0, count_of("pinned_pages"));
	EXPECT_EQ(0, vm_locked());
}

/* What the threads of a test know. */
struct walker {
	int fd;
	u32 group;
	u8 *memory;
	bool stop;
	int done;		/* how often it went round with success */
	int wrong;		/* a value that cannot be */
};

static bool stopped(struct walker *walker)
{
	return __atomic_load_n(&walker->stop, __ATOMIC_SEQ_CST);
}

static void stop(struct walker *walker, pthread_t thread)
{
	__atomic_store_n(&walker->stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
}

static int done(struct walker *walker)
{
	return __atomic_load_n(&walker->done, __ATOMIC_SEQ_CST);
}

/* Notes a value that is neither good nor among @values, which 0 ends. */
static bool check(struct walker *walker, long value, long good,
		  const int *values)
{
	if (value == good)
		return true;
	while (*values && value != *values)
		values++;
	if (!*values)
		walker->wrong = value ? value : -EPROTO;
	return false;
}

/* So that it is at work when something happens to it. */
static void wait_for(struct walker *walker, unsigned int round)
{
	int before = done(walker);

	for (int i = 0; i < 100000 && done(walker) == before; i++)
		sched_yield();
	for (unsigned int i = 0; i < round % 16; i++)
		sched_yield();
}

/* Contests. */

static long map(const void *arg)
{
	const struct walker *walker = arg;

	return aux_map(walker->fd, PASID, READ_WRITE, walker->memory, IOVA,
		       SIZE);
}

static long unmap(const void *arg)
{
	const struct walker *walker = arg;

	return aux_unmap(walker->fd, PASID, IOVA, SIZE);
}

static long unmap_again(const void *arg)
{
	return unmap(arg) == SIZE ? 0 : -EPROTO;
}

TEST_F_TIMEOUT(aux_map_race, an_address_is_mapped_once, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	struct contest contest = {
		.step = map, .winner = 0, .loser = -EEXIST, .rounds = 100,
		.again = unmap_again, .arg = &walker,
	};

	ASSERT_EQ(0, run_contest(&contest));
}

TEST_F_TIMEOUT(aux_map_race, a_mapping_is_unmapped_once, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	struct contest contest = {
		.step = unmap, .winner = SIZE, .loser = 0, .rounds = 100,
		.again = map, .arg = &walker,
	};

	ASSERT_EQ(0, map(&walker));
	ASSERT_EQ(0, run_contest(&contest));
}

/* One thread goes round, and this one takes something away. */

static void *map_and_unmap(void *arg)
{
	/* Memory or space gone; closed; VFIO's own EINVAL after that. */
	static const int mapping[] = { -ENOENT, -ENODEV, -EINVAL, 0 };
	static const int unmapping[] = { -ENOENT, -ENODEV, -EINVAL, 0 };
	struct walker *walker = arg;
	long size;

	while (!stopped(walker)) {
		if (!check(walker, map(walker), 0, mapping))
			continue;
		/* A space that came anew in between is empty. */
		size = unmap(walker);
		if (size && !check(walker, size, SIZE, unmapping))
			continue;
		__atomic_add_fetch(&walker->done, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TEST_F_TIMEOUT(aux_map_race, map_against_unregister, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	int gone = 0, busy = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &walker));
	for (int round = 0; round < 2000 && (round < 200 || !gone || !busy);
	     round++) {
		int ret = unregister_memory(self->fd, self->memory, SIZE);

		ASSERT_TRUE(!ret || ret == -EBUSY);
		if (ret) {
			busy++;
			continue;
		}
		gone++;
		/* Not a moment later. */
		ASSERT_EQ(0, count_of("pinned_pages"));
		ASSERT_EQ(0, vm_locked());
		ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
		wait_for(&walker, round);
	}
	stop(&walker, thread);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LT(0, gone);
	ASSERT_LT(0, busy);
	ASSERT_LT(0, walker.done);
	/* All counts are right: nothing is mapped, so it can go. */
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, SIZE));
}

TEST_F_TIMEOUT(aux_map_race, map_against_destroy, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &walker));
	for (int round = 0; round < 200; round++) {
		wait_for(&walker, round);
		ASSERT_EQ(0, aux_destroy(self->fd, PASID));
		ASSERT_EQ(0, aux_create_fixed(self->fd, PASID));
		if (round % 2)
			ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	}
	stop(&walker, thread);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LT(0, walker.done);
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, SIZE));
}

TEST_F_TIMEOUT(aux_map_race, map_against_attach_and_the_close_of_the_device,
	       PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &walker));
	for (int round = 0; round < 15; round++) {
		ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
		wait_for(&walker, round);
		if (round % 3) {
			ASSERT_EQ(0, aux_detach(self->fd, PASID, self->group));
			continue;
		}
		close(self->container.device);
		self->container.device = device_of(self->container.group,
						   self->index);
		ASSERT_LE(0, self->container.device);
	}
	stop(&walker, thread);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LT(0, walker.done);
}

TEST_F_TIMEOUT(aux_map_race, map_against_the_last_group_that_leaves, PATIENCE)
{
	for (int round = 0; round < 15; round++) {
		struct walker walker = {
			.fd = self->fd, .memory = self->memory,
		};
		pthread_t threads[2];

		ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
		ASSERT_EQ(0, pthread_create(&threads[0], NULL, map_and_unmap,
					    &walker));
		wait_for(&walker, round);
		close_fd(&self->container.device);
		close_fd(&self->container.group);
		stop(&walker, threads[0]);
		ASSERT_EQ(0, walker.wrong);
		ASSERT_LT(0, walker.done);
		ASSERT_EQ(0, count_of("mappings"));
		ASSERT_EQ(0, count_of("pinned_pages"));

		container_close(&self->container);
		ASSERT_EQ(0, start(&self->container, self->index,
				   self->memory));
		self->fd = self->container.fd;
	}
}

/* The device asks all the time: it is there, or not, and nothing else. */
TEST_F_TIMEOUT(aux_map_race, map_against_the_device, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .memory = self->memory };
	struct pasid_device device;
	int there = 0, not_there = 0;
	u64 pattern = 0x5555555555555555;
	pthread_t thread;

	ASSERT_EQ(0, device_start(&device, self->container.device));
	ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	device_set_data(&device, &pattern, sizeof(pattern));
	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &walker));
	for (int round = 0; round < 1000 &&
	     (round < 100 || !there || !not_there); round++) {
		long status = device_touch(&device, PASID,
					   IOVA + round % PAGES * PAGE);

		ASSERT_TRUE(status == DMA_DONE || status == no_page()) {
			TH_LOG("status %#lx", status);
		}
		there += status == DMA_DONE;
		not_there += status == no_page();
	}
	stop(&walker, thread);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LT(0, there);
	ASSERT_LT(0, not_there);
	ASSERT_EQ(0, aux_unmap_all(self->fd, PASID));
	ASSERT_EQ(no_page(), device_touch(&device, PASID, IOVA));
	device_stop(&device);
}

TEST_HARNESS_MAIN
