// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_PASID_REQUEST: which numbers are given, which are taken back, and
 * every error of its table.
 */
#include <kselftest_harness.h>

#include "conventions.h"

FIXTURE(pasid) {
	struct container container;
	int fd;
};

FIXTURE_SETUP(pasid)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	ASSERT_EQ(0, pasid_used(self->fd));
}

FIXTURE_TEARDOWN(pasid)
{
	container_close(&self->container);
}

/* Ranges at the ends of what there is. */

TEST_F(pasid, alloc_never_gives_0)
{
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, 0));
	ASSERT_EQ(1, pasid_alloc(self->fd, 0, 1));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, 1));
	ASSERT_EQ(1, pasid_used(self->fd));
}

TEST_F(pasid, alloc_min_equal_to_max_gives_that_number_once)
{
	ASSERT_EQ(1, pasid_alloc(self->fd, 1, 1));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1, 1));
	ASSERT_EQ(0x12345, pasid_alloc(self->fd, 0x12345, 0x12345));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0x12345, 0x12345));
	ASSERT_EQ(PASID_LAST, pasid_alloc(self->fd, PASID_LAST, PASID_LAST));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, PASID_LAST, PASID_LAST));
	ASSERT_EQ(3, pasid_used(self->fd));
}

TEST_F(pasid, alloc_range_is_narrowed_to_20_bits)
{
	ASSERT_EQ(PASID_LAST, pasid_alloc(self->fd, PASID_LAST, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, PASID_LAST, UINT32_MAX));
	ASSERT_EQ(PASID_LAST - 1, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(PASID_LAST - 2, pasid_alloc(self->fd, 0, PASID_LAST + 1));
	ASSERT_EQ(3, pasid_used(self->fd));
}

TEST_F(pasid, alloc_beyond_20_bits_is_ENOSPC)
{
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, PASID_LAST + 1, PASID_LAST + 1));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, PASID_LAST + 1, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, UINT32_MAX, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(pasid, min_above_max_is_EINVAL)
{
	ASSERT_EQ(-EINVAL, pasid_alloc(self->fd, 1, 0));
	ASSERT_EQ(-EINVAL, pasid_alloc(self->fd, 5, 4));
	ASSERT_EQ(-EINVAL, pasid_alloc(self->fd, UINT32_MAX, 0));
	ASSERT_EQ(-EINVAL, pasid_free(self->fd, 1, 0));
	ASSERT_EQ(-EINVAL, pasid_free(self->fd, UINT32_MAX, PASID_LAST));
	ASSERT_EQ(0, pasid_used(self->fd));
}

/* Which number. */

TEST_F(pasid, alloc_takes_the_highest_free_number_of_the_range)
{
	for (u32 expected = 300; expected >= 100; expected--)
		ASSERT_EQ(expected, pasid_alloc(self->fd, 100, 300));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 100, 300));
	ASSERT_EQ(99, pasid_alloc(self->fd, 99, 300));
	ASSERT_EQ(301, pasid_alloc(self->fd, 100, 301));

	ASSERT_EQ(0, pasid_free(self->fd, 150, 150));
	ASSERT_EQ(0, pasid_free(self->fd, 120, 120));
	ASSERT_EQ(150, pasid_alloc(self->fd, 100, 300));
	ASSERT_EQ(120, pasid_alloc(self->fd, 100, 300));
	ASSERT_EQ(203, pasid_used(self->fd));
}

/* A set may keep 64 numbers a word: whole words, parts, and their borders. */
TEST_F(pasid, free_of_a_middle_part_frees_exactly_that)
{
	static const struct {
		u32 first, last;
	} parts[] = {
		{ 639, 640 }, { 640, 703 }, { 640, 640 }, { 703, 703 },
		{ 641, 702 }, { 600, 800 }, { 576, 831 }, { 703, 704 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		u32 first = parts[i].first, last = parts[i].last;

		while (pasid_alloc(self->fd, 576, 831) > 0)
			;
		ASSERT_EQ(256, pasid_used(self->fd));
		ASSERT_EQ(0, pasid_free(self->fd, first, last));
		ASSERT_EQ(256 - (last - first + 1), pasid_used(self->fd));
		if (first > 576)
			ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 576, first - 1));
		if (last < 831)
			ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, last + 1, 831));
		for (u32 pasid = last; pasid >= first; pasid--)
			ASSERT_EQ(pasid, pasid_alloc(self->fd, 576, 831));
		ASSERT_EQ(256, pasid_used(self->fd));
	}
}

