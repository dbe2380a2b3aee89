/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The private interface between the shim and vfio_pasid: one function for each
 * operation of struct vfio_iommu_driver_ops that concerns vfio_pasid, and the
 * stock operations that these call.
 *
 * @handle is what VFIO keeps as iommu_data: a number, never a pointer, never
 * reused. Each function but the last finds the container and holds a reference
 * to it, not a lock, while it does vfio_pasid's part and the stock operation. All
 * may sleep.
 */
#ifndef _VFIO_PASID_CONTAINER_H
#define _VFIO_PASID_CONTAINER_H

#include <linux/iommu.h>

struct module;
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

/* Chooses a window of @space. Decides only: it neither waits nor allocates. */
typedef int (*vfio_pasid_choose_t)(void *context,
				   const struct vfio_pasid_own_space *space,
				   u64 *start, u64 *last);

/*
 * A mapping of registered memory in the container's own address space. @own is
 * what vfio_pasid knows of it. @commit is asked when all is done, with
 * iommu->lock; if it fails, all is undone.
 */
struct vfio_pasid_own_map {
	u64 iova;
	u64 size;
	u64 vaddr;
	void *own;
	int (*commit)(void *context);
	void *context;
	int prot;		/* IOMMU_READ, IOMMU_WRITE */
};

/*
 * Sees a range of IO addresses that can be mapped (@own is NULL), or a mapping.
 * Returns whether to go on. Neither waits nor allocates.
 */
typedef bool (*vfio_pasid_see_t)(void *context, u64 start, u64 last, void *own);

/*
 * What the container's own address space maps, by whatever ioctl. @next is where
 * to go on: 0 at first, and again at the end.
 */
struct vfio_pasid_own_sum {
	struct vfio_pasid_own_space space;
	u64 mappings;
	u64 bytes;
	u64 next;
};

/*
 * The stock operations. @data is the stock iommu_data. @owner is the module
 * that they are in: a container holds a reference to it from its open until
 * nobody uses it any more.
 *
 * setup: what VFIO_IOMMU_SETUP needs. Asks @choose for a window, takes
 * everything outside of it away, and keeps it so when groups come and go.
 * -EOPNOTSUPP if no group of the container has an IOMMU, -EBUSY if something
 * outside is mapped, -ERANGE if nothing would be left, -ENOMEM, or what @choose
 * returns; then nothing has changed.
 *
 * own_map: maps registered memory, as VFIO_IOMMU_MAP_DMA would, but with the
 * pages that vfio_pasid_own_pin() gives, and charged to nobody. If it succeeds,
 * @map->own is vfio_pasid's again with vfio_pasid_own_unmapped(); if not, at
 * once. -EINVAL for what is not aligned, -ERANGE outside of the window or if the
 * IOMMU cannot address the memory, -EEXIST, -ENOSPC for dma_entry_limit, -EBUSY
 * while virtual addresses are being updated, -ENOMEM, -EINTR, or what @commit
 * returns.
 *
 * own_unmap: unmaps such mappings from @start to @last, and none of
 * VFIO_IOMMU_MAP_DMA; @size is how many bytes that were. -EINVAL if it is not
 * aligned, or has only a part of one; -EINTR.
 *
 * own_look: fills in @space, and shows @see all ranges of IO addresses, then all
 * such mappings that end at or behind @from, both in ascending order. -EINTR.
 * Without an IOMMU, every address can be mapped, and there are no ranges.
 *
 * own_sum: adds the next few hundred mappings to @sum. Does not wait: -EBUSY.
 *
 * @group_type is enum vfio_group_type, which only VFIO's private header has.
 */
struct vfio_pasid_stock_ops {
	struct module *owner;
	void *(*open)(unsigned long type);
	void (*release)(void *data);
	long (*ioctl)(void *data, unsigned int cmd, unsigned long arg);
	int (*attach_group)(void *data, struct iommu_group *group,
			    unsigned int group_type);
	void (*detach_group)(void *data, struct iommu_group *group);
	void (*register_device)(void *data, struct vfio_device *device);
	void (*unregister_device)(void *data, struct vfio_device *device);
	int (*setup)(void *data, vfio_pasid_choose_t choose, void *context);
	int (*own_map)(void *data, const struct vfio_pasid_own_map *map);
	int (*own_unmap)(void *data, u64 start, u64 last, u64 *size);
	int (*own_look)(void *data, u64 from, struct vfio_pasid_own_space *space,
			vfio_pasid_see_t see, void *context);
	int (*own_sum)(void *data, struct vfio_pasid_own_sum *sum);
};

/* @ops stay as they are while @owner is loaded. */
void *vfio_pasid_container_open(unsigned long type,
				const struct vfio_pasid_stock_ops *ops);
void vfio_pasid_container_release(void *handle);
/* @handle is NULL before VFIO_SET_IOMMU: then only VFIO_CHECK_EXTENSION works. */
long vfio_pasid_container_ioctl(void *handle, unsigned int cmd,
				unsigned long arg,
				const struct vfio_pasid_stock_ops *ops);
int vfio_pasid_container_attach_group(void *handle, struct iommu_group *group,
				      unsigned int group_type);
void vfio_pasid_container_detach_group(void *handle, struct iommu_group *group);
void vfio_pasid_container_register_device(void *handle,
					  struct vfio_device *device);
void vfio_pasid_container_unregister_device(void *handle,
					    struct vfio_device *device);

/*
 * The stock iommu_data, for the operations that VFIO only calls while a device
 * or a group keeps the container from being released: pin_pages, unpin_pages,
 * dma_rw and group_iommu_domain.
 */
void *vfio_pasid_container_stock(void *handle);

/*
 * Of a mapping of own_map, with iommu->lock: pins pages of its memory once more,
 * from @offset bytes on, as many as follow each other there, @npage at most.
 * Returns how many, and the number of the first in @pfn. Who unpins them is
 * stock code. -EINTR at a fatal signal, -ENOMEM if they have too many references.
 */
long vfio_pasid_own_pin(void *own, u64 offset, unsigned long npage,
			unsigned long *pfn);
/*
 * It is gone, as are its pins. Called with iommu->lock; takes the lock of the
 * process's registered memory.
 */
void vfio_pasid_own_unmapped(void *own);

/* As iommu_iotlb_sync(), of any size: the IOMMU is asked for what it can. */
void vfio_pasid_iotlb_sync(struct iommu_domain *domain,
			   struct iommu_iotlb_gather *gather);

#endif /* _VFIO_PASID_CONTAINER_H */
