/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bench module's device: each request does one thing a number of times, and
 * says how many ticks of the TSC that took. Under `qemu -icount shift=0` a tick
 * is an instruction.
 */
#ifndef VFIO_PASID_BENCH_H
#define VFIO_PASID_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VFIO_PASID_BENCH_DEVICE	"/dev/vfio_pasid_bench"

/*
 * Who gives out numbers. A request with a range of numbers has it in @first and
 * @last.
 */
enum vfio_pasid_bench_who {
	BENCH_OURS,
	BENCH_2020,	/* design_2020.c */
	BENCH_IDA,	/* iommu_alloc_global_pasid() */
};

enum vfio_pasid_bench_what {
	/* The process, or the IDA, is used from now on, until the file is closed. */
	BENCH_GET,
	/* Takes a number of the range, and gives it back. */
	BENCH_ALLOC_FREE,
	/* Takes numbers of the range. */
	BENCH_ALLOC,
	/* Gives back the range. */
	BENCH_FREE,
	/* Every @held-th number of the range is held: all but every @size-th are given back. */
	BENCH_THIN_OUT,
	/* Finds the calling process among all that are used, and lets go of it. */
	BENCH_LOOKUP,

	/* A domain under the PASID @first, and memory from the address @first on of @size bytes. */
	BENCH_ATTACH,
	BENCH_PIN,
	/* With these, at the IO address @first: */
	BENCH_MAP_UNMAP,
	BENCH_MAP,
	BENCH_UNMAP,
	BENCH_MAP_SG_UNMAP,
	BENCH_ATTACH_DETACH,	/* another domain */
	BENCH_DOMAIN,		/* allocates and frees one */
	BENCH_BIND_UNBIND,	/* the calling process, for SVA */
};

struct vfio_pasid_bench_run {
	__u32 who;
	__u32 what;
	__u64 times;
	__u64 first;
	__u64 last;
	__u64 size;
	__u64 held;
	__u64 ticks;
};

#define VFIO_PASID_BENCH_RUN	_IOWR('P', 0x80, struct vfio_pasid_bench_run)
/* The device that IDA and domains are for: its PCI address. */
#define VFIO_PASID_BENCH_USE	_IOW('P', 0x81, char[16])
/* Does nothing. */
#define VFIO_PASID_BENCH_NOTHING	_IO('P', 0x82)

/* What the 2020 design has for an ioctl; as ours. */
struct vfio_pasid_bench_request {
	__u32 argsz;
	__u32 flags;
	__u32 min;
	__u32 max;
};

#define VFIO_PASID_BENCH_ALLOC	0x1
#define VFIO_PASID_BENCH_FREE	0x2

#define VFIO_PASID_BENCH_REQUEST	_IO('P', 0x83)

#endif /* VFIO_PASID_BENCH_H */