TEST_F(pasid, free_skips_holes)
{
	for (u32 pasid = 1000; pasid < 1300; pasid += 10)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	ASSERT_EQ(0, pasid_free(self->fd, 1001, 1009));
	ASSERT_EQ(30, pasid_used(self->fd));
	ASSERT_EQ(0, pasid_free(self->fd, 995, 1205));
	ASSERT_EQ(9, pasid_used(self->fd));
	ASSERT_EQ(1205, pasid_alloc(self->fd, 995, 1205));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1290, 1290));
}

TEST_F(pasid, free_of_nothing_succeeds)
{
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_free(self->fd, 0, 0));
	ASSERT_EQ(0, pasid_free(self->fd, 7, 7));
	ASSERT_EQ(0, pasid_free(self->fd, UINT32_MAX, UINT32_MAX));

	ASSERT_EQ(7, pasid_alloc(self->fd, 7, 7));
	ASSERT_EQ(0, pasid_free(self->fd, 7, 7));
	ASSERT_EQ(0, pasid_free(self->fd, 7, 7));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(pasid, free_takes_any_range)
{
	static const struct {
		u32 first, last, freed;
	} ranges[] = {
		{ 0, UINT32_MAX, 4 }, { 1, PASID_LAST, 4 }, { 0, 0, 0 },
		{ 0, 1, 1 }, { 0, 2, 2 }, { PASID_LAST, PASID_LAST, 1 },
		{ PASID_LAST, UINT32_MAX, 1 }, { PASID_LAST - 1, PASID_LAST + 1, 2 },
		{ PASID_LAST + 1, UINT32_MAX, 0 }, { 3, PASID_LAST - 2, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		pasid_alloc(self->fd, 1, 1);
		pasid_alloc(self->fd, 2, 2);
		pasid_alloc(self->fd, PASID_LAST - 1, PASID_LAST - 1);
		pasid_alloc(self->fd, PASID_LAST, PASID_LAST);
		ASSERT_EQ(4, pasid_used(self->fd));
		ASSERT_EQ(0, pasid_free(self->fd, ranges[i].first,
					ranges[i].last));
		ASSERT_EQ(4 - ranges[i].freed, pasid_used(self->fd)) {
			TH_LOG("range %zu", i);
		}
	}
}

TEST_F(pasid, operations_in_random_order_match_a_model)
{
	enum { FIRST = 4000, COUNT = 300 };
	struct sequence sequence = { .state = 2 };
	bool held[COUNT] = { false };
	long used = 0;

	for (int round = 0; round < 3000; round++) {
		u32 a = next_random(&sequence, COUNT);
		u32 b = next_random(&sequence, COUNT);
		u32 first = a < b ? a : b, last = a < b ? b : a;
		long expected = 0;

		/* Long ranges are freed seldom, or the set would stay small. */
		if (next_random(&sequence, 8) == 0) {
			last = first + (last - first) / 8;
			for (u32 i = first; i <= last; i++) {
				used -= held[i];
				held[i] = false;
			}
			ASSERT_EQ(0, pasid_free(self->fd, FIRST + first,
						FIRST + last));
		} else {
			u32 i = last + 1;

			while (i > first && held[i - 1])
				i--;
			if (i > first) {
				held[i - 1] = true;
				used++;
				expected = FIRST + i - 1;
			} else {
				expected = -ENOSPC;
			}
			ASSERT_EQ(expected, pasid_alloc(self->fd, FIRST + first,
							FIRST + last)) {
				TH_LOG("round %d", round);
			}
		}
		ASSERT_EQ(used, pasid_used(self->fd));
	}
}

/* The quota. */

TEST_F(pasid, quota_is_exact_and_refills_after_free)
{
	long quota = pasid_quota(self->fd);

	ASSERT_EQ(DEFAULT_LIMITS.quota, quota);
	for (long i = 0; i < quota; i++) {
		ASSERT_EQ(PASID_LAST - i, pasid_alloc(self->fd, 0, UINT32_MAX));
		ASSERT_EQ(i + 1, pasid_used(self->fd));
	}
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 5, 5));
	ASSERT_EQ(quota, pasid_used(self->fd));

	/* 1 back, 1 more; all back, as many more. */
	ASSERT_EQ(0, pasid_free(self->fd, PASID_LAST - 500, PASID_LAST - 500));
	ASSERT_EQ(5, pasid_alloc(self->fd, 5, 5));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(self->fd));
	for (long i = 0; i < quota; i++)
		ASSERT_EQ(PASID_LAST - i, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
}

