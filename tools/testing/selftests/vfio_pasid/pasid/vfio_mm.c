// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel API of <linux/vfio_pasid.h>, called by the test module: which
 * tasks have a vfio_mm, that there is one for an address space and never
 * another's, and the numbers.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "module/vfio_pasid_test.h"
#include "vfio_pasid_utils.h"

#define KTHREADD	2

static long get(int fd, u32 slot, int32_t task)
{
	struct vfio_pasid_test_get get = { .slot = slot, .task = task };

	return call(fd, VFIO_PASID_TEST_GET, &get);
}

static long put(int fd, unsigned long slot)
{
	return call(fd, VFIO_PASID_TEST_PUT, (void *)slot);
}

static long same(int fd, u32 first, u32 second)
{
	struct vfio_pasid_test_pair pair = { .first = first, .second = second };

	return call(fd, VFIO_PASID_TEST_SAME, &pair);
}

static long alloc(int fd, u32 slot, u32 min, u32 max)
{
	struct vfio_pasid_test_range range = { slot, min, max };

	return call(fd, VFIO_PASID_TEST_ALLOC, &range);
}

static long free_range(int fd, u32 slot, u32 min, u32 max)
{
	struct vfio_pasid_test_range range = { slot, min, max };

	return call(fd, VFIO_PASID_TEST_FREE, &range);
}

static int open_test_device(const struct limits *limits)
{
	int ret = use_test_module(limits);

	if (ret)
		return ret;
	ret = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

FIXTURE(vfio_mm) {
	int fd;
};

FIXTURE_SETUP(vfio_mm)
{
	self->fd = open_test_device(&DEFAULT_LIMITS);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(vfio_mm)
{
	close(self->fd);
}

/* Which tasks have one. */

TEST_F(vfio_mm, no_task_is_EINVAL)
{
	ASSERT_EQ(-EINVAL, get(self->fd, 0, VFIO_PASID_TEST_NULL_TASK));
	ASSERT_EQ(-EBADF, put(self->fd, 0));
}

TEST_F(vfio_mm, a_kernel_thread_is_ESRCH)
{
	ASSERT_EQ(-ESRCH, get(self->fd, 0, KTHREADD));
}

TEST_F(vfio_mm, a_kernel_thread_with_a_borrowed_mm_is_ESRCH)
{
	ASSERT_EQ(-ESRCH, get(self->fd, 0, VFIO_PASID_TEST_BORROWED_MM));
}

TEST_F(vfio_mm, a_task_that_has_exited_is_ESRCH)
{
	siginfo_t info;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(0);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	ASSERT_EQ(-ESRCH, get(self->fd, 0, pid));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

/* One for an address space. */

struct thread {
	struct spin_barrier barrier;
	pid_t tid;
};

static void *live_between_barriers(void *arg)
{
	struct thread *thread = arg;

	thread->tid = syscall(SYS_gettid);
	spin_barrier_wait(&thread->barrier);
	spin_barrier_wait(&thread->barrier);
	return NULL;
}

TEST_F(vfio_mm, threads_share_one)
{
	struct thread second = { .barrier.threads = 2 };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, live_between_barriers,
				    &second));
	spin_barrier_wait(&second.barrier);
	ASSERT_NE(getpid(), second.tid);
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(0, get(self->fd, 1, second.tid));
	ASSERT_EQ(1, same(self->fd, 0, 1));
	spin_barrier_wait(&second.barrier);
	pthread_join(thread, NULL);
}

static int sleep_forever(void *unused)
{
	(void)unused;
	pause();
	return 0;
}

TEST_F(vfio_mm, a_process_with_the_same_memory_shares_one)
{
	static char stack[64 * 1024];
	int pid;

	pid = clone(sleep_forever, stack + sizeof(stack), CLONE_VM | SIGCHLD,
		    NULL);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, get(self->fd, 0, pid));
	EXPECT_EQ(0, get(self->fd, 1, getpid()));
	EXPECT_EQ(1, same(self->fd, 0, 1));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

static void wait_for_word(int socket, void *unused)
{
	(void)unused;
	hear(socket);
}

TEST_F(vfio_mm, a_forked_child_has_its_own)
{
	struct peer peer;

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(10, alloc(self->fd, 0, 10, 10));
	ASSERT_EQ(0, peer_start(&peer, wait_for_word, NULL));
	ASSERT_EQ(0, get(self->fd, 1, peer.pid));
	ASSERT_EQ(0, same(self->fd, 0, 1));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 1, 10, 10));
	ASSERT_EQ(0, free_range(self->fd, 1, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 1, 10, 10));
	ASSERT_EQ(9, alloc(self->fd, 1, 1, 9));
	peer_kill(&peer);
}

