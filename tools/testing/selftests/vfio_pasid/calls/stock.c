// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stock ioctls, byte for byte: each test runs the same calls under the
 * kernel's own type1 and under ours, writes down everything that came back, and
 * compares the two transcripts.
 */
#include <kselftest_harness.h>

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vfio_pasid_utils.h"

#define IOVA		0x1000000
#define MEMORY_PAGES	64

/* The number space that VFIO leaves to this project: not compared. */
static bool is_ours(unsigned int number)
{
	return (number >= 0x40 && number <= 0x4f) || number == VFIO_BASE + 18;
}

struct run {
	struct container container;
	unsigned long type;
	int fd;
	char *memory;	/* MEMORY_PAGES of them */
	FILE *transcript;
};

static void __printf(2, 3) note(struct run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(run->transcript, format, args);
	va_end(args);
}

static void note_bytes(struct run *run, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		note(run, "%s%02x", i % 32 ? " " : "\n    ",
		     ((const u8 *)bytes)[i]);
	note(run, "\n");
}

static long do_map(struct run *run, u32 argsz, u32 flags, u64 vaddr,
		   u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = argsz,
		.flags = flags,
		.vaddr = vaddr,
		.iova = iova,
		.size = size,
	};
	long ret = call(run->fd, VFIO_IOMMU_MAP_DMA, &map);

	/* Addresses differ between runs; where they point to does not. */
	map.vaddr -= vaddr;
	note(run, "map argsz %u flags %x iova %llx size %llx: %ld", argsz, flags,
	     (unsigned long long)iova, (unsigned long long)size, ret);
	note_bytes(run, &map, sizeof(map));
	return ret;
}

