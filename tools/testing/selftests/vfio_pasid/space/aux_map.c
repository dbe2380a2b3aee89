// SPDX-License-Identifier: GPL-2.0-only
/*
 * AUX_MAP, AUX_UNMAP and the mappings of AUX_INFO by what they return: results,
 * and every error that the uapi header lists. What a device then sees is in
 * aux_map_dma.c.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "conventions.h"
#include "pasid_device.h"

#define IOVA		0x40000000
#define PAGES		64	/* of each of the two registered ranges */
#define READ		VFIO_AUX_MAP_READ
#define WRITE		VFIO_AUX_MAP_WRITE
#define READ_WRITE	(READ | WRITE)

/* Everything that a test uses goes anew with other parameters of the module. */
struct setting {
	struct container container;
	int fd;
	u32 pasid;
	u8 *memory;
	u8 *constant;		/* registered for reading */
};

static int setting_open(struct setting *setting, int index)
{
	int ret = container_open(&setting->container, index);

	if (ret)
		return ret;
	setting->fd = setting->container.fd;
	setting->pasid = aux_create(setting->fd);
	setting->memory = new_pages(PAGES);
	setting->constant = new_pages(PAGES);
	ret = register_memory(setting->fd, 0, setting->memory, PAGES * PAGE);
	if (!ret)
		ret = register_memory(setting->fd, VFIO_MEMORY_READ_ONLY,
				      setting->constant, PAGES * PAGE);
	return ret ? ret : setting->pasid > PASID_LAST ? -ENOSPC : 0;
}

FIXTURE(aux_map) {
	struct setting setting;
	int index;
	int fd;
	u32 pasid;
	u8 *memory;
	u8 *constant;
};

FIXTURE_SETUP(aux_map)
{
	self->setting.container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	ASSERT_EQ(0, setting_open(&self->setting, self->index));
	self->fd = self->setting.fd;
	self->pasid = self->setting.pasid;
	self->memory = self->setting.memory;
	self->constant = self->setting.constant;
}

FIXTURE_TEARDOWN(aux_map)
{
	container_close(&self->setting.container);
	EXPECT_EQ(0, count_of("mappings"));
	EXPECT_EQ(0, count_of("registrations"));
	EXPECT_EQ(0, count_of("pinned_pages"));
}

/* The @first-th page of the memory and those behind it, where they belong. */
static int map_pages(int fd, u32 pasid, const u8 *memory, int first, int count,
		     u32 flags)
{
	return aux_map(fd, pasid, flags, memory + first * PAGE,
		       IOVA + first * PAGE, (u64)count * PAGE);
}

static long unmap_pages(int fd, u32 pasid, int first, int count)
{
	return aux_unmap(fd, pasid, IOVA + first * PAGE, (u64)count * PAGE);
}

#define MAP_PAGES(first, count, flags)					\
	map_pages(self->fd, self->pasid, self->memory, first, count, flags)
#define UNMAP_PAGES(first, count)					\
	unmap_pages(self->fd, self->pasid, first, count)

/*
 * The mappings that AUX_INFO reports, asked for @step at a time; how many.
 * -EOVERFLOW if there are more than @room.
 */
static int mappings(int fd, u32 pasid, int step,
		    struct vfio_iommu_aux_entry *found, int room)
{
	struct aux_info info = { .head.cursor = 0 };
	int count = 0, ret;

	do {
		ret = aux_info(fd, pasid, step, &info);
		if (ret)
			return ret;
		for (u32 i = 0; i < info.head.count; i++) {
			if (info.entries[i].type != VFIO_AUX_ENTRY_MAPPING)
				continue;
			if (count == room)
				return -EOVERFLOW;
			found[count++] = info.entries[i];
		}
	} while (info.head.cursor);
	return count;
}

/* The mappings of a space, to be compared. */
struct view {
	int count;
	struct vfio_iommu_aux_entry entries[2 * PAGES];
};

static struct view view(int fd, u32 pasid)
{
	struct view view;

	memset(&view, 0, sizeof(view));
	view.count = mappings(fd, pasid, AUX_ENTRIES, view.entries,
			      ARRAY_SIZE(view.entries));
	return view;
}

static bool unchanged(int fd, u32 pasid, const struct view *before)
{
	struct view now = view(fd, pasid);

	return before->count >= 0 && !memcmp(&now, before, sizeof(now));
}

/* What both have in common. */

#define IOCTLS	2

/* In this order, both succeed as they are here. */
static void good_ioctls(struct ioctl ioctls[IOCTLS], u32 pasid,
			const void *memory)
{
	ioctls[0] = (struct ioctl) {
		.name = "AUX_MAP",
		.request = VFIO_IOMMU_AUX_MAP,
		.flags = READ_WRITE,
		.reserved = offsetof(struct vfio_iommu_aux_map, reserved),
		.argument.map = {
			.argsz = sizeof(struct vfio_iommu_aux_map),
			.flags = READ_WRITE,
			.pasid = pasid,
			.vaddr = (uintptr_t)memory,
			.iova = IOVA,
			.size = PAGE,
		},
	};
	ioctls[1] = (struct ioctl) {
		.name = "AUX_UNMAP",
		.request = VFIO_IOMMU_AUX_UNMAP,
		.flags = VFIO_AUX_UNMAP_ALL,
		.reserved = offsetof(struct vfio_iommu_aux_unmap, reserved),
		/* The result is what is in it already. */
		.argument.unmap = {
			.argsz = sizeof(struct vfio_iommu_aux_unmap),
			.pasid = pasid,
			.iova = IOVA,
			.size = PAGE,
		},
	};
}

