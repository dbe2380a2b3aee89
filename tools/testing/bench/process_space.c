// SPDX-License-Identifier: GPL-2.0-only
/* What process spaces cost, and what they make the process itself pay. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "count.h"
#include "pasid_device.h"

#define TIMES	20

void map_touch_and_unmap(void)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		give_up("mmap()", -1);
	__atomic_store_n(memory, 1, __ATOMIC_RELAXED);
	if (munmap(memory, PAGE))
		give_up("munmap()", -1);
}

static void count_unmapping(const char *how)
{
	tally(TICKS(TIMES, map_touch_and_unmap()), "process.munmap.%s", how);
	flushes();
	map_touch_and_unmap();
	tally(flushes(), "flush.munmap.%s", how);
}

void count_process_space(const struct limits *limits)
{
	struct container container;
	int index, bench, fd;
	u32 group;
	long pasid;

	announce("process spaces");
	CHECK(use_processes(limits));
	CHECK(load_module("vfio_pasid_bench", ""));
	index = CHECK(device_index(16, 0));
	bench = bench_open(index);
	CHECK(container_open_device(&container, index));
	fd = container.fd;
	group = group_number(index);

	count_unmapping("plain");
	pasid = CHECK(aux_create_process(fd));
	tally(TICKS(TIMES, {
		CHECK(aux_attach(fd, pasid, group));
		CHECK(aux_detach(fd, pasid, group));
	}), "process.attach.ours");
	tally(bench_sample(bench, 0, BENCH_BIND_UNBIND, TIMES, 0, 0, 0),
	      "process.attach.bare");
	CHECK(aux_attach(fd, pasid, group));
	count_unmapping("attached");
	CHECK(aux_detach(fd, pasid, group));
	tally(TICKS(TIMES, {
		CHECK(aux_destroy(fd, pasid));
		CHECK(aux_create_process(fd));
	}), "process.create.ours");
	close(bench);
	container_close(&container);
}