static long do_unmap(struct run *run, u32 argsz, u32 flags,
		     u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = argsz,
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	long ret = call(run->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	note(run, "unmap argsz %u flags %x iova %llx size %llx: %ld", argsz,
	     flags, (unsigned long long)iova, (unsigned long long)size, ret);
	note_bytes(run, &unmap, sizeof(unmap));
	return ret;
}

#define MAP_SIZE	sizeof(struct vfio_iommu_type1_dma_map)
#define UNMAP_SIZE	sizeof(struct vfio_iommu_type1_dma_unmap)
#define READ		VFIO_DMA_MAP_FLAG_READ
#define WRITE		VFIO_DMA_MAP_FLAG_WRITE
#define UNMAP_ALL	VFIO_DMA_UNMAP_FLAG_ALL

/* VFIO_CHECK_EXTENSION */

static void every_extension(struct run *run, int fd, const char *state)
{
	for (unsigned long number = 0; number < 0x10000; number++) {
		long ret;

		if (number == VFIO_PASID_EXTENSION)
			continue;
		ret = call(fd, VFIO_CHECK_EXTENSION, (void *)number);
		if (ret)
			note(run, "%s: extension %lu: %ld\n", state, number, ret);
	}
}

static void extensions(struct run *run)
{
	int empty = container_node();

	every_extension(run, empty, "without a group");
	close(empty);
	every_extension(run, run->fd, "set up");
	note(run, "version %ld\n", call(run->fd, VFIO_GET_API_VERSION, NULL));
}

/* VFIO_IOMMU_GET_INFO */

static void info_with_argsz(struct run *run, u32 argsz)
{
	union {
		struct vfio_iommu_type1_info info;
		u8 bytes[1024];
	} buffer;
	long ret;

	memset(&buffer, 0xa5, sizeof(buffer));
	buffer.info.argsz = argsz;
	buffer.info.flags = 0;
	ret = call(run->fd, VFIO_IOMMU_GET_INFO, &buffer);
	note(run, "get_info argsz %u: %ld", argsz, ret);
	note_bytes(run, &buffer, sizeof(buffer));
}

static void info(struct run *run)
{
	static const u32 sizes[] = {
		0, 4, 8, 15, 16, 20, 23, 24, 25, 32, 64, 100, 128, 200, 512,
		1024, INT32_MAX, UINT32_MAX,
	};
	struct vfio_iommu_type1_info good = { .argsz = sizeof(good) };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		info_with_argsz(run, sizes[i]);

	/* A mapping changes the number of those that are left. */
	do_map(run, sizeof(struct vfio_iommu_type1_dma_map),
	       VFIO_DMA_MAP_FLAG_READ, (uintptr_t)run->memory, IOVA, PAGE);
	info_with_argsz(run, 512);

	note(run, "null: %ld\n", call(run->fd, VFIO_IOMMU_GET_INFO, NULL));
	note(run, "unmapped: %ld\n",
	     call(run->fd, VFIO_IOMMU_GET_INFO, unmapped()));
	note(run, "read-only: %ld\n",
	     call(run->fd, VFIO_IOMMU_GET_INFO,
		  read_only_copy(&good, sizeof(good))));
}

/* VFIO_IOMMU_MAP_DMA */

static void maps(struct run *run)
{
	static const u32 sizes[] = { 0, 8, 31, 32, 33, UINT32_MAX };
	static const u64 far[] = {
		0xfee00000, 0xfee00000 - PAGE, 0xfef00000, 1ull << 38,
		1ull << 39, (1ull << 47) - PAGE, 1ull << 47,
		(1ull << 48) - PAGE, 1ull << 48, 1ull << 57, 1ull << 63,
		-(u64)PAGE,
	};
	u64 vaddr = (uintptr_t)run->memory;
	struct rlimit limit, low = { 4 * PAGE, RLIM_INFINITY };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		do_map(run, sizes[i], READ | WRITE, vaddr, IOVA + i * PAGE, PAGE);
	for (int bit = -1; bit < 32; bit++)
		do_map(run, MAP_SIZE, bit < 0 ? 0 : 1u << bit, vaddr,
		       IOVA + 0x100000 + bit * PAGE, PAGE);
	do_map(run, MAP_SIZE, READ | VFIO_DMA_MAP_FLAG_VADDR, vaddr, IOVA, PAGE);

	/* Sizes and alignment. */
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA, 0);
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA, 1);
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA, PAGE - 1);
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA, PAGE + 1);
	do_map(run, MAP_SIZE, READ, vaddr + 1, 2 * IOVA, PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA + 1, PAGE);
	do_map(run, MAP_SIZE, READ, vaddr + 1, 2 * IOVA + 1, PAGE);

	/* Wrap-around. */
	do_map(run, MAP_SIZE, READ, vaddr, 2 * IOVA, -(u64)PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, -(u64)PAGE, 2 * PAGE);
	do_map(run, MAP_SIZE, READ, -(u64)PAGE, 2 * IOVA, 2 * PAGE);

	/* Overlap. */
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA, 8 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA, 8 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA + 4 * PAGE, PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA - PAGE, 2 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA + 7 * PAGE, 2 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA - PAGE, 10 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA - PAGE, PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 3 * IOVA + 8 * PAGE, PAGE);

	/* Reserved regions and the ends of the address width. */
	for (size_t i = 0; i < ARRAY_SIZE(far); i++)
		do_map(run, MAP_SIZE, READ, vaddr, far[i], PAGE);

	/* Memory. */
	do_map(run, MAP_SIZE, READ, (uintptr_t)unmapped(), 4 * IOVA, PAGE);
	do_map(run, MAP_SIZE, READ, (uintptr_t)before_hole(PAGE), 4 * IOVA,
	       2 * PAGE);
	do_map(run, MAP_SIZE, READ, (uintptr_t)read_only_copy("", 1), 4 * IOVA,
	       PAGE);
	do_map(run, MAP_SIZE, WRITE, (uintptr_t)read_only_copy("", 1), 5 * IOVA,
	       PAGE);
	getrlimit(RLIMIT_MEMLOCK, &limit);
	setrlimit(RLIMIT_MEMLOCK, &low);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
	set_ipc_lock(false);
	do_map(run, MAP_SIZE, READ, vaddr, 6 * IOVA, 5 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 6 * IOVA, 4 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 7 * IOVA, PAGE);
	do_unmap(run, UNMAP_SIZE, 0, 6 * IOVA, 4 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr, 7 * IOVA, PAGE);
	set_ipc_lock(true);
	setrlimit(RLIMIT_MEMLOCK, &limit);

	note(run, "null: %ld\n", call(run->fd, VFIO_IOMMU_MAP_DMA, NULL));
	note(run, "unmapped: %ld\n",
	     call(run->fd, VFIO_IOMMU_MAP_DMA, unmapped()));
}