/* They do so after they were broken only if nothing was half done. */
static bool both_succeed(int container, struct ioctl ioctls[IOCTLS])
{
	return all_answer(container, ioctls, IOCTLS, 0) &&
	       ioctls[1].argument.unmap.size == PAGE;
}

TEST_F(aux_map, EINVAL_if_argsz_is_too_short)
{
	struct ioctl ioctls[IOCTLS];

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, refuses_short_argsz));
	ASSERT_TRUE(both_succeed(self->fd, ioctls));
}

TEST_F(aux_map, EINVAL_if_a_flag_is_unknown)
{
	struct ioctl ioctls[IOCTLS];

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_unknown_flags));
	ASSERT_TRUE(both_succeed(self->fd, ioctls));
}

TEST_F(aux_map, EINVAL_if_the_reserved_field_is_not_0)
{
	struct ioctl ioctls[IOCTLS];

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_reserved_field));
	ASSERT_TRUE(both_succeed(self->fd, ioctls));
}

TEST_F(aux_map, EFAULT_if_the_argument_cannot_be_read)
{
	struct ioctl ioctls[IOCTLS];

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, refuses_bad_pointers));
	ASSERT_TRUE(both_succeed(self->fd, ioctls));
}

TEST_F(aux_map, EFAULT_and_nothing_unmapped_if_the_result_cannot_be_written)
{
	struct ioctl ioctls[IOCTLS];
	struct view before;

	good_ioctls(ioctls, self->pasid, self->memory);
	/* The other one has no results. */
	ASSERT_TRUE(answers(self->fd, &ioctls[0], read_only(&ioctls[0]), 0));
	before = view(self->fd, self->pasid);
	ASSERT_EQ(1, before.count);
	ASSERT_TRUE(answers(self->fd, &ioctls[1], read_only(&ioctls[1]),
			    -EFAULT));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));

	ioctls[1].argument.unmap.flags = VFIO_AUX_UNMAP_ALL;
	ioctls[1].argument.unmap.iova = 0;
	ioctls[1].argument.unmap.size = 0;
	ASSERT_TRUE(answers(self->fd, &ioctls[1], read_only(&ioctls[1]),
			    -EFAULT));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
	ASSERT_TRUE(answers(self->fd, &ioctls[1], &ioctls[1].argument, 0));
	ASSERT_EQ(PAGE, ioctls[1].argument.unmap.size);
}

TEST_F(aux_map, a_larger_argsz_is_good)
{
	struct ioctl ioctls[IOCTLS];

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, takes_larger_argsz));
}

TEST_F(aux_map, EPERM_from_another_process)
{
	struct ioctl ioctls[IOCTLS];
	struct view before;

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_EQ(0, MAP_PAGES(1, 1, READ));
	before = view(self->fd, self->pasid);
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_another_process));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
	ASSERT_TRUE(both_succeed(self->fd, ioctls));
}

TEST_F(aux_map, EINVAL_before_SET_IOMMU_and_after_the_last_group_left)
{
	struct ioctl ioctls[IOCTLS];
	int fresh = container_node();

	good_ioctls(ioctls, self->pasid, self->memory);
	ASSERT_LE(0, fresh);
	ASSERT_TRUE(all_answer(fresh, ioctls, IOCTLS, -EINVAL));
	close(fresh);
	ASSERT_EQ(0, MAP_PAGES(1, 1, READ));
	ASSERT_EQ(0, unset_container(self->setting.container.group));
	ASSERT_TRUE(all_answer(self->fd, ioctls, IOCTLS, -EINVAL));
}

TEST_F(aux_map, ENOTTY_from_the_stock_type1)
{
	struct ioctl ioctls[IOCTLS];
	struct container container;

	good_ioctls(ioctls, self->pasid, self->memory);
	container_close(&self->setting.container);
	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	ASSERT_EQ(0, container_open(&container, self->index));
	ASSERT_TRUE(all_answer(container.fd, ioctls, IOCTLS, -ENOTTY));
	container_close(&container);
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
}

/* AUX_MAP. */

TEST_F(aux_map, EINVAL_if_it_allows_nothing)
{
	ASSERT_EQ(-EINVAL, MAP_PAGES(0, 1, 0));
}

TEST_F(aux_map, EINVAL_if_a_mapping_is_empty)
{
	ASSERT_EQ(-EINVAL, MAP_PAGES(0, 0, READ));
}

TEST_F(aux_map, EINVAL_if_a_mapping_is_not_aligned)
{
	static const int offsets[] = { 1, 8, 512, PAGE / 2, PAGE - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		int offset = offsets[i];

		ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ,
					   self->memory + offset, IOVA, PAGE));
		ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ,
					   self->memory, IOVA + offset, PAGE));
		ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ,
					   self->memory, IOVA, PAGE + offset));
		/* Both ends on a boundary is not enough. */
		ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ,
					   self->memory + offset, IOVA + offset,
					   PAGE - offset));
	}
	ASSERT_EQ(0, view(self->fd, self->pasid).count);
}

