// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads against each other. Rounds are counted, not timed; every value that
 * an ioctl returns must be one that some order of events allows, and what is
 * left at the end must be exact.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "vfio_pasid_utils.h"

#define FIRST	3000
#define COUNT	128
#define LAST	(FIRST + COUNT - 1)

FIXTURE(race) {
	struct container container;
	int fd;
};

FIXTURE_SETUP(race)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
}

FIXTURE_TEARDOWN(race)
{
	container_close(&self->container);
}

/* What the threads of a test share; each test uses what it needs. */
struct shared {
	int fd;
	int index;
	struct spin_barrier barrier;
	bool stop;
	int *held;		/* for each number: how many think they hold it */
	int taken;
	long wrong;		/* the first value that cannot be true */
	const char *where;
};

static void cannot_be(struct shared *shared, const char *where, long value)
{
	long none = 0;

	if (__atomic_compare_exchange_n(&shared->wrong, &none, value ?: 1, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		shared->where = where;
}

/* That value, with a line about it. */
static long wrong(const struct shared *shared)
{
	if (shared->wrong)
		ksft_print_msg("%s returned %ld\n", shared->where, shared->wrong);
	return shared->wrong;
}

static bool stopped(struct shared *shared)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

static void stop(struct shared *shared)
{
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
}

/* One container: quota and numbers. */

/* With a quota of 1, one thread at a time may have a number. */
static void *compete_for_the_only_one(void *arg)
{
	struct shared *shared = arg;
	long pasid;

	spin_barrier_wait(&shared->barrier);
	for (int round = 0; round < 5000; round++) {
		pasid = pasid_alloc(shared->fd, FIRST, LAST);
		if (pasid == -ENOSPC)
			continue;
		if (pasid != LAST)
			cannot_be(shared, "alloc", pasid);
		if (__atomic_add_fetch(&shared->taken, 1, __ATOMIC_SEQ_CST) > 1)
			cannot_be(shared, "alloc: above the quota", pasid);
		if (pasid_used(shared->fd) != 1)
			cannot_be(shared, "info", pasid_used(shared->fd));
		__atomic_sub_fetch(&shared->taken, 1, __ATOMIC_SEQ_CST);
		if (pasid_free(shared->fd, FIRST, LAST))
			cannot_be(shared, "free", pasid);
	}
	return NULL;
}

TEST_F(race, quota_is_exact_while_threads_allocate)
{
	struct limits one = PASID_LIMITS(1, 1, PASID_LAST);
	pthread_t threads[3];
	struct shared shared = {
		.barrier.threads = ARRAY_SIZE(threads),
	};

	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&one));
	ASSERT_EQ(0, container_open(&self->container, 0));
	shared.fd = self->container.fd;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    compete_for_the_only_one, &shared));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, wrong(&shared));
	ASSERT_EQ(0, pasid_used(shared.fd));
}

static void *take_and_give_back(void *arg)
{
	struct shared *shared = arg;
	long pasid;

	spin_barrier_wait(&shared->barrier);
	for (int round = 0; round < 3000; round++) {
		pasid = pasid_alloc(shared->fd, FIRST, LAST);
		if (pasid < FIRST || pasid > LAST) {
			cannot_be(shared, "alloc", pasid);
			break;
		}
		if (__atomic_fetch_add(&shared->held[pasid - FIRST], 1,
				       __ATOMIC_SEQ_CST))
			cannot_be(shared, "alloc: held twice", pasid);
		/* Long enough for another one to get it, if it can. */
		if (pasid_used(shared->fd) < 1)
			cannot_be(shared, "info", pasid_used(shared->fd));
		/* No longer ours the moment before it is given back. */
		__atomic_fetch_sub(&shared->held[pasid - FIRST], 1,
				   __ATOMIC_SEQ_CST);
		if (pasid_free(shared->fd, pasid, pasid))
			cannot_be(shared, "free", pasid);
	}
	return NULL;
}

TEST_F(race, no_number_is_held_twice)
{
	int held[COUNT] = { 0 };
	pthread_t threads[4];
	struct shared shared = {
		.fd = self->fd,
		.held = held,
		.barrier.threads = ARRAY_SIZE(threads),
	};

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    take_and_give_back, &shared));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, wrong(&shared));
	ASSERT_EQ(0, pasid_used(self->fd));
	for (long pasid = LAST; pasid >= FIRST; pasid--)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, FIRST, LAST));
}

static void *take_until_stopped(void *arg)
{
	struct shared *shared = arg;
	long pasid;

	spin_barrier_wait(&shared->barrier);
	while (!stopped(shared)) {
		pasid = pasid_alloc(shared->fd, FIRST, LAST);
		if (pasid != -ENOSPC && (pasid < FIRST || pasid > LAST))
			cannot_be(shared, "alloc", pasid);
	}
	return NULL;
}

