// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process spaces on a device that asks for pages: what it is given, and what it
 * is not, and what comes of many requests while the process changes its memory.
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pasid_device.h"

/* What the driver of VT-d has room for, less one (PRQ_DEPTH). */
#define QUEUE	2047

FIXTURE(sva_pri) {
	struct container container;
	struct pasid_device device;
	u32 group;
	int fd;
	long pasid;
};

FIXTURE_SETUP(sva_pri)
{
	self->pasid = process_start(&self->container, &self->device, 20, true);
	ASSERT_LT(0, self->pasid);
	self->fd = self->container.fd;
	self->group = group_number(device_index(20, 0));
}

FIXTURE_TEARDOWN(sva_pri)
{
	container_stop(&self->container, &self->device);
}

#define TOUCH(address) \
	device_touch(&self->device, self->pasid, (uintptr_t)(address))
#define PEEK(address) \
	device_peek(&self->device, self->pasid, (uintptr_t)(address))

static const u64 in_rodata[8] = { 1 };

TEST_F(sva_pri, a_page_never_touched_is_brought_in)
{
	long before = device_page_requests(&self->device);
	u64 *page = new_pages(2), value = 0x1234;

	ASSERT_NE(NULL, page);
	EXPECT_EQ(DMA_DONE, PEEK(page));
	EXPECT_EQ(before + 1, device_page_requests(&self->device));
	device_set_data(&self->device, &value, sizeof(value));
	EXPECT_EQ(DMA_DONE, TOUCH(page + PAGE / 8));
	EXPECT_EQ(before + 2, device_page_requests(&self->device));
	EXPECT_EQ(value, page[PAGE / 8]);
	/* It is there by now. */
	EXPECT_EQ(DMA_DONE, TOUCH(page + PAGE / 8));
	EXPECT_EQ(before + 2, device_page_requests(&self->device));
}

TEST_F(sva_pri, what_the_process_may_not_the_device_may_not)
{
	long before = device_page_requests(&self->device);
	u64 *none = new_pages(2);

	ASSERT_NE(NULL, none);
	/* Not there, and nothing is brought in. */
	ASSERT_EQ(0, mprotect(none, PAGE, PROT_NONE));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(none));
	ASSERT_EQ(0, munmap(none, PAGE));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(none));
	EXPECT_EQ(DMA_DONE, PEEK(in_rodata) | in_rodata[1]);
	EXPECT_EQ(NO_WRITE, TOUCH(in_rodata));
	EXPECT_EQ(SUPERVISOR, PEEK(0xffffffff81000000));
	EXPECT_LE(before + 4, device_page_requests(&self->device));
}

static long wait_in_child(void *arg)
{
	return __atomic_load_n((u64 *)arg, __ATOMIC_SEQ_CST) == 1 ? 0 : -EIO;
}

/* As when the process writes: the child keeps what was there. */
TEST_F(sva_pri, a_page_that_is_shared_with_a_child_is_copied)
{
	u64 *page = new_pages(1), value = 2;
	int status;
	pid_t child;
	int hold[2];

	page[0] = 1;
	ASSERT_EQ(0, pipe(hold));
	child = fork();
	if (!child) {
		char byte;

		close(hold[1]);
		_exit(read(hold[0], &byte, 1) || wait_in_child(page));
	}
	device_set_data(&self->device, &value, sizeof(value));
	EXPECT_EQ(DMA_DONE, TOUCH(page));
	EXPECT_EQ(2, page[0]);
	close(hold[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	close(hold[0]);
}

static bool stop;

static void *map_and_unmap(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *memory = new_pages(16);

		memory[0] = 1;
		memory[7 * PAGE] = 1;
		munmap(memory, 16 * PAGE);
		usleep(500);
	}
	return arg;
}

static void *fork_and_wait(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
		usleep(2000);
	}
	return arg;
}