TEST_F(aux_map, EINVAL_if_a_mapping_wraps_around)
{
	void *last = (void *)-(uintptr_t)PAGE;

	ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ, self->memory,
				   -(u64)PAGE, 2 * PAGE));
	ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ, last, IOVA,
				   2 * PAGE));
	ASSERT_EQ(-EINVAL, aux_map(self->fd, self->pasid, READ, self->memory,
				   IOVA, -(u64)PAGE));
	/* The last page does not. */
	ASSERT_EQ(-ERANGE, aux_map(self->fd, self->pasid, READ, self->memory,
				   -(u64)PAGE, PAGE));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->pasid, READ, last, IOVA,
				   PAGE));
}

TEST_F(aux_map, ENOENT_if_there_is_no_such_space)
{
	u32 gone = aux_create(self->fd);
	const u32 numbers[] = { 1, gone, PASID_LAST + 1, UINT32_MAX };

	ASSERT_EQ(0, aux_destroy(self->fd, gone));
	/* A number that is held is not a space. */
	ASSERT_EQ(1, pasid_alloc(self->fd, 1, 1));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		ASSERT_EQ(-ENOENT, aux_map(self->fd, numbers[i], READ,
					   self->memory, IOVA, PAGE));
		ASSERT_EQ(-ENOENT, aux_unmap(self->fd, numbers[i], IOVA, PAGE));
		ASSERT_EQ(-ENOENT, aux_unmap_all(self->fd, numbers[i]));
	}
}

TEST_F(aux_map, ENOENT_if_the_space_is_another_containers)
{
	struct container other;
	struct view before;

	ASSERT_EQ(0, MAP_PAGES(0, 1, READ));
	before = view(self->fd, self->pasid);
	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	ASSERT_EQ(0, register_memory(other.fd, 0, self->memory, PAGES * PAGE));
	ASSERT_EQ(-ENOENT, aux_map(other.fd, self->pasid, READ, self->memory,
				   IOVA + PAGE, PAGE));
	ASSERT_EQ(-ENOENT, aux_unmap(other.fd, self->pasid, IOVA, PAGE));
	ASSERT_EQ(-ENOENT, aux_unmap_all(other.fd, self->pasid));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
	container_close(&other);
}

TEST_F(aux_map, ENOENT_unless_all_of_it_is_in_one_registered_range)
{
	/* Two ranges beside each other, with nothing around them. */
	u8 *memory = (u8 *)new_pages(8) + 2 * PAGE;

	ASSERT_EQ(0, register_memory(self->fd, 0, memory, 2 * PAGE));
	ASSERT_EQ(0, register_memory(self->fd, 0, memory + 2 * PAGE, 2 * PAGE));
	for (int first = -2; first < 6; first++) {
		for (int count = 1; first + count <= 6; count++) {
			bool in_one = (first >= 0 && first + count <= 2) ||
				      (first >= 2 && first + count <= 4);

			ASSERT_EQ(in_one ? 0 : -ENOENT,
				  aux_map(self->fd, self->pasid, READ,
					  memory + first * PAGE, IOVA,
					  (u64)count * PAGE)) {
				TH_LOG("%d pages from %d on", count, first);
			}
			if (in_one)
				ASSERT_EQ(count * PAGE,
					  aux_unmap_all(self->fd, self->pasid));
		}
	}
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->pasid, READ, NULL, IOVA,
				   PAGE));
	ASSERT_EQ(0, unregister_memory(self->fd, memory, 2 * PAGE));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, self->pasid, READ, memory, IOVA,
				   PAGE));
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ, memory + 2 * PAGE,
			     IOVA, PAGE));
}

TEST_F(aux_map, ENOENT_if_only_another_container_has_registered_it)
{
	struct container other;
	long pasid;

	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	pasid = aux_create(other.fd);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(-ENOENT, aux_map(other.fd, pasid, READ, self->memory, IOVA,
				   PAGE));
	ASSERT_EQ(0, register_memory(other.fd, 0, self->memory, PAGES * PAGE));
	ASSERT_EQ(0, aux_map(other.fd, pasid, READ, self->memory, IOVA, PAGE));

	/* The other way round, after it was taken back here. */
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, PAGES * PAGE));
	ASSERT_EQ(-ENOENT, MAP_PAGES(0, 1, READ));
	container_close(&other);
	ASSERT_EQ(-ENOENT, MAP_PAGES(0, 1, READ));
}

TEST_F(aux_map, EACCES_if_a_device_could_write_what_is_read_only)
{
	static const u32 flags[] = { WRITE, READ_WRITE };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		ASSERT_EQ(-EACCES, aux_map(self->fd, self->pasid, flags[i],
					   self->constant, IOVA, PAGE));
	ASSERT_EQ(0, view(self->fd, self->pasid).count);
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ, self->constant, IOVA,
			     PAGES * PAGE));
	/* The failures have not left a count on the range. */
	ASSERT_EQ(PAGES * PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, unregister_memory(self->fd, self->constant, PAGES * PAGE));
}