TEST_F(pasid, quota_does_not_hinder_free)
{
	while (pasid_alloc(self->fd, 0, UINT32_MAX) > 0)
		;
	ASSERT_EQ(pasid_quota(self->fd), pasid_used(self->fd));
	ASSERT_EQ(0, pasid_free(self->fd, PASID_LAST, PASID_LAST));
	ASSERT_EQ(pasid_quota(self->fd) - 1, pasid_used(self->fd));
	ASSERT_EQ(PASID_LAST, pasid_alloc(self->fd, 0, UINT32_MAX));
}

/* Several processes. */

static void hold_range(int socket, void *unused)
{
	struct container container;
	long taken = 0;

	(void)unused;
	if (container_open(&container, 1))
		return;
	while (pasid_alloc(container.fd, 2000, 2099) > 0)
		taken++;
	say(socket, taken);
	hear(socket);
	say(socket, pasid_used(container.fd));
	hear(socket);
}

TEST_F(pasid, numbers_are_unique_over_processes)
{
	struct peer peer;

	for (u32 pasid = 2009; pasid >= 2000; pasid--)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, 2000, 2009));
	ASSERT_EQ(0, peer_start(&peer, hold_range, NULL));
	ASSERT_EQ(90, hear(peer.socket));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 2000, 2099));
	ASSERT_EQ(2100, pasid_alloc(self->fd, 2000, 2100));
	ASSERT_EQ(1999, pasid_alloc(self->fd, 1999, 2099));
	peer_kill(&peer);
	ASSERT_EQ(2099, pasid_alloc(self->fd, 2000, 2099));
}

TEST_F(pasid, free_leaves_numbers_of_other_processes_alone)
{
	struct peer peer;

	ASSERT_EQ(2050, pasid_alloc(self->fd, 2050, 2050));
	ASSERT_EQ(0, peer_start(&peer, hold_range, NULL));
	ASSERT_EQ(99, hear(peer.socket));

	/* The range has numbers of both, then one number of the other. */
	ASSERT_EQ(0, pasid_free(self->fd, 2000, 2099));
	ASSERT_EQ(0, pasid_used(self->fd));
	ASSERT_EQ(2050, pasid_alloc(self->fd, 2000, 2099));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 2000, 2099));
	ASSERT_EQ(0, pasid_free(self->fd, 2000, 2000));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 2000, 2099));
	ASSERT_EQ(1, pasid_used(self->fd));

	say(peer.socket, 0);
	ASSERT_EQ(99, hear(peer.socket));
	peer_kill(&peer);
}

/* The rows of the error table, and that nothing is half done. */

static const struct ioctl good = {
	.name = "PASID_REQUEST",
	.request = VFIO_IOMMU_PASID_REQUEST,
	.argument.request = {
		.argsz = sizeof(struct vfio_iommu_type1_pasid_request),
		.flags = VFIO_IOMMU_FLAG_ALLOC_PASID,
		.range = { .min = 10, .max = 20 },
	},
};

