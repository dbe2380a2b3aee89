/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Compiled as it is, never run: <linux/vfio_pasid.h> stands alone, in every C
 * and C++ that the Makefile lists, and its numbers and layouts are those that
 * programs were built with.
 */
#include <linux/vfio_pasid.h>

#ifdef __cplusplus
#include <cstddef>
#else
#include <stddef.h>
#endif

/* Works in C89 and in C++98, which have no static_assert. */
#define IS(seen, expected) \
	extern char is_as_expected[(seen) == (expected) ? 1 : -1]

IS(VFIO_PASID_EXTENSION, 0x5041);
IS(VFIO_PASID_FEATURE_PASID, 0x1);

IS(VFIO_IOMMU_PASID_REQUEST, 0x3b76);
IS(VFIO_IOMMU_FLAG_ALLOC_PASID, 0x1);
IS(VFIO_IOMMU_FLAG_FREE_PASID, 0x2);
IS(sizeof(struct vfio_iommu_type1_pasid_request), 16);
IS(offsetof(struct vfio_iommu_type1_pasid_request, argsz), 0);
IS(offsetof(struct vfio_iommu_type1_pasid_request, flags), 4);
IS(offsetof(struct vfio_iommu_type1_pasid_request, range.min), 8);
IS(offsetof(struct vfio_iommu_type1_pasid_request, range.max), 12);

IS(VFIO_IOMMU_PASID_INFO, 0x3b40);
IS(VFIO_PASID_NO_GROUP, 0xffffffff);
IS(VFIO_PASID_CAP_EXEC, 0x1);
IS(VFIO_PASID_CAP_PRIV, 0x2);
IS(sizeof(struct vfio_iommu_pasid_info), 32);
IS(offsetof(struct vfio_iommu_pasid_info, argsz), 0);
IS(offsetof(struct vfio_iommu_pasid_info, flags), 4);
IS(offsetof(struct vfio_iommu_pasid_info, group), 8);
IS(offsetof(struct vfio_iommu_pasid_info, quota), 12);
IS(offsetof(struct vfio_iommu_pasid_info, used), 16);
IS(offsetof(struct vfio_iommu_pasid_info, width), 20);
IS(offsetof(struct vfio_iommu_pasid_info, caps), 24);
IS(offsetof(struct vfio_iommu_pasid_info, reserved), 28);

IS(VFIO_PASID_FEATURE_HOT_RESET, 0x10);
IS(VFIO_IOMMU_HOT_RESET_INFO, 0x3b4b);
IS(sizeof(struct vfio_iommu_hot_reset_info), 16);
IS(offsetof(struct vfio_iommu_hot_reset_info, argsz), 0);
IS(offsetof(struct vfio_iommu_hot_reset_info, flags), 4);
IS(offsetof(struct vfio_iommu_hot_reset_info, segment), 8);
IS(offsetof(struct vfio_iommu_hot_reset_info, bus), 10);
IS(offsetof(struct vfio_iommu_hot_reset_info, devfn), 11);
IS(offsetof(struct vfio_iommu_hot_reset_info, count), 12);
IS(offsetof(struct vfio_iommu_hot_reset_info, devices), 16);

/* A second inclusion is harmless. */
#include <linux/vfio_pasid.h>
