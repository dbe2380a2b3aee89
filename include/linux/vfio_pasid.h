/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs of a process, for other kernel modules.
 *
 * All functions may sleep and want process context. Without CONFIG_VFIO_PASID
 * they are stubs that return -ENOTTY, or do nothing.
 */
#ifndef _LINUX_VFIO_PASID_H
#define _LINUX_VFIO_PASID_H

#include <linux/err.h>
#include <linux/iommu.h>

struct task_struct;
struct vfio_mm;

#if IS_ENABLED(CONFIG_VFIO_PASID)

/**
 * vfio_mm_get_from_task - the vfio_mm of a task's address space
 * @task: a task that the caller keeps from going away
 *
 * There is one vfio_mm for an address space, made on demand and shared with
 * the VFIO containers of the process. It keeps the mm_struct from being reused
 * (mmgrab()), not the address space alive.
 *
 * Return: the vfio_mm, to be given back with vfio_mm_put(), or an ERR_PTR:
 * -EINVAL without a task, -ESRCH for a task without an address space of its
 * own (a kernel thread, a task that has exited), -ENOMEM.
 */
struct vfio_mm *vfio_mm_get_from_task(struct task_struct *task);

/**
 * vfio_mm_put - give back a vfio_mm
 * @vmm: from vfio_mm_get_from_task()
 *
 * The last put frees every PASID that the vfio_mm still holds.
 */
void vfio_mm_put(struct vfio_mm *vmm);

/**
 * vfio_pasid_alloc - allocate a PASID
 * @vmm: from vfio_mm_get_from_task()
 * @min: lowest number wanted
 * @max: highest number wanted, included
 *
 * Takes the highest free number of the range, narrowed to what the module
 * parameters pasid_min and pasid_max allow. It counts on the quota of @vmm.
 *
 * Return: the number, or -EINVAL if @min > @max, -ENOSPC if the quota or the
 * range is used up, -ENOMEM.
 */
int vfio_pasid_alloc(struct vfio_mm *vmm, ioasid_t min, ioasid_t max);

/**
 * vfio_pasid_free_range - free the PASIDs of a range
 * @vmm: from vfio_mm_get_from_task()
 * @min: first number
 * @max: last number, included
 *
 * Frees what @vmm holds in the range and skips the rest. An empty range
 * (@min > @max) frees nothing.
 */
void vfio_pasid_free_range(struct vfio_mm *vmm, ioasid_t min, ioasid_t max);

#else /* CONFIG_VFIO_PASID */

static inline struct vfio_mm *vfio_mm_get_from_task(struct task_struct *task)
{
	return ERR_PTR(-ENOTTY);
}

static inline void vfio_mm_put(struct vfio_mm *vmm)
{
}

static inline int vfio_pasid_alloc(struct vfio_mm *vmm, ioasid_t min,
				   ioasid_t max)
{
	return -ENOTTY;
}

static inline void vfio_pasid_free_range(struct vfio_mm *vmm, ioasid_t min,
					 ioasid_t max)
{
}

#endif /* CONFIG_VFIO_PASID */
#endif /* _LINUX_VFIO_PASID_H */
