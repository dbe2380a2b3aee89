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
 * own (a kernel thread, a task that has exited), -ENOMEM, -EINTR if a fatal
 * signal came while what the process held before was being given back.
 */
struct vfio_mm *vfio_mm_get_from_task(struct task_struct *task);

/**
 * vfio_mm_put - give back a vfio_mm
 * @vmm: from vfio_mm_get_from_task()
 *
 * The last put frees every PASID that kernel drivers still hold. What belongs
 * to the process itself has gone back with its last container.
 */
void vfio_mm_put(struct vfio_mm *vmm);

/**
 * vfio_pasid_alloc - allocate a PASID
 * @vmm: from vfio_mm_get_from_task()
 * @min: lowest number wanted
 * @max: highest number wanted, included
 *
 * Takes the highest free number of the range, narrowed to what the module
 * parameters pasid_min and pasid_max allow. It counts on the quota of @vmm. The
 * process can neither free it nor give it to an aux space.
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
 * Frees the numbers of vfio_pasid_alloc() that @vmm holds in the range, and
 * skips the rest: default PASIDs, and what the process has allocated itself. An
 * empty range (@min > @max) frees nothing.
 */
void vfio_pasid_free_range(struct vfio_mm *vmm, ioasid_t min, ioasid_t max);

/**
 * vfio_aux_attach_device - attach a domain to a device under a PASID
 * @vmm: the process that the PASID is taken for, from vfio_mm_get_from_task()
 * @domain: a paging domain of iommu_paging_domain_alloc_flags() with
 *          IOMMU_HWPT_ALLOC_PASID
 * @dev: a device that the caller's driver is bound to
 *
 * The first attachment of @domain takes its default PASID: the lowest number
 * that the host has free (iommu_alloc_global_pasid()), that @vmm does not hold
 * for something else, and that is free on the group of @dev. It counts on the
 * quota of @vmm, and the process cannot free it. A domain may be
 * attached to several devices, a device may have several domains, and the same
 * pair may be attached several times: every attachment is taken back with
 * vfio_aux_detach_device(), before the driver is unbound, before @domain is
 * freed, and before @vmm is put.
 *
 * Return: 0, or -EOPNOTSUPP if the device or its IOMMU cannot use PASIDs,
 * -ENOSPC if the quota is used up, no number is free, or there are as many
 * attachments as there may be, -EBUSY if the PASID is taken on the device's
 * group or the device is being reset, -EINVAL if the device cannot use the
 * domain or the domain's PASID, -ENOMEM.
 */
int vfio_aux_attach_device(struct vfio_mm *vmm, struct iommu_domain *domain,
			   struct device *dev);

/**
 * vfio_aux_detach_device - take an attachment back
 * @vmm: as with vfio_aux_attach_device()
 * @domain: as with vfio_aux_attach_device()
 * @dev: as with vfio_aux_attach_device()
 *
 * The last one of the pair detaches the device and flushes what the IOMMU
 * caches; the last one of the domain then frees the default PASID. Detaching
 * what is not attached warns once and does nothing.
 */
void vfio_aux_detach_device(struct vfio_mm *vmm, struct iommu_domain *domain,
			    struct device *dev);

/**
 * vfio_aux_get_pasid - the default PASID of a domain
 * @vmm: as with vfio_aux_attach_device()
 * @domain: as with vfio_aux_attach_device()
 * @dev: as with vfio_aux_attach_device()
 *
 * Return: the number, or -ENOENT if @domain is not attached to @dev.
 */
int vfio_aux_get_pasid(struct vfio_mm *vmm, struct iommu_domain *domain,
		       struct device *dev);

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

static inline int vfio_aux_attach_device(struct vfio_mm *vmm,
					 struct iommu_domain *domain,
					 struct device *dev)
{
	return -ENOTTY;
}

static inline void vfio_aux_detach_device(struct vfio_mm *vmm,
					  struct iommu_domain *domain,
					  struct device *dev)
{
}

static inline int vfio_aux_get_pasid(struct vfio_mm *vmm,
				     struct iommu_domain *domain,
				     struct device *dev)
{
	return -ENOTTY;
}

#endif /* CONFIG_VFIO_PASID */
#endif /* _LINUX_VFIO_PASID_H */
