// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_SETUP: the window of a container's own IO address space, what the
 * stock ioctls then make of it, and every error of its table. How everything is
 * before it stands in stock.c.
 */
#include <kselftest_harness.h>

#include "conventions.h"

#define MB		(1024 * 1024ull)
#define GB		(1024 * MB)
#define HOLE		MSI_START
#define BEHIND_HOLE	(MSI_START + MSI_SIZE)

#define MAX_RANGES	8

/* What VFIO_IOMMU_GET_INFO says. */
struct own_space {
	u64 page_sizes;
	u32 count;
	struct vfio_iova_range ranges[MAX_RANGES];
};

static struct vfio_info_cap_header *find_capability(void *info, u32 first, u16 id)
{
	u32 offset = first;

	while (offset) {
		struct vfio_info_cap_header *header = info + offset;

		if (header->id == id)
			return header;
		offset = header->next;
	}
	return NULL;
}

static int look_at(int fd, struct own_space *space)
{
	struct vfio_iommu_type1_info_cap_iova_range *capability;
	union {
		struct vfio_iommu_type1_info info;
		u8 bytes[1024];
	} all = { .info.argsz = sizeof(all) };
	int ret = call(fd, VFIO_IOMMU_GET_INFO, &all);

	memset(space, 0, sizeof(*space));
	if (ret)
		return ret;
	space->page_sizes = all.info.iova_pgsizes;
	if (!(all.info.flags & VFIO_IOMMU_INFO_CAPS))
		return 0;
	capability = (void *)find_capability(&all, all.info.cap_offset,
					     VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	/* Without an IOMMU it is left out. */
	if (!capability)
		return 0;
	if (capability->nr_iovas > MAX_RANGES)
		return -EPROTO;
	space->count = capability->nr_iovas;
	memcpy(space->ranges, capability->iova_ranges,
	       space->count * sizeof(space->ranges[0]));
	return 0;
}

static u64 first_of(const struct own_space *space)
{
	return space->ranges[0].start;
}

static u64 last_of(const struct own_space *space)
{
	return space->ranges[space->count - 1].end;
}

/* What is left of @space in [@start, @last]. */
static struct own_space within(const struct own_space *space, u64 start,
			       u64 last)
{
	struct own_space left = { .page_sizes = space->page_sizes };

	for (u32 i = 0; i < space->count; i++) {
		struct vfio_iova_range range = space->ranges[i];

		if (range.start < start)
			range.start = start;
		if (range.end > last)
			range.end = last;
		if (range.start <= range.end)
			left.ranges[left.count++] = range;
	}
	return left;
}

/* Whether GET_INFO says just that. */
static bool is_now(int fd, const struct own_space *expected)
{
	struct own_space now;

	if (!look_at(fd, &now) && !memcmp(&now, expected, sizeof(now)))
		return true;
	for (u32 i = 0; i < now.count; i++)
		printf("# is now: %llx - %llx\n",
		       (unsigned long long)now.ranges[i].start,
		       (unsigned long long)now.ranges[i].end);
	return false;
}

static int do_setup(int fd, u64 start, u64 size,
		    struct vfio_iommu_setup *granted)
{
	*granted = (struct vfio_iommu_setup) {
		.argsz = sizeof(*granted),
		.iova_start = start,
		.iova_size = size,
	};
	return call(fd, VFIO_IOMMU_SETUP, granted);
}

static int narrow(int fd, u64 start, u64 size)
{
	struct vfio_iommu_setup granted;

	return do_setup(fd, start, size, &granted);
}

/* 0 if a page of the container's own space can be mapped, and is unmapped. */
static int try_page(int fd, void *memory, u64 iova)
{
	int ret = map_dma(fd, memory, iova, PAGE);

	if (!ret && unmap_dma(fd, iova, PAGE) != PAGE)
		ret = -EPROTO;
	return ret;
}

FIXTURE(setup) {
	struct container container;
	struct own_space all;	/* before any SETUP */
	void *memory;
	u64 end;		/* behind the last IO address */
	int fd;
};

FIXTURE_VARIANT(setup) {
	unsigned long type;
};

FIXTURE_VARIANT_ADD(setup, type1) {
	.type = VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(setup, type1v2) {
	.type = VFIO_TYPE1v2_IOMMU,
};

static int open_as(struct container *container, unsigned long type)
{
	int ret;

	*container = NO_CONTAINER;
	container->fd = container_node();
	container->group = group_node(0);
	ret = set_container(container->group, container->fd);
	return ret ? ret : set_iommu(container->fd, type);
}

FIXTURE_SETUP(setup)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, open_as(&self->container, variant->type));
	self->fd = self->container.fd;
	self->memory = new_pages(1);
	ASSERT_EQ(0, look_at(self->fd, &self->all));
	/* The tests know that there is one hole. */
	ASSERT_EQ(2, self->all.count);
	ASSERT_EQ(0, first_of(&self->all));
	ASSERT_EQ(HOLE - 1, self->all.ranges[0].end);
	ASSERT_EQ(BEHIND_HOLE, self->all.ranges[1].start);
	self->end = last_of(&self->all) + 1;
	ASSERT_LT(1ull << 40, self->end);
}

