// SPDX-License-Identifier: GPL-2.0-only
/*
 * That the IOMMU is told: each attach and each detach, on whatever way, is
 * followed by an invalidation of the PASID cache for that very PASID before the
 * call returns, and a detach by one of the IOTLB as well; and each unmap, of
 * whatever number of mappings, by one of the IOTLB that covers all of it. The
 * pasid-device has no caches and would not notice, so QEMU's trace is read:
 * scripts/guest with --trace 'vtd_inv_desc*'.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "pasid_device.h"

#define TRACE	"/share/trace.log"

FIXTURE(aux_invalidate) {
	struct container container;
	int trace;
	int index;
	u32 group;
	int fd;
};

FIXTURE_SETUP(aux_invalidate)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->trace = open(TRACE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->trace);
	/* What came before is of no interest, and much. */
	ASSERT_LE(0, lseek(self->trace, 0, SEEK_END));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
}

FIXTURE_TEARDOWN(aux_invalidate)
{
	container_close(&self->container);
	close(self->trace);
}

/* What the trace has of one PASID. */
struct seen {
	int pasid_cache;
	int iotlb;		/* after one of the PASID cache */
	u64 domain;		/* the IOMMU's number for the space */
};

static bool number_after(const char *line, const char *text, u64 *number)
{
	const char *at = strstr(line, text);

	if (at)
		*number = strtoull(at + strlen(text), NULL, 16);
	return at;
}

/*
 * The IOTLB is invalidated by PASID (bits 32 to 51 of the descriptor's lower
 * half), or for second-stage tables by the domain that the PASID had.
 */
static bool is_iotlb_of(const char *line, u32 pasid, u64 domain)
{
	u64 number;

	if (strstr(line, "type p-iotlb") && number_after(line, "low 0x", &number))
		return (number >> 32 & PASID_LAST) == pasid;
	return strstr(line, "vtd_inv_desc_iotlb_domain") &&
	       number_after(line, "domain 0x", &number) && number == domain;
}

/* Since it was asked for last: the position in the file is kept. */
static struct seen look(int trace, u32 pasid)
{
	struct seen seen = { 0, 0, 0 };
	FILE *file = fdopen(dup(trace), "r");
	char line[512];
	u64 number;

	while (fgets(line, sizeof(line), file)) {
		if (strstr(line, "vtd_inv_desc_pasid_cache_psi") &&
		    number_after(line, "pasid 0x", &number) &&
		    number == pasid) {
			seen.pasid_cache++;
			number_after(line, "domain 0x", &seen.domain);
		} else if (seen.pasid_cache &&
			   is_iotlb_of(line, pasid, seen.domain)) {
			seen.iotlb++;
		}
	}
	fclose(file);
	return seen;
}

/* The call before has done it, and not another one. */
#define ASSERT_ATTACHED(pasid)						\
	ASSERT_EQ(1, look(self->trace, pasid).pasid_cache)

#define ASSERT_DETACHED(pasid) do {					\
	struct seen seen = look(self->trace, pasid);			\
									\
	ASSERT_EQ(1, seen.pasid_cache);					\
	ASSERT_LE(1, seen.iotlb);					\
} while (0)

#define ASSERT_NOTHING(pasid)						\
	ASSERT_EQ(0, look(self->trace, pasid).pasid_cache)

TEST_F(aux_invalidate, attach_and_detach)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	look(self->trace, pasid);
	for (int round = 0; round < 3; round++) {
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
		ASSERT_ATTACHED(pasid);
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(-EEXIST, aux_attach(self->fd, pasid, self->group));
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
		ASSERT_DETACHED(pasid);
		ASSERT_EQ(-ENOENT, aux_detach(self->fd, pasid, self->group));
	}
}

TEST_F(aux_invalidate, each_pasid_by_itself)
{
	long first = aux_create(self->fd), second = aux_create(self->fd);

	ASSERT_LT(0, first);
	ASSERT_LT(0, second);
	look(self->trace, first);
	ASSERT_EQ(0, aux_attach(self->fd, first, self->group));
	ASSERT_NOTHING(second);
	ASSERT_EQ(0, aux_attach(self->fd, second, self->group));
	ASSERT_NOTHING(first);
	ASSERT_EQ(0, aux_detach(self->fd, first, self->group));
	ASSERT_NOTHING(second);
	ASSERT_EQ(0, aux_detach(self->fd, second, self->group));
	ASSERT_NOTHING(first);
}