/* VFIO_IOMMU_UNMAP_DMA */

/* Three neighbours of 4 pages, a gap, and one of 1. */
static void map_some(struct run *run)
{
	u64 vaddr = (uintptr_t)run->memory;

	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
	for (int i = 0; i < 3; i++)
		do_map(run, MAP_SIZE, READ | WRITE, vaddr + 4 * i * PAGE,
		       IOVA + 4 * i * PAGE, 4 * PAGE);
	do_map(run, MAP_SIZE, READ, vaddr + 20 * PAGE, IOVA + 20 * PAGE, PAGE);
}

static void unmaps(struct run *run)
{
	/* In pages from IOVA. */
	static const struct {
		int first, count;
	} ranges[] = {
		{ 0, 4 }, { 0, 12 }, { 4, 4 }, { 0, 21 }, { -5, 40 }, { 12, 8 },
		{ 100, 1 }, { 20, 1 }, { 20, 50 },
		/* These cut a mapping in two. */
		{ 0, 1 }, { 0, 3 }, { 1, 3 }, { 1, 1 }, { 3, 1 }, { 0, 5 },
		{ 2, 8 }, { 3, 2 }, { -1, 2 }, { 11, 9 }, { 11, 10 },
	};
	static const u32 sizes[] = { 0, 8, 23, 24, 25, UINT32_MAX };
	struct vfio_iommu_type1_dma_unmap good = {
		.argsz = sizeof(good),
		.iova = IOVA,
		.size = 4 * PAGE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		map_some(run);
		do_unmap(run, UNMAP_SIZE, 0, IOVA + ranges[i].first * PAGE,
			 ranges[i].count * PAGE);
		/* What is left. */
		do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
	}

	map_some(run);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		do_unmap(run, sizes[i], 0, IOVA, 4 * PAGE);
	map_some(run);
	for (int bit = 0; bit < 32; bit++)
		do_unmap(run, UNMAP_SIZE, 1u << bit, IOVA, 4 * PAGE);

	/* Sizes, alignment, wrap-around. */
	map_some(run);
	do_unmap(run, UNMAP_SIZE, 0, IOVA, 0);
	do_unmap(run, UNMAP_SIZE, 0, IOVA, 1);
	do_unmap(run, UNMAP_SIZE, 0, IOVA, PAGE + 1);
	do_unmap(run, UNMAP_SIZE, 0, IOVA + 1, PAGE);
	do_unmap(run, UNMAP_SIZE, 0, IOVA, -(u64)PAGE);
	do_unmap(run, UNMAP_SIZE, 0, -(u64)PAGE, 2 * PAGE);
	do_unmap(run, UNMAP_SIZE, 0, -(u64)PAGE, PAGE);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, IOVA, 0);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, PAGE);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);

	/* Addresses that are taken back and given anew. */
	map_some(run);
	do_unmap(run, UNMAP_SIZE, VFIO_DMA_UNMAP_FLAG_VADDR, IOVA, 4 * PAGE);
	do_unmap(run, UNMAP_SIZE, VFIO_DMA_UNMAP_FLAG_VADDR, IOVA, 4 * PAGE);
	do_map(run, MAP_SIZE, VFIO_DMA_MAP_FLAG_VADDR,
	       (uintptr_t)run->memory + 40 * PAGE, IOVA, PAGE);
	do_map(run, MAP_SIZE, VFIO_DMA_MAP_FLAG_VADDR,
	       (uintptr_t)run->memory + 40 * PAGE, IOVA, 4 * PAGE);
	do_map(run, MAP_SIZE, VFIO_DMA_MAP_FLAG_VADDR,
	       (uintptr_t)run->memory + 40 * PAGE, IOVA, 4 * PAGE);
	do_map(run, MAP_SIZE, VFIO_DMA_MAP_FLAG_VADDR,
	       (uintptr_t)run->memory, 9 * IOVA, 4 * PAGE);
	do_unmap(run, UNMAP_SIZE, VFIO_DMA_UNMAP_FLAG_VADDR | UNMAP_ALL, 0, 0);
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);

	map_some(run);
	note(run, "null: %ld\n", call(run->fd, VFIO_IOMMU_UNMAP_DMA, NULL));
	note(run, "unmapped: %ld\n",
	     call(run->fd, VFIO_IOMMU_UNMAP_DMA, unmapped()));
	/* This one unmaps, and then cannot say so. */
	note(run, "read-only: %ld\n",
	     call(run->fd, VFIO_IOMMU_UNMAP_DMA,
		  read_only_copy(&good, sizeof(good))));
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
}