FIXTURE_TEARDOWN(setup)
{
	container_close(&self->container);
}

/* A new container, which has no window. */
static int open_anew(struct container *container, unsigned long type,
		     const struct own_space *all)
{
	int ret;

	container_close(container);
	ret = open_as(container, type);
	if (ret)
		return ret;
	return is_now(container->fd, all) ? container->fd : -EPROTO;
}

TEST_F(setup, the_feature_bit_is_set)
{
	ASSERT_TRUE(call(self->fd, VFIO_CHECK_EXTENSION,
			 (void *)VFIO_PASID_EXTENSION) &
		    VFIO_PASID_FEATURE_WINDOW);
}

TEST_F(setup, no_wish_is_all_there_is)
{
	struct vfio_iommu_setup granted;

	ASSERT_EQ(0, do_setup(self->fd, 0, 0, &granted));
	ASSERT_EQ(0, granted.iova_start);
	ASSERT_EQ(self->end, granted.iova_size);
	ASSERT_EQ(self->all.page_sizes, granted.pgsize_bitmap);
	ASSERT_EQ(sizeof(granted), granted.argsz);
	ASSERT_EQ(0, granted.flags);
	ASSERT_TRUE(is_now(self->fd, &self->all));
	ASSERT_EQ(0, try_page(self->fd, self->memory, 0));
	ASSERT_EQ(0, try_page(self->fd, self->memory, self->end - PAGE));
}

TEST_F(setup, what_is_granted_is_what_there_is)
{
	const u64 end = self->end;
	const struct {
		u64 start, size;	/* the request */
		u64 granted, behind;
	} requests[] = {
		{ 16 * MB, 32 * MB, 16 * MB, 48 * MB },
		{ 0, PAGE, 0, PAGE },
		{ 5 * PAGE, PAGE, 5 * PAGE, 6 * PAGE },
		{ 0, UINT64_MAX, 0, end },
		{ PAGE, UINT64_MAX - PAGE, PAGE, end },
		/* cut to whole pages */
		{ 16 * MB + 1, MB, 16 * MB + PAGE, 17 * MB },
		{ 16 * MB - 1, MB, 16 * MB, 17 * MB - PAGE },
		{ PAGE - 1, PAGE + 1, PAGE, 2 * PAGE },
		{ PAGE, 2 * PAGE - 1, PAGE, 2 * PAGE },
		/* cut to what can be addressed */
		{ end - MB, GB, end - MB, end },
		{ end - PAGE, PAGE, end - PAGE, end },
		{ 4 * GB, -4 * GB, 4 * GB, end },
		/* with the hole in it, at its start, at its end, and beside it */
		{ HOLE - MB, 64 * MB, HOLE - MB, HOLE + 63 * MB },
		{ 0, 4 * GB, 0, 4 * GB },
		{ HOLE + PAGE, 64 * MB, HOLE + PAGE, HOLE + PAGE + 64 * MB },
		{ HOLE - 64 * MB, 64 * MB + PAGE, HOLE - 64 * MB, HOLE + PAGE },
		{ HOLE - PAGE, MB + 2 * PAGE, HOLE - PAGE, BEHIND_HOLE + PAGE },
		{ BEHIND_HOLE, MB, BEHIND_HOLE, BEHIND_HOLE + MB },
		{ HOLE - MB, MB, HOLE - MB, HOLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct vfio_iommu_setup granted;
		struct own_space left;
		u64 first, last;

		ASSERT_EQ(0, do_setup(self->fd, requests[i].start, requests[i].size,
				      &granted)) {
			TH_LOG("request %zu", i);
		}
		ASSERT_EQ(requests[i].granted, granted.iova_start) {
			TH_LOG("request %zu", i);
		}
		ASSERT_EQ(requests[i].behind,
			  granted.iova_start + granted.iova_size) {
			TH_LOG("request %zu", i);
		}
		ASSERT_EQ(self->all.page_sizes, granted.pgsize_bitmap);

		left = within(&self->all, requests[i].granted,
			      requests[i].behind - 1);
		ASSERT_TRUE(is_now(self->fd, &left)) {
			TH_LOG("request %zu", i);
		}
		/* MAP_DMA obeys, at both ends. */
		first = first_of(&left);
		last = last_of(&left);
		ASSERT_EQ(0, try_page(self->fd, self->memory, first));
		ASSERT_EQ(0, try_page(self->fd, self->memory, last + 1 - PAGE));
		if (first)
			ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory,
						    first - PAGE));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory, last + 1));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory, HOLE));
		self->fd = open_anew(&self->container, variant->type,
				     &self->all);
		ASSERT_LE(0, self->fd);
	}
}

