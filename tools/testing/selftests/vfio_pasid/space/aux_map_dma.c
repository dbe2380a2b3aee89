// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device sees of mappings: its requests land in the memory that was
 * mapped, in pages as large as possible, and nowhere else; and the exact reason
 * why each of the others failed.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "pasid_device.h"

#define IOVA		0x40000000ull
#define KB		1024ull
#define MB		(1024 * KB)
#define GB		(1024 * MB)
#define READ		VFIO_AUX_MAP_READ
#define WRITE		VFIO_AUX_MAP_WRITE
#define READ_WRITE	(READ | WRITE)

FIXTURE(aux_map_dma) {
	struct container container;
	struct pasid_device device;
	int index;
	u32 group;
	int fd;
	u32 pasid;		/* a space that is attached */
};

FIXTURE_SETUP(aux_map_dma)
{
	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_EQ(0, container_start(&self->container, &self->device,
				     self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
	self->pasid = aux_create(self->fd);
	ASSERT_EQ(0, aux_attach(self->fd, self->pasid, self->group));
}

FIXTURE_TEARDOWN(aux_map_dma)
{
	container_stop(&self->container, &self->device);
	EXPECT_EQ(0, count_of("mappings"));
	EXPECT_EQ(0, count_of("pinned_pages"));
}

#define TOUCH(pasid, iova)	device_touch(&self->device, pasid, iova)
#define PEEK(pasid, iova)	device_peek(&self->device, pasid, iova)
#define REACHES(pasid, iova, memory)					\
	device_reaches(&self->device, pasid, iova, memory)
#define MAP(flags, memory, iova, size)					\
	aux_map(self->fd, self->pasid, flags, memory, iova, size)

static void *map_memory(void *at, u64 size, int flags, int fd)
{
	void *memory = mmap(at, size, PROT_READ | PROT_WRITE,
			    flags | (at ? MAP_FIXED : 0), fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Small pages, each with contents of its own. */
static u8 *new_memory(u64 size)
{
	u8 *memory = map_memory(NULL, size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (!memory || madvise(memory, size, MADV_NOHUGEPAGE))
		abort();
	for (u64 i = 0; i < size; i++)
		memory[i] = i * 31 + i / PAGE;
	return memory;
}

static u8 *new_registered(int fd, u64 size)
{
	u8 *memory = new_memory(size);

	return register_memory(fd, 0, memory, size) ? NULL : memory;
}

/* Reads and writes. */

/* The whole of the memory is as it was, but for what the device wrote. */
TEST_F(aux_map_dma, requests_land_where_they_should_and_nowhere_else)
{
	static const struct {
		u64 at;
		u32 length;
	} requests[] = {
		{ 0, 1 }, { 7, 3 }, { PAGE - 1, 1 }, { PAGE, PAGE },
		{ PAGE - 5, 11 }, { 2 * PAGE + 100, PAGE }, { 5 * PAGE - 1, 2 },
		{ 8 * PAGE - 64, 64 }, { 3 * PAGE + 1, PAGE - 1 },
	};
	const u64 size = 8 * PAGE;
	u8 *memory = new_registered(self->fd, size);
	u8 *expected = malloc(size), data[PAGE];

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, size));
	memcpy(expected, memory, size);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		u64 at = requests[i].at;
		u32 length = requests[i].length;
		struct outcome outcome;

		memset(data, 0, sizeof(data));
		device_set_data(&self->device, data, sizeof(data));
		ASSERT_EQ(0, device_dma(&self->device, DMA_READ, self->pasid,
					IOVA + at, length, &outcome));
		ASSERT_EQ(DMA_DONE, outcome.status);
		ASSERT_EQ(length, outcome.transferred);
		device_get_data(&self->device, data, sizeof(data));
		ASSERT_EQ(0, memcmp(data, expected + at, length));
		for (u32 rest = length; rest < sizeof(data); rest++)
			ASSERT_EQ(0, data[rest]);

		for (u32 j = 0; j < length; j++)
			data[j] = ~data[j] + i + j;
		memcpy(expected + at, data, length);
		device_set_data(&self->device, data, length);
		ASSERT_EQ(0, device_dma(&self->device, DMA_WRITE, self->pasid,
					IOVA + at, length, &outcome));
		ASSERT_EQ(DMA_DONE, outcome.status);
		ASSERT_EQ(length, outcome.transferred);
		ASSERT_EQ(0, memcmp(memory, expected, size));
	}
}

TEST_F(aux_map_dma, a_request_ends_where_the_mapping_does)
{
	u8 *memory = new_registered(self->fd, 2 * PAGE);
	u8 data[64];
	struct outcome outcome;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	memset(data, 0xa5, sizeof(data));
	device_set_data(&self->device, data, sizeof(data));
	ASSERT_EQ(0, device_dma(&self->device, DMA_WRITE, self->pasid,
				IOVA + PAGE - 24, sizeof(data), &outcome));
	ASSERT_EQ(no_page(), outcome.status);
	ASSERT_EQ(24, outcome.transferred);
	ASSERT_EQ(IOVA + PAGE, outcome.fault_address);
	ASSERT_EQ(0, memcmp(memory + PAGE - 24, data, 24));
	/* What follows in memory does not follow in the space. */
	for (int i = 0; i < PAGE; i++)
		ASSERT_EQ((u8)((PAGE + i) * 31 + 1), memory[PAGE + i]);
}

/* VFIO's promise to KVM, now with pages: second-stage tables keep it in each. */
TEST_F(aux_map_dma, mapped_pages_enforce_coherency)
{
	u8 *memory = new_registered(self->fd, PAGE);
	struct outcome outcome;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, device_dma(&self->device, DMA_WRITE, self->pasid, IOVA, 8,
				&outcome));
	ASSERT_EQ(DMA_DONE, outcome.status);
	ASSERT_EQ(snoop_control(), outcome.snoop);
	ASSERT_EQ(first_stage() ? 1 : 2, outcome.translation_type);
}

/* One address in several spaces. */

TEST_F(aux_map_dma, the_same_address_is_another_one_in_each_space)
{
	u8 *memory = new_registered(self->fd, 2 * PAGE);
	u8 *own = new_memory(PAGE), *second = memory + PAGE;
	long pasid = aux_create(self->fd);

	ASSERT_NE(NULL, memory);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, map_dma(self->fd, own, IOVA, PAGE));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ_WRITE, second, IOVA, PAGE));
	for (int round = 0; round < 3; round++) {
		u64 offset = round * 1000 * sizeof(u64) % PAGE;

		ASSERT_TRUE(REACHES(self->pasid, IOVA + offset,
				    memory + offset));
		ASSERT_TRUE(REACHES(pasid, IOVA + offset, second + offset));
		ASSERT_TRUE(REACHES(NO_PASID_TAG, IOVA + offset, own + offset));
	}

	/* Each goes by itself. */
	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->pasid, IOVA, PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
	ASSERT_TRUE(REACHES(pasid, IOVA, second));
	ASSERT_TRUE(REACHES(NO_PASID_TAG, IOVA, own));
	ASSERT_EQ(PAGE, unmap_dma(self->fd, IOVA, PAGE));
	ASSERT_EQ(no_page(), TOUCH(NO_PASID_TAG, IOVA));
	ASSERT_TRUE(REACHES(pasid, IOVA, second));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
}

