// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel keeps for registered memory. Not in the debug kernel, which
 * keeps freed memory for a while.
 */
#include <kselftest_harness.h>

#include <sys/mman.h>

#include "vfio_pasid_utils.h"

#define HUGE_SIZE	(2ul * 1024 * 1024)

FIXTURE(memory_cost) {
	struct container container;
	int fd;
};

FIXTURE_SETUP(memory_cost)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
}

FIXTURE_TEARDOWN(memory_cost)
{
	container_close(&self->container);
}

/* What the kernel has allocated for itself, in bytes. */
static long kernel_memory(void)
{
	if (write_file("/proc/sys/vm/stat_refresh", "1"))
		return -1;
	return 1024 * (number_in("/proc/meminfo", "SUnreclaim") +
		       number_in("/proc/meminfo", "VmallocUsed"));
}

/* Registers @ranges of @size bytes from @start on: bytes for each, or -errno. */
static long cost_of(int container, char *start, size_t size, int ranges)
{
	long before, after, ret;

	/* Whatever comes only once. */
	ret = register_memory(container, 0, start, size);
	if (ret)
		return ret;
	/* What is freed late must not be freed meanwhile. */
	ret = free_caches();
	if (ret)
		return ret;
	before = kernel_memory();
	for (int i = 1; i < ranges; i++) {
		ret = register_memory(container, 0, start + i * size, size);
		if (ret)
			return ret;
	}
	after = kernel_memory();
	return (after - before) / (ranges - 1);
}

/*
 * The range itself, who holds it, its place in the trees of container and
 * process, and one run of pages. So many that what others left free is nothing.
 */
TEST_F(memory_cost, of_a_huge_page_is_small)
{
	const int ranges = 4096;
	int fd = memfd_create("huge", MFD_HUGETLB);
	char *start, *here;
	long cost;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, HUGE_SIZE));
	start = mmap(NULL, (ranges + 1) * HUGE_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, start);
	start += -(uintptr_t)start & (HUGE_SIZE - 1);
	for (int i = 0; i < ranges; i++) {
		here = start + i * HUGE_SIZE;
		ASSERT_EQ(here, mmap(here, HUGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, fd, 0));
		*here = 1;
	}
	cost = cost_of(self->fd, start, HUGE_SIZE, ranges);
	TH_LOG("%ld bytes for each", cost);
	/* Less than it is, as others free something meanwhile: that it was measured. */
	ASSERT_LT(64, cost);
	ASSERT_GT(640, cost);
	close(fd);
}

/* No two pages in a row, so each is a run: 16 bytes, and an end of a page. */
TEST_F(memory_cost, of_scattered_memory_is_16_bytes_a_page)
{
	const int ranges = 32, pages = 1100;
	const size_t size = pages * PAGE;
	int fd = memfd_create("scattered", 0);
	char *start, *here;
	long cost;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	start = mmap(NULL, ranges * size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, start);
	/* The same page again does not follow itself. */
	for (int i = 0; i < ranges * pages; i++) {
		here = start + (size_t)i * PAGE;
		ASSERT_EQ(here, mmap(here, PAGE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, fd, 0));
	}
	cost = cost_of(self->fd, start, size, ranges);
	TH_LOG("%ld bytes for each", cost);
	ASSERT_LE(16 * pages, cost);
	ASSERT_GT(16 * pages + PAGE + 1024, cost);
	close(fd);
}

TEST_HARNESS_MAIN