TEST_F(aux_map, EEXIST_if_something_is_mapped_there)
{
	struct view before;

	/* Pages 4 to 7, and 9. */
	ASSERT_EQ(0, MAP_PAGES(4, 4, READ));
	ASSERT_EQ(0, MAP_PAGES(9, 1, READ_WRITE));
	before = view(self->fd, self->pasid);
	for (int first = 0; first < 12; first++) {
		for (int count = 1; first + count <= 12; count++) {
			bool overlaps = (first < 8 && first + count > 4) ||
					(first < 10 && first + count > 9);

			ASSERT_EQ(overlaps ? -EEXIST : 0,
				  MAP_PAGES(first, count, READ)) {
				TH_LOG("%d pages from %d on", count, first);
			}
			if (!overlaps)
				ASSERT_EQ(count * PAGE,
					  UNMAP_PAGES(first, count));
			ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
		}
	}
	/* In another space it is another address. */
	ASSERT_EQ(0, aux_map(self->fd, aux_create(self->fd), READ, self->memory,
			     IOVA, PAGES * PAGE));
}

TEST_F(aux_map, the_same_memory_at_many_addresses)
{
	u32 other = aux_create(self->fd);

	for (int i = 0; i < 100; i++) {
		u64 iova = IOVA + i * 2 * PAGE;

		ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ, self->memory,
				     iova, 2 * PAGE));
		ASSERT_EQ(0, aux_map(self->fd, other, READ_WRITE,
				     self->memory + PAGE, iova, PAGE));
	}
	ASSERT_EQ(200 * PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, self->memory,
					    PAGES * PAGE));
	ASSERT_EQ(100 * PAGE, aux_unmap_all(self->fd, other));
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, PAGES * PAGE));
}

/* Windows. */

/* Maps and unmaps again; the error. */
static int try_map(int fd, u32 pasid, const u8 *memory, u64 iova, u64 size)
{
	int ret = aux_map(fd, pasid, READ, memory, iova, size);

	if (!ret && aux_unmap(fd, pasid, iova, size) != (long)size)
		return -EPROTO;
	return ret;
}

#define TRY_MAP(pasid, iova, count)					\
	try_map(self->fd, pasid, self->memory, iova, (u64)(count) * PAGE)

TEST_F(aux_map, ERANGE_outside_of_the_window)
{
	struct vfio_iommu_aux_create create;

	ASSERT_EQ(0, aux_create_window(self->fd, IOVA + 4 * PAGE, 3 * PAGE,
				       &create));
	ASSERT_EQ(IOVA + 4 * PAGE, create.iova_start);
	ASSERT_EQ(3 * PAGE, create.iova_size);
	for (int first = 0; first < 12; first++) {
		for (int count = 1; first + count <= 12; count++) {
			bool inside = first >= 4 && first + count <= 7;

			ASSERT_EQ(inside ? 0 : -ERANGE,
				  TRY_MAP(create.pasid, IOVA + first * PAGE,
					  count)) {
				TH_LOG("%d pages from %d on", count, first);
			}
		}
	}
	/* Nothing outside of it can be mapped, so nothing is. */
	ASSERT_EQ(0, aux_unmap(self->fd, create.pasid, IOVA, 4 * PAGE));
}

TEST_F(aux_map, ERANGE_beyond_what_the_IOMMU_has)
{
	struct vfio_iommu_aux_create create;
	u64 end;

	ASSERT_EQ(0, aux_create_window(self->fd, 0, 0, &create));
	end = create.iova_start + create.iova_size;
	ASSERT_EQ(first_stage() ? 1ull << 47 : 1ull << 48, end);
	ASSERT_EQ(0, TRY_MAP(create.pasid, 0, 1));
	ASSERT_EQ(0, TRY_MAP(create.pasid, end - PAGE, 1));
	ASSERT_EQ(0, TRY_MAP(create.pasid, end - PAGES * PAGE, PAGES));
	ASSERT_EQ(-ERANGE, TRY_MAP(create.pasid, end - PAGE, 2));
	ASSERT_EQ(-ERANGE, TRY_MAP(create.pasid, end, 1));
	/* The upper half of first-stage tables is not for DMA. */
	ASSERT_EQ(-ERANGE, TRY_MAP(create.pasid, -end, 1));
	ASSERT_EQ(-ERANGE, TRY_MAP(create.pasid, -(u64)PAGE, 1));
}

