/* SPDX-License-Identifier: GPL-2.0-only */
/* What helpers.c offers to the Rust files beside it, which declare it anew. */
#ifndef _VFIO_PASID_HELPERS_H
#define _VFIO_PASID_HELPERS_H

#include <linux/types.h>

struct device;
struct iommu_domain;
struct iommu_iotlb_gather;
struct iommu_sva;
struct mmu_interval_notifier;
struct mm_struct;
struct mutex;
struct page;
struct pci_dev;
struct pid;
struct scatterlist;
struct task_struct;
struct vfio_device;
struct wait_queue_head;
struct workqueue_struct;

void vfio_pasid_helper_cond_resched(void);
bool vfio_pasid_helper_fatal_signal_pending(void);
int vfio_pasid_helper_mutex_lock_killable(struct mutex *mutex);
int vfio_pasid_helper_wait_killable(struct wait_queue_head *queue,
				    const u64 *count, u64 seen);
void vfio_pasid_helper_wake_all(struct wait_queue_head *queue);
struct workqueue_struct *vfio_pasid_helper_alloc_workqueue(void);
int vfio_pasid_helper_charge(struct mm_struct *mm, unsigned long pages);
bool vfio_pasid_helper_uncharge(struct mm_struct *mm, unsigned long pages);
bool vfio_pasid_helper_keep_module(void);
void vfio_pasid_helper_let_module_go(void);
void vfio_pasid_helper_gather_init(struct iommu_iotlb_gather *gather);
void vfio_pasid_helper_iotlb_sync(struct iommu_domain *domain,
				  struct iommu_iotlb_gather *gather);
void vfio_pasid_helper_sg_set(struct scatterlist *sg, u64 phys,
			      unsigned int size);
unsigned long vfio_pasid_helper_page_to_pfn(struct page *page);
struct page *vfio_pasid_helper_pfn_to_page(unsigned long pfn);
int vfio_pasid_helper_add_pins(unsigned long pfn, unsigned long count);
unsigned long vfio_pasid_helper_pin_rest(unsigned long pfn, unsigned long most);
void vfio_pasid_helper_interval_set_seq(struct mmu_interval_notifier *sub,
					unsigned long seq);
bool vfio_pasid_helper_interval_check_retry(struct mmu_interval_notifier *sub,
					    unsigned long seq);
struct pci_dev *vfio_pasid_helper_to_pci_dev(struct device *dev);
long vfio_pasid_helper_domain_ids(struct device *dev);
int vfio_pasid_helper_walks_processes(struct device *dev);
bool vfio_pasid_helper_sva_driver(struct device *dev);
bool vfio_pasid_helper_sva_process(void);
u32 vfio_pasid_helper_sva_pasid(void);
struct iommu_sva *vfio_pasid_helper_sva_bind(struct device *dev);
void vfio_pasid_helper_sva_unbind(struct iommu_sva *sva);
size_t vfio_pasid_helper_dev_name(struct device *dev, char *name, size_t room);
struct pid *vfio_pasid_helper_maker(struct task_struct *task, char *comm);
u32 vfio_pasid_helper_pid_of(struct pid *pid, struct mm_struct *mm);
struct device *vfio_pasid_helper_vfio_dev(struct vfio_device *device);
bool vfio_pasid_helper_vfio_pin(struct vfio_device *device);
void vfio_pasid_helper_vfio_unpin(struct vfio_device *device);
int vfio_pasid_helper_vfio_set_lock(struct vfio_device *device);
void vfio_pasid_helper_vfio_set_unlock(struct vfio_device *device);
void vfio_pasid_helper_warn_not_attached(void);
void vfio_pasid_helper_limit_met(unsigned int kind, const char *limit, u64 value,
				 const char *device, size_t len);
bool vfio_pasid_helper_lockable_pages(struct mm_struct *mm, unsigned long *limit,
				      unsigned long *left);
void vfio_pasid_helper_warn_short_unmap(void);
struct vfio_device *vfio_pasid_helper_vfio_set_find(struct vfio_device *device,
						    struct device *dev);
void *vfio_pasid_helper_vfio_set_id(struct vfio_device *device);
unsigned int vfio_pasid_helper_vfio_index(struct vfio_device *device);
int vfio_pasid_helper_pci_domain_nr(struct pci_dev *pdev);

#endif /* _VFIO_PASID_HELPERS_H */