TEST_F(aux_invalidate, destroy)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, last_close_of_the_device)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	close_fd(&self->container.device);
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, close_of_everything)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	container_close(&self->container);
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, both_devices_of_a_space)
{
	int index = device_index(20, 1), group = group_node(index), device;
	long pasid = aux_create(self->fd);

	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, self->fd));
	device = device_of(group, index);
	ASSERT_LE(0, device);
	look(self->trace, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_ATTACHED(pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, group_number(index)));
	ASSERT_ATTACHED(pasid);
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_DETACHED(pasid);
	ASSERT_EQ(0, aux_detach(self->fd, pasid, group_number(index)));
	ASSERT_DETACHED(pasid);
	close(device);
	close(group);
}

static void attach_and_wait(int socket, void *arg)
{
	struct container container;
	long pasid;

	if (container_open_device(&container, *(int *)arg)) {
		say(socket, -ENXIO);
		return;
	}
	pasid = aux_create(container.fd);
	say(socket, aux_attach(container.fd, pasid, group_number(*(int *)arg)));
	say(socket, pasid);
	hear(socket);
}

TEST_F(aux_invalidate, kill)
{
	struct seen seen = { 0, 0, 0 };
	struct peer peer;
	long pasid;

	container_close(&self->container);
	ASSERT_EQ(0, peer_start(&peer, attach_and_wait, &self->index));
	ASSERT_EQ(0, hear(peer.socket));
	pasid = hear(peer.socket);
	ASSERT_LT(0, pasid);
	look(self->trace, pasid);
	peer_kill(&peer);
	/* It closes its files a little later. */
	for (int i = 0; i < 500 && !seen.iotlb; i++) {
		struct seen now = look(self->trace, pasid);

		seen.pasid_cache += now.pasid_cache;
		seen.iotlb += now.iotlb;
		usleep(10 * 1000);
	}
	ASSERT_EQ(1, seen.pasid_cache);
	ASSERT_LE(1, seen.iotlb);
}

/* Unmapping. */

#define IOVA	0x40000000ull
#define PAGES	1024

/* Descriptors: bits 4 and 5 of the lower half, and what the upper half has. */
#define GRANULARITY_PAGES	3
#define ADDRESS_MASK(high)	((high) & 0x3f)
/* The most that QEMU's IOMMU flushes at once (VTD_MAMV): it refuses the rest. */
#define MOST_ORDER		18

static bool covers(u64 start, u64 order, u64 iova, u64 size)
{
	u64 end = (start & -(u64)PAGE) + ((u64)PAGE << order);

	return order <= MOST_ORDER && (start & -(u64)PAGE) <= iova &&
	       iova + size <= end;
}

/* Whether a line is an invalidation of the IOTLB for all of a range. */
static bool flushes(const char *line, u32 pasid, u64 domain, u64 iova, u64 size)
{
	u64 low, high, mask;

	if (is_iotlb_of(line, pasid, domain)) {
		if (!number_after(line, "low 0x", &low) ||
		    (low >> 4 & 3) != GRANULARITY_PAGES)
			return true;
		return number_after(line, "high 0x", &high) &&
		       covers(high, ADDRESS_MASK(high), iova, size);
	}
	return strstr(line, "vtd_inv_desc_iotlb_pages") &&
	       number_after(line, "domain 0x", &low) && low == domain &&
	       number_after(line, "addr 0x", &high) &&
	       number_after(line, "mask 0x", &mask) &&
	       covers(high, mask, iova, size);
}

/* Since the trace was looked at last, and before one of the PASID cache. */
static bool is_flushed(int trace, u32 pasid, u64 domain, u64 iova, u64 size)
{
	FILE *file = fdopen(dup(trace), "r");
	bool found = false, too_late = false;
	char line[512];
	u64 number;

	while (fgets(line, sizeof(line), file)) {
		if (strstr(line, "vtd_inv_desc_pasid_cache_psi") &&
		    number_after(line, "pasid 0x", &number) && number == pasid)
			too_late = true;
		if (!too_late && flushes(line, pasid, domain, iova, size))
			found = true;
	}
	fclose(file);
	return found;
}

/* Memory that a test maps in an attached space, and the space's domain. */
static u8 *prepare(int fd, u32 pasid, u32 group, int trace, u64 *domain)
{
	u8 *memory = new_pages(PAGES);

	if (!memory ||
	    register_memory(fd, 0, memory, PAGES * PAGE))
		return NULL;
	look(trace, pasid);
	if (aux_attach(fd, pasid, group))
		return NULL;
	*domain = look(trace, pasid).domain;
	return memory;
}

/* Maps, forgets what the trace said of that, and the rest is to be seen. */
static int map_unseen(int fd, u32 pasid, int trace, const u8 *memory, u64 iova,
		      u64 size)
{
	int ret = aux_map(fd, pasid, VFIO_AUX_MAP_READ, memory, iova, size);

	look(trace, pasid);
	return ret;
}

