// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process is charged for pinned memory (VmLck), and it is another process, with
 * copies of its descriptors, that closes them last: its child, which is killed
 * while it does so, and while a thread of the charged process holds its
 * mmap_lock. What is registered must be uncharged each time. What MAP_DMA has
 * mapped need not be, as mm_lock_acct() of type1 takes that lock only if no
 * fatal signal is pending, and nobody looks at its result. So this only counts.
 *
 * Environment: VFIO_PASID_ROUNDS, how often the child is killed (200).
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "vfio_pasid_utils.h"

#define PAGES		10
#define IOVA		0x200000
#define BUSY		(8ul << 20)	/* bytes, for a thread to protect */
/* Microseconds until the kill, at most: about what the close takes. */
#define LATEST(what)	((what) == MAPPED ? 3000 : 600)

/* Seconds, for 10,000 rounds without KVM. */
#define PATIENCE	3000

enum charged {
	MAPPED,		/* VFIO_IOMMU_MAP_DMA */
	REGISTERED,	/* VFIO_IOMMU_REGISTER_MEMORY */
};

enum moment {
	ASLEEP,
	IN_CLOSE,
};

/* What the child has come to; it shares this with its parent. */
enum progress {
	HAS_COPIES,
	CLOSES,
	HAS_CLOSED,
};

struct rounds {
	struct container container;
	struct sequence sequence;
	char *memory;
	enum progress *progress;
	pthread_t thread;
	void *busy;
	bool contend;
	bool stop;
	unsigned long turns;
	long count;
};

FIXTURE(uncharge) {
	struct rounds rounds;
};