static long requests_wanted(void)
{
	return getenv("VFIO_PASID_LONG") ? 10000 : 500;
}

/* Pages of a file that the process lets go of again and again. */
TEST_F_TIMEOUT(sva_pri, many_requests_while_the_process_changes_its_memory, 600)
{
	long before = device_page_requests(&self->device), wanted;
	int file = memfd_create("pages", MFD_CLOEXEC);
	const int pages = 100;
	pthread_t threads[2];
	u64 *memory, *filler;

	ASSERT_EQ(0, ftruncate(file, pages * PAGE));
	filler = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      file, 0);
	ASSERT_NE(MAP_FAILED, filler);
	for (long i = 0; i < pages; i++)
		filler[i * PAGE / 8] = 1000 + i;
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		      file, 0);
	ASSERT_NE(MAP_FAILED, memory);
	/* Else the pages around one come with it. */
	ASSERT_EQ(0, madvise(memory, pages * PAGE, MADV_RANDOM));

	stop = false;
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, map_and_unmap, NULL));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, fork_and_wait, NULL));
	wanted = before + requests_wanted();
	for (long i = 0; device_page_requests(&self->device) < wanted; i++) {
		u64 *page = memory + i % pages * PAGE / 8, seen = 0, new;

		ASSERT_EQ(DMA_DONE, PEEK(page)) TH_LOG("page %ld", i);
		device_get_data(&self->device, &seen, sizeof(seen));
		ASSERT_EQ(1000 + i % pages, seen);
		new = ~i;
		device_set_data(&self->device, &new, sizeof(new));
		ASSERT_EQ(DMA_DONE, TOUCH(page));
		ASSERT_EQ(new, page[0]);
		/* Then the file's page is seen again. */
		ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close(file);
}

/* Nobody waits for ever, and when there is room again all goes on. */
TEST_F(sva_pri, a_queue_that_is_full)
{
	u64 *memory = new_pages(3);
	struct outcome outcome;
	int i;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, device_dma(&self->device, FILL_QUEUE, self->pasid,
				(uintptr_t)memory, 8, &outcome));
	ASSERT_EQ(DMA_DONE, outcome.status);
	ASSERT_EQ(QUEUE, outcome.transferred);
	/* Its interrupt comes with the first one that found no room. */
	EXPECT_EQ(QUEUE_FULL, PEEK(memory + PAGE / 8));
	for (i = 0; i < 200 && PEEK(memory + 2 * PAGE / 8) == QUEUE_FULL; i++)
		usleep(10 * 1000);
	EXPECT_GT(200, i);
	EXPECT_EQ(DMA_DONE, PEEK(memory + 2 * PAGE / 8));
	/* Those that were in the queue were served. */
	EXPECT_EQ(DMA_DONE, PEEK(memory));
}

TEST_F(sva_pri, EOPNOTSUPP_unless_root_allows_page_requests)
{
	struct vfio_iommu_pasid_info info = { .argsz = sizeof(info) };

	container_stop(&self->container, &self->device);
	ASSERT_EQ(0, use_processes(&PROCESS_LIMITS(false)));
	ASSERT_EQ(0, container_open_device(&self->container,
					   device_index(20, 0)));
	EXPECT_EQ(-EOPNOTSUPP, aux_create_process(self->container.fd));
	ASSERT_EQ(0, pasid_info(self->container.fd, self->group, &info));
	EXPECT_EQ(VFIO_PASID_CAP_PRI | VFIO_PASID_CAP_ATS |
		  VFIO_PASID_CAP_SVA_IOMMU,
		  info.caps & ~(VFIO_PASID_CAP_EXEC | VFIO_PASID_CAP_PRIV));
	container_close(&self->container);
	/* One that does not ask for pages can have it. */
	ASSERT_EQ(0, container_open_device(&self->container,
					   device_index(8, 0)));
	EXPECT_LT(0, aux_create_process(self->container.fd));
}

TEST_HARNESS_MAIN
