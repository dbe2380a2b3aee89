/* SPDX-License-Identifier: GPL-2.0-only */
/* What helpers.c offers to the Rust files beside it, which declare it anew. */
#ifndef _VFIO_PASID_HELPERS_H
#define _VFIO_PASID_HELPERS_H

#include <linux/types.h>

struct device;
struct page;
struct pci_dev;
struct vfio_device;

void vfio_pasid_helper_cond_resched(void);
bool vfio_pasid_helper_fatal_signal_pending(void);
unsigned long vfio_pasid_helper_page_to_pfn(struct page *page);
struct page *vfio_pasid_helper_pfn_to_page(unsigned long pfn);
struct pci_dev *vfio_pasid_helper_to_pci_dev(struct device *dev);
struct device *vfio_pasid_helper_vfio_dev(struct vfio_device *device);
void vfio_pasid_helper_vfio_pin(struct vfio_device *device);
void vfio_pasid_helper_vfio_unpin(struct vfio_device *device);
void vfio_pasid_helper_vfio_set_lock(struct vfio_device *device);
void vfio_pasid_helper_vfio_set_unlock(struct vfio_device *device);
void vfio_pasid_helper_warn_not_attached(void);
struct vfio_device *vfio_pasid_helper_vfio_set_find(struct vfio_device *device,
						    struct device *dev);
unsigned int vfio_pasid_helper_vfio_index(struct vfio_device *device);
int vfio_pasid_helper_pci_domain_nr(struct pci_dev *pdev);

#endif /* _VFIO_PASID_HELPERS_H */