#define MAP_UNSEEN(iova, size)						\
	map_unseen(self->fd, pasid, self->trace, memory, iova, size)
#define ASSERT_FLUSHED(iova, size)					\
	ASSERT_TRUE(is_flushed(self->trace, pasid, domain, iova, size))

TEST_F(aux_invalidate, unmap)
{
	static const struct {
		u64 iova;
		u64 size;
	} ranges[] = {
		{ IOVA, PAGE }, { IOVA + 7 * PAGE, 2 * PAGE },
		{ IOVA + 3 * PAGE, 64 * PAGE }, { IOVA, PAGES * PAGE },
		{ IOVA + (2 << 20) - PAGE, 2 * PAGE },
	};
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);

	ASSERT_NE(NULL, memory);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		u64 iova = ranges[i].iova, size = ranges[i].size;

		ASSERT_EQ(0, MAP_UNSEEN(iova, size));
		ASSERT_FALSE(is_flushed(self->trace, pasid, domain, iova,
					size));
		ASSERT_EQ(size, aux_unmap(self->fd, pasid, iova, size));
		ASSERT_FLUSHED(iova, size);
	}
}

TEST_F(aux_invalidate, unmap_of_several_and_of_all)
{
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);
	int start;

	ASSERT_NE(NULL, memory);
	for (int all = 0; all < 2; all++) {
		ASSERT_EQ(0, MAP_UNSEEN(IOVA, PAGE));
		ASSERT_EQ(0, MAP_UNSEEN(IOVA + 2 * PAGE, 4 * PAGE));
		start = lseek(self->trace, 0, SEEK_END);
		ASSERT_EQ(5 * PAGE, all ? aux_unmap_all(self->fd, pasid) :
			  aux_unmap(self->fd, pasid, IOVA, 16 * PAGE));
		ASSERT_FLUSHED(IOVA, PAGE);
		lseek(self->trace, start, SEEK_SET);
		ASSERT_FLUSHED(IOVA + 2 * PAGE, 4 * PAGE);
	}
}

/* How many invalidations of the IOTLB there were since the last time. */
static int count_flushes(int trace, u32 pasid, u64 domain)
{
	FILE *file = fdopen(dup(trace), "r");
	char line[512];
	u64 number;
	int count = 0;

	while (fgets(line, sizeof(line), file))
		count += is_iotlb_of(line, pasid, domain) ||
			 (strstr(line, "vtd_inv_desc_iotlb_pages") &&
			  number_after(line, "domain 0x", &number) &&
			  number == domain);
	fclose(file);
	return count;
}

/* As many mappings of a page, each a page from the next. */
static int map_many(int fd, u32 pasid, const u8 *memory, int count)
{
	int ret = 0;

	for (int i = 0; i < count && !ret; i++)
		ret = aux_map(fd, pasid, VFIO_AUX_MAP_READ,
			      memory + i % PAGES * PAGE, IOVA + 2 * i * PAGE,
			      PAGE);
	return ret;
}

#define MANY	1500
#define COUNT_FLUSHES()	count_flushes(self->trace, pasid, domain)

TEST_F(aux_invalidate, unmap_of_many_flushes_once)
{
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);

	ASSERT_NE(NULL, memory);
	for (int all = 0; all < 2; all++) {
		ASSERT_EQ(0, map_many(self->fd, pasid, memory, MANY));
		COUNT_FLUSHES();
		ASSERT_EQ(MANY * PAGE, all ? aux_unmap_all(self->fd, pasid) :
			  aux_unmap(self->fd, pasid, IOVA, 2 * MANY * PAGE));
		ASSERT_EQ(1, COUNT_FLUSHES());
	}
}

TEST_F(aux_invalidate, unmap_of_nothing_flushes_nothing)
{
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, aux_unmap_all(self->fd, pasid));
	ASSERT_EQ(0, aux_unmap(self->fd, pasid, IOVA, PAGE));
	ASSERT_EQ(0, COUNT_FLUSHES());
}

/*
 * The IOMMU has no flush of just that size: it would refuse it (MAMV), and keep
 * what it has.
 */
TEST_F(aux_invalidate, unmap_of_what_is_far_apart_flushes_everything)
{
	const u64 far = IOVA + (1ull << 40), everything = 1ull << 47;
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);
	int start;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, MAP_UNSEEN(IOVA, PAGE));
	ASSERT_EQ(0, MAP_UNSEEN(far, PAGE));
	start = lseek(self->trace, 0, SEEK_END);
	ASSERT_EQ(2 * PAGE, aux_unmap_all(self->fd, pasid));
	ASSERT_EQ(1, COUNT_FLUSHES());
	lseek(self->trace, start, SEEK_SET);
	ASSERT_FLUSHED(0, everything);
}

