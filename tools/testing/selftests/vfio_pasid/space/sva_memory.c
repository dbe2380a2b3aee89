// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel does with the memory of a process while a device uses it: pages
 * move, become a large one or one with others, are swapped out. The device keeps
 * translations until it is told that they are invalid, so what the kernel forgets
 * to tell is seen here.
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>

#include "pasid_device.h"

/* <asm-generic/mman-common.h>; the C library has it not on x86. */
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define LARGE	(2ul << 20)
#define KSM	"/sys/kernel/mm/ksm/"

FIXTURE(sva_memory) {
	struct container container;
	struct pasid_device device;
	long pasid;
	char *memory;
};

/* A large page's worth of memory, at its place, in small pages. */
static char *small_pages(void)
{
	char *memory = mmap(NULL, 2 * LARGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	memory += -(uintptr_t)memory & (LARGE - 1);
	if (madvise(memory, LARGE, MADV_NOHUGEPAGE))
		return NULL;
	for (size_t at = 0; at < LARGE; at += PAGE)
		*(u64 *)(memory + at) = at;
	return memory;
}

FIXTURE_SETUP(sva_memory)
{
	self->pasid = process_start(&self->container, &self->device, 20, false);
	ASSERT_LT(0, self->pasid);
	self->memory = small_pages();
	ASSERT_NE(NULL, self->memory);
}

FIXTURE_TEARDOWN(sva_memory)
{
	container_stop(&self->container, &self->device);
	swapoff("/dev/zram0");
	write_file(KSM "run", "2");
}

#define REACHES(address) device_shares(&self->device, self->pasid, address)
#define PEEK(address) \
	device_peek(&self->device, self->pasid, (uintptr_t)(address))

static u64 at(const char *memory)
{
	return __atomic_load_n((const u64 *)memory, __ATOMIC_SEQ_CST);
}

static void put(char *memory, u64 value)
{
	__atomic_store_n((u64 *)memory, value, __ATOMIC_SEQ_CST);
}

/* Whether the device reads what the process has written. */
static bool reads(struct pasid_device *device, u32 pasid, char *memory)
{
	u64 seen = ~at(memory);

	if (device_peek(device, pasid, (uintptr_t)memory) != DMA_DONE)
		return false;
	device_get_data(device, &seen, sizeof(seen));
	return seen == at(memory);
}

#define READS(address) reads(&self->device, self->pasid, address)

/* Else what follows shows nothing. */
TEST_F(sva_memory, the_device_keeps_translations)
{
	struct outcome outcome;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, device_dma(&self->device, DMA_READ, self->pasid,
					(uintptr_t)self->memory, 8, &outcome));
		EXPECT_EQ(DMA_DONE, outcome.status);
		EXPECT_EQ(i == 1, outcome.kept);
	}
	ASSERT_EQ(0, munmap(self->memory, PAGE));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(self->memory));
}

/* As if the memory that it is in was about to fail. */
static bool page_moves(char *page)
{
	u64 frame = page_frame(page);

	return !madvise(page, PAGE, MADV_SOFT_OFFLINE) &&
	       page_frame(page) != frame;
}

/* The kernel may be busy with a page, and then refuses. */
static bool in_the_end(bool (*act)(char *memory), char *memory)
{
	for (int i = 0; i < 50; i++) {
		if (act(memory))
			return true;
		usleep(20 * 1000);
	}
	return false;
}

TEST_F(sva_memory, a_page_that_moves)
{
	ASSERT_TRUE(REACHES(self->memory));
	ASSERT_TRUE(in_the_end(page_moves, self->memory));
	EXPECT_TRUE(READS(self->memory));
	EXPECT_TRUE(REACHES(self->memory));
}

static bool becomes_large(char *memory)
{
	u64 frame = page_frame(memory);

	return !madvise(memory, LARGE, MADV_HUGEPAGE) &&
	       !madvise(memory, LARGE, MADV_COLLAPSE) &&
	       page_frame(memory) != frame;
}

