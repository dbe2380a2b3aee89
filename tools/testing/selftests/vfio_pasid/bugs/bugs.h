/* SPDX-License-Identifier: GPL-2.0-only */
/* The bugs of rust_bugs.rs. */
#ifndef VFIO_PASID_BUGS_H
#define VFIO_PASID_BUGS_H

#include <linux/types.h>

void rust_use_after_free(void);
void rust_out_of_bounds(void);
void rust_stack_out_of_bounds(void);
void rust_lock_inversion(void);
void rust_sleep_in_atomic(void);
void rust_leak(void);
void rust_overflow(void);
void rust_debug_assert(void);
bool rust_failed_allocation(void);

#endif /* VFIO_PASID_BUGS_H */