TEST_F(setup, it_narrows_again_and_never_widens)
{
	struct vfio_iommu_setup granted;
	struct own_space left;

	ASSERT_EQ(0, narrow(self->fd, 16 * MB, 64 * MB));
	left = within(&self->all, 16 * MB, 80 * MB - 1);
	ASSERT_TRUE(is_now(self->fd, &left));

	/* More, and all, is what there is now. */
	ASSERT_EQ(0, do_setup(self->fd, 0, GB, &granted));
	ASSERT_EQ(16 * MB, granted.iova_start);
	ASSERT_EQ(64 * MB, granted.iova_size);
	ASSERT_EQ(0, do_setup(self->fd, 0, 0, &granted));
	ASSERT_EQ(16 * MB, granted.iova_start);
	ASSERT_EQ(64 * MB, granted.iova_size);
	ASSERT_TRUE(is_now(self->fd, &left));

	ASSERT_EQ(0, do_setup(self->fd, 0, 32 * MB, &granted));
	ASSERT_EQ(16 * MB, granted.iova_start);
	ASSERT_EQ(16 * MB, granted.iova_size);
	left = within(&self->all, 16 * MB, 32 * MB - 1);
	ASSERT_TRUE(is_now(self->fd, &left));
	ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory, 32 * MB));
	ASSERT_EQ(-ERANGE, narrow(self->fd, 32 * MB, MB));
	ASSERT_EQ(-ERANGE, narrow(self->fd, 0, 16 * MB));
	ASSERT_TRUE(is_now(self->fd, &left));
}

/* The window outlives groups that come and go, as long as one is there. */

TEST_F(setup, the_window_stays_when_another_group_leaves)
{
	struct own_space left = within(&self->all, HOLE - MB, HOLE + 64 * MB - 1);
	int second = group_node(1);

	ASSERT_LE(0, second);
	ASSERT_EQ(0, set_container(second, self->fd));
	ASSERT_EQ(0, narrow(self->fd, HOLE - MB, 65 * MB));
	ASSERT_EQ(0, map_dma(self->fd, self->memory, HOLE - PAGE, PAGE));
	ASSERT_TRUE(is_now(self->fd, &left));
	/* The one that was there first, too. */
	for (int round = 0; round < 4; round++) {
		int group = round % 2 ? second : self->container.group;

		ASSERT_EQ(0, unset_container(group));
		ASSERT_TRUE(is_now(self->fd, &left));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory,
					    HOLE - MB - PAGE));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory,
					    HOLE + 64 * MB));
		ASSERT_EQ(0, try_page(self->fd, self->memory, HOLE - MB));
		ASSERT_EQ(0, set_container(group, self->fd));
		ASSERT_TRUE(is_now(self->fd, &left));
	}
	/* What was mapped before still is. */
	ASSERT_EQ(PAGE, unmap_dma(self->fd, HOLE - PAGE, PAGE));
	close(second);
}

TEST_F(setup, the_window_goes_with_the_last_group)
{
	ASSERT_EQ(0, narrow(self->fd, 16 * MB, 16 * MB));
	ASSERT_EQ(0, unset_container(self->container.group));
	ASSERT_EQ(-EINVAL, narrow(self->fd, 0, 0));
	ASSERT_EQ(0, set_container(self->container.group, self->fd));
	ASSERT_EQ(0, set_iommu(self->fd, variant->type));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, another_container_is_left_alone)
{
	struct container other;

	ASSERT_EQ(0, container_open(&other, 1));
	ASSERT_EQ(0, narrow(self->fd, 16 * MB, 16 * MB));
	ASSERT_TRUE(is_now(other.fd, &self->all));
	ASSERT_EQ(0, narrow(other.fd, 64 * MB, 16 * MB));
	ASSERT_EQ(0, try_page(other.fd, self->memory, 64 * MB));
	ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory, 64 * MB));
	container_close(&other);
}