TEST_F(sva_memory, pages_that_become_a_large_one_and_are_split)
{
	char *last = self->memory + LARGE - PAGE;
	struct outcome outcome;

	ASSERT_TRUE(REACHES(self->memory));
	ASSERT_TRUE(REACHES(last));
	ASSERT_TRUE(in_the_end(becomes_large, self->memory));
	EXPECT_TRUE(READS(self->memory));
	EXPECT_TRUE(READS(last));
	ASSERT_EQ(0, device_dma(&self->device, DMA_WRITE, self->pasid,
				(uintptr_t)self->memory, 8, &outcome));
	EXPECT_EQ(DMA_DONE, outcome.status);
	EXPECT_EQ(21, outcome.page_size_log2);

	ASSERT_TRUE(REACHES(self->memory));
	ASSERT_TRUE(REACHES(last));
	ASSERT_EQ(0, madvise(last, PAGE, MADV_DONTNEED));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(last));
	EXPECT_TRUE(READS(self->memory));
	put(last, 1);
	EXPECT_TRUE(REACHES(last));
	EXPECT_TRUE(REACHES(self->memory));
}

static int merge_pages(void)
{
	return write_file(KSM "sleep_millisecs", "0") ?:
	       write_file(KSM "pages_to_scan", "2000") ?:
	       write_file(KSM "use_zero_pages", "0") ?:
	       write_file(KSM "run", "1");
}

/* Whether they become one page; while they are looked at, nobody writes. */
static bool pages_merge(const char *first, const char *second)
{
	for (int i = 0; i < 3000; i++) {
		if (page_frame(first) == page_frame(second))
			return true;
		usleep(10 * 1000);
	}
	return false;
}

TEST_F(sva_memory, pages_that_become_one_with_others)
{
	char *first = self->memory, *second = self->memory + PAGE;
	u64 value = 0x600d;

	memset(first, 5, 2 * PAGE);
	ASSERT_TRUE(REACHES(first));
	ASSERT_TRUE(REACHES(second));
	memset(first, 5, 2 * PAGE);
	ASSERT_EQ(0, merge_pages());
	ASSERT_EQ(0, madvise(first, 2 * PAGE, MADV_MERGEABLE));
	ASSERT_TRUE(pages_merge(first, second));
	EXPECT_TRUE(READS(first));
	EXPECT_TRUE(READS(second));
	/* Whoever wrote would write to both. */
	device_set_data(&self->device, &value, sizeof(value));
	EXPECT_EQ(NO_WRITE, device_touch(&self->device, self->pasid,
					 (uintptr_t)first));
	EXPECT_EQ(0x0505050505050505, at(second));
	put(first, 1);
	EXPECT_TRUE(REACHES(first));
	EXPECT_TRUE(READS(second));
	EXPECT_EQ(0x0505050505050505, at(second));
}

static int start_swapping(void)
{
	if (access("/dev/zram0", F_OK) && system("modprobe zram"))
		return -ENODEV;
	/* Without a size it has no content. */
	if (write_file("/sys/block/zram0/reset", "1") ||
	    write_file("/sys/block/zram0/disksize", "64M") ||
	    system("mkswap /dev/zram0 >/dev/null"))
		return -EIO;
	return swapon("/dev/zram0", 0) ? -errno : 0;
}

static bool is_swapped_out(const char *page)
{
	unsigned char there = 1;

	/* In the swap cache it is there. */
	return !mincore((void *)page, PAGE, &there) && !there;
}

static bool page_goes(char *page)
{
	return !madvise(page, PAGE, MADV_PAGEOUT) && is_swapped_out(page);
}

TEST_F(sva_memory, a_page_that_is_swapped_out)
{
	u64 value;

	ASSERT_EQ(0, start_swapping());
	ASSERT_TRUE(REACHES(self->memory));
	value = at(self->memory);
	ASSERT_TRUE(in_the_end(page_goes, self->memory));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(self->memory));
	EXPECT_EQ(value, at(self->memory));
	EXPECT_TRUE(READS(self->memory));
	put(self->memory, 1);
	EXPECT_TRUE(REACHES(self->memory));
}

/* The same again and again, while the device goes on. */

#define USED	8	/* pages */
#define ROUNDS	15

struct change {
	char *memory;
	bool (*once)(char *memory, int round);
	int pause;	/* microseconds in which nobody writes */
	int done;	/* how often something changed */
	bool stop;
};

static void *keep_changing(void *arg)
{
	struct change *change = arg;

	for (int i = 0; !__atomic_load_n(&change->stop, __ATOMIC_RELAXED); i++)
		if (change->once(change->memory, i))
			__atomic_fetch_add(&change->done, 1, __ATOMIC_RELAXED);
	return NULL;
}

/*
 * What the device reads is what the process has written last, and what it writes
 * is there; or it faults. Returns how much got through.
 */
