// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory of every kind but files, which are in memory_file.c.
 */
#include <kselftest_harness.h>

#include <linux/kernel-page-flags.h>
#include <sys/mman.h>

#include "vfio_pasid_utils.h"

#define READ_ONLY	VFIO_MEMORY_READ_ONLY
#define MB		(1024 * 1024)

enum kind {
	ANONYMOUS,
	TOUCHED,
	HUGE_TRANSPARENT,
	HUGE_2M,
	HUGE_1G,
	SHARED,
	MEMFD,
	MEMFD_HUGE,
	MEMFD_PRIVATE,
};

static void *make_memory(enum kind kind, size_t *size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	char *memory;

	*size = 4 * MB;
	switch (kind) {
	case HUGE_2M:
		flags |= MAP_HUGETLB;
		break;
	case HUGE_1G:
		flags |= MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
		*size = 1024 * MB;
		break;
	case SHARED:
		flags = MAP_SHARED | MAP_ANONYMOUS;
		break;
	case MEMFD:
	case MEMFD_HUGE:
	case MEMFD_PRIVATE:
		flags = kind == MEMFD_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
		fd = memfd_create("memory", kind == MEMFD_HUGE ? MFD_HUGETLB :
				  0);
		if (fd < 0 || ftruncate(fd, *size))
			return MAP_FAILED;
		break;
	default:
		break;
	}
	/* Room to begin at a large page. */
	if (kind == HUGE_TRANSPARENT) {
		memory = mmap(NULL, *size + 2 * MB, PROT_READ | PROT_WRITE,
			      flags, -1, 0);
		memory += -(uintptr_t)memory & (2 * MB - 1);
		madvise(memory, *size, MADV_HUGEPAGE);
	} else {
		memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, flags, fd, 0);
	}
	if (fd >= 0)
		close(fd);
	if (memory != MAP_FAILED && (kind == TOUCHED ||
				     kind == HUGE_TRANSPARENT))
		memset(memory, 0x5a, *size);
	return memory;
}

FIXTURE(memory_kinds) {
	struct before before;
	struct container container;
	void *memory;
	size_t size;
	int fd;
};

FIXTURE_VARIANT(memory_kinds) {
	enum kind kind;
	u64 flag;	/* that its pages have */
};

FIXTURE_VARIANT_ADD(memory_kinds, anonymous) {
	.kind = ANONYMOUS,
	.flag = KPF_ANON,
};

FIXTURE_VARIANT_ADD(memory_kinds, touched) {
	.kind = TOUCHED,
	.flag = KPF_ANON,
};

FIXTURE_VARIANT_ADD(memory_kinds, huge_transparent) {
	.kind = HUGE_TRANSPARENT,
	.flag = KPF_THP,
};

FIXTURE_VARIANT_ADD(memory_kinds, huge_2M) {
	.kind = HUGE_2M,
	.flag = KPF_HUGE,
};

FIXTURE_VARIANT_ADD(memory_kinds, huge_1G) {
	.kind = HUGE_1G,
	.flag = KPF_HUGE,
};

FIXTURE_VARIANT_ADD(memory_kinds, shared) {
	.kind = SHARED,
	.flag = KPF_SWAPBACKED,
};

FIXTURE_VARIANT_ADD(memory_kinds, memfd) {
	.kind = MEMFD,
	.flag = KPF_SWAPBACKED,
};

FIXTURE_VARIANT_ADD(memory_kinds, memfd_huge) {
	.kind = MEMFD_HUGE,
	.flag = KPF_HUGE,
};

FIXTURE_VARIANT_ADD(memory_kinds, memfd_private) {
	.kind = MEMFD_PRIVATE,
	.flag = KPF_ANON,
};

FIXTURE_SETUP(memory_kinds)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	self->memory = make_memory(variant->kind, &self->size);
	ASSERT_NE(MAP_FAILED, self->memory);
}

FIXTURE_TEARDOWN(memory_kinds)
{
	container_close(&self->container);
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

TEST_F(memory_kinds, can_be_registered)
{
	long pages = self->size / PAGE;

	for (u32 flags = 0; flags <= READ_ONLY; flags++) {
		ASSERT_EQ(0, register_memory(self->fd, flags, self->memory,
					     self->size));
		ASSERT_TRUE(holds(&self->before, 1, pages));
		ASSERT_TRUE(page_flags(self->memory) & 1ull << variant->flag);
		ASSERT_EQ(0, unregister_memory(self->fd, self->memory,
					       self->size));
		ASSERT_TRUE(holds(&self->before, 0, 0));
	}
}

/* A part, not at its start, that need not be whole large pages. */
TEST_F(memory_kinds, can_be_registered_in_part)
{
	char *part = (char *)self->memory + 3 * PAGE;

	ASSERT_EQ(0, register_memory(self->fd, 0, part, 1021 * PAGE));
	ASSERT_TRUE(holds(&self->before, 1, 1021));
	ASSERT_EQ(0, register_memory(self->fd, READ_ONLY, part - PAGE, PAGE));
	ASSERT_TRUE(holds(&self->before, 2, 1022));
	ASSERT_EQ(0, unregister_memory(self->fd, part, 1021 * PAGE));
	ASSERT_TRUE(holds(&self->before, 1, 1));
}

/* What is pinned is what the process goes on to use, copy on write or not. */
TEST_F(memory_kinds, the_pages_stay_those_of_the_process)
{
	for (u32 flags = READ_ONLY; flags + 1; flags--) {
		u64 frame;

		ASSERT_EQ(0, register_memory(self->fd, flags, self->memory,
					     4 * MB));
		frame = page_frame(self->memory);
		ASSERT_NE(0, frame);
		memset(self->memory, 1, PAGE);
		ASSERT_EQ(frame, page_frame(self->memory));
		ASSERT_EQ(0, unregister_memory(self->fd, self->memory, 4 * MB));
	}
}

TEST_HARNESS_MAIN