/* The same page in three spaces is one page. */
TEST_F(aux_map_dma, spaces_may_share_memory)
{
	u8 *memory = new_registered(self->fd, PAGE);
	long pasid = aux_create(self->fd);

	ASSERT_NE(NULL, memory);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, map_dma(self->fd, memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ, memory, IOVA, PAGE));
	ASSERT_TRUE(REACHES(NO_PASID_TAG, IOVA, memory));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + PAGE, memory));
	ASSERT_EQ(DMA_DONE, PEEK(pasid, IOVA));
	ASSERT_EQ(NO_WRITE, TOUCH(pasid, IOVA));
	ASSERT_EQ(PAGE, unmap_dma(self->fd, IOVA, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + PAGE, memory));
}

TEST_F(aux_map_dma, many_spaces_each_with_its_own_buffer)
{
	enum { SPACES = 64 };
	u8 *memory = new_registered(self->fd, SPACES * PAGE);
	u64 patterns[SPACES];
	long pasids[SPACES];

	ASSERT_NE(NULL, memory);
	for (int i = 0; i < SPACES; i++) {
		pasids[i] = aux_create(self->fd);
		ASSERT_LT(0, pasids[i]);
		ASSERT_EQ(0, aux_attach(self->fd, pasids[i], self->group));
		ASSERT_EQ(0, aux_map(self->fd, pasids[i], READ_WRITE,
				     memory + i * PAGE, IOVA, PAGE));
	}
	for (int i = 0; i < SPACES; i++) {
		patterns[i] = 0xfeedull << 48 | i;
		device_set_data(&self->device, &patterns[i], sizeof(u64));
		ASSERT_EQ(DMA_DONE, TOUCH(pasids[i], IOVA + 16));
	}
	for (int i = 0; i < SPACES; i++)
		ASSERT_EQ(0, memcmp(memory + i * PAGE + 16, &patterns[i],
				    sizeof(u64)));
	for (int i = 0; i < SPACES; i += 2)
		ASSERT_EQ(PAGE, aux_unmap_all(self->fd, pasids[i]));
	for (int i = 0; i < SPACES; i++)
		ASSERT_EQ(i % 2 ? DMA_DONE : no_page(), PEEK(pasids[i], IOVA));
}

/* What fails, and why. */

