// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own type1 (drivers/vfio/vfio_iommu_type1.c), wrapped.
 *
 * The stock source is compiled in unchanged; only its registration, the one line
 * that publishes a list of IO addresses, flushes, and calls of five of its own
 * functions are rerouted. VFIO gets operations in which vfio_pasid comes first. Nothing is
 * decided here: vfio_pasid answers its own ioctls and passes everything else to
 * the stock operation.
 */
#include <linux/args.h>
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

static size_t shim_iommu_unmap(struct iommu_domain *domain, unsigned long iova,
			       size_t size);

struct vfio_batch;
struct vfio_bitmap;
struct vfio_dma;
struct vfio_iommu;

static int shim_lock_acct(struct vfio_dma *dma, long npage, bool async);
static long shim_pin_pages_remote(struct vfio_dma *dma, unsigned long vaddr,
				  unsigned long npage, unsigned long *pfn_base,
				  unsigned long limit, struct vfio_batch *batch);
static int shim_pin_page_external(struct vfio_dma *dma, unsigned long vaddr,
				  unsigned long *pfn_base, bool do_accounting);
static void shim_remove_dma(struct vfio_iommu *iommu, struct vfio_dma *dma);
static int shim_dma_do_unmap(struct vfio_iommu *iommu,
			     struct vfio_iommu_type1_dma_unmap *unmap,
			     struct vfio_bitmap *bitmap);

/* modinfo and /sys/module tell this module from the kernel's own by these. */
#undef MODULE_VERSION
#define MODULE_VERSION(...) MODULE_INFO(version, VFIO_PASID_VERSION)
#undef MODULE_DESCRIPTION
#define MODULE_DESCRIPTION(stock) \
	MODULE_INFO(description, stock ", wrapped by vfio-pasid")

/*
 * Calls of these stock functions are calls of ours of the same name. In a
 * definition, which stays the stock one, the arguments begin with "struct".
 */