/* VFIO_IOMMU_DIRTY_PAGES */

static void do_dirty(struct run *run, u32 argsz, u32 flags)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = argsz,
		.flags = flags,
	};

	note(run, "dirty argsz %u flags %x: %ld\n", argsz, flags,
	     call(run->fd, VFIO_IOMMU_DIRTY_PAGES, &dirty));
}

static void dirty_bitmap(struct run *run, u32 argsz, u64 iova,
			 u64 size, u64 pgsize, u64 bitmap_size,
			 void *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} request = {
		.dirty.argsz = argsz,
		.dirty.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = size,
		.get.bitmap.pgsize = pgsize,
		.get.bitmap.size = bitmap_size,
		.get.bitmap.data = bitmap,
	};

	note(run, "bitmap argsz %u iova %llx size %llx pgsize %llx of %llx: %ld\n",
	     argsz, (unsigned long long)iova, (unsigned long long)size,
	     (unsigned long long)pgsize, (unsigned long long)bitmap_size,
	     call(run->fd, VFIO_IOMMU_DIRTY_PAGES, &request));
}

static void bitmap_of(struct run *run, u64 iova, u64 size,
		      u64 pgsize, u64 bitmap_size)
{
	u8 bitmap[64] = { 0 };

	dirty_bitmap(run, sizeof(struct vfio_iommu_type1_dirty_bitmap) +
		     sizeof(struct vfio_iommu_type1_dirty_bitmap_get), iova,
		     size, pgsize, bitmap_size, bitmap);
	note_bytes(run, bitmap, sizeof(bitmap));
}

static void unmap_with_bitmap(struct run *run, u32 argsz, u64 pgsize,
			      u64 bitmap_size)
{
	u8 bitmap[64] = { 0 };
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} request = {
		.unmap.argsz = argsz,
		.unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.unmap.iova = IOVA,
		.unmap.size = 4 * PAGE,
		.bitmap.pgsize = pgsize,
		.bitmap.size = bitmap_size,
		.bitmap.data = (void *)bitmap,
	};

	note(run, "unmap with bitmap argsz %u pgsize %llx of %llx: %ld", argsz,
	     (unsigned long long)pgsize, (unsigned long long)bitmap_size,
	     call(run->fd, VFIO_IOMMU_UNMAP_DMA, &request));
	note_bytes(run, &request.unmap, sizeof(request.unmap));
	note_bytes(run, bitmap, sizeof(bitmap));
}

