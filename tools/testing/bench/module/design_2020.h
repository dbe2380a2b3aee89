/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DESIGN_2020_H
#define DESIGN_2020_H

#include <linux/types.h>

struct task_struct;
struct mm_2020;

/* Finds the one of @task's address space, or makes it. It goes with its last reference. */
struct mm_2020 *mm_2020_get(struct task_struct *task);
void mm_2020_put(struct mm_2020 *vmm);

int pasid_2020_alloc(struct mm_2020 *vmm, u32 min, u32 max);
void pasid_2020_free_range(struct mm_2020 *vmm, u32 min, u32 max);

#endif /* DESIGN_2020_H */