/*
 * The last group with an IOMMU leaves, another without one stays: stock code
 * then makes the address space as large as it can be.
 */
TEST_F(setup, the_window_stays_when_the_last_group_with_an_iommu_leaves)
{
	struct own_space left = within(&self->all, 16 * MB, 32 * MB - 1);
	int emulated = emulated_group_node();

	ASSERT_LE(0, emulated);
	ASSERT_EQ(0, set_container(emulated, self->fd));
	ASSERT_EQ(0, narrow(self->fd, 16 * MB, 16 * MB));
	for (int round = 0; round < 2; round++) {
		ASSERT_TRUE(is_now(self->fd, &left));
		ASSERT_EQ(0, map_dma(self->fd, self->memory, 16 * MB, PAGE));
		ASSERT_EQ(0, unset_container(self->container.group));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory,
					    16 * MB - PAGE));
		ASSERT_EQ(-EINVAL, try_page(self->fd, self->memory, 32 * MB));
		ASSERT_EQ(PAGE, unmap_dma(self->fd, 16 * MB, PAGE));
		ASSERT_EQ(-EOPNOTSUPP, narrow(self->fd, 0, 0));
		ASSERT_EQ(0, set_container(self->container.group, self->fd));
	}
	close(emulated);
}

/* Errors, which change nothing. */

TEST_F(setup, EOPNOTSUPP_without_an_iommu)
{
	int container = container_node(), emulated = emulated_group_node();
	struct own_space none;

	ASSERT_LE(0, emulated);
	ASSERT_EQ(0, set_container(emulated, container));
	ASSERT_EQ(0, set_iommu(container, variant->type));
	ASSERT_EQ(-EOPNOTSUPP, narrow(container, 0, 0));
	ASSERT_EQ(-EOPNOTSUPP, narrow(container, 16 * MB, MB));
	ASSERT_EQ(0, look_at(container, &none));
	ASSERT_EQ(0, none.count);
	/* One comes and goes again. */
	ASSERT_EQ(0, unset_container(self->container.group));
	ASSERT_EQ(0, set_container(self->container.group, container));
	ASSERT_EQ(0, narrow(container, 0, 0));
	ASSERT_TRUE(is_now(container, &self->all));
	ASSERT_EQ(0, unset_container(self->container.group));
	ASSERT_EQ(-EOPNOTSUPP, narrow(container, 16 * MB, MB));
	close(emulated);
	close(container);
}

TEST_F(setup, ERANGE_if_nothing_of_the_wish_is_there)
{
	const struct {
		u64 start, size;
	} requests[] = {
		/* in the hole */
		{ HOLE, MB }, { HOLE, PAGE }, { BEHIND_HOLE - PAGE, PAGE },
		{ HOLE + PAGE, 3 * PAGE },
		{ HOLE - 1, MB + 2 },
		/* no whole page */
		{ MB, 1 }, { MB, PAGE - 1 }, { MB + 1, PAGE },
		{ MB + PAGE - 1, PAGE }, { UINT64_MAX, 1 },
		/* cannot be addressed */
		{ self->end, PAGE }, { self->end, -self->end },
		{ 1ull << 63, GB }, { -(u64)PAGE, PAGE },
		{ self->end - 1, MB },
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		ASSERT_EQ(-ERANGE, narrow(self->fd, requests[i].start,
					  requests[i].size)) {
			TH_LOG("request %zu", i);
		}
		ASSERT_TRUE(is_now(self->fd, &self->all));
	}
}

