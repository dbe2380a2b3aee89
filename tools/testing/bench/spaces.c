// SPDX-License-Identifier: GPL-2.0-only
/* What aux spaces, mappings and registered memory cost, and stock type1's own. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "count.h"
#include "pasid_device.h"

#define TIMES	20
#define KB	1024ul
#define MB	(1024 * KB)
#define GB	(1024 * MB)
#define IOVA	(4 * GB)

/* Under which the bench module attaches a domain of its own. */
#define BARE_PASID	7

struct memory {
	const char *name;
	u64 size;
	char *start;
};

static char *mapped(u64 size, int flags, int fd)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (start == MAP_FAILED)
		give_up("mmap()", -1);
	for (u64 at = 0; at < size; at += PAGE)
		start[at] = 1;
	return start;
}

static char *plain_memory(u64 size)
{
	char *start = mapped(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(start, size, MADV_NOHUGEPAGE);
	return start;
}

static char *huge_memory(u64 size, int shift)
{
	return mapped(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		      shift << MAP_HUGE_SHIFT, -1);
}

/* The same page again and again does not follow itself. */
static char *scattered_memory(u64 size)
{
	int fd = CHECK(memfd_create("scattered", 0));
	char *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			   MAP_NORESERVE, -1, 0);

	CHECK(ftruncate(fd, PAGE));
	for (u64 at = 0; at < size; at += PAGE)
		if (mmap(start + at, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			give_up("mmap() of a page", -1);
	close(fd);
	return start;
}

static struct memory memories[5];

/* The last one is scattered. */
static void make_memories(void)
{
	memories[0] = (struct memory) { "4K", 4 * KB, plain_memory(4 * KB) };
	memories[1] = (struct memory) { "2M", 2 * MB, huge_memory(2 * MB, 21) };
	memories[2] = (struct memory) { "1G", GB, huge_memory(GB, 30) };
	memories[3] = (struct memory) { "1G-of-2M", GB, huge_memory(GB, 21) };
	memories[4] = (struct memory) {
		"64M-scattered", 64 * MB, scattered_memory(64 * MB)
	};
}

#define SCATTERED	(&memories[4])

static int times_for(const struct memory *memory)
{
	return memory == SCATTERED ? 1 : TIMES;
}

/* Registering */

static void count_register(int fd, int bench, const struct memory *memory)
{
	struct samples in, out, bare;

	for (int i = 0; i < SAMPLES; i++) {
		await_sample();
		in.ticks[i] = TICKS_ONCE(CHECK(register_memory(fd, 0, memory->start,
							       memory->size)));
		out.ticks[i] = TICKS_ONCE(CHECK(unregister_memory(fd, memory->start,
								  memory->size)));
		bare.ticks[i] = bench_run(bench, 0, BENCH_PIN, 1,
					  (uintptr_t)memory->start, 0, memory->size);
	}
	tally(sample_of(&in), "register.%s.ours", memory->name);
	tally(sample_of(&out), "unregister.%s.ours", memory->name);
	tally(sample_of(&bare), "register.%s.bare", memory->name);
}

/* Mapping */

static void map(int fd, u32 pasid, const struct memory *memory)
{
	CHECK(aux_map(fd, pasid, VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
		      memory->start, IOVA, memory->size));
}

static void unmap(int fd, u32 pasid, const struct memory *memory)
{
	CHECK(aux_unmap(fd, pasid, IOVA, memory->size));
}

static void count_map(int fd, int bench, u32 pasid, const struct memory *memory)
{
	enum vfio_pasid_bench_what bare = memory == SCATTERED ?
		BENCH_MAP_SG_UNMAP : BENCH_MAP_UNMAP;
	int times = times_for(memory);

	tally(TICKS(times, {
		map(fd, pasid, memory);
		unmap(fd, pasid, memory);
	}), "map.%s.ours", memory->name);
	tally(bench_sample(bench, 0, bare, times, IOVA, 0, memory->size),
	      "map.%s.bare", memory->name);

	flushes();
	map(fd, pasid, memory);
	tally(flushes(), "flush.map.%s.ours", memory->name);
	unmap(fd, pasid, memory);
	tally(flushes(), "flush.unmap.%s.ours", memory->name);
	bench_run(bench, 0, bare, 1, IOVA, 0, memory->size);
	tally(flushes(), "flush.map+unmap.%s.bare", memory->name);
}

/* Many mappings of one page, one behind another. */
static void map_many(int fd, u32 pasid, u64 from, u64 to)
{
	for (u64 i = from; i < to; i++)
		CHECK(aux_map(fd, pasid, VFIO_AUX_MAP_READ, memories[0].start,
			      IOVA + i * PAGE, PAGE));
}

static void count_many(int fd, u32 group)
{
	long pasid = CHECK(aux_create(fd));
	double spent;

	announce("a space with 1000 mappings");
	CHECK(aux_attach(fd, pasid, group));
	map_many(fd, pasid, 0, 1000);
	flushes();
	spent = TICKS_ONCE(CHECK(aux_unmap_all(fd, pasid)));
	tally(flushes(), "flush.unmap_all.1000.ours");
	tally(spent, "unmap_all.1000.ours");
	map_many(fd, pasid, 0, 1000);
	flushes();
	spent = TICKS_ONCE(CHECK(aux_destroy(fd, pasid)));
	tally(flushes(), "flush.destroy.1000.ours");
	tally(spent, "destroy.1000.ours");
}

static void count_many_more(int fd, u32 group)
{
	static const u64 steps[] = { 1, 1000, 100000 };
	long pasid = CHECK(aux_create(fd));
	long before = 0;
	u64 held = 0;

	CHECK(aux_attach(fd, pasid, group));
	for (int i = 0; i < 3; held = steps[i++]) {
		announce("a space with %lu mappings", (unsigned long)steps[i]);
		map_many(fd, pasid, held, steps[i]);
		if (i == 1)
			before = kernel_memory();
		tally(TICKS(TIMES, {
			map_many(fd, pasid, 200000, 200001);
			CHECK(aux_unmap(fd, pasid, IOVA + 200000ul * PAGE, PAGE));
		}), "map.4K.among-%lu.ours", (unsigned long)steps[i]);
	}
	tally((double)(kernel_memory() - before) / (steps[2] - steps[1]),
	      "memory.mapping.ours");
	tally(TICKS_ONCE(CHECK(aux_destroy(fd, pasid))),
	      "destroy.100000.ours");
}

/* Spaces */

static void create_and_destroy(int fd)
{
	CHECK(aux_destroy(fd, CHECK(aux_create(fd))));
}

static void count_attach(int fd, int bench, u32 pasid, u32 group)
{
	tally(TICKS(TIMES, {
		CHECK(aux_attach(fd, pasid, group));
		CHECK(aux_detach(fd, pasid, group));
	}), "attach.ours");
	tally(bench_sample(bench, 0, BENCH_ATTACH_DETACH, TIMES, pasid, 0,
			   0), "attach.bare");
	tally(TICKS(TIMES, create_and_destroy(fd)), "create.ours");
	tally(bench_sample(bench, 0, BENCH_DOMAIN, TIMES, 0, 0, 0),
	      "create.bare");
}

static void count_space_growth(int fd)
{
	static const int steps[] = { 100, 1000, 10000 };
	int held = 0;

	for (int i = 0; i < 3; i++) {
		announce("%d spaces", steps[i]);
		for (; held < steps[i]; held++)
			CHECK(aux_create(fd));
		tally(TICKS(TIMES, create_and_destroy(fd)),
		      "create.among-%d.ours", steps[i]);
	}
}

/* The container's own space */

#define OTHERS	8

/* Registers the memory, and maps it to the container's own space. */
static void add_container(int fd, const struct memory *memory)
{
	CHECK(register_memory(fd, 0, memory->start, memory->size));
	map(fd, VFIO_AUX_OWN_SPACE, memory);
}

/* What it is to give the ninth container the memory that eight others have. */
static void count_ninth(int fd, const struct memory *memory)
{
	struct samples in, out;

	for (int i = 0; i < SAMPLES; i++) {
		await_sample();
		in.ticks[i] = TICKS_ONCE(add_container(fd, memory));
		out.ticks[i] = TICKS_ONCE(unmap(fd, VFIO_AUX_OWN_SPACE, memory));
		CHECK(unregister_memory(fd, memory->start, memory->size));
	}
	tally(sample_of(&in), "own.map.%s.ours", memory->name);
	tally(sample_of(&out), "own.unmap.%s.ours", memory->name);
}

static void count_own_space(int fd, int index)
{
	struct container others[OTHERS];
	long before = vm_locked();
	int open = 0;

	for (int i = 0; open < OTHERS; i++)
		if (i != index)
			CHECK(container_open(&others[open++], i));
	for (struct memory *memory = memories; memory <= SCATTERED; memory++) {
		announce("%s in nine containers", memory->name);
		for (int i = 0; i < OTHERS; i++)
			add_container(others[i].fd, memory);
		tally(vm_locked() - before, "own.charged.%s.ours", memory->name);
		count_ninth(fd, memory);
		for (int i = 0; i < OTHERS; i++) {
			unmap(others[i].fd, VFIO_AUX_OWN_SPACE, memory);
			CHECK(unregister_memory(others[i].fd, memory->start,
						memory->size));
		}
	}
	for (int i = 0; i < OTHERS; i++)
		container_close(&others[i]);
}

/* Registering more and more of a file that is mapped often. */
static void count_register_growth(int fd, int bench, unsigned int gigabytes)
{
	int file = CHECK(memfd_create("often", 0));

	CHECK(ftruncate(file, GB / 4));
	for (unsigned int size = 1; size <= gigabytes; size *= 4) {
		char *start = mmap(NULL, size * GB, PROT_NONE, MAP_PRIVATE |
				   MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		announce("registering %u GiB of small pages", size);
		for (u64 at = 0; at < size * GB; at += GB / 4)
			if (mmap(start + at, GB / 4, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED | MAP_POPULATE, file,
				 0) == MAP_FAILED)
				give_up("mmap() of a file", -1);
		tally(TICKS_ONCE(CHECK(register_memory(fd, 0, start, size * GB))) /
		      (size * GB / PAGE), "register.page.of-%uG.ours", size);
		tally(TICKS_ONCE(CHECK(unregister_memory(fd, start, size * GB))) /
		      (size * GB / PAGE), "unregister.page.of-%uG.ours", size);
		if (size == 1)
			tally((double)bench_run(bench, 0, BENCH_PIN, 1,
						(uintptr_t)start, 0, GB) /
			      (GB / PAGE), "register.page.of-1G.bare");
		munmap(start, size * GB);
	}
	close(file);
}

/* Ranges of one page. */
static void count_range_memory(int fd)
{
	const int ranges = 2000;
	char *start = plain_memory(ranges * PAGE);
	long before;

	CHECK(register_memory(fd, 0, start, PAGE));
	before = kernel_memory();
	for (int i = 1; i < ranges; i++)
		CHECK(register_memory(fd, 0, start + i * PAGE, PAGE));
	tally((double)(kernel_memory() - before) / (ranges - 1),
	      "memory.range.ours");
	for (int i = 0; i < ranges; i++)
		CHECK(unregister_memory(fd, start + i * PAGE, PAGE));
}

void count_spaces(unsigned int gigabytes)
{
	int index = CHECK(device_index(20, 0)), bench = bench_open(index);
	struct container container;
	u32 group = group_number(index);
	long pasid;
	int fd;

	make_memories();
	CHECK(container_open_device(&container, index));
	fd = container.fd;
	tally(TICKS(TIMES, CHECK(call(fd, VFIO_GET_API_VERSION, NULL))),
	      "ioctl.nothing");
	count_own_space(fd, index);
	pasid = CHECK(aux_create(fd));
	announce("attaching, and making spaces");
	count_attach(fd, bench, pasid, group);
	CHECK(aux_attach(fd, pasid, group));
	bench_run(bench, 0, BENCH_ATTACH, 1, BARE_PASID, 0, 0);
	for (struct memory *memory = memories; memory <= SCATTERED; memory++) {
		announce("registering and mapping %s", memory->name);
		count_register(fd, bench, memory);
		CHECK(register_memory(fd, 0, memory->start, memory->size));
		count_map(fd, bench, pasid, memory);
		if (memory != memories)
			CHECK(unregister_memory(fd, memory->start, memory->size));
	}
	count_many(fd, group);
	count_many_more(fd, group);
	CHECK(unregister_memory(fd, memories[0].start, memories[0].size));
	count_range_memory(fd);
	count_space_growth(fd);
	count_register_growth(fd, bench, gigabytes);
	close(bench);
	container_close(&container);
}

/* Stock ioctls: of the kernel's type1, or through ours. */

static void count_stock_map(int fd, const char *whose,
			    const struct memory *memory)
{
	struct samples in, out, both;

	for (int i = 0; i < SAMPLES; i++) {
		await_sample();
		in.ticks[i] = TICKS_ONCE(CHECK(map_dma(fd, memory->start, IOVA,
						       memory->size)));
		out.ticks[i] = TICKS_ONCE(CHECK(unmap_dma(fd, IOVA, memory->size)));
		both.ticks[i] = in.ticks[i] + out.ticks[i];
	}
	tally(sample_of(&in), "stock.map_dma.%s.%s", memory->name, whose);
	tally(sample_of(&out), "stock.unmap_dma.%s.%s", memory->name, whose);
	tally(sample_of(&both), "stock.map_dma+unmap_dma.%s.%s", memory->name, whose);
}

void count_stock(const char *whose)
{
	int index = CHECK(device_index(20, 0));
	struct container container;
	int fd;

	announce("stock ioctls, %s", whose);
	if (!memories[0].start)
		make_memories();
	CHECK(container_open_device(&container, index));
	fd = container.fd;
	tally(TICKS(TIMES, call(fd, VFIO_CHECK_EXTENSION,
				(void *)VFIO_TYPE1v2_IOMMU)),
	      "stock.check_extension.%s", whose);
	tally(TICKS(TIMES, call(fd, VFIO_IOMMU_DIRTY_PAGES, NULL)),
	      "stock.dirty_pages.%s", whose);
	for (struct memory *memory = memories; memory <= SCATTERED; memory++)
		count_stock_map(fd, whose, memory);
	container_close(&container);
}
