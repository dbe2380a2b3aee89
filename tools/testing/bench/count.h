/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting, and saying what was counted: a line `value NAME NUMBER` each, which
 * scripts/bench makes rows of. What fails ends the program, with a sentence.
 */
#ifndef COUNT_H
#define COUNT_H

#include <kselftest.h>

#include "module/vfio_pasid_bench.h"
#include "vfio_pasid_utils.h"

/*
 * Of so many samples the least counts: the others have met the timer. With
 * BENCH_MIDDLE in the environment the middle one does, which tells more of what
 * runs beside; and then only what this process does itself is counted, as the
 * other one has the same processor.
 */
#define SAMPLES	5

struct samples {
	double ticks[SAMPLES];
};

double sample_of(struct samples *samples);
/* With BENCH_MIDDLE samples are apart, so that what runs beside meets few of them. */
void await_sample(void);

#define CHECK(call) ({							\
	long ret_ = (call);						\
	if (ret_ < 0)							\
		give_up(#call, ret_);					\
	ret_;								\
})

void __noreturn give_up(const char *what, long ret);

/* What is being done, for who waits. */
void __printf(1, 2) announce(const char *format, ...);

/* The name has a format, as there are many sizes and states. */
void __printf(2, 3) tally(double number, const char *name, ...);

/* An instruction is a tick of the TSC, and a nanosecond of the processor's time. */
u64 own_time(void);
bool others_run(void);

static inline u64 ticks(void)
{
	return others_run() ? own_time() : __builtin_ia32_rdtsc();
}

/* The ticks that one of @times takes. */
#define TICKS(times, step) ({						\
	struct samples samples_;					\
	u64 times_ = (times);						\
	for (int sample_ = 0; sample_ < SAMPLES; sample_++) {		\
		u64 start_;						\
									\
		await_sample();						\
		start_ = ticks();					\
		for (u64 i_ = 0; i_ < times_; i_++)			\
			step;						\
		samples_.ticks[sample_] = ticks() - start_;		\
	}								\
	sample_of(&samples_) / times_;					\
})

/* The ticks of what can only be done once. */
#define TICKS_ONCE(step) ({						\
	u64 start_ = ticks();						\
	step;								\
	(double)(ticks() - start_);					\
})

/* The bench module. */

int bench_open(int index);
/* One request: the ticks for all of its times. */
u64 bench_run(int bench, enum vfio_pasid_bench_who who,
	      enum vfio_pasid_bench_what what, u64 times, u64 first, u64 last,
	      u64 size);
/* Some of them, for each time. */
double bench_sample(int bench, enum vfio_pasid_bench_who who,
		    enum vfio_pasid_bench_what what, u64 times, u64 first,
		    u64 last, u64 size);

/* Flushes. */

/* How many descriptors the IOMMU got since the last call, without those that only wait. */
long flushes(void);

/* What the kernel has allocated for itself, in bytes. */
long kernel_memory(void);

/* What is counted. */

void count_numbers(void);
void count_lookups(void);
void count_spaces(unsigned int gigabytes);
void count_stock(const char *whose);
void count_process_space(const struct limits *limits);
void count_beside(int seconds);
void count_waits(int seconds);

/* A page of memory comes and goes. */
void map_touch_and_unmap(void);

#endif /* COUNT_H */