TEST_F(aux_map_dma, only_what_is_mapped_is_there)
{
	u8 *memory = new_registered(self->fd, 4 * PAGE);
	u64 before = IOVA - PAGE, behind = IOVA + 3 * PAGE;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
	/* A page, a gap, and a page. */
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(READ_WRITE, memory + PAGE, IOVA + 2 * PAGE, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + 2 * PAGE, memory + PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, before));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA + PAGE));
	ASSERT_EQ(no_page(), PEEK(self->pasid, IOVA + PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, behind));

	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->pasid, IOVA, PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
	ASSERT_EQ(no_page(), PEEK(self->pasid, IOVA));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + 2 * PAGE, memory + PAGE));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA + 2 * PAGE));

	/* The address can be used again, for something else. */
	ASSERT_EQ(0, MAP(READ_WRITE, memory + 3 * PAGE, IOVA, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory + 3 * PAGE));
}

TEST_F(aux_map_dma, another_pasid_or_none_finds_nothing)
{
	u8 *memory = new_registered(self->fd, PAGE);
	long other = aux_create(self->fd);

	ASSERT_NE(NULL, memory);
	ASSERT_LT(0, other);
	ASSERT_EQ(0, aux_attach(self->fd, other, self->group));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	ASSERT_EQ(no_page(), TOUCH(other, IOVA));
	ASSERT_EQ(no_page(), TOUCH(NO_PASID_TAG, IOVA));
	ASSERT_EQ(0, aux_detach(self->fd, other, self->group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(other, IOVA));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
}

TEST_F(aux_map_dma, nothing_outside_of_the_window_or_in_a_hole)
{
	u8 *memory = new_registered(self->fd, 4 * PAGE);
	struct vfio_iommu_aux_create create;
	const u64 end = MSI_START + GB;
	static const struct {
		u64 iova;
		u64 size;
	} refused[] = {
		{ IOVA - PAGE, PAGE }, { IOVA - PAGE, 2 * PAGE },
		{ MSI_START + GB, PAGE }, { MSI_START + GB - PAGE, 2 * PAGE },
		{ MSI_START, PAGE }, { MSI_START - PAGE, 3 * PAGE },
		{ MSI_START + MB - PAGE, 2 * PAGE },
	};

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, aux_create_window(self->fd, IOVA, end - IOVA, &create));
	ASSERT_EQ(0, aux_attach(self->fd, create.pasid, self->group));
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ASSERT_EQ(-ERANGE, aux_map(self->fd, create.pasid, READ_WRITE,
					   memory, refused[i].iova,
					   refused[i].size));
		/* Not even the part that would be good. */
		for (u64 at = 0; at < refused[i].size; at += PAGE)
			ASSERT_EQ(no_page(), TOUCH(create.pasid,
						   refused[i].iova + at));
	}
	/* At every edge, within. */
	ASSERT_EQ(0, aux_map(self->fd, create.pasid, READ_WRITE, memory, IOVA,
			     PAGE));
	ASSERT_EQ(0, aux_map(self->fd, create.pasid, READ_WRITE, memory + PAGE,
			     end - PAGE, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, create.pasid, READ_WRITE,
			     memory + 2 * PAGE, MSI_START - PAGE, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, create.pasid, READ_WRITE,
			     memory + 3 * PAGE, MSI_START + MB, PAGE));
	ASSERT_TRUE(REACHES(create.pasid, IOVA, memory));
	ASSERT_TRUE(REACHES(create.pasid, end - PAGE, memory + PAGE));
	ASSERT_TRUE(REACHES(create.pasid, MSI_START - PAGE, memory + 2 * PAGE));
	ASSERT_TRUE(REACHES(create.pasid, MSI_START + MB, memory + 3 * PAGE));
	ASSERT_EQ(no_page(), TOUCH(create.pasid, IOVA - PAGE));
	ASSERT_EQ(no_page(), TOUCH(create.pasid, end));
	ASSERT_EQ(no_page(), TOUCH(create.pasid, MSI_START));
	ASSERT_EQ(no_page(), TOUCH(create.pasid, MSI_START + MB - 8));
	/* So that it is known why there is a hole. */
	ASSERT_EQ(INTERRUPT_INPUT, TOUCH(NO_PASID_TAG, MSI_START));
}

TEST_F(aux_map_dma, read_only_mappings_are_not_written)
{
	u8 *memory = new_registered(self->fd, 2 * PAGE);
	u8 *constant = new_memory(PAGE);
	u64 before, pattern = ~0ull;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_memory(self->fd, VFIO_MEMORY_READ_ONLY, constant,
				     PAGE));
	/* Memory that could be written, memory that could not, and both. */
	ASSERT_EQ(0, MAP(READ, memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(READ, constant, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, MAP(READ_WRITE, memory + PAGE, IOVA + 2 * PAGE, PAGE));
	device_set_data(&self->device, &pattern, sizeof(pattern));
	memcpy(&before, memory, sizeof(before));
	ASSERT_EQ(NO_WRITE, TOUCH(self->pasid, IOVA));
	ASSERT_EQ(0, memcmp(memory, &before, sizeof(before)));
	memcpy(&before, constant, sizeof(before));
	ASSERT_EQ(NO_WRITE, TOUCH(self->pasid, IOVA + PAGE));
	ASSERT_EQ(0, memcmp(constant, &before, sizeof(before)));
	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, IOVA + PAGE));
	device_get_data(&self->device, &pattern, sizeof(pattern));
	ASSERT_EQ(before, pattern);
	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, IOVA));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + 2 * PAGE, memory + PAGE));
}

