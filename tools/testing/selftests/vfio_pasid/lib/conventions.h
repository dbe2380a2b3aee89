/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all ioctls of <linux/vfio_pasid.h> have in common: what they make of
 * argsz, flags, reserved fields, bad pointers and other processes. A program
 * has a table of its ioctls, and demands that they follow.
 */
#ifndef CONVENTIONS_H
#define CONVENTIONS_H

#include "vfio_pasid_utils.h"

union argument {
	struct {
		u32 argsz;
		u32 flags;
	};
	struct vfio_iommu_type1_pasid_request request;
	struct vfio_iommu_pasid_info info;
	struct vfio_iommu_register_memory memory;
	struct vfio_iommu_aux_create create;
	struct vfio_iommu_aux_destroy destroy;
	struct vfio_iommu_aux_attach attach;
	struct vfio_iommu_aux_map map;
	struct vfio_iommu_aux_unmap unmap;
	struct vfio_iommu_aux_info aux_info;
	struct vfio_iommu_setup setup;
	u8 bytes[64];
};

struct ioctl {
	const char *name;
	unsigned long request;
	u32 flags;		/* those that exist */
	size_t reserved;	/* offset of the reserved field, or 0 */
	size_t results;		/* offset of the first field that changes, or 0 */
	union argument argument;	/* a good one; its argsz is the size */
};

/* Whether it answers so; says what it answers otherwise. */
bool answers(int container, const struct ioctl *ioctl, void *argument,
	     long expected);
/* The same of all, each with its own argument, where results are then. */
bool all_answer(int container, struct ioctl *ioctls, int count, long expected);

/* Its argument, in a page that can only be read. */
void *read_only(const struct ioctl *ioctl);

/* Whether all follow one of the conventions. */
bool all_follow(int container, const struct ioctl *ioctls, int count,
		bool (*follows)(int container, const struct ioctl *ioctl));

/* The conventions. What is refused leaves the argument as it is. */
bool refuses_short_argsz(int container, const struct ioctl *ioctl);
bool refuses_unknown_flags(int container, const struct ioctl *ioctl);
bool refuses_reserved_field(int container, const struct ioctl *ioctl);
bool refuses_bad_pointers(int container, const struct ioctl *ioctl);
bool refuses_another_process(int container, const struct ioctl *ioctl);
/* It does what it does, and writes nothing but results. */
bool takes_larger_argsz(int container, const struct ioctl *ioctl);

#endif /* CONVENTIONS_H */