TEST_F(aux_map, ERANGE_in_a_hole)
{
	const u64 end = MSI_START + MSI_SIZE;
	static const u64 inside[] = {
		0, PAGE, MSI_SIZE / 2, MSI_SIZE - 2 * PAGE, MSI_SIZE - PAGE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		ASSERT_EQ(-ERANGE, TRY_MAP(self->pasid, MSI_START + inside[i],
					   1));
	ASSERT_EQ(0, TRY_MAP(self->pasid, MSI_START - 4 * PAGE, 4));
	ASSERT_EQ(-ERANGE, TRY_MAP(self->pasid, MSI_START - 4 * PAGE, 5));
	ASSERT_EQ(0, TRY_MAP(self->pasid, end, 4));
	ASSERT_EQ(-ERANGE, TRY_MAP(self->pasid, end - PAGE, 5));
}

/* Larger than a hole, and not just what begins or ends in it. */
TEST_F(aux_map, ERANGE_around_a_hole)
{
	u64 size = MSI_SIZE + 2 * PAGE;
	u8 *memory = new_pages(size / PAGE);

	ASSERT_EQ(0, register_memory(self->fd, 0, memory, size));
	ASSERT_EQ(-ERANGE, try_map(self->fd, self->pasid, memory,
				   MSI_START - PAGE, size));
	ASSERT_EQ(-ERANGE, try_map(self->fd, self->pasid, memory, MSI_START,
				   MSI_SIZE));
	ASSERT_EQ(0, try_map(self->fd, self->pasid, memory,
			     MSI_START - size, size));
}

/* The number of mappings. */

TEST_F(aux_map, ENOSPC_if_the_process_has_as_many_mappings_as_it_may)
{
	struct limits limits = DEFAULT_LIMITS;
	struct container other;
	long second, third;

	container_close(&self->setting.container);
	limits.mappings = 3;
	ASSERT_EQ(0, use_modules(&limits));
	ASSERT_EQ(0, setting_open(&self->setting, self->index));
	self->fd = self->setting.fd;
	self->pasid = self->setting.pasid;
	self->memory = self->setting.memory;
	second = aux_create(self->fd);
	ASSERT_LT(0, second);
	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	third = aux_create(other.fd);
	ASSERT_LT(0, third);
	ASSERT_EQ(0, register_memory(other.fd, 0, self->memory, PAGES * PAGE));

	/* Over all spaces and containers, and whatever their size. */
	ASSERT_EQ(0, MAP_PAGES(0, 8, READ));
	ASSERT_EQ(0, aux_map(self->fd, second, READ, self->memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(other.fd, third, READ, self->memory, IOVA, PAGE));
	ASSERT_EQ(-ENOSPC, MAP_PAGES(8, 1, READ));
	ASSERT_EQ(-ENOSPC, aux_map(other.fd, third, READ, self->memory,
				   IOVA + PAGE, PAGE));
	ASSERT_EQ(1, view(self->fd, self->pasid).count);

	/* What fails for another reason takes no place. */
	ASSERT_EQ(PAGE, aux_unmap(other.fd, third, IOVA, PAGE));
	ASSERT_EQ(-EEXIST, MAP_PAGES(0, 1, READ));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, second, READ, new_pages(1),
				   IOVA + PAGE, PAGE));
	ASSERT_EQ(-EACCES, aux_map(self->fd, second, WRITE,
				   self->setting.constant, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, MAP_PAGES(8, 1, READ));
	ASSERT_EQ(-ENOSPC, MAP_PAGES(9, 1, READ));

	/* Each way for a mapping to go gives its place back. */
	ASSERT_EQ(9 * PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, aux_destroy(self->fd, second));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, aux_map(other.fd, third, READ, self->memory,
				     IOVA + i * PAGE, PAGE));
	ASSERT_EQ(-ENOSPC, MAP_PAGES(0, 1, READ));
	container_close(&other);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, MAP_PAGES(i, 1, READ));
	ASSERT_EQ(-ENOSPC, MAP_PAGES(3, 1, READ));
}

static long map_one(void *arg)
{
	struct setting setting;
	int ret = setting_open(&setting, *(int *)arg);

	if (ret)
		return ret;
	ret = aux_map(setting.fd, setting.pasid, READ, setting.memory, IOVA,
		      PAGE);
	if (!ret && aux_map(setting.fd, setting.pasid, READ, setting.memory,
			    IOVA + PAGE, PAGE) != -ENOSPC)
		ret = -EPROTO;
	container_close(&setting.container);
	return ret;
}

TEST_F(aux_map, each_process_counts_its_own_mappings)
{
	struct limits limits = DEFAULT_LIMITS;
	int other = device_index(20, 1);

	container_close(&self->setting.container);
	limits.mappings = 1;
	ASSERT_EQ(0, use_modules(&limits));
	ASSERT_EQ(0, setting_open(&self->setting, self->index));
	self->fd = self->setting.fd;
	self->pasid = self->setting.pasid;
	self->memory = self->setting.memory;
	ASSERT_EQ(0, MAP_PAGES(0, 1, READ));
	ASSERT_EQ(0, in_child(map_one, &other));
	ASSERT_EQ(-ENOSPC, MAP_PAGES(1, 1, READ));
}

/* AUX_UNMAP. */

TEST_F(aux_map, unmap_of_nothing_is_no_error)
{
	ASSERT_EQ(0, UNMAP_PAGES(0, 1));
	ASSERT_EQ(0, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, MAP_PAGES(4, 2, READ));
	ASSERT_EQ(0, UNMAP_PAGES(0, 4));
	ASSERT_EQ(0, UNMAP_PAGES(6, 4));
	/* Nor is one of what is in no window. */
	ASSERT_EQ(0, aux_unmap(self->fd, self->pasid, MSI_START, MSI_SIZE));
	ASSERT_EQ(0, aux_unmap(self->fd, self->pasid, -(u64)PAGE, PAGE));
	ASSERT_EQ(2 * PAGE, UNMAP_PAGES(4, 2));
	ASSERT_EQ(0, UNMAP_PAGES(4, 2));
}