TEST_F(vfio_mm, a_container_of_the_process_shares_it)
{
	struct container container;

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(20, alloc(self->fd, 0, 20, 20));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(1, pasid_used(container.fd));
	ASSERT_EQ(21, pasid_alloc(container.fd, 20, 21));
	ASSERT_EQ(2, pasid_used(container.fd));
	ASSERT_EQ(0, put(self->fd, 0));
	ASSERT_EQ(2, pasid_used(container.fd));

	/* And the other way round. */
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	container_close(&container);
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 20, 20));
	ASSERT_EQ(0, put(self->fd, 0));
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(20, alloc(self->fd, 0, 20, 20));
}

TEST_F(vfio_mm, user_and_kernel_driver_free_their_own_only)
{
	struct container container;

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(20, alloc(self->fd, 0, 20, 20));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(21, pasid_alloc(container.fd, 21, 21));
	ASSERT_EQ(0, free_range(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(container.fd, 21, 21));
	ASSERT_EQ(20, alloc(self->fd, 0, 20, 20));
	ASSERT_EQ(0, pasid_free(container.fd, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(container.fd, 20, 20));
	ASSERT_EQ(1, pasid_used(container.fd));
	container_close(&container);
}

/* Although the driver still holds the vfio_mm. */
TEST_F(vfio_mm, the_users_numbers_go_back_with_the_last_container)
{
	struct container container;

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(20, alloc(self->fd, 0, 20, 20));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(21, pasid_alloc(container.fd, 21, 21));
	container_close(&container);
	ASSERT_EQ(21, alloc(self->fd, 0, 21, 21));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 20, 20));
}

TEST_F(vfio_mm, the_last_put_frees_what_it_holds)
{
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(0, get(self->fd, 1, getpid()));
	ASSERT_EQ(30, alloc(self->fd, 0, 30, 30));
	ASSERT_EQ(0, put(self->fd, 0));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 1, 30, 30));
	ASSERT_EQ(0, put(self->fd, 1));

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	for (u32 i = 0; i < DEFAULT_LIMITS.quota; i++)
		ASSERT_LT(0, alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, UINT32_MAX));
}

TEST_F(vfio_mm, one_of_a_dead_process_still_holds_its_pasids)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, wait_for_word, NULL));
	ASSERT_EQ(0, get(self->fd, 0, peer.pid));
	ASSERT_EQ(40, alloc(self->fd, 0, 40, 40));
	peer_kill(&peer);

	ASSERT_EQ(0, get(self->fd, 1, getpid()));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 1, 40, 40));
	ASSERT_EQ(41, alloc(self->fd, 0, 41, 41));
	ASSERT_EQ(0, free_range(self->fd, 0, 41, 41));
	ASSERT_EQ(0, put(self->fd, 0));
	ASSERT_EQ(41, alloc(self->fd, 1, 40, 41));
	ASSERT_EQ(40, alloc(self->fd, 1, 40, 40));
}

/*
 * An mm_struct that is freed is soon the next process's. Were it not grabbed, a
 * fresh process would be taken for the dead one, and inherit its PASIDs.
 */
TEST_F(vfio_mm, a_fresh_process_never_inherits_a_dead_ones)
{
	enum { DEAD = 50 };

	for (int dead = 0; dead < DEAD; dead++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, wait_for_word, NULL));
		ASSERT_EQ(0, get(self->fd, dead, peer.pid));
		for (int older = 0; older < dead; older++)
			ASSERT_EQ(0, same(self->fd, older, dead));
		ASSERT_EQ(100 + dead, alloc(self->fd, dead, 100 + dead,
					    100 + dead));
		peer_kill(&peer);
	}
	for (int dead = 0; dead < DEAD; dead++)
		ASSERT_EQ(-ENOSPC, alloc(self->fd, dead, 100, 100 + DEAD - 1));
}

/* The numbers, as in pasid.c, where the API differs from the ioctl. */

