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
IS(VFIO_PASID_FEATURE_AUX, 0x2);

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

IS(VFIO_IOMMU_AUX_CREATE, 0x3b43);
IS(VFIO_AUX_FIXED_PASID, 0x1);
IS(sizeof(struct vfio_iommu_aux_create), 40);
IS(offsetof(struct vfio_iommu_aux_create, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_create, flags), 4);
IS(offsetof(struct vfio_iommu_aux_create, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_create, reserved), 12);
IS(offsetof(struct vfio_iommu_aux_create, iova_start), 16);
IS(offsetof(struct vfio_iommu_aux_create, iova_size), 24);
IS(offsetof(struct vfio_iommu_aux_create, pgsize_bitmap), 32);

IS(VFIO_IOMMU_AUX_DESTROY, 0x3b44);
IS(sizeof(struct vfio_iommu_aux_destroy), 16);
IS(offsetof(struct vfio_iommu_aux_destroy, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_destroy, flags), 4);
IS(offsetof(struct vfio_iommu_aux_destroy, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_destroy, reserved), 12);

IS(VFIO_IOMMU_AUX_ATTACH, 0x3b45);
IS(VFIO_IOMMU_AUX_DETACH, 0x3b46);
IS(sizeof(struct vfio_iommu_aux_attach), 16);
IS(offsetof(struct vfio_iommu_aux_attach, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_attach, flags), 4);
IS(offsetof(struct vfio_iommu_aux_attach, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_attach, group), 12);

IS(VFIO_AUX_ENTRY_HOLE, 1);
IS(VFIO_AUX_ENTRY_GROUP, 2);
IS(VFIO_AUX_ENTRY_MAPPING, 3);
IS(sizeof(struct vfio_iommu_aux_entry), 32);
IS(offsetof(struct vfio_iommu_aux_entry, type), 0);
IS(offsetof(struct vfio_iommu_aux_entry, data), 4);
IS(offsetof(struct vfio_iommu_aux_entry, iova), 8);
IS(offsetof(struct vfio_iommu_aux_entry, size), 16);
IS(offsetof(struct vfio_iommu_aux_entry, vaddr), 24);

IS(VFIO_IOMMU_AUX_INFO, 0x3b49);
IS(sizeof(struct vfio_iommu_aux_info), 48);
IS(offsetof(struct vfio_iommu_aux_info, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_info, flags), 4);
IS(offsetof(struct vfio_iommu_aux_info, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_info, count), 12);
IS(offsetof(struct vfio_iommu_aux_info, iova_start), 16);
IS(offsetof(struct vfio_iommu_aux_info, iova_size), 24);
IS(offsetof(struct vfio_iommu_aux_info, pgsize_bitmap), 32);
IS(offsetof(struct vfio_iommu_aux_info, cursor), 40);
IS(offsetof(struct vfio_iommu_aux_info, entries), 48);

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

IS(VFIO_PASID_FEATURE_OWN_SPACE, 0x20);
IS(VFIO_AUX_OWN_SPACE, 0);

IS(VFIO_PASID_FEATURE_MEMORY, 0x4);
IS(VFIO_PASID_FEATURE_WINDOW, 0x8);

IS(VFIO_IOMMU_REGISTER_MEMORY, 0x3b41);
IS(VFIO_IOMMU_UNREGISTER_MEMORY, 0x3b42);
IS(VFIO_MEMORY_READ_ONLY, 0x1);
IS(sizeof(struct vfio_iommu_register_memory), 24);
IS(offsetof(struct vfio_iommu_register_memory, argsz), 0);
IS(offsetof(struct vfio_iommu_register_memory, flags), 4);
IS(offsetof(struct vfio_iommu_register_memory, vaddr), 8);
IS(offsetof(struct vfio_iommu_register_memory, size), 16);

IS(VFIO_IOMMU_AUX_MAP, 0x3b47);
IS(VFIO_AUX_MAP_READ, 0x1);
IS(VFIO_AUX_MAP_WRITE, 0x2);
IS(sizeof(struct vfio_iommu_aux_map), 40);
IS(offsetof(struct vfio_iommu_aux_map, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_map, flags), 4);
IS(offsetof(struct vfio_iommu_aux_map, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_map, reserved), 12);
IS(offsetof(struct vfio_iommu_aux_map, vaddr), 16);
IS(offsetof(struct vfio_iommu_aux_map, iova), 24);
IS(offsetof(struct vfio_iommu_aux_map, size), 32);

IS(VFIO_IOMMU_AUX_UNMAP, 0x3b48);
IS(VFIO_AUX_UNMAP_ALL, 0x1);
IS(sizeof(struct vfio_iommu_aux_unmap), 32);
IS(offsetof(struct vfio_iommu_aux_unmap, argsz), 0);
IS(offsetof(struct vfio_iommu_aux_unmap, flags), 4);
IS(offsetof(struct vfio_iommu_aux_unmap, pasid), 8);
IS(offsetof(struct vfio_iommu_aux_unmap, reserved), 12);
IS(offsetof(struct vfio_iommu_aux_unmap, iova), 16);
IS(offsetof(struct vfio_iommu_aux_unmap, size), 24);

IS(VFIO_IOMMU_SETUP, 0x3b4a);
IS(sizeof(struct vfio_iommu_setup), 32);
IS(offsetof(struct vfio_iommu_setup, argsz), 0);
IS(offsetof(struct vfio_iommu_setup, flags), 4);
IS(offsetof(struct vfio_iommu_setup, iova_start), 8);
IS(offsetof(struct vfio_iommu_setup, iova_size), 16);
IS(offsetof(struct vfio_iommu_setup, pgsize_bitmap), 24);

/* A second inclusion is harmless. */
#include <linux/vfio_pasid.h>