TEST_F(aux_map, EINVAL_if_the_range_to_unmap_makes_no_sense)
{
	static const int offsets[] = { 1, 8, 512, PAGE / 2, PAGE - 1 };
	struct view before;

	ASSERT_EQ(0, MAP_PAGES(0, 4, READ));
	before = view(self->fd, self->pasid);
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(0, 0));
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, self->pasid, 0, 0));
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, self->pasid, IOVA, -(u64)PAGE));
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, self->pasid, -(u64)PAGE,
				     2 * PAGE));
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		ASSERT_EQ(-EINVAL, aux_unmap(self->fd, self->pasid,
					     IOVA + offsets[i], 4 * PAGE));
		ASSERT_EQ(-EINVAL, aux_unmap(self->fd, self->pasid, IOVA,
					     4 * PAGE + offsets[i]));
	}
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
}

TEST_F(aux_map, EINVAL_if_all_comes_with_a_range)
{
	struct vfio_iommu_aux_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_AUX_UNMAP_ALL,
		.pasid = self->pasid,
	};
	struct view before;

	ASSERT_EQ(0, MAP_PAGES(0, 4, READ));
	before = view(self->fd, self->pasid);
	unmap.iova = IOVA;
	ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_UNMAP, &unmap));
	unmap.size = 4 * PAGE;
	ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_UNMAP, &unmap));
	unmap.iova = 0;
	ASSERT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_UNMAP, &unmap));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
	unmap.size = 0;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_UNMAP, &unmap));
	ASSERT_EQ(4 * PAGE, unmap.size);
}

TEST_F(aux_map, EINVAL_and_nothing_unmapped_if_only_a_part_is_in_the_range)
{
	struct view before;

	/* Pages 2 to 4, 5, and 7 to 9. */
	ASSERT_EQ(0, MAP_PAGES(2, 3, READ));
	ASSERT_EQ(0, MAP_PAGES(5, 1, READ));
	ASSERT_EQ(0, MAP_PAGES(7, 3, READ));
	before = view(self->fd, self->pasid);
	ASSERT_EQ(3, before.count);
	/* In the middle, at its begin, at its end. */
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(3, 1));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(2, 2));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(3, 2));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(0, 3));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(9, 3));
	/* One end of the range cuts, behind what is there as a whole. */
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(4, 2));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(4, 6));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(2, 6));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(0, 9));
	ASSERT_EQ(-EINVAL, UNMAP_PAGES(4, 4));
	ASSERT_TRUE(unchanged(self->fd, self->pasid, &before));
}

TEST_F(aux_map, a_range_takes_all_that_is_in_it)
{
	ASSERT_EQ(0, MAP_PAGES(2, 3, READ));
	ASSERT_EQ(0, MAP_PAGES(5, 1, READ));
	ASSERT_EQ(0, MAP_PAGES(7, 3, READ));
	ASSERT_EQ(0, MAP_PAGES(20, 1, READ));
	ASSERT_EQ(4 * PAGE, UNMAP_PAGES(5, 6));
	ASSERT_EQ(2, view(self->fd, self->pasid).count);
	ASSERT_EQ(0, MAP_PAGES(7, 2, READ));
	ASSERT_EQ(5 * PAGE, UNMAP_PAGES(0, 12));
	ASSERT_EQ(1, view(self->fd, self->pasid).count);
	/* All there is, and more. */
	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->pasid, 0, 1ull << 63));
	ASSERT_EQ(0, view(self->fd, self->pasid).count);
}

TEST_F(aux_map, all_takes_everything_of_that_space)
{
	u32 other = aux_create(self->fd);

	ASSERT_EQ(0, aux_map(self->fd, other, READ, self->memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ, self->memory, 0,
			     PAGE));
	ASSERT_EQ(0, MAP_PAGES(2, 3, READ));
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ, self->memory,
			     (1ull << 47) - PAGE, PAGE));
	ASSERT_EQ(5 * PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, view(self->fd, self->pasid).count);
	ASSERT_EQ(1, view(self->fd, other).count);
}

/* Against a simple model. */

struct model {
	struct vfio_iommu_aux_entry *page[PAGES];	/* its mapping */
	struct vfio_iommu_aux_entry entries[PAGES];
};

static int model_map(struct model *model, int at, int count, u32 flags,
		     const u8 *vaddr)
{
	struct vfio_iommu_aux_entry *entry = &model->entries[at];

	for (int i = at; i < at + count; i++)
		if (model->page[i])
			return -EEXIST;
	*entry = (struct vfio_iommu_aux_entry) {
		.type = VFIO_AUX_ENTRY_MAPPING,
		.data = flags,
		.iova = IOVA + (u64)at * PAGE,
		.size = (u64)count * PAGE,
		.vaddr = (uintptr_t)vaddr,
	};
	for (int i = at; i < at + count; i++)
		model->page[i] = entry;
	return 0;
}

static long model_unmap(struct model *model, int at, int count)
{
	int end = at + count;
	long bytes = 0;

	if ((at && model->page[at] && model->page[at] == model->page[at - 1]) ||
	    (end < PAGES && model->page[end] &&
	     model->page[end] == model->page[end - 1]))
		return -EINVAL;
	for (int i = at; i < end; i++) {
		if (model->page[i])
			bytes += PAGE;
		model->page[i] = NULL;
	}
	return bytes;
}