/* First-stage tables cannot say that there is nothing to read. */
TEST_F(aux_map_dma, write_only_mappings_are_read_by_first_stage_tables_only)
{
	u8 *memory = new_registered(self->fd, PAGE);
	u64 pattern = 0x1122334455667788;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(WRITE, memory, IOVA, PAGE));
	device_set_data(&self->device, &pattern, sizeof(pattern));
	ASSERT_EQ(DMA_DONE, TOUCH(self->pasid, IOVA + 8));
	ASSERT_EQ(0, memcmp(memory + 8, &pattern, sizeof(pattern)));
	ASSERT_EQ(first_stage() ? DMA_DONE : NO_READ, PEEK(self->pasid, IOVA));
}

/* Pages of all sizes. */

/* The frame numbers of pages that are there, which root may know. */
static int frames_of(const void *memory, u64 pages, u64 *frames)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t size = pages * sizeof(*frames);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = pread(fd, frames, size, (uintptr_t)memory / PAGE * sizeof(*frames));
	close(fd);
	if (got != size)
		return -EIO;
	for (u64 i = 0; i < pages; i++) {
		frames[i] &= (1ull << 55) - 1;
		if (!frames[i])
			return -ENODATA;
	}
	return 0;
}

static bool fits(u64 page_size, u64 iova, u64 frame, u64 room)
{
	return iova % page_size == 0 && frame * PAGE % page_size == 0 &&
	       page_size <= room;
}

/*
 * For each page of a mapping the binary logarithm of the IOMMU's page that it
 * should be in: the largest of @sizes for which memory is contiguous and all
 * is aligned.
 */
static void expect_pages(u64 sizes, u64 iova, const u64 *frames, u64 pages,
			 u8 *logs)
{
	u64 end = 0;

	for (u64 i = 0; i < pages;) {
		int log = 63;

		if (end <= i)
			end = i + 1;
		while (end < pages && frames[end] == frames[end - 1] + 1)
			end++;
		while (!(sizes >> log & 1) ||
		       !fits(1ull << log, iova + i * PAGE, frames[i],
			     (end - i) * PAGE))
			log--;
		memset(logs + i, log, (1ull << log) / PAGE);
		i += (1ull << log) / PAGE;
	}
}

/* What a space can map. */
static u64 page_sizes(int container, u32 pasid)
{
	struct aux_info info = { .head.cursor = 0 };

	return aux_info(container, pasid, 0, &info) ?
	       0 : info.head.pgsize_bitmap;
}

struct pages {
	struct pasid_device *device;
	int fd;
	u32 pasid;
};

/*
 * Maps and unmaps @memory and looks at about @probes of its pages, the first and
 * the last of each size among them. The sum of the sizes that there should be,
 * or an error.
 */
static long check_pages(struct pages *in, u8 *memory, u64 iova, u64 size,
			u64 probes)
{
	u64 pages = size / PAGE, last = 0, used = 0;
	u64 *frames = calloc(pages, sizeof(*frames));
	u8 *logs = calloc(pages, 1);
	int ret = frames_of(memory, pages, frames);

	if (!ret)
		ret = aux_map(in->fd, in->pasid, READ_WRITE, memory, iova,
			      size);
	if (ret)
		return ret;
	expect_pages(page_sizes(in->fd, in->pasid), iova, frames, pages, logs);
	for (u64 i = 0; i < pages; i++) {
		u64 at = i * PAGE + i * 8 % PAGE;
		struct outcome outcome;

		used |= 1ull << logs[i];
		if (i && i + 1 < pages && i < last + pages / probes &&
		    logs[i] == logs[i - 1] && logs[i] == logs[i + 1])
			continue;
		last = i;
		if (!device_reaches(in->device, in->pasid, iova + at,
				    memory + at))
			return -EIO;
		ret = device_dma(in->device, DMA_READ, in->pasid, iova + at, 1,
				 &outcome);
		if (ret)
			return ret;
		if (outcome.page_size_log2 != logs[i]) {
			printf("# page %llu is in one of 2^%u bytes instead of 2^%u\n",
			       i, outcome.page_size_log2, logs[i]);
			return -EPROTO;
		}
	}
	if (aux_unmap(in->fd, in->pasid, iova, size) != (long)size)
		return -EPROTO;
	for (u64 i = 0; i < pages; i += pages / 4 + 1)
		if (device_touch(in->device, in->pasid, iova + i * PAGE) !=
		    no_page())
			return -EADDRINUSE;
	free(frames);
	free(logs);
	return used;
}

