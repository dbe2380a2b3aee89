// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own type1 (drivers/vfio/vfio_iommu_type1.c), wrapped.
 *
 * The stock source is compiled in unchanged; only its registration, and the one
 * line that publishes a list of IO addresses, are rerouted. VFIO gets operations
 * in which vfio_pasid comes first. Nothing is decided here: vfio_pasid answers
 * its own ioctls and passes everything else to the stock operation.
 */
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/vfio.h>

#include "vfio.h"
#include "../rust/vfio_pasid/container.h"

static int shim_register(const struct vfio_iommu_driver_ops *ops);
static void shim_unregister(const struct vfio_iommu_driver_ops *ops);
static void shim_publish_iova_list(struct list_head *copy,
				   struct list_head *head);

#define vfio_register_iommu_driver shim_register
#define vfio_unregister_iommu_driver shim_unregister
/* Stands once in the source, in vfio_iommu_iova_insert_copy(): see Kbuild. */
#define list_splice_tail shim_publish_iova_list
#include <vfio_iommu_type1.c>
#undef vfio_register_iommu_driver
#undef vfio_unregister_iommu_driver
#undef list_splice_tail

/*
 * The known layout of struct vfio_iommu_driver_ops, all of which shim_ops below
 * fills in: an operation that is not there would be missing, and one that is
 * passed on as it is would take a handle for a pointer.
 */
static_assert(sizeof(struct vfio_iommu_driver_ops) == 13 * sizeof(void *),
	      "struct vfio_iommu_driver_ops is not the one that shim_ops was written for");

/* See shim_unregister(). */
#if defined(CONFIG_PREEMPTION) && !defined(CONFIG_TASKS_RCU)
#error "without CONFIG_TASKS_RCU, a preemptible kernel cannot unload this safely"
#endif

/*
 * What VFIO_IOMMU_SETUP has made of a container's own address space. On a list
 * of its own, because struct vfio_iommu has no room for it.
 */
struct shim_window {
	struct hlist_node node;
	struct vfio_iommu *iommu;
	/* Guarded by iommu->lock. */
	u64 start;
	u64 last;
};

static DEFINE_HASHTABLE(shim_windows, 6);
static DEFINE_SPINLOCK(shim_windows_lock);

/* It stays until the container is released. */
static struct shim_window *shim_window_of(struct vfio_iommu *iommu)
{
	struct shim_window *window;

	guard(spinlock)(&shim_windows_lock);
	hash_for_each_possible(shim_windows, window, node, (unsigned long)iommu)
		if (window->iommu == iommu)
			return window;
	return NULL;
}

static void shim_window_add(struct shim_window *window)
{
	guard(spinlock)(&shim_windows_lock);
	hash_add(shim_windows, &window->node, (unsigned long)window->iommu);
}

static void shim_window_remove(struct vfio_iommu *iommu)
{
	struct shim_window *window = shim_window_of(iommu);

	if (!window)
		return;
	scoped_guard(spinlock, &shim_windows_lock)
		hash_del(&window->node);
	kfree(window);
}

/*
 * Stock code has made a new list, under iommu->lock, because a group came or
 * went. It is narrowed before anybody can see it.
 */
static void shim_publish_iova_list(struct list_head *copy,
				   struct list_head *head)
{
	struct vfio_iommu *iommu = container_of(head, struct vfio_iommu,
						iova_list);
	struct shim_window *window = shim_window_of(iommu);

	/* Narrowing what is not empty never allocates, and so cannot fail. */
	if (window && !list_empty(copy))
		vfio_iommu_aper_resize(copy, window->start, window->last);
	list_splice_tail(copy, head);
}

static bool shim_iova_list_meets(struct vfio_iommu *iommu, u64 start, u64 last)
{
	struct vfio_iova *iova;

	list_for_each_entry(iova, &iommu->iova_list, list)
		if (iova->start <= last && iova->end >= start)
			return true;
	return false;
}