static struct view model_view(struct model *model)
{
	struct view view;

	memset(&view, 0, sizeof(view));
	for (int i = 0; i < PAGES; i++)
		if (model->page[i] && (!i || model->page[i] != model->page[i - 1]))
			view.entries[view.count++] = *model->page[i];
	return view;
}

TEST_F(aux_map, a_thousand_steps_agree_with_a_model)
{
	struct sequence sequence = { .state = 11 };
	struct model model = { .page = { NULL } };

	for (int step = 0; step < 1000; step++) {
		int at = next_random(&sequence, PAGES);
		int room = PAGES - at < 8 ? PAGES - at : 8;
		int count = 1 + next_random(&sequence, room);
		u32 flags = 1 + next_random(&sequence, READ_WRITE);
		int page = next_random(&sequence, PAGES - count + 1);
		const u8 *vaddr = self->memory + page * PAGE;
		long expected, seen;
		struct view left;

		if (next_random(&sequence, 2)) {
			expected = model_map(&model, at, count, flags, vaddr);
			seen = aux_map(self->fd, self->pasid, flags, vaddr,
				       IOVA + at * PAGE, count * PAGE);
		} else {
			expected = model_unmap(&model, at, count);
			seen = UNMAP_PAGES(at, count);
		}
		ASSERT_EQ(expected, seen) {
			TH_LOG("step %d", step);
		}
		left = model_view(&model);
		ASSERT_TRUE(unchanged(self->fd, self->pasid, &left)) {
			TH_LOG("step %d", step);
		}
	}
	/* The steps have met what they should meet. */
	ASSERT_LT(0, view(self->fd, self->pasid).count);
}

/* AUX_INFO. */

TEST_F(aux_map, info_reports_each_mapping)
{
	struct aux_info info = { .head.cursor = 0 };
	struct vfio_iommu_aux_entry *entry = info.entries;

	/* Not in the order of their addresses. */
	ASSERT_EQ(0, MAP_PAGES(8, 2, READ));
	ASSERT_EQ(0, MAP_PAGES(2, 1, WRITE));
	ASSERT_EQ(0, aux_map(self->fd, self->pasid, READ_WRITE,
			     self->memory + 3 * PAGE, 0, 4 * PAGE));
	ASSERT_EQ(0, aux_info(self->fd, self->pasid, AUX_ENTRIES, &info));
	ASSERT_EQ(0, info.head.cursor);
	ASSERT_EQ(4, info.head.count);
	ASSERT_EQ(VFIO_AUX_ENTRY_HOLE, entry->type);
	for (int i = 1; i < 4; i++)
		ASSERT_EQ(VFIO_AUX_ENTRY_MAPPING, entry[i].type);
	ASSERT_EQ(READ_WRITE, entry[1].data);
	ASSERT_EQ(0, entry[1].iova);
	ASSERT_EQ(4 * PAGE, entry[1].size);
	ASSERT_EQ((uintptr_t)self->memory + 3 * PAGE, entry[1].vaddr);
	ASSERT_EQ(WRITE, entry[2].data);
	ASSERT_EQ(IOVA + 2 * PAGE, entry[2].iova);
	ASSERT_EQ(PAGE, entry[2].size);
	ASSERT_EQ((uintptr_t)self->memory + 2 * PAGE, entry[2].vaddr);
	ASSERT_EQ(READ, entry[3].data);
	ASSERT_EQ(IOVA + 8 * PAGE, entry[3].iova);
	ASSERT_EQ(2 * PAGE, entry[3].size);
	ASSERT_EQ((uintptr_t)self->memory + 8 * PAGE, entry[3].vaddr);
}

/* One is the size of a batch of the kernel's, or next to it. */
TEST_F(aux_map, the_cursor_leads_through_all_mappings_once)
{
	static const int steps[] = { 1, 2, 3, 7, 31, 32, 33, 62, 63, 64, 65 };

	for (int i = 0; i < PAGES; i++)
		ASSERT_EQ(0, MAP_PAGES(i, 1, READ));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct vfio_iommu_aux_entry found[PAGES];

		ASSERT_EQ(PAGES, mappings(self->fd, self->pasid, steps[i],
					  found, PAGES));
		for (int page = 0; page < PAGES; page++)
			ASSERT_EQ(IOVA + (u64)page * PAGE, found[page].iova);
	}
}

TEST_F(aux_map, any_cursor_ends_the_report_sooner_or_later)
{
	static const u64 cursors[] = {
		1, IOVA, 1ull << 60, 2ull << 60, 3ull << 60,
		(3ull << 60) + (IOVA >> 12), (3ull << 60) + (1ull << 52),
		4ull << 60, UINT64_MAX,
	};

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, MAP_PAGES(i, 1, READ));
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		struct aux_info info = { .head.cursor = cursors[i] };
		int calls = 0, entries = 0;

		do {
			ASSERT_EQ(0, aux_info(self->fd, self->pasid, 1, &info));
			entries += info.head.count;
			ASSERT_GE(6, ++calls);
		} while (info.head.cursor);
		ASSERT_GE(5, entries);
	}
}

struct come_and_go {
	int fd;
	u32 pasid;
	const u8 *memory;
	bool stop;
	int errors;
};

