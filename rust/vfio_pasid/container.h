/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The private interface between the shim and vfio_pasid: one function for each
 * operation of struct vfio_iommu_driver_ops that must not race with .release.
 *
 * @handle is what VFIO keeps as iommu_data: a number, never a pointer, never
 * reused. Each function finds the container, holds off its release, does
 * vfio_pasid's part, and calls the stock operation with the stock iommu_data.
 * All may sleep.
 */
#ifndef _VFIO_PASID_CONTAINER_H
#define _VFIO_PASID_CONTAINER_H

#include <linux/iommu.h>

struct vfio_device;

/*
 * The container's own address space: the first and the last IO address that can
 * be mapped, reserved regions between them left aside, and the page sizes.
 */
struct vfio_pasid_own_space {
	u64 iova_start;
	u64 iova_last;
	u64 pgsize_bitmap;
};

/*
 * What VFIO_IOMMU_SETUP needs of stock code. @data is the stock iommu_data.
 * get: -EOPNOTSUPP if no group of the container has an IOMMU.
 * narrow: takes everything outside of [@start, @last] away. -EBUSY if something
 * is mapped there, -ERANGE if nothing would be left. Never allocates.
 */
struct vfio_pasid_own_space_ops {
	int (*get)(void *data, struct vfio_pasid_own_space *space);
	int (*narrow)(void *data, u64 start, u64 last);
};

/* @group_type is enum vfio_group_type, which only VFIO's private header has. */
void *vfio_pasid_container_open(unsigned long type,
				void *(*stock)(unsigned long type),
				const struct vfio_pasid_own_space_ops *ops);
void vfio_pasid_container_release(void *handle, void (*stock)(void *data));
/* @handle is NULL before VFIO_SET_IOMMU: then only VFIO_CHECK_EXTENSION works. */
long vfio_pasid_container_ioctl(void *handle, unsigned int cmd,
				unsigned long arg,
				long (*stock)(void *data, unsigned int cmd,
					      unsigned long arg));
int vfio_pasid_container_attach_group(void *handle, struct iommu_group *group,
				      unsigned int group_type,
				      int (*stock)(void *data,
						   struct iommu_group *group,
						   unsigned int group_type));
void vfio_pasid_container_detach_group(void *handle, struct iommu_group *group,
				       void (*stock)(void *data,
						     struct iommu_group *group));
void vfio_pasid_container_register_device(void *handle,
					  struct vfio_device *device,
					  void (*stock)(void *data,
							struct vfio_device *device));
void vfio_pasid_container_unregister_device(void *handle,
					    struct vfio_device *device,
					    void (*stock)(void *data,
							  struct vfio_device *device));

/*
 * The stock iommu_data, for the operations that VFIO only calls while a device
 * or a group keeps the container from being released: pin_pages, unpin_pages,
 * dma_rw and group_iommu_domain. They take no lock of ours, because
 * VFIO_IOMMU_UNMAP_DMA reaches unpin_pages through a driver's dma_unmap.
 */
void *vfio_pasid_container_stock(void *handle);

#endif /* _VFIO_PASID_CONTAINER_H */