TEST_F(vfio_mm, alloc_range_edges)
{
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, 0));
	ASSERT_EQ(1, alloc(self->fd, 0, 0, 1));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 1, 1));
	ASSERT_EQ(PASID_LAST, alloc(self->fd, 0, PASID_LAST, PASID_LAST));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, PASID_LAST, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, PASID_LAST + 1, PASID_LAST + 1));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, UINT32_MAX, UINT32_MAX));
	ASSERT_EQ(PASID_LAST - 1, alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-EINVAL, alloc(self->fd, 0, 1, 0));
	ASSERT_EQ(-EINVAL, alloc(self->fd, 0, UINT32_MAX, 0));
	ASSERT_EQ(77, alloc(self->fd, 0, 77, 77));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 77, 77));
}

TEST_F(vfio_mm, free_range_edges)
{
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(1, alloc(self->fd, 0, 1, 1));
	ASSERT_EQ(2, alloc(self->fd, 0, 2, 2));
	ASSERT_EQ(PASID_LAST, alloc(self->fd, 0, PASID_LAST, PASID_LAST));

	/* An empty range frees nothing; nor does one with nothing in it. */
	free_range(self->fd, 0, 2, 1);
	free_range(self->fd, 0, UINT32_MAX, 0);
	free_range(self->fd, 0, 0, 0);
	free_range(self->fd, 0, 3, PASID_LAST - 1);
	free_range(self->fd, 0, PASID_LAST + 1, UINT32_MAX);
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, 2));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, PASID_LAST, PASID_LAST));

	free_range(self->fd, 0, 0, 1);
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 2, 2));
	ASSERT_EQ(1, alloc(self->fd, 0, 1, 1));
	free_range(self->fd, 0, PASID_LAST, UINT32_MAX);
	ASSERT_EQ(PASID_LAST, alloc(self->fd, 0, PASID_LAST, PASID_LAST));
	free_range(self->fd, 0, 0, UINT32_MAX);
	ASSERT_EQ(2, alloc(self->fd, 0, 0, 2));
	ASSERT_EQ(1, alloc(self->fd, 0, 0, 2));
	ASSERT_EQ(PASID_LAST, alloc(self->fd, 0, PASID_LAST, PASID_LAST));
}

TEST_F(vfio_mm, quota_is_exact)
{
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	for (u32 i = 0; i < DEFAULT_LIMITS.quota; i++)
		ASSERT_EQ(PASID_LAST - i, alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, UINT32_MAX));
	free_range(self->fd, 0, PASID_LAST - 9, PASID_LAST);
	for (u32 i = 0; i < 10; i++)
		ASSERT_EQ(PASID_LAST - i, alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, UINT32_MAX));
}

static double seconds_since(u64 start)
{
	return (nanoseconds() - start) / 1e9;
}

FIXTURE(many) {
	int fd;
};

#define MANY	100000

FIXTURE_SETUP(many)
{
	self->fd = open_test_device(&PASID_LIMITS(MANY, 1, PASID_LAST));
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(many)
{
	close(self->fd);
}

TEST_F(many, a_process_may_hold_100000_pasids)
{
	u64 start;

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	start = nanoseconds();
	for (u32 i = 0; i < MANY; i++)
		ASSERT_EQ(PASID_LAST - i, alloc(self->fd, 0, 0, UINT32_MAX));
	TH_LOG("%d allocated in %.3f s", MANY, seconds_since(start));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, UINT32_MAX));

	/* A middle part, and the same numbers again. */
	free_range(self->fd, 0, PASID_LAST - 60000, PASID_LAST - 50001);
	for (u32 i = 0; i < 10000; i++)
		ASSERT_EQ(PASID_LAST - 50001 - i,
			  alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 0, UINT32_MAX));

	start = nanoseconds();
	ASSERT_EQ(0, put(self->fd, 0));
	TH_LOG("freed by the last put in %.3f s", seconds_since(start));
	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	ASSERT_EQ(PASID_LAST, alloc(self->fd, 0, 0, UINT32_MAX));
	ASSERT_EQ(PASID_LAST - MANY + 1, alloc(self->fd, 0, 0,
					       PASID_LAST - MANY + 1));
}

/* Races */

struct shared {
	int fd;
	int index;
	struct spin_barrier barrier;
	bool stop;
	long wrong;
};

