/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * PASIDs for VFIO containers: the ioctls that vfio_pasid adds to a container
 * (/dev/vfio/vfio) after VFIO_SET_IOMMU with VFIO_TYPE1_IOMMU or
 * VFIO_TYPE1v2_IOMMU.
 *
 * A PASID is a number in [1, 2^20 - 1]. It belongs to the process whose thread
 * called VFIO_SET_IOMMU (its address space, strictly), is shared by all
 * containers of that process, and goes back with the last of them.
 *
 * As everywhere in VFIO, @argsz is the size of the structure that the caller
 * knows and @flags holds no bit that is not defined here. On top of the errors
 * listed with each ioctl, every ioctl here except VFIO_CHECK_EXTENSION returns:
 *
 *   EFAULT  @arg does not point to memory that can be read (and, where the
 *           structure has results, written)
 *   EINVAL  argsz is too short, a flag is unknown, a reserved field is not 0,
 *           or VFIO_SET_IOMMU has not been called
 *   ENODEV  the container lost its last group while the call was under way
 *   EPERM   the caller's address space is not the one that called
 *           VFIO_SET_IOMMU (a forked child, after exec, a passed descriptor)
 *   ENOTTY  the kernel's stock type1 is loaded
 */
#ifndef _UAPI_LINUX_VFIO_PASID_H
#define _UAPI_LINUX_VFIO_PASID_H

#include <linux/types.h>
#include <linux/vfio.h>

/*
 * VFIO_PASID_EXTENSION - argument of VFIO_CHECK_EXTENSION
 *
 * The return value is a set of VFIO_PASID_FEATURE_* bits: what this module can
 * do. 0 from a type1 without it. Never an error.
 */
#define VFIO_PASID_EXTENSION		0x5041

#define VFIO_PASID_FEATURE_PASID	(1 << 0) /* PASID_REQUEST, PASID_INFO */

/**
 * struct vfio_iommu_type1_pasid_request - VFIO_IOMMU_PASID_REQUEST
 * @argsz: size of the structure
 * @flags: exactly one of VFIO_IOMMU_FLAG_ALLOC_PASID and
 *         VFIO_IOMMU_FLAG_FREE_PASID
 * @range: the numbers
 * @range.min: the first number
 * @range.max: the last number, included
 *
 * ALLOC takes the highest free number of the range, narrowed to what the
 * module parameters pasid_min and pasid_max allow, and returns it. The number
 * is unique in the system.
 *
 * FREE gives back every number of the range that the process holds; holes and
 * numbers of other processes are skipped. Any range is good. Returns 0.
 *
 * Errors:
 *
 *   EINVAL  neither or both of the flags; min > max
 *   ENOSPC  ALLOC: the process holds as many as the parameter pasid_quota
 *           allows, or no number of the range is free
 *   ENOMEM  ALLOC: no memory
 */
struct vfio_iommu_type1_pasid_request {
	__u32	argsz;
	__u32	flags;
#define VFIO_IOMMU_FLAG_ALLOC_PASID	(1 << 0)
#define VFIO_IOMMU_FLAG_FREE_PASID	(1 << 1)
	struct {
		__u32	min;
		__u32	max;
	} range;
};

#define VFIO_IOMMU_PASID_REQUEST	_IO(VFIO_TYPE, VFIO_BASE + 18)

/**
 * struct vfio_iommu_pasid_info - VFIO_IOMMU_PASID_INFO
 * @argsz: size of the structure
 * @flags: 0
 * @group: in: number of an IOMMU group of this container, or
 *         VFIO_PASID_NO_GROUP
 * @quota: out: how many PASIDs the process may hold
 * @used: out: how many it holds
 * @width: out: how many bits a PASID may have for the devices of the group;
 *         0 if it has no device that can use PASIDs, or several, or without a
 *         group
 * @caps: out: VFIO_PASID_CAP_*, what the device's PASID capability offers
 *        (vfio-pci hides that capability in config space)
 * @reserved: 0
 *
 * Errors:
 *
 *   ENOENT  the group is not one of this container
 */
struct vfio_iommu_pasid_info {
	__u32	argsz;
	__u32	flags;
	__u32	group;
#define VFIO_PASID_NO_GROUP		(~(__u32)0)
	__u32	quota;
	__u32	used;
	__u32	width;
	__u32	caps;
#define VFIO_PASID_CAP_EXEC		(1 << 0) /* execute permission */
#define VFIO_PASID_CAP_PRIV		(1 << 1) /* privileged mode */
	__u32	reserved;
};

#define VFIO_IOMMU_PASID_INFO		_IO(VFIO_TYPE, 0x40)

#endif /* _UAPI_LINUX_VFIO_PASID_H */