#define CHECK_PAGES(memory, iova, size, probes)				\
	check_pages(&((struct pages) { &self->device, self->fd,		\
				       self->pasid }),			\
		    memory, iova, size, probes)

/* Pages of a memfd, in the order of @offsets; each is a mapping of its own. */
static u8 *scattered(int memfd, const int *offsets, int count)
{
	u8 *memory = map_memory(NULL, (u64)count * PAGE, MAP_SHARED, memfd);

	for (int i = 0; memory && i < count; i++)
		if (mmap(memory + (u64)i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, memfd,
			 (off_t)offsets[i] * PAGE) == MAP_FAILED)
			return NULL;
	return memory;
}

TEST_F(aux_map_dma, scattered_pages)
{
	enum { COUNT = 64 };
	int memfd = memfd_create("scattered", MFD_CLOEXEC), offsets[COUNT];
	u8 *memory, *ordered;

	ASSERT_LE(0, memfd);
	ASSERT_EQ(0, ftruncate(memfd, COUNT * PAGE));
	ordered = map_memory(NULL, COUNT * PAGE, MAP_SHARED, memfd);
	ASSERT_NE(NULL, ordered);
	memset(ordered, 1, COUNT * PAGE);
	for (int i = 0; i < COUNT; i++)
		offsets[i] = i * 37 % COUNT;
	memory = scattered(memfd, offsets, COUNT);
	ASSERT_NE(NULL, memory);
	memset(memory, 2, COUNT * PAGE);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, COUNT * PAGE));
	ASSERT_EQ(PAGE, CHECK_PAGES(memory, IOVA, COUNT * PAGE, COUNT));
	/* What the IOMMU has no page large enough for is mapped in parts. */
	ASSERT_EQ(PAGE, CHECK_PAGES(memory, GB - 9 * PAGE, COUNT * PAGE, COUNT));

	/* A part in the middle, and the same page by another address. */
	ASSERT_EQ(0, MAP(READ_WRITE, memory + 5 * PAGE, IOVA, 9 * PAGE));
	for (int i = 0; i < 9; i++)
		ASSERT_TRUE(REACHES(self->pasid, IOVA + i * PAGE,
				    ordered + offsets[5 + i] * PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA + 9 * PAGE));
}

static u8 *new_hugetlb(void *at, u64 size, int log)
{
	u8 *memory = map_memory(at, size, MAP_PRIVATE | MAP_ANONYMOUS |
				MAP_HUGETLB | log << MAP_HUGE_SHIFT, -1);

	if (!memory)
		printf("# no huge page of 2^%d bytes: %s\n", log,
		       strerror(errno));
	else
		memset(memory, 3, size);
	return memory;
}

TEST_F(aux_map_dma, pages_of_2_MB)
{
	u8 *memory = new_hugetlb(NULL, 4 * MB, 21);

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, 4 * MB));
	ASSERT_EQ(2 * MB, CHECK_PAGES(memory, IOVA, 4 * MB, 8));
	/* One of the two addresses is not aligned, or there is too little. */
	ASSERT_EQ(PAGE, CHECK_PAGES(memory, IOVA + PAGE, 2 * MB, 8));
	ASSERT_EQ(PAGE, CHECK_PAGES(memory + PAGE, IOVA, 2 * MB, 8));
	ASSERT_EQ(PAGE, CHECK_PAGES(memory, IOVA, 2 * MB - PAGE, 8));
	/* Both are odd in the same way: small pages up to the first large one. */
	ASSERT_EQ(2 * MB + PAGE, CHECK_PAGES(memory + MB, IOVA + MB, 3 * MB, 8));
	ASSERT_EQ(2 * MB + PAGE, CHECK_PAGES(memory + 2 * MB - PAGE,
					     IOVA - PAGE, 2 * MB + PAGE, 8));
}

/* Each ends where the other begins, whichever of them is the one behind it in memory. */
TEST_F(aux_map_dma, pages_of_2_MB_in_either_order)
{
	int file = memfd_create("large", MFD_HUGETLB | 21 << MAP_HUGE_SHIFT);
	u8 *reserved = map_memory(NULL, 6 * MB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	u8 *first = (u8 *)(((uintptr_t)reserved + 2 * MB - 1) & -(2 * MB));
	u8 *second = first + 2 * MB, *memory = first + MB;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 4 * MB));
	ASSERT_NE(NULL, reserved);
	for (int turn = 0; turn < 2; turn++) {
		ASSERT_EQ(first, mmap(first, 2 * MB, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, file,
				      turn * 2 * MB));
		ASSERT_EQ(second, mmap(second, 2 * MB, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, file,
				       !turn * 2 * MB));
		memset(first, 6, 4 * MB);
		ASSERT_EQ(0, register_memory(self->fd, 0, memory, 2 * MB));
		ASSERT_LE(PAGE, CHECK_PAGES(memory, IOVA, 2 * MB, 512));
		ASSERT_EQ(0, unregister_memory(self->fd, memory, 2 * MB));
	}
	close(file);
}