static int exchange(struct pasid_device *device, u32 pasid, char *page, u64 value)
{
	u64 seen = 0, sent = ~value;
	long status;
	int through = 0;

	put(page, value);
	status = device_peek(device, pasid, (uintptr_t)page);
	if (status == DMA_DONE) {
		device_get_data(device, &seen, sizeof(seen));
		if (!is_value("what the device read", seen, value))
			return -EIO;
		through++;
	} else if (status != NO_PAGE_FIRST_STAGE) {
		return -EPROTO;
	}
	put(page + 8, value);
	device_set_data(device, &sent, sizeof(sent));
	status = device_touch(device, pasid, (uintptr_t)page + 8);
	if (status != DMA_DONE && status != NO_PAGE_FIRST_STAGE &&
	    status != NO_WRITE)
		return -EPROTO;
	/*
	 * A write that an invalidation met is done again, and that may fault:
	 * then either value is there.
	 */
	if (status != DMA_DONE && at(page + 8) == sent)
		return through;
	if (!is_value("what the device wrote", at(page + 8),
		      status == DMA_DONE ? sent : value))
		return -EIO;
	return through + (status == DMA_DONE);
}

/* On a busy machine, until something has changed. */
static bool goes_on(struct change *change, int i)
{
	return i < ROUNDS * USED ||
	       (i < 20 * ROUNDS * USED &&
		!__atomic_load_n(&change->done, __ATOMIC_RELAXED));
}

/* Something got through each way, and something changed. */
static int exchange_under_way(struct pasid_device *device, u32 pasid,
			      struct change *change)
{
	pthread_t thread;
	int ret = 0, through = 0, i = 0;

	if (pthread_create(&thread, NULL, keep_changing, change))
		return -EAGAIN;
	for (; ret >= 0 && goes_on(change, i); i++) {
		ret = exchange(device, pasid, change->memory + i % USED * PAGE,
			       0x1000 + i / USED);
		through += ret;
		if (i % USED == USED - 1)
			usleep(change->pause);
	}
	__atomic_store_n(&change->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# note: %d of %d accesses got through, %d changes\n", through,
	       2 * i, change->done);
	return ret < 0 ? ret : through && change->done ? 0 : -ENODATA;
}

static bool one_moves(char *memory, int round)
{
	/* Each move takes a page from the machine, and a line of its log. */
	usleep(5000);
	return page_moves(memory + round % USED * PAGE);
}

TEST_F(sva_memory, pages_move_under_way)
{
	struct change change = { .memory = self->memory, .once = one_moves };

	EXPECT_EQ(0, exchange_under_way(&self->device, self->pasid, &change));
}

static bool become_large_and_split(char *memory, int round)
{
	char *last = memory + LARGE - PAGE;

	put(last, round);
	return becomes_large(memory) && !madvise(last, PAGE, MADV_DONTNEED);
}

TEST_F(sva_memory, pages_become_a_large_one_and_are_split_under_way)
{
	struct change change = {
		.memory = self->memory, .once = become_large_and_split,
	};

	EXPECT_EQ(0, exchange_under_way(&self->device, self->pasid, &change));
}

static bool some_are_one(char *memory, int round)
{
	usleep(1000);
	memory += round % (USED - 1) * PAGE;
	return page_frame(memory) == page_frame(memory + PAGE);
}

TEST_F(sva_memory, pages_become_one_under_way)
{
	struct change change = {
		.memory = self->memory, .once = some_are_one,
		.pause = 100 * 1000,
	};

	memset(self->memory, 5, USED * PAGE);
	ASSERT_EQ(0, merge_pages());
	ASSERT_EQ(0, madvise(self->memory, USED * PAGE, MADV_MERGEABLE));
	EXPECT_EQ(0, exchange_under_way(&self->device, self->pasid, &change));
}

static bool some_go(char *memory, int round)
{
	usleep(1000);
	madvise(memory, USED * PAGE, MADV_PAGEOUT);
	return is_swapped_out(memory + round % USED * PAGE);
}

TEST_F(sva_memory, pages_are_swapped_out_under_way)
{
	struct change change = { .memory = self->memory, .once = some_go };

	ASSERT_EQ(0, start_swapping());
	EXPECT_EQ(0, exchange_under_way(&self->device, self->pasid, &change));
}

TEST_HARNESS_MAIN