static void dirty_pages(struct run *run)
{
	enum {
		SIZE = sizeof(struct vfio_iommu_type1_dirty_bitmap),
		GET_SIZE = SIZE +
			sizeof(struct vfio_iommu_type1_dirty_bitmap_get),
		UNMAP_BITMAP_SIZE = UNMAP_SIZE + sizeof(struct vfio_bitmap),
		START = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
		STOP = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
		GET = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	};

	map_some(run);
	bitmap_of(run, IOVA, 4 * PAGE, PAGE, 8);
	do_dirty(run, SIZE, STOP);
	do_dirty(run, 0, START);
	do_dirty(run, SIZE - 1, START);
	do_dirty(run, SIZE, START | STOP);
	do_dirty(run, SIZE, START | GET);
	for (int bit = 3; bit < 32; bit++)
		do_dirty(run, SIZE, 1u << bit);
	do_dirty(run, SIZE, START);
	do_dirty(run, SIZE, START);
	do_dirty(run, SIZE, GET);

	/* Whole mappings, several, none, cut ones. */
	bitmap_of(run, IOVA, 4 * PAGE, PAGE, 8);
	bitmap_of(run, IOVA, 12 * PAGE, PAGE, 8);
	bitmap_of(run, IOVA, 21 * PAGE, PAGE, 64);
	bitmap_of(run, IOVA, 64 * PAGE, PAGE, 8);
	bitmap_of(run, 2 * IOVA, PAGE, PAGE, 8);
	bitmap_of(run, IOVA + PAGE, 3 * PAGE, PAGE, 8);
	bitmap_of(run, IOVA, 3 * PAGE, PAGE, 8);
	bitmap_of(run, IOVA + 4 * PAGE, 8 * PAGE, PAGE, 8);

	bitmap_of(run, IOVA, 4 * PAGE, 2 * PAGE, 8);
	bitmap_of(run, IOVA, 4 * PAGE, PAGE, 0);
	bitmap_of(run, IOVA, 65 * PAGE, PAGE, 8);
	bitmap_of(run, IOVA, 4 * PAGE, PAGE, 1ull << 40);
	bitmap_of(run, IOVA, 0, PAGE, 8);
	bitmap_of(run, IOVA, 1, PAGE, 8);
	bitmap_of(run, IOVA + 1, 4 * PAGE, PAGE, 8);
	bitmap_of(run, -(u64)PAGE, 2 * PAGE, PAGE, 8);
	dirty_bitmap(run, GET_SIZE - 1, IOVA, 4 * PAGE, PAGE, 8, run->memory);
	dirty_bitmap(run, GET_SIZE, IOVA, 4 * PAGE, PAGE, 8, NULL);
	dirty_bitmap(run, GET_SIZE, IOVA, 4 * PAGE, PAGE, 8, unmapped());
	dirty_bitmap(run, GET_SIZE, IOVA, 4 * PAGE, PAGE, 8, (void *)-16ul);

	/* Mapped and unmapped while it is on. */
	do_map(run, MAP_SIZE, READ | WRITE, (uintptr_t)run->memory, IOVA + 12 * PAGE,
	       4 * PAGE);
	bitmap_of(run, IOVA + 12 * PAGE, 4 * PAGE, PAGE, 8);
	unmap_with_bitmap(run, UNMAP_SIZE, PAGE, 8);
	unmap_with_bitmap(run, UNMAP_BITMAP_SIZE, 2 * PAGE, 8);
	unmap_with_bitmap(run, UNMAP_BITMAP_SIZE, PAGE, 0);
	unmap_with_bitmap(run, UNMAP_BITMAP_SIZE, PAGE, 8);
	unmap_with_bitmap(run, UNMAP_BITMAP_SIZE, PAGE, 8);
	bitmap_of(run, IOVA, 21 * PAGE, PAGE, 64);
	do_dirty(run, SIZE, STOP);
	do_dirty(run, SIZE, STOP);
	bitmap_of(run, IOVA, 21 * PAGE, PAGE, 64);
	map_some(run);
	unmap_with_bitmap(run, UNMAP_BITMAP_SIZE, PAGE, 8);

	note(run, "null: %ld\n", call(run->fd, VFIO_IOMMU_DIRTY_PAGES, NULL));
	note(run, "unmapped: %ld\n",
	     call(run->fd, VFIO_IOMMU_DIRTY_PAGES, unmapped()));
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
}