TEST_F(aux_map_dma, large_pages_that_come_by_themselves)
{
	u8 *memory = map_memory(NULL, 8 * MB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	u8 *aligned;

	ASSERT_NE(NULL, memory);
	aligned = (u8 *)(((uintptr_t)memory + 2 * MB - 1) & -(2 * MB));
	ASSERT_EQ(0, madvise(aligned, 4 * MB, MADV_HUGEPAGE));
	memset(aligned, 4, 4 * MB);
	ASSERT_EQ(0, register_memory(self->fd, 0, aligned, 4 * MB));
	ASSERT_EQ(2 * MB, CHECK_PAGES(aligned, IOVA, 4 * MB, 8));
}

/* One range of small pages, a large one, and small pages. */
TEST_F(aux_map_dma, pages_of_mixed_sizes)
{
	u8 *reserved = map_memory(NULL, 8 * MB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	u8 *large, *memory;
	const u64 size = 2 * MB + 8 * PAGE;

	ASSERT_NE(NULL, reserved);
	ASSERT_EQ(0, madvise(reserved, 8 * MB, MADV_NOHUGEPAGE));
	large = (u8 *)(((uintptr_t)reserved + 4 * MB - 1) & -(2 * MB));
	ASSERT_EQ(large, new_hugetlb(large, 2 * MB, 21));
	memory = large - 3 * PAGE;
	memset(memory, 5, size);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, size));
	ASSERT_EQ(2 * MB + PAGE, CHECK_PAGES(memory, IOVA + 2 * MB - 3 * PAGE,
					     size, 16));
	ASSERT_EQ(PAGE, CHECK_PAGES(memory, IOVA, size, 16));
}

TEST_F(aux_map_dma, pages_of_1_GB)
{
	const u64 iova = 64 * GB;
	u8 *memory = new_hugetlb(NULL, GB, 30);

	ASSERT_NE(NULL, memory);
	/* QEMU's IOMMU has them with both kinds of tables. */
	ASSERT_TRUE(page_sizes(self->fd, self->pasid) & GB);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, GB));
	ASSERT_EQ(GB, CHECK_PAGES(memory, iova, GB, 8));
	ASSERT_EQ(2 * MB, CHECK_PAGES(memory, iova + 2 * MB, GB, 8));
	ASSERT_EQ(2 * MB, CHECK_PAGES(memory + 2 * MB, iova + 2 * MB,
				      GB - 2 * MB, 8));
	ASSERT_EQ(2 * MB + PAGE, CHECK_PAGES(memory + PAGE, iova + PAGE,
					     GB - PAGE, 8));
}

/* The tables of many small pages, and then one large in the same place. */
TEST_F(aux_map_dma, large_pages_where_small_ones_were)
{
	u8 *small = new_registered(self->fd, 2 * MB);
	u8 *large = new_hugetlb(NULL, 2 * MB, 21);

	ASSERT_NE(NULL, small);
	ASSERT_NE(NULL, large);
	ASSERT_EQ(0, register_memory(self->fd, 0, large, 2 * MB));
	for (int round = 0; round < 3; round++) {
		ASSERT_LE(PAGE, CHECK_PAGES(small, IOVA, 2 * MB, 2));
		ASSERT_EQ(2 * MB, CHECK_PAGES(large, IOVA, 2 * MB, 2));
	}
}

/* What the process does to its memory afterwards. */

TEST_F(aux_map_dma, mremap_does_not_move_what_the_device_sees)
{
	u8 *memory = new_registered(self->fd, 2 * PAGE), *moved;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	moved = mremap(memory, 2 * PAGE, 2 * PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, new_memory(2 * PAGE));
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_TRUE(REACHES(self->pasid, IOVA, moved));
	/* What was not mapped yet is still where it was registered. */
	ASSERT_EQ(0, MAP(READ_WRITE, memory + PAGE, IOVA + PAGE, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + PAGE, moved + PAGE));
	ASSERT_EQ(2 * PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(0, unregister_memory(self->fd, memory, 2 * PAGE));
}

TEST_F(aux_map_dma, munmap_does_not_take_the_pages_away)
{
	int memfd = memfd_create("pages", MFD_CLOEXEC);
	u8 *memory, *other;
	u64 seen;

	ASSERT_LE(0, memfd);
	ASSERT_EQ(0, ftruncate(memfd, 2 * PAGE));
	memory = map_memory(NULL, 2 * PAGE, MAP_SHARED, memfd);
	other = map_memory(NULL, 2 * PAGE, MAP_SHARED, memfd);
	ASSERT_NE(NULL, memory);
	ASSERT_NE(NULL, other);
	memset(memory, 6, 2 * PAGE);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, 2 * PAGE));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, munmap(memory, 2 * PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, other));
	ASSERT_EQ(0, MAP(READ_WRITE, memory + PAGE, IOVA + PAGE, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + PAGE, other + PAGE));
	/* Not even a file that loses them. */
	memset(other, 7, 8);
	ASSERT_EQ(0, ftruncate(memfd, 0));
	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, IOVA));
	device_get_data(&self->device, &seen, sizeof(seen));
	ASSERT_EQ(0x0707070707070707, seen);
}