/*
 * Nor has it one for what crosses a multiple of 1 GB; and what stock code unmaps
 * is not different.
 */
TEST_F(aux_invalidate, the_own_space_is_flushed_wherever_it_is)
{
	const u64 iova = (1ull << 30) - PAGE, size = 2 * PAGE;
	const u32 pasid = VFIO_AUX_OWN_SPACE;
	struct container other;
	u8 *memory = new_pages(2);
	u64 domain;

	ASSERT_NE(NULL, memory);
	look(self->trace, pasid);
	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	domain = look(self->trace, pasid).domain;
	ASSERT_EQ(0, register_memory(other.fd, 0, memory, size));
	for (int stock = 0; stock < 2; stock++) {
		ASSERT_EQ(0, stock ? map_dma(other.fd, memory, iova, size) :
			  aux_map(other.fd, pasid, VFIO_AUX_MAP_READ, memory,
				  iova, size));
		look(self->trace, pasid);
		ASSERT_EQ(size, unmap_dma(other.fd, iova, size));
		ASSERT_FLUSHED(iova, size);
	}
	container_close(&other);
}

/* One page at addresses that follow each other: as many pieces. */
static u8 *new_pieces(int count)
{
	int file = memfd_create("pieces", MFD_CLOEXEC);
	u8 *memory = mmap(NULL, count * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (file < 0 || memory == MAP_FAILED || ftruncate(file, PAGE))
		return NULL;
	for (int i = 0; i < count; i++)
		if (mmap(memory + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
			return NULL;
	close(file);
	return memory;
}

/* As many pieces as there are in 64 KiB of a scatterlist, within 1 GB. */
TEST_F(aux_invalidate, map_of_pieces_flushes_once_a_list)
{
	static const struct {
		u64 iova;
		int pieces;
		int lists;
	} maps[] = {
		{ IOVA, 2, 1 }, { IOVA, 2048, 1 }, { IOVA, 2049, 2 },
		{ IOVA + 16 * PAGE, 3000, 2 },
		{ 2 * IOVA - 1000 * PAGE, 2000, 2 },
	};
	long pasid = aux_create(self->fd);
	u8 *memory = new_pieces(3000);
	u64 domain;

	ASSERT_LT(0, pasid);
	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, 3000 * PAGE));
	look(self->trace, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	domain = look(self->trace, pasid).domain;
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		COUNT_FLUSHES();
		ASSERT_EQ(0, aux_map(self->fd, pasid, VFIO_AUX_MAP_READ, memory,
				     maps[i].iova, maps[i].pieces * PAGE));
		ASSERT_EQ(first_stage() ? 0 : maps[i].lists, COUNT_FLUSHES());
		ASSERT_EQ(maps[i].pieces * PAGE, aux_unmap_all(self->fd, pasid));
	}
	munmap(memory, 3000 * PAGE);
}

enum detach { DESTROY, CLOSE_DEVICE, CLOSE };

/* How many invalidations the detach of a space with so many mappings makes. */
static int flushes_of(struct _test_data_aux_invalidate *self,
		      enum detach detach, int mappings)
{
	long pasid = aux_create(self->fd);
	u64 domain;
	u8 *memory = prepare(self->fd, pasid, self->group, self->trace,
			     &domain);

	if (!memory || map_many(self->fd, pasid, memory, mappings))
		return -1;
	COUNT_FLUSHES();
	if (detach == DESTROY && aux_destroy(self->fd, pasid))
		return -1;
	if (detach == CLOSE_DEVICE)
		close_fd(&self->container.device);
	if (detach == CLOSE)
		container_close(&self->container);
	/* All that is unmapped later has been, too. */
	if (detach == CLOSE && count_of("mappings"))
		return -1;
	return COUNT_FLUSHES();
}

/* What is detached has nothing in the IOTLB, whatever it maps. */
TEST_F(aux_invalidate, destroy_flushes_for_the_detach_only)
{
	int of_nothing = flushes_of(self, DESTROY, 0);

	ASSERT_LT(0, of_nothing);
	ASSERT_EQ(of_nothing, flushes_of(self, DESTROY, MANY));
}

TEST_F(aux_invalidate, close_flushes_for_the_detach_only)
{
	int of_nothing = flushes_of(self, CLOSE_DEVICE, 0);

	ASSERT_LT(0, of_nothing);
	self->container.device = device_of(self->container.group, self->index);
	ASSERT_LE(0, self->container.device);
	ASSERT_EQ(of_nothing, flushes_of(self, CLOSE, MANY));
}

TEST_HARNESS_MAIN
