// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads on one aux space. Rounds are counted, not timed; every value that an
 * ioctl returns must be one that some order of events allows.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "pasid_device.h"

#define IOVA	0x40000000
#define PASID	600

/* A debug kernel is slow. */
#define PATIENCE	240

FIXTURE(aux_race) {
	struct container container;
	int index;
	u32 group;
	int fd;
};

FIXTURE_SETUP(aux_race)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
	ASSERT_EQ(PASID, pasid_alloc(self->fd, PASID, PASID));
	/* From now on the device says NO_PASID_ENTRY when it is not attached. */
	ASSERT_EQ(0, aux_create_fixed(self->fd, PASID));
	ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	ASSERT_EQ(0, aux_destroy(self->fd, PASID));
}

FIXTURE_TEARDOWN(aux_race)
{
	container_close(&self->container);
	EXPECT_EQ(NO_PASID_ENTRY, device_touch_anew(self->index, PASID, IOVA));
}

/* What the threads of a test know. */
struct walker {
	int fd;
	u32 group;
	bool stop;
	int attached;		/* how often */
	int wrong;		/* the first value that cannot be */
};

static long create(const void *arg)
{
	const struct walker *walker = arg;

	return aux_create_fixed(walker->fd, PASID);
}

static long destroy(const void *arg)
{
	const struct walker *walker = arg;

	return aux_destroy(walker->fd, PASID);
}

static long attach(const void *arg)
{
	const struct walker *walker = arg;

	return aux_attach(walker->fd, PASID, walker->group);
}

static long detach(const void *arg)
{
	const struct walker *walker = arg;

	return aux_detach(walker->fd, PASID, walker->group);
}

/* Threads that do the same at once, of which one may succeed. */

TEST_F_TIMEOUT(aux_race, a_number_gets_one_space, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .group = self->group };
	struct contest contest = {
		.step = create, .winner = 0, .loser = -EBUSY, .rounds = 100,
		.again = destroy, .arg = &walker,
	};

	ASSERT_EQ(0, run_contest(&contest));
}

TEST_F_TIMEOUT(aux_race, a_space_is_destroyed_once, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .group = self->group };
	struct contest contest = {
		.step = destroy, .winner = 0, .loser = -ENOENT, .rounds = 100,
		.again = create, .arg = &walker,
	};

	ASSERT_EQ(0, create(&walker));
	ASSERT_EQ(0, run_contest(&contest));
}

TEST_F_TIMEOUT(aux_race, a_group_is_attached_once, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .group = self->group };
	struct contest contest = {
		.step = attach, .winner = 0, .loser = -EEXIST, .rounds = 100,
		.again = detach, .arg = &walker,
	};

	ASSERT_EQ(0, create(&walker));
	ASSERT_EQ(0, run_contest(&contest));
}

TEST_F_TIMEOUT(aux_race, a_group_is_detached_once, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .group = self->group };
	struct contest contest = {
		.step = detach, .winner = 0, .loser = -ENOENT, .rounds = 100,
		.again = attach, .arg = &walker,
	};

	ASSERT_EQ(0, create(&walker));
	ASSERT_EQ(0, attach(&walker));
	ASSERT_EQ(0, run_contest(&contest));
}

/* One thread goes round, while this one pulls the carpet. */

static bool among(int value, const int *values)
{
	for (; *values; values++)
		if (value == *values)
			return true;
	return !value;
}

static void *attach_and_detach(void *arg)
{
	/* ENODEV: closed; EINVAL: VFIO's own, after the last group left. */
	static const int attaching[] = { -ENODEV, -EINVAL, -ENOENT, -EEXIST, 0 };
	static const int detaching[] = { -ENODEV, -EINVAL, -ENOENT, 0 };
	struct walker *walker = arg;

	while (!__atomic_load_n(&walker->stop, __ATOMIC_SEQ_CST)) {
		int ret = attach(walker);

		if (!ret)
			__atomic_add_fetch(&walker->attached, 1,
					   __ATOMIC_SEQ_CST);
		if (!among(ret, attaching))
			walker->wrong = ret;
		ret = detach(walker);
		if (!among(ret, detaching))
			walker->wrong = ret;
	}
	return NULL;
}

