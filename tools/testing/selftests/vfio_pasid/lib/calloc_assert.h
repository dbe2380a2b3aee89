/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tests of VFIO in 7.2.12 call this, and no header there has it. Included before
 * all of theirs; later kernels define a macro of that name, which then is taken.
 */
#ifndef VFIO_PASID_CALLOC_ASSERT_H
#define VFIO_PASID_CALLOC_ASSERT_H

#include <stdlib.h>

static inline void *calloc_assert(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

#endif