TEST_F(pasid, argsz_too_short_is_EINVAL)
{
	ASSERT_TRUE(refuses_short_argsz(self->fd, &good));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(pasid, argsz_of_a_larger_structure_is_fine)
{
	static const u32 sizes[] = {
		sizeof(struct vfio_iommu_type1_pasid_request),
		sizeof(struct vfio_iommu_type1_pasid_request) + 1, 64, PAGE,
		INT32_MAX, UINT32_MAX,
	};
	struct vfio_iommu_type1_pasid_request *request;

	/* Nothing can be read behind it, and nothing needs to be. */
	request = before_hole(sizeof(*request));
	*request = good.argument.request;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		request->argsz = sizes[i];
		ASSERT_EQ(20 - i, call(self->fd, VFIO_IOMMU_PASID_REQUEST,
				       request));
	}
	ASSERT_EQ(ARRAY_SIZE(sizes), pasid_used(self->fd));
}

TEST_F(pasid, flags_other_than_exactly_one_are_EINVAL)
{
	struct vfio_iommu_type1_pasid_request request = good.argument.request;

	for (u32 bits = 0; bits < 8; bits++) {
		if (bits == VFIO_IOMMU_FLAG_ALLOC_PASID ||
		    bits == VFIO_IOMMU_FLAG_FREE_PASID)
			continue;
		request.flags = bits;
		ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_PASID_REQUEST,
					&request));
	}
	for (int bit = 2; bit < 32; bit++) {
		request.flags = VFIO_IOMMU_FLAG_ALLOC_PASID | 1u << bit;
		ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_PASID_REQUEST,
					&request));
		request.flags = VFIO_IOMMU_FLAG_FREE_PASID | 1u << bit;
		ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_PASID_REQUEST,
					&request));
	}
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(pasid, bad_pointers_are_EFAULT)
{
	ASSERT_TRUE(refuses_bad_pointers(self->fd, &good));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(pasid, request_is_only_read)
{
	ASSERT_TRUE(answers(self->fd, &good, read_only(&good), 20));
}

TEST_F(pasid, before_set_iommu_is_EINVAL)
{
	int group = group_node(1), container = container_node();

	ASSERT_LE(0, group);
	ASSERT_LE(0, container);
	ASSERT_EQ(-EINVAL, pasid_alloc(container, 1, 10));
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(-EINVAL, pasid_alloc(container, 1, 10));
	ASSERT_EQ(-EINVAL, pasid_free(container, 1, 10));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1_IOMMU));
	ASSERT_EQ(10, pasid_alloc(container, 1, 10));
	close(container);
	close(group);
}

#ifdef __x86_64__
/* ioctl() as a 32-bit program calls it. */
static long call_32bit(int fd, u32 request, u32 arg)
{
	long ret = 54; /* __NR_ioctl there */

	asm volatile("int $0x80" : "+a" (ret)
		     : "b" ((long)fd), "c" ((long)request), "d" ((long)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static long try_call_32bit(void *unused)
{
	(void)unused;
	return call_32bit(-1, VFIO_GET_API_VERSION, 0);
}

TEST_F(pasid, a_32_bit_program_gets_the_same)
{
	struct vfio_iommu_type1_pasid_request *request;

	if (in_child(try_call_32bit, NULL) != -EBADF)
		SKIP(return, "the kernel runs no 32-bit programs");
	request = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)request);
	*request = good.argument.request;
	ASSERT_EQ(20, call_32bit(self->fd, VFIO_IOMMU_PASID_REQUEST,
				 (uintptr_t)request));
	request->argsz--;
	ASSERT_EQ(-EINVAL, call_32bit(self->fd, VFIO_IOMMU_PASID_REQUEST,
				      (uintptr_t)request));
	ASSERT_EQ(-EFAULT, call_32bit(self->fd, VFIO_IOMMU_PASID_REQUEST, 0));
	ASSERT_EQ(1, pasid_used(self->fd));
}
#endif

TEST_HARNESS_MAIN
