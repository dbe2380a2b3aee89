/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of vfio_pasid_emulated's device: one for each function that VFIO
 * offers to drivers of devices without an IOMMU. Each returns what the function
 * returned.
 */
#ifndef VFIO_PASID_EMULATED_H
#define VFIO_PASID_EMULATED_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct vfio_pasid_emulated_dma {
	__u64 iova;
	__u64 value;
};

/*
 * vfio_pin_pages() of one page, to read and write; out: @value, the number of
 * its frame. It is unpinned when it is to be unmapped. -ENOSPC: there are 8.
 */
#define VFIO_PASID_EMULATED_PIN	_IOWR('P', 0x50, struct vfio_pasid_emulated_dma)
/* vfio_unpin_pages() of what was pinned there; -ENOENT. */
#define VFIO_PASID_EMULATED_UNPIN	_IOW('P', 0x51, struct vfio_pasid_emulated_dma)
/* vfio_dma_rw() of the 8 bytes @value */
#define VFIO_PASID_EMULATED_READ	_IOWR('P', 0x52, struct vfio_pasid_emulated_dma)
#define VFIO_PASID_EMULATED_WRITE	_IOW('P', 0x53, struct vfio_pasid_emulated_dma)

#endif /* VFIO_PASID_EMULATED_H */
