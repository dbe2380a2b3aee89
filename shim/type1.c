// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own type1 (drivers/vfio/vfio_iommu_type1.c), wrapped.
 *
 * The stock source is compiled in unchanged; only its registration is rerouted,
 * so that VFIO gets a copy of its operations in which vfio_pasid comes first.
 * Nothing is decided here: vfio_pasid answers its own ioctls and passes
 * everything else to the stock operation.
 */
#include <linux/module.h>
#include <linux/vfio.h>

#include "vfio.h"
#include "../rust/vfio_pasid/container.h"

static int shim_register(const struct vfio_iommu_driver_ops *ops);
static void shim_unregister(const struct vfio_iommu_driver_ops *ops);

#define vfio_register_iommu_driver shim_register
#define vfio_unregister_iommu_driver shim_unregister
#include <vfio_iommu_type1.c>
#undef vfio_register_iommu_driver
#undef vfio_unregister_iommu_driver

static int shim_stock_attach_group(void *data, struct iommu_group *group,
				   unsigned int group_type)
{
	return vfio_iommu_type1_attach_group(data, group, group_type);
}

static int shim_own_space_get(void *data, struct vfio_pasid_own_space *space)
{
	struct vfio_iommu *iommu = data;

	guard(mutex)(&iommu->lock);
	if (list_empty(&iommu->domain_list))
		return -EOPNOTSUPP;
	space->iova_start = list_first_entry(&iommu->iova_list,
					     struct vfio_iova, list)->start;
	space->iova_last = list_last_entry(&iommu->iova_list,
					   struct vfio_iova, list)->end;
	space->pgsize_bitmap = iommu->pgsize_bitmap;
	return 0;
}

/* On the list that stock code keeps, so that its ioctls obey the window. */
static int shim_own_space_narrow(void *data, u64 start, u64 last)
{
	struct vfio_iommu *iommu = data;
	struct vfio_iova *iova;

	guard(mutex)(&iommu->lock);
	if (vfio_iommu_aper_conflict(iommu, start, last))
		return -EBUSY;
	list_for_each_entry(iova, &iommu->iova_list, list)
		if (iova->start <= last && iova->end >= start)
			return vfio_iommu_aper_resize(&iommu->iova_list, start,
						      last);
	return -ERANGE;
}

static const struct vfio_pasid_own_space_ops shim_own_space_ops = {
	.get = shim_own_space_get,
	.narrow = shim_own_space_narrow,
};

static void *shim_open(unsigned long type)
{
	return vfio_pasid_container_open(type, vfio_iommu_type1_open,
					 &shim_own_space_ops);
}

static void shim_release(void *handle)
{
	vfio_pasid_container_release(handle, vfio_iommu_type1_release);
}

static long shim_ioctl(void *handle, unsigned int cmd, unsigned long arg)
{
	return vfio_pasid_container_ioctl(handle, cmd, arg,
					  vfio_iommu_type1_ioctl);
}

static int shim_attach_group(void *handle, struct iommu_group *group,
			     enum vfio_group_type group_type)
{
	return vfio_pasid_container_attach_group(handle, group, group_type,
						 shim_stock_attach_group);
}

static void shim_detach_group(void *handle, struct iommu_group *group)
{
	vfio_pasid_container_detach_group(handle, group,
					  vfio_iommu_type1_detach_group);
}

static void shim_register_device(void *handle, struct vfio_device *device)
{
	vfio_pasid_container_register_device(handle, device,
					     vfio_iommu_type1_register_device);
}

static void shim_unregister_device(void *handle, struct vfio_device *device)
{
	vfio_pasid_container_unregister_device(handle, device,
					       vfio_iommu_type1_unregister_device);
}

static int shim_pin_pages(void *handle, struct iommu_group *group,
			  dma_addr_t iova, int npage, int prot,
			  struct page **pages)
{
	return vfio_iommu_type1_pin_pages(vfio_pasid_container_stock(handle),
					  group, iova, npage, prot, pages);
}

static void shim_unpin_pages(void *handle, dma_addr_t iova, int npage)
{
	vfio_iommu_type1_unpin_pages(vfio_pasid_container_stock(handle), iova,
				     npage);
}

static int shim_dma_rw(void *handle, dma_addr_t iova, void *buf, size_t count,
		       bool write)
{
	return vfio_iommu_type1_dma_rw(vfio_pasid_container_stock(handle), iova,
				       buf, count, write);
}

static struct iommu_domain *shim_group_iommu_domain(void *handle,
						    struct iommu_group *group)
{
	return vfio_iommu_type1_group_iommu_domain(vfio_pasid_container_stock(handle),
						   group);
}

static struct vfio_iommu_driver_ops shim_ops;

static int shim_register(const struct vfio_iommu_driver_ops *ops)
{
	shim_ops = *ops;
	shim_ops.open = shim_open;
	shim_ops.release = shim_release;
	shim_ops.ioctl = shim_ioctl;
	shim_ops.attach_group = shim_attach_group;
	shim_ops.detach_group = shim_detach_group;
	shim_ops.pin_pages = shim_pin_pages;
	shim_ops.unpin_pages = shim_unpin_pages;
	shim_ops.register_device = shim_register_device;
	shim_ops.unregister_device = shim_unregister_device;
	shim_ops.dma_rw = shim_dma_rw;
	shim_ops.group_iommu_domain = shim_group_iommu_domain;
	return vfio_register_iommu_driver(&shim_ops);
}

static void shim_unregister(const struct vfio_iommu_driver_ops *ops)
{
	vfio_unregister_iommu_driver(&shim_ops);
}