/* So that something is attached, or about to be, when it happens. */
static void wait_for_walker(struct walker *walker, unsigned int round)
{
	int before = __atomic_load_n(&walker->attached, __ATOMIC_SEQ_CST);

	for (int i = 0; i < 100000; i++) {
		if (__atomic_load_n(&walker->attached, __ATOMIC_SEQ_CST) !=
		    before)
			break;
		sched_yield();
	}
	for (unsigned int i = 0; i < round % 16; i++)
		sched_yield();
}

TEST_F_TIMEOUT(aux_race, attach_against_the_last_close_of_the_device, PATIENCE)
{
	struct walker walker = { .fd = self->fd, .group = self->group };
	pthread_t thread;

	ASSERT_EQ(0, create(&walker));
	ASSERT_EQ(0, pthread_create(&thread, NULL, attach_and_detach, &walker));
	for (int round = 0; round < 15; round++) {
		wait_for_walker(&walker, round);
		close(self->container.device);
		self->container.device = device_of(self->container.group,
						   self->index);
		ASSERT_LE(0, self->container.device);
	}
	walker.stop = true;
	pthread_join(thread, NULL);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LE(15, walker.attached);

	/* Closed is detached, whatever came before. */
	close_fd(&self->container.device);
	ASSERT_EQ(0, aux_is_attached(self->fd, PASID, self->group));
}

TEST_F_TIMEOUT(aux_race, attach_against_the_last_group_that_leaves, PATIENCE)
{
	for (int round = 0; round < 10; round++) {
		struct walker walker = { .fd = self->fd, .group = self->group };
		pthread_t thread;

		ASSERT_EQ(0, create(&walker));
		ASSERT_EQ(0, pthread_create(&thread, NULL, attach_and_detach,
					    &walker));
		wait_for_walker(&walker, round);
		close_fd(&self->container.device);
		close_fd(&self->container.group);
		walker.stop = true;
		pthread_join(thread, NULL);
		ASSERT_EQ(0, walker.wrong);
		ASSERT_LT(0, walker.attached);

		container_close(&self->container);
		ASSERT_EQ(0, container_open_device(&self->container,
						   self->index));
		self->fd = self->container.fd;
		ASSERT_EQ(PASID, pasid_alloc(self->fd, PASID, PASID));
	}
}

static void *free_all(void *arg)
{
	static const int freeing[] = { -EBUSY, 0 };
	struct walker *walker = arg;

	for (int i = 0; !__atomic_load_n(&walker->stop, __ATOMIC_SEQ_CST); i++) {
		int ret = pasid_free(walker->fd, 0, UINT32_MAX);

		if (!among(ret, freeing))
			walker->wrong = ret;
		/* The other must win at times. */
		usleep(i % 8 * 20);
	}
	return NULL;
}

TEST_F_TIMEOUT(aux_race, create_against_free, PATIENCE)
{
	struct walker walker = { .fd = self->fd };
	pthread_t thread;
	int created = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, free_all, &walker));
	for (int round = 0; round < 300 || !created; round++) {
		long ret = pasid_alloc(self->fd, PASID, PASID);

		ASSERT_TRUE(ret == PASID || ret == -ENOSPC);
		ret = aux_create_fixed(self->fd, PASID);
		ASSERT_TRUE(!ret || ret == -ENOENT);
		if (ret)
			continue;
		created++;
		/* In use: it stays. */
		ASSERT_EQ(1, pasid_used(self->fd));
		ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
		ASSERT_EQ(1, pasid_used(self->fd));
		ASSERT_EQ(0, aux_destroy(self->fd, PASID));
	}
	walker.stop = true;
	pthread_join(thread, NULL);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_HARNESS_MAIN
