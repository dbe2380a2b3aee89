// SPDX-License-Identifier: GPL-2.0-only
/* See count.h. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "count.h"

#define TRACE	"/share/trace.log"

void give_up(const char *what, long ret)
{
	printf("error: %s: %s\n", what, strerror(-ret));
	exit(1);
}

void announce(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("progress ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
}

void tally(double number, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	printf("value ");
	vprintf(name, args);
	printf(" %.2f\n", number);
	va_end(args);
	fflush(stdout);
}

int bench_open(int index)
{
	int fd = CHECK(open(VFIO_PASID_BENCH_DEVICE, O_RDWR | O_CLOEXEC));
	char address[16] = "";

	snprintf(address, sizeof(address), "%s", group_device(index));
	CHECK(call(fd, VFIO_PASID_BENCH_USE, address));
	return fd;
}

bool others_run(void)
{
	static int answer = -1;

	if (answer < 0)
		answer = !!getenv("BENCH_MIDDLE");
	return answer;
}

void await_sample(void)
{
	if (others_run())
		usleep(150000);
}

u64 own_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

u64 bench_run(int bench, enum vfio_pasid_bench_who who,
	      enum vfio_pasid_bench_what what, u64 times, u64 first, u64 last,
	      u64 size)
{
	struct vfio_pasid_bench_run run = {
		.who = who,
		.what = what,
		.times = times,
		.first = first,
		.last = last,
		.size = size,
	};

	u64 start = own_time();

	CHECK(call(bench, VFIO_PASID_BENCH_RUN, &run));
	return others_run() ? own_time() - start : run.ticks;
}

double bench_sample(int bench, enum vfio_pasid_bench_who who,
		    enum vfio_pasid_bench_what what, u64 times, u64 first,
		    u64 last, u64 size)
{
	struct samples samples;

	for (int sample = 0; sample < SAMPLES; sample++) {
		await_sample();
		samples.ticks[sample] = bench_run(bench, who, what, times, first,
						  last, size);
	}
	return sample_of(&samples) / times;
}

static int by_size(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return (one > other) - (one < other);
}

double sample_of(struct samples *samples)
{
	qsort(samples->ticks, SAMPLES, sizeof(samples->ticks[0]), by_size);
	return samples->ticks[others_run() ? SAMPLES / 2 : 0];
}

long flushes(void)
{
	static FILE *file;
	char line[512];
	long count = 0;

	if (!file)
		file = fopen(TRACE, "re");
	if (!file)
		return -1;
	clearerr(file);
	while (fgets(line, sizeof(line), file))
		/* Some have a second line, which says more. */
		if (strstr(line, "vtd_inv_desc ") && !strstr(line, "type wait"))
			count++;
	return count;
}

/* What was freed just now is gone when readers are done with it. */
long kernel_memory(void)
{
	sleep(1);
	CHECK(free_caches());
	CHECK(write_file("/proc/sys/vm/stat_refresh", "1"));
	return 1024 * (number_in("/proc/meminfo", "SUnreclaim") +
		       number_in("/proc/meminfo", "VmallocUsed"));
}