TEST_F(setup, wishes_that_cannot_be_meant_are_EINVAL)
{
	ASSERT_EQ(-EINVAL, narrow(self->fd, 1, 0));
	ASSERT_EQ(-EINVAL, narrow(self->fd, MB, 0));
	ASSERT_EQ(-EINVAL, narrow(self->fd, UINT64_MAX, 0));
	ASSERT_EQ(-EINVAL, narrow(self->fd, 2, UINT64_MAX));
	ASSERT_EQ(-EINVAL, narrow(self->fd, UINT64_MAX, 2));
	ASSERT_EQ(-EINVAL, narrow(self->fd, -(u64)PAGE, 2 * PAGE));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, EBUSY_if_something_is_mapped_outside)
{
	const u64 end = self->end;
	const u64 mapped[] = { 0, MB, HOLE - PAGE, BEHIND_HOLE, end - PAGE };

	for (size_t i = 0; i < ARRAY_SIZE(mapped); i++) {
		u64 iova = mapped[i];
		u64 from = iova == HOLE - PAGE ? BEHIND_HOLE : iova + PAGE;
		u64 to = iova == BEHIND_HOLE ? HOLE : iova;
		struct own_space left;

		ASSERT_EQ(0, map_dma(self->fd, self->memory, iova, PAGE));
		/* It lies before the window, or behind it. */
		if (from < end)
			ASSERT_EQ(-EBUSY, narrow(self->fd, from, end - from));
		if (to)
			ASSERT_EQ(-EBUSY, narrow(self->fd, 0, to));
		ASSERT_EQ(-EBUSY, narrow(self->fd, 4 * GB, GB));
		ASSERT_TRUE(is_now(self->fd, &self->all));
		ASSERT_EQ(0, try_page(self->fd, self->memory, 2 * MB));
		ASSERT_EQ(0, try_page(self->fd, self->memory, 8 * GB));

		/* Around it, or when it is gone, there is nothing in the way. */
		ASSERT_EQ(0, narrow(self->fd, iova, PAGE));
		left = within(&self->all, iova, iova + PAGE - 1);
		ASSERT_TRUE(is_now(self->fd, &left));
		ASSERT_EQ(PAGE, unmap_dma(self->fd, iova, PAGE));
		self->fd = open_anew(&self->container, variant->type,
				     &self->all);
		ASSERT_LE(0, self->fd);
		ASSERT_EQ(0, map_dma(self->fd, self->memory, iova, PAGE));
		ASSERT_EQ(PAGE, unmap_dma(self->fd, iova, PAGE));
		ASSERT_EQ(0, narrow(self->fd, 4 * GB, GB));
		self->fd = open_anew(&self->container, variant->type,
				     &self->all);
		ASSERT_LE(0, self->fd);
	}
}

/* The conventions. */

static const struct ioctl good = {
	.name = "SETUP",
	.request = VFIO_IOMMU_SETUP,
	.argument.setup = {
		.argsz = sizeof(struct vfio_iommu_setup),
		.iova_start = 16 * MB,
		.iova_size = MB,
	},
};

TEST_F(setup, argsz_too_short_is_EINVAL)
{
	ASSERT_TRUE(refuses_short_argsz(self->fd, &good));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, argsz_of_a_larger_structure_is_fine)
{
	struct vfio_iommu_setup *request = before_hole(sizeof(*request));

	*request = good.argument.setup;
	request->argsz = UINT32_MAX;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_SETUP, request));
	ASSERT_EQ(UINT32_MAX, request->argsz);
	ASSERT_EQ(16 * MB, request->iova_start);
}

TEST_F(setup, any_flag_is_EINVAL)
{
	ASSERT_TRUE(refuses_unknown_flags(self->fd, &good));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, results_are_not_looked_at)
{
	struct vfio_iommu_setup request = good.argument.setup;

	request.pgsize_bitmap = UINT64_MAX;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_SETUP, &request));
	ASSERT_EQ(self->all.page_sizes, request.pgsize_bitmap);
}

TEST_F(setup, bad_pointers_are_EFAULT)
{
	ASSERT_TRUE(refuses_bad_pointers(self->fd, &good));
	/* The result cannot be told, so nothing is done. */
	ASSERT_TRUE(answers(self->fd, &good, read_only(&good), -EFAULT));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, another_process_gets_EPERM)
{
	ASSERT_TRUE(refuses_another_process(self->fd, &good));
	ASSERT_TRUE(is_now(self->fd, &self->all));
}

TEST_F(setup, before_set_iommu_is_EINVAL)
{
	int container = container_node(), group = group_node(1);

	ASSERT_EQ(-EINVAL, narrow(container, 0, 0));
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(-EINVAL, narrow(container, 0, 0));
	close(container);
	close(group);
}

TEST(the_stock_type1_has_no_windows)
{
	struct container container;

	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(-ENOTTY, narrow(container.fd, 16 * MB, MB));
	container_close(&container);
}

TEST_HARNESS_MAIN