/* Something else at the address is not what was registered. */
TEST_F(aux_map_dma, new_memory_at_the_address_is_not_seen)
{
	u8 *memory = new_registered(self->fd, PAGE);
	u64 old = 0x0e0e0e0e0e0e0e0e, seen;

	ASSERT_NE(NULL, memory);
	memcpy(memory, &old, sizeof(old));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(memory, map_memory(memory, PAGE, MAP_PRIVATE | MAP_ANONYMOUS,
				     -1));
	memset(memory, 9, PAGE);
	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, IOVA));
	device_get_data(&self->device, &seen, sizeof(seen));
	ASSERT_EQ(old, seen);
	ASSERT_EQ(DMA_DONE, TOUCH(self->pasid, IOVA));
	for (int i = 0; i < PAGE; i++)
		ASSERT_EQ(9, memory[i]);
	/* And it cannot be registered as long as the old is. */
	ASSERT_EQ(-EEXIST, register_memory(self->fd, 0, memory, PAGE));
	ASSERT_EQ(-EEXIST, register_memory(self->fd, VFIO_MEMORY_READ_ONLY,
					   memory, PAGE));
}

TEST_F(aux_map_dma, DONTNEED_does_not_take_the_pages_away)
{
	u8 *memory = new_registered(self->fd, PAGE);
	u64 old = 0x0b0b0b0b0b0b0b0b, seen;

	ASSERT_NE(NULL, memory);
	memcpy(memory, &old, sizeof(old));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, madvise(memory, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, memory[0]);
	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, IOVA));
	device_get_data(&self->device, &seen, sizeof(seen));
	ASSERT_EQ(old, seen);
	ASSERT_EQ(DMA_DONE, TOUCH(self->pasid, IOVA));
	for (int i = 0; i < PAGE; i++)
		ASSERT_EQ(0, memory[i]);
}

static void own_the_copy(int socket, void *arg)
{
	u64 *memory = arg;

	say(socket, memory[0]);
	memory[1] = 4321;
	say(socket, 0);
	hear(socket);
	say(socket, memory[0]);
}

TEST_F(aux_map_dma, after_a_fork_the_device_has_the_parents_pages)
{
	u8 *memory = new_registered(self->fd, PAGE);
	u64 *words = (u64 *)memory;
	struct peer peer;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	words[0] = 1234;
	words[1] = 5678;
	ASSERT_EQ(0, peer_start(&peer, own_the_copy, memory));
	ASSERT_EQ(1234, hear(peer.socket));
	ASSERT_EQ(0, hear(peer.socket));
	/* Neither the child's write nor the parent's own parts them. */
	ASSERT_EQ(5678, words[1]);
	words[2] = 1;
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	ASSERT_TRUE(REACHES(self->pasid, IOVA + 8, memory + 8));
	say(peer.socket, 0);
	ASSERT_EQ(1234, hear(peer.socket));
	ASSERT_EQ(0, peer_wait(&peer));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
}

/* Attaching, closing, resetting. */

TEST_F(aux_map_dma, mappings_come_before_attaching_or_after)
{
	u8 *memory = new_registered(self->fd, 2 * PAGE);
	long pasid = aux_create(self->fd);

	ASSERT_NE(NULL, memory);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_TRUE(REACHES(pasid, IOVA, memory));
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ_WRITE, memory + PAGE,
			     IOVA + PAGE, PAGE));
	ASSERT_TRUE(REACHES(pasid, IOVA + PAGE, memory + PAGE));

	/* Detached, they stay; and what goes meanwhile is gone. */
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));
	ASSERT_EQ(PAGE, aux_unmap(self->fd, pasid, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_TRUE(REACHES(pasid, IOVA, memory));
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA + PAGE));
}

TEST_F(aux_map_dma, mappings_survive_the_close_of_the_device)
{
	u8 *memory = new_registered(self->fd, PAGE);

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	for (int round = 0; round < 3; round++) {
		device_stop(&self->device);
		close(self->container.device);
		self->container.device = device_of(self->container.group,
						   self->index);
		ASSERT_LE(0, self->container.device);
		ASSERT_EQ(0, device_start(&self->device,
					  self->container.device));
		ASSERT_EQ(NO_PASID_ENTRY, TOUCH(self->pasid, IOVA));
		ASSERT_EQ(0, aux_attach(self->fd, self->pasid, self->group));
		ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	}
}

