// SPDX-License-Identifier: GPL-2.0-only
/* What numbers cost, and how that grows with those that are held. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "count.h"

#define TIMES	200
/* Of many processes, so many look themselves up. */
#define LOOKERS	25

static const char *const names[] = { "ours", "2020", "ida" };

/* Where a contender has its numbers when it holds @held of them, densely. */
static u32 first_of(int who, u32 held)
{
	return who == BENCH_OURS ? PASID_LAST - held + 1 : 1;
}

static u32 last_of(int who, u32 held)
{
	return who == BENCH_OURS ? PASID_LAST : held;
}

/* Every @held-th number is held, and then only every @of-th. */
static void thin_out(int bench, int who, u32 total, u32 held, u32 of)
{
	struct vfio_pasid_bench_run run = {
		.who = who,
		.what = BENCH_THIN_OUT,
		.times = 1,
		.first = first_of(who, total),
		.last = last_of(who, total),
		.size = of,
		.held = held,
	};

	CHECK(call(bench, VFIO_PASID_BENCH_RUN, &run));
}

static void alloc_free(int bench, int who, const char *state)
{
	tally(bench_sample(bench, who, BENCH_ALLOC_FREE, TIMES, 1, PASID_LAST, 0),
	      "alloc.kernel.%s.%s", state, names[who]);
}

static double ours_by_ioctl(int container)
{
	struct vfio_iommu_type1_pasid_request request = {
		.argsz = sizeof(request),
	};

	return TICKS(TIMES, {
		request.flags = VFIO_IOMMU_FLAG_ALLOC_PASID;
		request.range.min = 1;
		request.range.max = PASID_LAST;
		request.range.min = call(container, VFIO_IOMMU_PASID_REQUEST,
					 &request);
		request.range.max = request.range.min;
		request.flags = VFIO_IOMMU_FLAG_FREE_PASID;
		CHECK(call(container, VFIO_IOMMU_PASID_REQUEST, &request));
	});
}

static double of_2020_by_ioctl(int bench)
{
	struct vfio_pasid_bench_request request = { .argsz = sizeof(request) };

	return TICKS(TIMES, {
		request.flags = VFIO_PASID_BENCH_ALLOC;
		request.min = 1;
		request.max = PASID_LAST;
		request.min = call(bench, VFIO_PASID_BENCH_REQUEST, &request);
		request.max = request.min;
		request.flags = VFIO_PASID_BENCH_FREE;
		CHECK(call(bench, VFIO_PASID_BENCH_REQUEST, &request));
	});
}

static void by_ioctl(int bench, int container, int who, const char *state)
{
	if (who == BENCH_OURS)
		tally(ours_by_ioctl(container), "alloc.ioctl.%s.ours", state);
	else if (who == BENCH_2020)
		tally(of_2020_by_ioctl(bench), "alloc.ioctl.%s.2020", state);
}

static void within_a_range(int bench, const char *state, u32 first, u32 last)
{
	tally(bench_sample(bench, BENCH_OURS, BENCH_ALLOC_FREE, TIMES, first,
			   last, 0), "alloc.kernel.range.%s.ours", state);
}

static void count_dense(int bench, int container, int who)
{
	static const u32 steps[] = { 0, 1000, 100000, 999000 };
	u32 held = 0;
	char state[16];

	for (unsigned int i = 0; i < 4; held = steps[i++]) {
		announce("%s: %u numbers held", names[who], steps[i]);
		if (steps[i])
			bench_run(bench, who, BENCH_ALLOC, steps[i] - held, 1,
				  PASID_LAST, 0);
		snprintf(state, sizeof(state), "%u", steps[i]);
		alloc_free(bench, who, state);
		by_ioctl(bench, container, who, state);
	}
}

static void count_sparse(int bench, int container, int who)
{
	announce("%s: one of 2 held", names[who]);
	thin_out(bench, who, 999000, 1, 2);
	alloc_free(bench, who, "half");
	by_ioctl(bench, container, who, "half");
	if (who == BENCH_OURS)
		within_a_range(bench, "half", 300000, 600000);
	announce("%s: one of 64 held", names[who]);
	thin_out(bench, who, 999000, 2, 64);
	alloc_free(bench, who, "64th");
	by_ioctl(bench, container, who, "64th");
}