static void cannot_be(struct shared *shared, long value)
{
	long none = 0;

	__atomic_compare_exchange_n(&shared->wrong, &none, value ?: 1, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void *take_until_stopped(void *arg)
{
	struct shared *shared = arg;

	spin_barrier_wait(&shared->barrier);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		long pasid = alloc(shared->fd, 0, 1000, 1199);

		if (pasid != -ENOSPC && (pasid < 1000 || pasid > 1199))
			cannot_be(shared, pasid);
	}
	return NULL;
}

TEST_F(vfio_mm, alloc_against_free_range)
{
	struct shared shared = { .fd = self->fd, .barrier.threads = 3 };
	struct sequence sequence = { .state = 5 };
	pthread_t threads[2];

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    take_until_stopped, &shared));
	spin_barrier_wait(&shared.barrier);
	for (int round = 0; round < 5000; round++) {
		u32 first = 1000 + next_random(&sequence, 200);

		free_range(self->fd, 0, first, first + 64);
	}
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, shared.wrong);

	free_range(self->fd, 0, 1000, 1199);
	for (long pasid = 1199; pasid >= 1000; pasid--)
		ASSERT_EQ(pasid, alloc(self->fd, 0, 1000, 1199));
	ASSERT_EQ(-ENOSPC, alloc(self->fd, 0, 1000, 1199));
}

/*
 * Each thread takes every second of these. They are so far apart that the last
 * put frees them one by one, which takes it long enough to be met by a get.
 */
#define APART	64
#define TAKEN	24

static u32 taken(int slot, int index)
{
	return 500 + (2 * index + slot) * APART;
}

static void *get_and_put(void *arg)
{
	struct shared *shared = arg;
	int slot = __atomic_fetch_add(&shared->index, 1, __ATOMIC_SEQ_CST);
	int other = !slot;
	long ret;

	for (int round = 0; round < 300; round++) {
		ret = get(shared->fd, slot, getpid());
		if (ret)
			cannot_be(shared, ret);
		for (int i = 0; i < TAKEN; i++) {
			u32 pasid = taken(slot, i);

			/* ENOSPC: the other one kept it, with what we took. */
			ret = alloc(shared->fd, slot, pasid, pasid);
			if (ret != pasid && ret != -ENOSPC)
				cannot_be(shared, ret);
		}

		spin_barrier_wait(&shared->barrier);
		if (same(shared->fd, slot, other) != 1)
			cannot_be(shared, 1);
		for (int i = 0; i < TAKEN; i++) {
			u32 pasid = taken(other, i);

			ret = alloc(shared->fd, slot, pasid, pasid);
			if (ret != -ENOSPC)
				cannot_be(shared, ret);
		}

		spin_barrier_wait(&shared->barrier);
		put(shared->fd, slot);
	}
	return NULL;
}

/* Two threads do it at once: 0, or what cannot be. */
static long at_once(int fd, void *(*body)(void *arg))
{
	struct shared shared = { .fd = fd, .barrier.threads = 2 };
	pthread_t threads[2];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		int ret = pthread_create(&threads[i], NULL, body, &shared);

		if (ret)
			return ret;
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	return shared.wrong;
}

TEST_F(vfio_mm, get_against_the_last_put)
{
	ASSERT_EQ(0, at_once(self->fd, get_and_put));

	ASSERT_EQ(0, get(self->fd, 0, getpid()));
	for (int i = 0; i < TAKEN; i++) {
		ASSERT_EQ(taken(0, i), alloc(self->fd, 0, taken(0, i), taken(0, i)));
		ASSERT_EQ(taken(1, i), alloc(self->fd, 0, taken(1, i), taken(1, i)));
	}
}

/* Both look for the first of the process in the same moment. */
static void *get_at_once(void *arg)
{
	struct shared *shared = arg;
	int slot = __atomic_fetch_add(&shared->index, 1, __ATOMIC_SEQ_CST);
	long ret;

	for (int round = 0; round < 2000; round++) {
		spin_barrier_wait(&shared->barrier);
		ret = get(shared->fd, slot, getpid());
		if (ret)
			cannot_be(shared, ret);
		spin_barrier_wait(&shared->barrier);
		if (same(shared->fd, slot, !slot) != 1)
			cannot_be(shared, 1);
		spin_barrier_wait(&shared->barrier);
		put(shared->fd, slot);
	}
	return NULL;
}

TEST_F(vfio_mm, gets_at_once_find_one)
{
	ASSERT_EQ(0, at_once(self->fd, get_at_once));
}

/* The module. */

TEST_F(vfio_mm, a_user_of_the_api_keeps_the_module)
{
	ASSERT_EQ(-EWOULDBLOCK, unload_module("vfio_pasid_test"));
	ASSERT_EQ(-EWOULDBLOCK, unload_module("vfio_pasid"));
	close(self->fd);
	ASSERT_EQ(0, unload_module("vfio_pasid_test"));
	ASSERT_EQ(0, unload_module("vfio_iommu_type1"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
}

TEST_HARNESS_MAIN