TEST_F(race, alloc_against_free_of_the_range)
{
	pthread_t threads[2];
	struct sequence sequence = { .state = 3 };
	struct shared shared = {
		.fd = self->fd,
		.barrier.threads = ARRAY_SIZE(threads) + 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    take_until_stopped, &shared));
	spin_barrier_wait(&shared.barrier);
	for (int round = 0; round < 3000; round++) {
		u32 first = FIRST + next_random(&sequence, COUNT);
		long used;

		if (pasid_free(self->fd, first, LAST))
			cannot_be(&shared, "free", -1);
		used = pasid_used(self->fd);
		if (used < 0 || used > COUNT)
			cannot_be(&shared, "info", used);
	}
	stop(&shared);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, wrong(&shared));

	/* The process's set and the system's agree: all back, all there. */
	ASSERT_EQ(0, pasid_free(self->fd, FIRST, LAST));
	ASSERT_EQ(0, pasid_used(self->fd));
	for (long pasid = LAST; pasid >= FIRST; pasid--)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, FIRST, LAST));
	ASSERT_EQ(COUNT, pasid_used(self->fd));
}

/* What two processes share: they take a number at the same moment. */
struct meeting {
	struct spin_barrier barrier;
	long got[2];
	long wrong;
};

struct participant {
	struct meeting *meeting;
	int index;
};

static void take_together(int socket, void *arg)
{
	struct participant *participant = arg;
	struct meeting *meeting = participant->meeting;
	int mine = participant->index;
	struct container own;

	if (container_open(&own, 1 + mine))
		return;
	say(socket, 0);
	for (int round = 0; round < 1000; round++) {
		spin_barrier_wait(&meeting->barrier);
		meeting->got[mine] = pasid_alloc(own.fd, FIRST, LAST);
		spin_barrier_wait(&meeting->barrier);
		/* One of them got the higher number, the other the next. */
		if (meeting->got[0] + meeting->got[1] != LAST + LAST - 1)
			meeting->wrong = meeting->got[mine];
		pasid_free(own.fd, FIRST, LAST);
	}
	say(socket, pasid_used(own.fd));
}

/* Two vfio_mm have a lock each: only the numbers are shared. */
TEST_F(race, no_number_is_held_twice_by_two_processes)
{
	struct participant participants[2];
	struct meeting *meeting;
	struct peer peers[2];

	meeting = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)meeting);
	meeting->barrier.threads = 2;
	for (int i = 0; i < 2; i++) {
		participants[i] = (struct participant) { meeting, i };
		ASSERT_EQ(0, peer_start(&peers[i], take_together,
					&participants[i]));
		ASSERT_EQ(0, hear(peers[i].socket));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, hear(peers[i].socket));
		ASSERT_EQ(0, peer_wait(&peers[i]));
	}
	ASSERT_EQ(0, meeting->wrong);
	for (long pasid = LAST; pasid >= FIRST; pasid--)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, FIRST, LAST));
}

/* The last put of a vfio_mm. */

static void *open_alloc_close(void *arg)
{
	struct shared *shared = arg;
	int mine = __atomic_fetch_add(&shared->index, 1, __ATOMIC_SEQ_CST);
	struct container container;
	long ret;

	for (int round = 0; round < 150; round++) {
		ret = container_open(&container, 1 + mine);
		if (ret)
			cannot_be(shared, "open", ret);
		/* ENOSPC: the vfio_mm of the last round lives on and has it. */
		ret = pasid_alloc(container.fd, FIRST + mine, FIRST + mine);
		if (ret != FIRST + mine && ret != -ENOSPC)
			cannot_be(shared, "alloc", ret);

		/* Both are there: one vfio_mm has both, seen from either. */
		spin_barrier_wait(&shared->barrier);
		ret = pasid_used(container.fd);
		if (ret != 2)
			cannot_be(shared, "info", ret);

		/* One of the two closes may be the last put, or meet an open. */
		spin_barrier_wait(&shared->barrier);
		container_close(&container);
	}
	return NULL;
}

TEST_F(race, create_against_the_last_put)
{
	pthread_t threads[2];
	struct shared shared = {
		.barrier.threads = ARRAY_SIZE(threads),
	};

	/* Ours would keep the vfio_mm alive. */
	container_close(&self->container);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, open_alloc_close,
					    &shared));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, wrong(&shared));

	ASSERT_EQ(0, container_open(&self->container, 0));
	ASSERT_EQ(0, pasid_used(self->container.fd));
	ASSERT_EQ(FIRST + 1, pasid_alloc(self->container.fd, FIRST, FIRST + 1));
	ASSERT_EQ(FIRST, pasid_alloc(self->container.fd, FIRST, FIRST + 1));
}

TEST_HARNESS_MAIN