/* Called with iommu->lock; takes @spare if there is no window yet. */
static int shim_setup_locked(struct vfio_iommu *iommu,
			     vfio_pasid_choose_t choose, void *context,
			     struct shim_window **spare)
{
	struct vfio_pasid_own_space space;
	struct shim_window *window;
	u64 start, last;
	int ret;

	if (list_empty(&iommu->domain_list))
		return -EOPNOTSUPP;
	space.iova_start = list_first_entry(&iommu->iova_list,
					    struct vfio_iova, list)->start;
	space.iova_last = list_last_entry(&iommu->iova_list,
					  struct vfio_iova, list)->end;
	space.pgsize_bitmap = iommu->pgsize_bitmap;
	ret = choose(context, &space, &start, &last);
	if (ret)
		return ret;
	if (vfio_iommu_aper_conflict(iommu, start, last))
		return -EBUSY;
	if (!shim_iova_list_meets(iommu, start, last))
		return -ERANGE;

	vfio_iommu_aper_resize(&iommu->iova_list, start, last);
	window = shim_window_of(iommu);
	if (!window) {
		window = no_free_ptr(*spare);
		window->iommu = iommu;
		shim_window_add(window);
	}
	window->start = start;
	window->last = last;
	return 0;
}

static int shim_setup(void *data, vfio_pasid_choose_t choose, void *context)
{
	struct shim_window *spare __free(kfree) =
		kzalloc_obj(*spare, GFP_KERNEL_ACCOUNT);
	struct vfio_iommu *iommu = data;
	int ret;

	if (!spare)
		return -ENOMEM;
	ret = mutex_lock_killable(&iommu->lock);
	if (ret)
		return ret;
	ret = shim_setup_locked(iommu, choose, context, &spare);
	mutex_unlock(&iommu->lock);
	return ret;
}

static int shim_stock_attach_group(void *data, struct iommu_group *group,
				   unsigned int group_type)
{
	return vfio_iommu_type1_attach_group(data, group, group_type);
}

static void shim_stock_release(void *data)
{
	shim_window_remove(data);
	vfio_iommu_type1_release(data);
}

static const struct vfio_pasid_stock_ops shim_stock_ops = {
	.owner = THIS_MODULE,
	.open = vfio_iommu_type1_open,
	.release = shim_stock_release,
	.ioctl = vfio_iommu_type1_ioctl,
	.attach_group = shim_stock_attach_group,
	.detach_group = vfio_iommu_type1_detach_group,
	.register_device = vfio_iommu_type1_register_device,
	.unregister_device = vfio_iommu_type1_unregister_device,
	.setup = shim_setup,
};

static void *shim_open(unsigned long type)
{
	return vfio_pasid_container_open(type, &shim_stock_ops);
}

static long shim_ioctl(void *handle, unsigned int cmd, unsigned long arg)
{
	return vfio_pasid_container_ioctl(handle, cmd, arg, &shim_stock_ops);
}

static int shim_attach_group(void *handle, struct iommu_group *group,
			     enum vfio_group_type group_type)
{
	return vfio_pasid_container_attach_group(handle, group, group_type);
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

static const struct vfio_iommu_driver_ops shim_ops = {
	.name = "vfio-iommu-type1",
	.owner = THIS_MODULE,
	.open = shim_open,
	.release = vfio_pasid_container_release,
	.ioctl = shim_ioctl,
	.attach_group = shim_attach_group,
	.detach_group = vfio_pasid_container_detach_group,
	.pin_pages = shim_pin_pages,
	.unpin_pages = shim_unpin_pages,
	.register_device = vfio_pasid_container_register_device,
	.unregister_device = vfio_pasid_container_unregister_device,
	.dma_rw = shim_dma_rw,
	.group_iommu_domain = shim_group_iommu_domain,
};

static int shim_register(const struct vfio_iommu_driver_ops *ops)
{
	return vfio_register_iommu_driver(&shim_ops);
}

static void shim_unregister(const struct vfio_iommu_driver_ops *ops)
{
	vfio_unregister_iommu_driver(&shim_ops);
	/*
	 * No container is left, so nobody sleeps in this module; but a task may
	 * have been preempted on its way out of an ioctl.
	 */
	synchronize_rcu_tasks();
}