/* Everything else */

static void other_ioctls(struct run *run)
{
	int empty = container_node();

	for (unsigned int number = 0; number < 256; number++) {
		unsigned long cmds[] = {
			_IO(VFIO_TYPE, number),
			_IOR(VFIO_TYPE, number, u64),
			_IOW(VFIO_TYPE, number, u64),
			_IO('<', number),
		};

		for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
			if (i == 0 && is_ours(number))
				continue;
			note(run, "%lx: %ld %ld %ld\n", cmds[i],
			     call(empty, cmds[i], NULL),
			     call(run->fd, cmds[i], NULL),
			     call(run->fd, cmds[i], unmapped()));
		}
	}
	close(empty);
}

static void states(struct run *run)
{
	int fd = container_node(), group = group_node(1), device;

	for (unsigned long type = 0; type < 12; type++)
		note(run, "set_iommu %lu without a group: %d\n", type,
		     set_iommu(fd, type));
	note(run, "set_container: %d\n", set_container(group, fd));
	note(run, "set_container again: %d\n", set_container(group, fd));
	note(run, "device before set_iommu: %d\n", device_of(group, 1));
	/* The two that there are come last. */
	for (unsigned long type = 0; type < 12; type++)
		if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
			note(run, "set_iommu %lu: %d\n", type,
			     set_iommu(fd, type));
	note(run, "set_iommu: %d\n", set_iommu(fd, run->type));
	note(run, "set_iommu again: %d\n", set_iommu(fd, run->type));
	device = device_of(group, 1);
	note(run, "device: %d\n", device < 0 ? device : 0);
	note(run, "unset_container with a device: %d\n", unset_container(group));
	close(device);
	note(run, "unset_container: %d\n", unset_container(group));
	note(run, "unset_container again: %d\n", unset_container(group));
	note(run, "get_info now: %ld\n",
	     call(fd, VFIO_IOMMU_GET_INFO, run->memory));
	/* A second group comes, and its mappings must reach it. */
	note(run, "second group: %d\n", set_container(group, run->fd));
	map_some(run);
	info_with_argsz(run, 512);
	note(run, "and goes: %d\n", unset_container(group));
	do_unmap(run, UNMAP_SIZE, UNMAP_ALL, 0, 0);
	close(group);
	close(fd);
}

/* Running and comparing */

/* The transcript of @body under @which type1; NULL if it could not run. */
static char *transcript_of(enum type1 which, unsigned long type,
			   void (*body)(struct run *run))
{
	struct run run = { .container = NO_CONTAINER, .type = type };
	char *transcript = NULL;
	size_t size;
	int ret;

	ret = use_type1(which);
	if (!ret) {
		run.container.fd = container_node();
		run.container.group = group_node(0);
		run.fd = run.container.fd;
		ret = set_container(run.container.group, run.fd);
	}
	if (!ret)
		ret = set_iommu(run.fd, type);
	if (ret) {
		ksft_print_msg("cannot set up the container: %d\n", ret);
	} else {
		run.memory = mmap(NULL, MEMORY_PAGES * PAGE,
				  PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
				  -1, 0);
		run.transcript = open_memstream(&transcript, &size);
		body(&run);
		fclose(run.transcript);
		munmap(run.memory, MEMORY_PAGES * PAGE);
	}
	container_close(&run.container);
	return transcript;
}

static unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* Where they first differ, as a line of each. */
static void print_difference(const char *stock, const char *ours)
{
	const char *line = stock;
	size_t same = 0;

	while (stock[same] && stock[same] == ours[same]) {
		if (stock[same] == '\n')
			line = stock + same + 1;
		same++;
	}
	ksft_print_msg("stock: %.*s\n", (int)strcspn(line, "\n"), line);
	line = ours + (line - stock);
	ksft_print_msg("ours:  %.*s\n", (int)strcspn(line, "\n"), line);
}

FIXTURE(stock) {
};

