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
#define THREADS	3

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

/* Threads that do the same at once, of which one may succeed. */

struct contest {
	struct spin_barrier barrier;
	int (*step)(int fd, u32 group);
	int fd;
	u32 group;
	int rounds;
	int loser;		/* what all others get */
	int wins;
	int others;		/* results that were neither */
};

static void *compete(void *arg)
{
	struct contest *contest = arg;

	for (int round = 0; round < contest->rounds; round++) {
		int ret;

		spin_barrier_wait(&contest->barrier);
		ret = contest->step(contest->fd, contest->group);
		if (!ret)
			__atomic_add_fetch(&contest->wins, 1, __ATOMIC_SEQ_CST);
		else if (ret != contest->loser)
			__atomic_store_n(&contest->others, ret,
					 __ATOMIC_SEQ_CST);
		spin_barrier_wait(&contest->barrier);
	}
	return NULL;
}

/* Between the steps, this thread makes the next one possible. */
static int run_contest(struct contest *contest, int (*again)(int, u32))
{
	pthread_t threads[THREADS];
	int ret = 0;

	contest->barrier.threads = THREADS + 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, compete, contest))
			return -EAGAIN;
	for (int round = 0; round < contest->rounds; round++) {
		spin_barrier_wait(&contest->barrier);
		spin_barrier_wait(&contest->barrier);
		if (contest->wins != round + 1 && !ret) {
			printf("# %d winners in round %d\n",
			       contest->wins - round, round);
			ret = -EPROTO;
		}
		if (again(contest->fd, contest->group) && !ret)
			ret = -EPROTO;
		/* The next round's wins are counted from here. */
		contest->wins = round + 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return ret;
}

static int create(int fd, u32 group)
{
	(void)group;
	return aux_create_fixed(fd, PASID);
}

static int destroy(int fd, u32 group)
{
	(void)group;
	return aux_destroy(fd, PASID);
}

static int attach(int fd, u32 group)
{
	return aux_attach(fd, PASID, group);
}

static int detach(int fd, u32 group)
{
	return aux_detach(fd, PASID, group);
}

TEST_F_TIMEOUT(aux_race, a_number_gets_one_space, PATIENCE)
{
	struct contest contest = {
		.step = create, .loser = -EBUSY, .rounds = 100,
		.fd = self->fd, .group = self->group,
	};

	ASSERT_EQ(0, run_contest(&contest, destroy));
	ASSERT_EQ(0, contest.others);
}

TEST_F_TIMEOUT(aux_race, a_space_is_destroyed_once, PATIENCE)
{
	struct contest contest = {
		.step = destroy, .loser = -ENOENT, .rounds = 100,
		.fd = self->fd, .group = self->group,
	};

	ASSERT_EQ(0, create(self->fd, 0));
	ASSERT_EQ(0, run_contest(&contest, create));
	ASSERT_EQ(0, contest.others);
}

TEST_F_TIMEOUT(aux_race, a_group_is_attached_once, PATIENCE)
{
	struct contest contest = {
		.step = attach, .loser = -EEXIST, .rounds = 100,
		.fd = self->fd, .group = self->group,
	};

	ASSERT_EQ(0, create(self->fd, 0));
	ASSERT_EQ(0, run_contest(&contest, detach));
	ASSERT_EQ(0, contest.others);
}

TEST_F_TIMEOUT(aux_race, a_group_is_detached_once, PATIENCE)
{
	struct contest contest = {
		.step = detach, .loser = -ENOENT, .rounds = 100,
		.fd = self->fd, .group = self->group,
	};

	ASSERT_EQ(0, create(self->fd, 0));
	ASSERT_EQ(0, attach(self->fd, self->group));
	ASSERT_EQ(0, run_contest(&contest, attach));
	ASSERT_EQ(0, contest.others);
}

/* One thread goes round, while this one pulls the carpet. */

struct walker {
	int fd;
	u32 group;
	bool stop;
	int attached;		/* how often */
	int wrong;		/* the first value that cannot be */
};

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
		int ret = attach(walker->fd, walker->group);

		if (!ret)
			__atomic_add_fetch(&walker->attached, 1,
					   __ATOMIC_SEQ_CST);
		if (!among(ret, attaching))
			walker->wrong = ret;
		ret = detach(walker->fd, walker->group);
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

	ASSERT_EQ(0, create(self->fd, 0));
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

		ASSERT_EQ(0, create(self->fd, 0));
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

	while (!__atomic_load_n(&walker->stop, __ATOMIC_SEQ_CST)) {
		int ret = pasid_free(walker->fd, 0, UINT32_MAX);

		if (!among(ret, freeing))
			walker->wrong = ret;
	}
	return NULL;
}

TEST_F_TIMEOUT(aux_race, create_against_free, PATIENCE)
{
	struct walker walker = { .fd = self->fd };
	pthread_t thread;
	int created = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, free_all, &walker));
	for (int round = 0; round < 300; round++) {
		long ret = pasid_alloc(self->fd, PASID, PASID);

		ASSERT_TRUE(ret == PASID || ret == -ENOSPC);
		ret = aux_create_fixed(self->fd, PASID);
		ASSERT_TRUE(!ret || ret == -ENOENT);
		if (ret)
			continue;
		created++;
		/* In use: it stays. */
		ASSERT_EQ(1, pasid_used(self->fd));
		ASSERT_EQ(0, attach(self->fd, self->group));
		ASSERT_EQ(1, pasid_used(self->fd));
		ASSERT_EQ(0, destroy(self->fd, 0));
	}
	walker.stop = true;
	pthread_join(thread, NULL);
	ASSERT_EQ(0, walker.wrong);
	ASSERT_LT(0, created);
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_HARNESS_MAIN