static void *come_and_go(void *arg)
{
	struct come_and_go *these = arg;

	for (int i = 0; !__atomic_load_n(&these->stop, __ATOMIC_RELAXED); i++) {
		u64 iova = IOVA + (i * 2 + 1) % PAGES * PAGE;

		if (aux_map(these->fd, these->pasid, READ, these->memory, iova,
			    PAGE) ||
		    aux_unmap(these->fd, these->pasid, iova, PAGE) != PAGE)
			these->errors++;
	}
	return NULL;
}

TEST_F(aux_map, what_stays_is_reported_once_while_others_come_and_go)
{
	struct come_and_go odd = { self->fd, self->pasid, self->memory, 0, 0 };
	pthread_t thread;

	for (int i = 0; i < PAGES; i += 2)
		ASSERT_EQ(0, MAP_PAGES(i, 1, READ));
	ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &odd));
	for (int round = 0; round < 100; round++) {
		struct vfio_iommu_aux_entry found[PAGES];
		int count, even = 0;

		count = mappings(self->fd, self->pasid, 1 + round % 5, found,
				 PAGES);
		ASSERT_LE(PAGES / 2, count);
		for (int i = 0; i < count; i++) {
			ASSERT_EQ(PAGE, found[i].size);
			if (i)
				ASSERT_LT(found[i - 1].iova, found[i].iova);
			even += !((found[i].iova - IOVA) / PAGE % 2);
		}
		ASSERT_EQ(PAGES / 2, even);
	}
	__atomic_store_n(&odd.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ASSERT_EQ(0, odd.errors);
}

TEST_F(aux_map, EFAULT_if_mappings_cannot_be_written)
{
	const size_t room = 2;
	struct vfio_iommu_aux_info *info =
		before_hole(sizeof(*info) + room * sizeof(info->entries[0]));

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, MAP_PAGES(i, 1, READ));
	/* A hole and a mapping, and then no more memory. */
	*info = (struct vfio_iommu_aux_info) {
		.argsz = sizeof(*info) + (room + 1) * sizeof(info->entries[0]),
		.pasid = self->pasid,
	};
	ASSERT_EQ(-EFAULT, call(self->fd, VFIO_IOMMU_AUX_INFO, info));
	info->argsz -= sizeof(info->entries[0]);
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_INFO, info));
	ASSERT_EQ(room, info->count);
	ASSERT_EQ(IOVA, info->entries[1].iova);
}

/* Many. */

#define MANY	10000

static u64 nth_iova(int i)
{
	/* Some beside each other, and over several tables. */
	return IOVA + (u64)i * PAGE + (u64)(i / 3) * 5 * PAGE;
}

static int map_many(int fd, u32 pasid, const u8 *memory)
{
	int ret = 0;

	/* Neither in ascending nor in descending order. */
	for (int i = 0; i < MANY && !ret; i++) {
		int n = i * 7919 % MANY;

		ret = aux_map(fd, pasid, READ, memory + n % PAGES * PAGE,
			      nth_iova(n), PAGE);
	}
	return ret;
}

/* Each is there once, in the order of the addresses. */
static bool are_many(const struct vfio_iommu_aux_entry *found,
		     const u8 *memory)
{
	for (int i = 0; i < MANY; i++)
		if (found[i].iova != nth_iova(i) || found[i].size != PAGE ||
		    found[i].data != READ ||
		    found[i].vaddr != (uintptr_t)memory + i % PAGES * PAGE)
			return false;
	return true;
}

TEST_F(aux_map, ten_thousand_mappings)
{
	struct vfio_iommu_aux_info *info;
	struct vfio_iommu_aux_entry *found;
	size_t size;

	found = calloc(MANY, sizeof(*found));
	ASSERT_NE(NULL, found);
	ASSERT_EQ(0, map_many(self->fd, self->pasid, self->memory));
	ASSERT_EQ(MANY, count_of("mappings"));
	ASSERT_EQ(MANY, mappings(self->fd, self->pasid, AUX_ENTRIES, found,
				 MANY));
	ASSERT_TRUE(are_many(found, self->memory));

	/* In one call, behind the hole. */
	size = sizeof(*info) + (MANY + 2) * sizeof(info->entries[0]);
	info = calloc(1, size);
	ASSERT_NE(NULL, info);
	info->argsz = size;
	info->pasid = self->pasid;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_INFO, info));
	ASSERT_EQ(0, info->cursor);
	ASSERT_EQ(MANY + 1, info->count);
	ASSERT_TRUE(are_many(info->entries + 1, self->memory));

	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, self->memory,
					    PAGES * PAGE));
	ASSERT_EQ(0, aux_destroy(self->fd, self->pasid));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, PAGES * PAGE));
}

TEST_F(aux_map, ten_thousand_mappings_go_one_by_one)
{
	ASSERT_EQ(0, map_many(self->fd, self->pasid, self->memory));
	for (int i = 0; i < MANY; i++) {
		int n = i * 6101 % MANY;

		ASSERT_EQ(PAGE, aux_unmap(self->fd, self->pasid, nth_iova(n),
					  PAGE));
	}
	ASSERT_EQ(0, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, PAGES * PAGE));
}

TEST_HARNESS_MAIN