#define SHIM_ARGUMENT_struct shim_one_more,
#define SHIM_COUNT(...) COUNT_ARGS(__VA_ARGS__)
#define SHIM_PREFIX(first, ...) \
	CONCATENATE(SHIM_PREFIX_, SHIM_COUNT(SHIM_ARGUMENT_##first))
#define SHIM_PREFIX_1 shim_
#define SHIM_PREFIX_2 vfio_
#define SHIM_REROUTE(name, ...) \
	CONCATENATE(SHIM_PREFIX(__VA_ARGS__), name)(__VA_ARGS__)
#define vfio_lock_acct(...) SHIM_REROUTE(lock_acct, __VA_ARGS__)
#define vfio_pin_pages_remote(...) SHIM_REROUTE(pin_pages_remote, __VA_ARGS__)
#define vfio_pin_page_external(...) SHIM_REROUTE(pin_page_external, __VA_ARGS__)
#define vfio_remove_dma(...) SHIM_REROUTE(remove_dma, __VA_ARGS__)
#define vfio_dma_do_unmap(...) SHIM_REROUTE(dma_do_unmap, __VA_ARGS__)
#define iommu_iotlb_sync vfio_pasid_iotlb_sync
#define iommu_unmap shim_iommu_unmap
#define vfio_register_iommu_driver shim_register
#define vfio_unregister_iommu_driver shim_unregister
/* Stands once in the source, in vfio_iommu_iova_insert_copy(): see Kbuild. */
#define list_splice_tail shim_publish_iova_list
#include <vfio_iommu_type1.c>
#undef iommu_iotlb_sync
#undef iommu_unmap
#undef vfio_register_iommu_driver
#undef vfio_unregister_iommu_driver
#undef list_splice_tail
#undef vfio_lock_acct
#undef vfio_pin_pages_remote
#undef vfio_pin_page_external
#undef vfio_remove_dma
#undef vfio_dma_do_unmap

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

/* As iommu_unmap(), but for what it asks the IOMMU to flush. */
static size_t shim_iommu_unmap(struct iommu_domain *domain, unsigned long iova,
			       size_t size)
{
	struct iommu_iotlb_gather gather;

	iommu_iotlb_gather_init(&gather);
	size = iommu_unmap_fast(domain, iova, size, &gather);
	vfio_pasid_iotlb_sync(domain, &gather);
	return size;
}

static bool shim_iova_list_meets(struct vfio_iommu *iommu, u64 start, u64 last)
{
	struct vfio_iova *iova;

	list_for_each_entry(iova, &iommu->iova_list, list)
		if (iova->start <= last && iova->end >= start)
			return true;
	return false;
}

/* Called with iommu->lock. Without an IOMMU, there is no list. */
static void shim_describe(struct vfio_iommu *iommu,
			  struct vfio_pasid_own_space *space)
{
	space->iova_start = 0;
	space->iova_last = U64_MAX;
	space->pgsize_bitmap = iommu->pgsize_bitmap;
	if (list_empty(&iommu->iova_list))
		return;
	space->iova_start = list_first_entry(&iommu->iova_list,
					     struct vfio_iova, list)->start;
	space->iova_last = list_last_entry(&iommu->iova_list,
					   struct vfio_iova, list)->end;
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
	shim_describe(iommu, &space);
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

/*
 * A mapping of registered memory. Stock code knows the first member, and frees
 * it as one of its own. Its pages come from vfio_pasid, which has them pinned and
 * charged; a process is never charged for as many pages as @dma.locked_vm says.
 */
struct shim_mapping {
	struct vfio_dma dma;
	void *own;		/* vfio_pasid's */
	bool committed;
};

#define SHIM_NOT_CHARGED SIZE_MAX

static_assert(offsetof(struct shim_mapping, dma) == 0);

/* NULL for one of VFIO_IOMMU_MAP_DMA. */
static struct shim_mapping *shim_mapping_of(struct vfio_dma *dma)
{
	if (dma->locked_vm != SHIM_NOT_CHARGED)
		return NULL;
	return container_of(dma, struct shim_mapping, dma);
}

static int shim_lock_acct(struct vfio_dma *dma, long npage, bool async)
{
	return shim_mapping_of(dma) ? 0 : vfio_lock_acct(dma, npage, async);
}

/* For mapping, and for replay: what is at @vaddr now does not matter. */
static long shim_pin_pages_remote(struct vfio_dma *dma, unsigned long vaddr,
				  unsigned long npage, unsigned long *pfn_base,
				  unsigned long limit, struct vfio_batch *batch)
{
	struct shim_mapping *mapping = shim_mapping_of(dma);

	if (!mapping)
		return vfio_pin_pages_remote(dma, vaddr, npage, pfn_base,
					     limit, batch);
	return vfio_pasid_own_pin(mapping->own, vaddr - dma->vaddr,
				  disable_hugepages ? 1 : npage, pfn_base);
}

/* For vfio_pin_pages(). */
static int shim_pin_page_external(struct vfio_dma *dma, unsigned long vaddr,
				  unsigned long *pfn_base, bool do_accounting)
{
	struct shim_mapping *mapping = shim_mapping_of(dma);
	long ret;

	if (!mapping)
		return vfio_pin_page_external(dma, vaddr, pfn_base,
					      do_accounting);
	ret = vfio_pasid_own_pin(mapping->own, vaddr - dma->vaddr, 1, pfn_base);
	return ret < 0 ? ret : 0;
}

/* Whoever unmaps it: it is unmapped and unpinned before it is not counted. */
static void shim_remove_dma(struct vfio_iommu *iommu, struct vfio_dma *dma)
{
	struct shim_mapping *mapping = shim_mapping_of(dma);
	void *own = mapping && mapping->committed ? mapping->own : NULL;

	vfio_remove_dma(iommu, dma);
	if (own)
		vfio_pasid_own_unmapped(own);
}

static bool shim_has_mappings(struct vfio_iommu *iommu)
{
	struct rb_node *n;

	for (n = rb_first(&iommu->dma_list); n; n = rb_next(n))
		if (shim_mapping_of(rb_entry(n, struct vfio_dma, node)))
			return true;
	return false;
}

/*
 * The virtual addresses of registered memory cannot be updated. While those of
 * others are, it is as if one was invalid already: then nothing of ours comes.
 * With emulated groups, which do not come meanwhile, stock code refuses.
 */
static int shim_dma_do_unmap(struct vfio_iommu *iommu,
			     struct vfio_iommu_type1_dma_unmap *unmap,
			     struct vfio_bitmap *bitmap)
{
	unsigned int updating;
	int ret;

	if (!(unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR))
		return vfio_dma_do_unmap(iommu, unmap, bitmap);

	scoped_guard(mutex, &iommu->lock) {
		if (shim_has_mappings(iommu))
			return -EBUSY;
		updating = list_empty(&iommu->emulated_iommu_groups);
		iommu->vaddr_invalid_count += updating;
	}
	ret = vfio_dma_do_unmap(iommu, unmap, bitmap);
	scoped_guard(mutex, &iommu->lock)
		iommu->vaddr_invalid_count -= updating;
	return ret;
}

/* As vfio_dma_do_map(). Called with iommu->lock; takes @spare if it links it. */
static int shim_own_map_locked(struct vfio_iommu *iommu,
			       const struct vfio_pasid_own_map *map,
			       struct shim_mapping **spare)
{
	size_t pgsize = (size_t)1 << __ffs(iommu->pgsize_bitmap);
	struct shim_mapping *mapping;
	struct vfio_dma *dma;
	int ret = 0;

	if ((map->iova | map->vaddr | map->size) & (pgsize - 1))
		return -EINVAL;
	if (!vfio_iommu_iova_dma_valid(iommu, map->iova,
				       map->iova + map->size - 1))
		return -ERANGE;
	if (iommu->vaddr_invalid_count)
		return -EBUSY;
	if (vfio_find_dma(iommu, map->iova, map->size))
		return -EEXIST;
	if (!iommu->dma_avail)
		return -ENOSPC;

	iommu->dma_avail--;
	mapping = no_free_ptr(*spare);
	dma = &mapping->dma;
	dma->task = get_task_struct(current->group_leader);
	mmgrab(dma->mm);
	vfio_link_dma(iommu, dma);
	if (list_empty(&iommu->domain_list))
		dma->size = map->size;
	else
		ret = vfio_pin_map_dma(iommu, dma, map->size);
	if (ret)
		return ret == -ENOMEM || ret == -EINTR ? ret : -ERANGE;

	if (iommu->dirty_page_tracking)
		ret = vfio_dma_bitmap_alloc(dma, pgsize);
	if (!ret)
		ret = map->commit(map->context);
	if (ret)
		shim_remove_dma(iommu, dma);
	else
		mapping->committed = true;
	return ret;
}

static int shim_own_map(void *data, const struct vfio_pasid_own_map *map)
{
	struct shim_mapping *mapping __free(kfree) =
		kzalloc_obj(*mapping, GFP_KERNEL_ACCOUNT);
	struct vfio_iommu *iommu = data;
	int ret;

	if (!mapping)
		return -ENOMEM;
	mapping->own = map->own;
	mapping->dma.iova = map->iova;
	mapping->dma.vaddr = map->vaddr;
	mapping->dma.prot = map->prot;
	mapping->dma.mm = current->mm;
	mapping->dma.pfn_list = RB_ROOT;
	mapping->dma.locked_vm = SHIM_NOT_CHARGED;
	ret = mutex_lock_killable(&iommu->lock);
	if (ret)
		return ret;
	ret = shim_own_map_locked(iommu, map, &mapping);
	mutex_unlock(&iommu->lock);
	return ret;
}

/* Whether [@start, @last] has only a part of it. */
static bool shim_cuts(struct vfio_dma *dma, u64 start, u64 last)
{
	return dma->iova < start || dma->iova + dma->size - 1 > last;
}

/*
 * Looks at the first mapping of ours from @n to @last: NULL if there is none.
 */
static struct vfio_dma *shim_next_mapping(struct rb_node *n, u64 last)
{
	for (; n; n = rb_next(n)) {
		struct vfio_dma *dma = rb_entry(n, struct vfio_dma, node);

		if (dma->iova > last)
			return NULL;
		if (shim_mapping_of(dma))
			return dma;
	}
	return NULL;
}

/*
 * Called with iommu->lock, which it drops while the emulated devices let go of
 * what they have pinned. Nothing is unmapped before they have, and it is known
 * that nothing is cut.
 */
static int shim_own_unmap_locked(struct vfio_iommu *iommu, u64 start, u64 last,
				 u64 *size)
{
	size_t pgsize = (size_t)1 << __ffs(iommu->pgsize_bitmap);
	struct vfio_dma *dma, *next;
	struct rb_node *first;

	if ((start | (last + 1)) & (pgsize - 1))
		return -EINVAL;
again:
	first = vfio_find_dma_first_node(iommu, start, last);
	for (dma = shim_next_mapping(first, last); dma;
	     dma = shim_next_mapping(rb_next(&dma->node), last)) {
		if (shim_cuts(dma, start, last))
			return -EINVAL;
		if (RB_EMPTY_ROOT(&dma->pfn_list))
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		vfio_notify_dma_unmap(iommu, dma);
		goto again;
	}

	for (dma = shim_next_mapping(first, last); dma; dma = next) {
		next = shim_next_mapping(rb_next(&dma->node), last);
		*size += dma->size;
		shim_remove_dma(iommu, dma);
	}
	return 0;
}

static int shim_own_unmap(void *data, u64 start, u64 last, u64 *size)
{
	struct vfio_iommu *iommu = data;
	int ret = mutex_lock_killable(&iommu->lock);

	if (ret)
		return ret;
	*size = 0;
	ret = shim_own_unmap_locked(iommu, start, last, size);
	mutex_unlock(&iommu->lock);
	return ret;
}

static int shim_own_look(void *data, u64 from, struct vfio_pasid_own_space *space,
			 vfio_pasid_see_t see, void *context)
{
	struct vfio_iommu *iommu = data;
	struct vfio_iova *iova;
	struct vfio_dma *dma;
	int ret = mutex_lock_killable(&iommu->lock);

	if (ret)
		return ret;
	shim_describe(iommu, space);
	list_for_each_entry(iova, &iommu->iova_list, list)
		if (!see(context, iova->start, iova->end, NULL))
			goto unlock;
	dma = shim_next_mapping(vfio_find_dma_first_node(iommu, from, U64_MAX),
				U64_MAX);
	while (dma && see(context, dma->iova, dma->iova + dma->size - 1,
			  shim_mapping_of(dma)->own))
		dma = shim_next_mapping(rb_next(&dma->node), U64_MAX);
unlock:
	mutex_unlock(&iommu->lock);
	return 0;
}

/* What is added up in one go: others wait for iommu->lock meanwhile. */
#define SHIM_SUM_AT_ONCE 512

static int shim_own_sum(void *data, struct vfio_pasid_own_sum *sum)
{
	struct vfio_iommu *iommu = data;
	int left = SHIM_SUM_AT_ONCE;
	struct rb_node *node;

	if (!mutex_trylock(&iommu->lock))
		return -EBUSY;
	shim_describe(iommu, &sum->space);
	node = vfio_find_dma_first_node(iommu, sum->next, U64_MAX);
	for (; node && left; node = rb_next(node), left--) {
		struct vfio_dma *dma = rb_entry(node, struct vfio_dma, node);

		sum->mappings++;
		sum->bytes += dma->size;
	}
	sum->next = node ? rb_entry(node, struct vfio_dma, node)->iova : 0;
	mutex_unlock(&iommu->lock);
	return 0;
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
	.own_map = shim_own_map,
	.own_unmap = shim_own_unmap,
	.own_look = shim_own_look,
	.own_sum = shim_own_sum,
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