/* Frees what is there, and more: for each number that was held. */
static void count_free(int bench, int who, u32 of)
{
	const u32 held = 100000;
	u32 first = first_of(who, held), last = last_of(who, held);
	long before = kernel_memory();
	u64 spent;

	bench_run(bench, who, BENCH_ALLOC, held, 1, PASID_LAST, 0);
	if (of > 1)
		thin_out(bench, who, held, 1, of);
	tally((double)(kernel_memory() - before) / (held / of),
	      "memory.pasid.%u.%s", of, names[who]);
	spent = bench_run(bench, who, BENCH_FREE, 1, first, last, 0);
	tally((double)spent / (held / of), "free.%u.%s", of, names[who]);
}

static void free_of_the_rest(int bench, int who)
{
	u32 first = first_of(who, 999000), last = last_of(who, 999000);
	u32 number;

	if (who != BENCH_IDA) {
		bench_run(bench, who, BENCH_FREE, 1, 1, PASID_LAST, 0);
		return;
	}
	for (number = first; number <= last; number++)
		if (number % 64 == 0)
			bench_run(bench, who, BENCH_FREE, 1, number, number, 0);
}

void count_numbers(void)
{
	int index = 0, bench = bench_open(index);
	struct container container;
	double nothing;

	CHECK(container_open(&container, index));
	nothing = TICKS(TIMES, call(bench, VFIO_PASID_BENCH_NOTHING, NULL));
	tally(nothing, "ioctl.nothing");
	for (int who = BENCH_OURS; who <= BENCH_IDA; who++) {
		bench_run(bench, who, BENCH_GET, 1, 0, 0, 0);
		if (who != BENCH_IDA)
			for (u32 of = 1; of <= 64; of = of == 1 ? 2 : of * 32)
				count_free(bench, who, of);
		count_dense(bench, container.fd, who);
		if (who == BENCH_OURS) {
			within_a_range(bench, "below", 1, 10000);
			within_a_range(bench, "one", 100, 100);
		}
		count_sparse(bench, container.fd, who);
		free_of_the_rest(bench, who);
	}
	container_close(&container);
	close(bench);
}

/* Lookups */

/* A process that is in use, and looks itself up when it is asked to. */
static void look_when_asked(int socket, void *arg)
{
	int bench = bench_open(0);
	long who;

	(void)arg;
	bench_run(bench, BENCH_OURS, BENCH_GET, 1, 0, 0, 0);
	bench_run(bench, BENCH_2020, BENCH_GET, 1, 0, 0, 0);
	say(socket, 0);
	while ((who = hear(socket)) >= 0)
		say(socket, 1000 * bench_sample(bench, who, BENCH_LOOKUP, TIMES,
						0, 0, 0));
}

/* From the first to the last, so that a list and a tree are at their average. */
static double average_lookup(struct peer *peers, int count, int who)
{
	int lookers = 0;
	double sum = 0;

	for (int i = 0; i < count; i += (count + LOOKERS - 1) / LOOKERS) {
		say(peers[i].socket, who);
		sum += CHECK(hear(peers[i].socket)) / 1000.;
		lookers++;
	}
	return sum / lookers;
}

static void count_lookups_among(int processes)
{
	struct peer *peers = calloc(processes, sizeof(*peers));

	announce("lookups among %d processes", processes);
	for (int i = 0; i < processes; i++) {
		CHECK(peer_start(&peers[i], look_when_asked, NULL));
		CHECK(hear(peers[i].socket));
	}
	for (int who = BENCH_OURS; who <= BENCH_2020; who++)
		tally(average_lookup(peers, processes, who), "lookup.%d.%s",
		      processes, names[who]);
	for (int i = 0; i < processes; i++)
		peer_kill(&peers[i]);
	free(peers);
}

void count_lookups(void)
{
	count_lookups_among(1);
	count_lookups_among(100);
	count_lookups_among(1000);
}