FIXTURE_VARIANT(stock) {
	unsigned long type;
	void (*body)(struct run *run);
	unsigned int lines;	/* at least so many, or the calls were not made */
};

FIXTURE_VARIANT_ADD(stock, type1_extensions) {
	.type = VFIO_TYPE1_IOMMU,
	.body = extensions,
	.lines = 8,
};

FIXTURE_VARIANT_ADD(stock, type1_get_info) {
	.type = VFIO_TYPE1_IOMMU,
	.body = info,
	.lines = 500,
};

FIXTURE_VARIANT_ADD(stock, type1_map_dma) {
	.type = VFIO_TYPE1_IOMMU,
	.body = maps,
	.lines = 150,
};

FIXTURE_VARIANT_ADD(stock, type1_unmap_dma) {
	.type = VFIO_TYPE1_IOMMU,
	.body = unmaps,
	.lines = 400,
};

FIXTURE_VARIANT_ADD(stock, type1_dirty_pages) {
	.type = VFIO_TYPE1_IOMMU,
	.body = dirty_pages,
	.lines = 150,
};

FIXTURE_VARIANT_ADD(stock, type1_other_ioctls) {
	.type = VFIO_TYPE1_IOMMU,
	.body = other_ioctls,
	.lines = 1000,
};

FIXTURE_VARIANT_ADD(stock, type1_container_states) {
	.type = VFIO_TYPE1_IOMMU,
	.body = states,
	.lines = 40,
};

FIXTURE_VARIANT_ADD(stock, type1v2_extensions) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = extensions,
	.lines = 8,
};

FIXTURE_VARIANT_ADD(stock, type1v2_get_info) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = info,
	.lines = 500,
};

FIXTURE_VARIANT_ADD(stock, type1v2_map_dma) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = maps,
	.lines = 150,
};

FIXTURE_VARIANT_ADD(stock, type1v2_unmap_dma) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = unmaps,
	.lines = 400,
};

FIXTURE_VARIANT_ADD(stock, type1v2_dirty_pages) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = dirty_pages,
	.lines = 150,
};

FIXTURE_VARIANT_ADD(stock, type1v2_other_ioctls) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = other_ioctls,
	.lines = 1000,
};

FIXTURE_VARIANT_ADD(stock, type1v2_container_states) {
	.type = VFIO_TYPE1v2_IOMMU,
	.body = states,
	.lines = 40,
};

FIXTURE_SETUP(stock)
{
}

FIXTURE_TEARDOWN(stock)
{
}

TEST_F(stock, is_the_same)
{
	char *stock, *ours;

	stock = transcript_of(TYPE1_STOCK, variant->type, variant->body);
	ours = transcript_of(TYPE1_SHIM, variant->type, variant->body);
	ASSERT_NE(NULL, stock);
	ASSERT_NE(NULL, ours);
	ASSERT_LE(variant->lines, count_lines(stock));
	ASSERT_EQ(0, strcmp(stock, ours)) {
		print_difference(stock, ours);
	}
	free(stock);
	free(ours);
}

/* The two modules really are two, and which is which can be told. */
TEST(the_stock_type1_knows_no_pasids)
{
	struct vfio_iommu_pasid_info info;
	struct container container;

	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	ASSERT_FALSE(module_loaded("vfio_pasid"));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(0, call(container.fd, VFIO_CHECK_EXTENSION,
			  (void *)VFIO_PASID_EXTENSION));
	ASSERT_EQ(-ENOTTY, pasid_alloc(container.fd, 1, 10));
	ASSERT_EQ(-ENOTTY, pasid_free(container.fd, 1, 10));
	ASSERT_EQ(-ENOTTY, pasid_info(container.fd, VFIO_PASID_NO_GROUP, &info));
	container_close(&container);

	ASSERT_EQ(0, use_type1(TYPE1_SHIM));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_LT(0, call(container.fd, VFIO_CHECK_EXTENSION,
			  (void *)VFIO_PASID_EXTENSION));
	container_close(&container);
}

TEST_HARNESS_MAIN