TEST_F(aux_map_dma, mappings_survive_a_reset)
{
	u8 *memory = new_registered(self->fd, PAGE);
	long resets = device_resets(&self->device);

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, call(self->container.device, VFIO_DEVICE_RESET, NULL));
	ASSERT_EQ(0, device_set_bus_master(&self->device, true));
	ASSERT_EQ(resets + 1, device_resets(&self->device));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
}

/* Two devices, two processes. */

TEST_F(aux_map_dma, one_space_on_two_devices)
{
	int index = device_index(20, 1), group = group_node(index), fd;
	u8 *memory = new_registered(self->fd, 2 * PAGE);
	struct pasid_device second;

	ASSERT_NE(NULL, memory);
	ASSERT_LE(0, group);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, set_container(group, self->fd));
	fd = device_of(group, index);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, device_start(&second, fd));
	ASSERT_EQ(0, aux_attach(self->fd, self->pasid, group_number(index)));
	ASSERT_EQ(0, MAP(READ_WRITE, memory + PAGE, IOVA + PAGE, PAGE));
	for (int page = 0; page < 2; page++) {
		ASSERT_TRUE(REACHES(self->pasid, IOVA + page * PAGE,
				    memory + page * PAGE));
		ASSERT_TRUE(device_reaches(&second, self->pasid,
					   IOVA + page * PAGE,
					   memory + page * PAGE));
	}
	ASSERT_EQ(PAGE, aux_unmap(self->fd, self->pasid, IOVA, PAGE));
	ASSERT_EQ(no_page(), TOUCH(self->pasid, IOVA));
	ASSERT_EQ(no_page(), device_touch(&second, self->pasid, IOVA));
	ASSERT_EQ(0, aux_detach(self->fd, self->pasid, self->group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(self->pasid, IOVA + PAGE));
	ASSERT_TRUE(device_reaches(&second, self->pasid, IOVA + PAGE,
				   memory + PAGE));
	device_stop(&second);
	close(fd);
	close(group);
}

/* A process of its own, that does at its device what it is told. */
static void with_its_own_memory(int socket, void *arg)
{
	int index = *(int *)arg;
	struct container container;
	struct pasid_device device;
	u8 *memory;
	long pasid;

	if (container_open_device(&container, index) ||
	    device_start(&device, container.device))
		return;
	memory = new_registered(container.fd, PAGE);
	pasid = aux_create(container.fd);
	if (!memory || pasid < 0 ||
	    aux_attach(container.fd, pasid, group_number(index)) ||
	    aux_map(container.fd, pasid, READ_WRITE, memory, IOVA, PAGE))
		return;
	say(socket, pasid);
	/* 0: whether its own is there; or else the STATUS for another PASID. */
	for (;;) {
		long other = hear(socket);

		if (other < 0)
			return;
		say(socket, other ? device_touch(&device, other, IOVA) :
			    device_reaches(&device, pasid, IOVA, memory));
	}
}

#define ASSERT_NO_SPACE(status) do {					\
	long seen = status;						\
									\
	ASSERT_TRUE(seen == NO_PASID_ENTRY || seen == NO_PASID_DIRECTORY) \
		TH_LOG("status %#lx", seen);				\
} while (0)

static long ask(int socket, long question)
{
	say(socket, question);
	return hear(socket);
}

TEST_F(aux_map_dma, two_processes_share_nothing)
{
	int other = device_index(20, 1);
	struct peer peer;
	u8 *memory;
	long pasid;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, peer_start(&peer, with_its_own_memory, &other));
	pasid = hear(peer.socket);
	ASSERT_LT(0, pasid);
	ASSERT_NE(self->pasid, pasid);
	memory = new_registered(self->fd, PAGE);
	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	for (int round = 0; round < 3; round++) {
		ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
		ASSERT_EQ(true, ask(peer.socket, 0));
	}
	ASSERT_NO_SPACE(TOUCH(pasid, IOVA));
	ASSERT_NO_SPACE(ask(peer.socket, self->pasid));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, pasid, READ, memory, IOVA + PAGE,
				   PAGE));
	ASSERT_EQ(-ENOENT, aux_unmap_all(self->fd, pasid));

	/* One goes, the other one stays. */
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, self->pasid));
	ASSERT_EQ(true, ask(peer.socket, 0));
	ASSERT_EQ(0, MAP(READ_WRITE, memory, IOVA, PAGE));
	peer_kill(&peer);
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
	for (int i = 0; i < 500 && count_of("mappings") != 1; i++)
		usleep(10 * 1000);
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_TRUE(REACHES(self->pasid, IOVA, memory));
}

TEST_HARNESS_MAIN