/* Holds the mmap_lock for as much of the time as it can, when it is to. */
static void *hold_mmap_lock(void *arg)
{
	struct rounds *self = arg;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		if (!__atomic_load_n(&self->contend, __ATOMIC_ACQUIRE)) {
			usleep(50);
			continue;
		}
		mprotect(self->busy, BUSY, PROT_READ);
		mprotect(self->busy, BUSY, PROT_READ | PROT_WRITE);
		__atomic_add_fetch(&self->turns, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *shared_memory(size_t size, int flags)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_ANONYMOUS | flags, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

FIXTURE_SETUP(uncharge)
{
	const char *text = getenv("VFIO_PASID_ROUNDS");
	struct rounds *rounds = &self->rounds;

	rounds->container = NO_CONTAINER;
	rounds->count = text ? atol(text) : 200;
	rounds->sequence.state = time(NULL);
	ASSERT_LT(0, rounds->count);
	ASSERT_LE(1, group_count());
	rounds->memory = new_pages(PAGES);
	ASSERT_NE(NULL, rounds->memory);
	rounds->progress = shared_memory(PAGE, MAP_SHARED);
	ASSERT_NE(NULL, rounds->progress);
	/* Small pages, of which there are many; the child need not copy them. */
	rounds->busy = shared_memory(BUSY, MAP_PRIVATE);
	ASSERT_NE(NULL, rounds->busy);
	ASSERT_EQ(0, madvise(rounds->busy, BUSY, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, madvise(rounds->busy, BUSY, MADV_DONTFORK));
	memset(rounds->busy, 1, BUSY);
	ASSERT_EQ(0, pthread_create(&rounds->thread, NULL, hold_mmap_lock,
				    rounds));
}

FIXTURE_TEARDOWN(uncharge)
{
	struct rounds *rounds = &self->rounds;

	__atomic_store_n(&rounds->stop, true, __ATOMIC_RELEASE);
	pthread_join(rounds->thread, NULL);
	container_close(&rounds->container);
}

static void set_contention(struct rounds *self, bool on)
{
	unsigned long turns = __atomic_load_n(&self->turns, __ATOMIC_ACQUIRE);

	__atomic_store_n(&self->contend, on, __ATOMIC_RELEASE);
	while (on && __atomic_load_n(&self->turns, __ATOMIC_ACQUIRE) == turns)
		sched_yield();
}

static void close_when_told(int socket, void *arg)
{
	struct rounds *self = arg;

	say(socket, 0);
	hear(socket);
	__atomic_store_n(self->progress, CLOSES, __ATOMIC_RELEASE);
	container_close(&self->container);
	__atomic_store_n(self->progress, HAS_CLOSED, __ATOMIC_RELEASE);
	hear(socket);
}

static void spin(long microseconds)
{
	u64 end = nanoseconds() + microseconds * 1000;

	while (nanoseconds() < end)
		;
}

/* 1 if the child was killed at that moment, 0 if it came further; or an error. */
static int one_round(struct rounds *self, enum charged what,
		     enum moment when)
{
	u64 size = PAGES * PAGE;
	struct peer peer;
	int ret;

	ret = container_open(&self->container, 0);
	if (!ret)
		ret = what == MAPPED ?
		      map_dma(self->container.fd, self->memory, IOVA, size) :
		      register_memory(self->container.fd, 0, self->memory, size);
	if (ret)
		return ret;
	*self->progress = HAS_COPIES;
	ret = peer_start(&peer, close_when_told, self);
	container_close(&self->container);
	if (ret)
		return ret;
	hear(peer.socket);
	set_contention(self, true);
	if (when == IN_CLOSE) {
		say(peer.socket, 0);
		while (__atomic_load_n(self->progress, __ATOMIC_ACQUIRE) ==
		       HAS_COPIES)
			sched_yield();
		spin(next_random(&self->sequence, LATEST(what)));
	}
	peer_kill(&peer);
	set_contention(self, false);
	return *self->progress == (when == IN_CLOSE ? CLOSES : HAS_COPIES);
}

struct result {
	long lost;	/* rounds after which the process was charged for more */
	long hits;	/* rounds in which the child was killed at that moment */
	long kilobytes;
	long acquired;
	long released;
};

static long pins(const char *which)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
	return number_in("/proc/vmstat", which);
}

static int many_rounds(struct rounds *self, enum charged what,
		       enum moment when, long rounds, struct result *result)
{
	long acquired = pins("nr_foll_pin_acquired");
	long released = pins("nr_foll_pin_released");
	long first = vm_locked(), locked = first;

	*result = (struct result) { 0 };
	for (long round = 0; round < rounds; round++) {
		int ret = one_round(self, what, when);
		long now = vm_locked();

		if (ret < 0)
			return ret;
		result->hits += ret;
		result->lost += now != locked;
		locked = now;
	}
	result->kilobytes = (locked - first) / 1024;
	result->acquired = pins("nr_foll_pin_acquired") - acquired;
	result->released = pins("nr_foll_pin_released") - released;
	printf("# note: %s, %ld rounds, %s in %ld: %ld lost, VmLck %+ld kB, pins %+ld %+ld\n",
	       what == MAPPED ? "mapped" : "registered", rounds,
	       when == ASLEEP ? "killed asleep" : "killed in the close",
	       result->hits, result->lost, result->kilobytes, result->acquired,
	       -result->released);
	return 0;
}

TEST_F_TIMEOUT(uncharge, what_is_registered_is_always_uncharged, PATIENCE)
{
	struct before before;
	struct result result;

	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	before = look_before();
	for (enum moment when = ASLEEP; when <= IN_CLOSE; when++) {
		long rounds = when == ASLEEP ? self->rounds.count / 10 :
						self->rounds.count;

		ASSERT_EQ(0, many_rounds(&self->rounds, REGISTERED, when,
					 rounds, &result));
		EXPECT_EQ(0, result.lost);
		EXPECT_EQ(0, result.kilobytes);
		EXPECT_EQ(PAGES * rounds, result.acquired);
		EXPECT_EQ(PAGES * rounds, result.released);
		EXPECT_LT(0, result.hits);
		EXPECT_TRUE(holds(&before, 0, 0));
	}
}

/* Only counts what is lost: that is the kernel's, and it may be mended. */
static int count_what_is_lost(struct rounds *self, enum type1 type1)
{
	struct result result;
	long rounds = self->count < 500 ? self->count : 500;
	int ret = use_type1(type1);

	if (!ret)
		ret = many_rounds(self, MAPPED, ASLEEP, rounds, &result);
	if (!ret)
		ret = many_rounds(self, MAPPED, IN_CLOSE, rounds, &result);
	return ret;
}

TEST_F_TIMEOUT(uncharge, what_the_kernels_own_type1_loses, PATIENCE)
{
	ASSERT_EQ(0, count_what_is_lost(&self->rounds, TYPE1_STOCK));
}

TEST_F_TIMEOUT(uncharge, what_the_shim_inherits, PATIENCE)
{
	ASSERT_EQ(0, count_what_is_lost(&self->rounds, TYPE1_SHIM));
}

TEST_HARNESS_MAIN
