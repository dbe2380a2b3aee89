// SPDX-License-Identifier: GPL-2.0-only
/*
 * Macros and inline functions of the kernel that neither the `bindings` nor the
 * `kernel` crate offers, as small as can be; used only by the files beside this
 * one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pid.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "helpers.h"

void vfio_pasid_helper_cond_resched(void)
{
	cond_resched();
}

bool vfio_pasid_helper_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

int vfio_pasid_helper_mutex_lock_killable(struct mutex *mutex)
{
	return mutex_lock_killable(mutex);
}

int vfio_pasid_helper_wait_killable(struct wait_queue_head *queue,
				    const u64 *count, u64 seen)
{
	return wait_event_killable(*queue, READ_ONCE(*count) != seen);
}

void vfio_pasid_helper_wake_all(struct wait_queue_head *queue)
{
	wake_up_all(queue);
}

struct workqueue_struct *vfio_pasid_helper_alloc_workqueue(void)
{
	return alloc_workqueue("vfio_pasid", WQ_UNBOUND, 0);
}

/* As account_locked_vm(), which cannot be killed. */
int vfio_pasid_helper_charge(struct mm_struct *mm, unsigned long pages)
{
	int ret = mmap_write_lock_killable(mm);

	if (ret)
		return ret;
	ret = __account_locked_vm(mm, pages, true, current,
				  capable(CAP_IPC_LOCK));
	mmap_write_unlock(mm);
	return ret;
}

static bool try_uncharge(struct mm_struct *mm, unsigned long pages)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	__account_locked_vm(mm, pages, false, current, true);
	up_write(&mm->mmap_lock);
	return true;
}

/* A kernel thread does not wait, as it would for a process that is not its own. */
bool vfio_pasid_helper_uncharge(struct mm_struct *mm, unsigned long pages)
{
	if (current->flags & PF_KTHREAD)
		return try_uncharge(mm, pages);
	if (mmap_write_lock_killable(mm))
		return false;
	__account_locked_vm(mm, pages, false, current, true);
	mmap_write_unlock(mm);
	return true;
}

bool vfio_pasid_helper_keep_module(void)
{
	return try_module_get(THIS_MODULE);
}

void vfio_pasid_helper_let_module_go(void)
{
	module_put(THIS_MODULE);
}

void vfio_pasid_helper_gather_init(struct iommu_iotlb_gather *gather)
{
	iommu_iotlb_gather_init(gather);
}

void vfio_pasid_helper_iotlb_sync(struct iommu_domain *domain,
				  struct iommu_iotlb_gather *gather)
{
	iommu_iotlb_sync(domain, gather);
}

void vfio_pasid_helper_sg_set(struct scatterlist *sg, u64 phys,
			      unsigned int size)
{
	sg_set_page(sg, pfn_to_page(PHYS_PFN(phys)), size, 0);
}

unsigned long vfio_pasid_helper_page_to_pfn(struct page *page)
{
	return page_to_pfn(page);
}

struct page *vfio_pasid_helper_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

/*
 * Pins @count pages that follow each other, and are pinned, once more. A small
 * page has GUP_PIN_COUNTING_BIAS references for each pin, and their number is an
 * int: what has half of them is left alone.
 */
int vfio_pasid_helper_add_pins(unsigned long pfn, unsigned long count)
{
	unsigned long done = 0;
	int ret = 0;

	while (done < count) {
		struct page *page = pfn_to_page(pfn + done);
		struct folio *folio = page_folio(page);
		unsigned long pins = min(count - done, folio_nr_pages(folio) -
					 folio_page_idx(folio, page));

		ret = folio_ref_count(folio) > INT_MAX / 2 ?
			-ENOMEM : folio_add_pins(folio, pins);
		if (ret)
			break;
		done += pins;
	}
	if (ret && done)
		unpin_user_page_range_dirty_lock(pfn_to_page(pfn), done, false);
	return ret;
}

/*
 * Pins what is behind the page before @pfn, which is pinned, in a page of
 * hugetlbfs, up to @most pages: where one of it is mapped, all of it is, one
 * behind another. Returns how many.
 */
unsigned long vfio_pasid_helper_pin_rest(unsigned long pfn, unsigned long most)
{
	struct page *page = pfn_to_page(pfn - 1);
	struct folio *folio = page_folio(page);

	if (!most || !folio_test_hugetlb(folio))
		return 0;
	most = min(most, folio_nr_pages(folio) - folio_page_idx(folio, page) - 1);
	return vfio_pasid_helper_add_pins(pfn, most) ? 0 : most;
}

void vfio_pasid_helper_interval_set_seq(struct mmu_interval_notifier *sub,
					unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
}

bool vfio_pasid_helper_interval_check_retry(struct mmu_interval_notifier *sub,
					    unsigned long seq)
{
	return mmu_interval_check_retry(sub, seq);
}

struct pci_dev *vfio_pasid_helper_to_pci_dev(struct device *dev)
{
	return dev_is_pci(dev) ? to_pci_dev(dev) : NULL;
}

/* Returns how long the name is, at most @room. */
size_t vfio_pasid_helper_dev_name(struct device *dev, char *name, size_t room)
{
	size_t len = min(strlen(dev_name(dev)), room);

	memcpy(name, dev_name(dev), len);
	return len;
}

/* The process of @task, referenced, and in @comm what it is called. */
struct pid *vfio_pasid_helper_maker(struct task_struct *task, char *comm)
{
	guard(rcu)();
	strscpy_pad(comm, task->group_leader->comm, TASK_COMM_LEN);
	return get_pid(task_tgid(task));
}

/*
 * The number of the process as the caller knows it. 0 if it is gone, or has
 * another address space by now, or is not to be seen from there.
 */
u32 vfio_pasid_helper_pid_of(struct pid *pid, struct mm_struct *mm)
{
	struct task_struct *leader, *thread;

	guard(rcu)();
	leader = pid_task(pid, PIDTYPE_TGID);
	if (!leader)
		return 0;
	/*
	 * The leader may have ended before others. for_each_thread() wants
	 * tasklist_lock where lockdep looks, and modules have not got it.
	 */
	list_for_each_entry_rcu(thread, &leader->signal->thread_head, thread_node)
		if (READ_ONCE(thread->mm) == mm)
			return pid_vnr(pid);
	return 0;
}

struct device *vfio_pasid_helper_vfio_dev(struct vfio_device *device)
{
	return device->dev;
}

bool vfio_pasid_helper_vfio_pin(struct vfio_device *device)
{
	return vfio_device_try_get_registration(device);
}

void vfio_pasid_helper_vfio_unpin(struct vfio_device *device)
{
	vfio_device_put_registration(device);
}

int vfio_pasid_helper_vfio_set_lock(struct vfio_device *device)
{
	return mutex_lock_killable(&device->dev_set->lock);
}

void vfio_pasid_helper_vfio_set_unlock(struct vfio_device *device)
{
	mutex_unlock(&device->dev_set->lock);
}

void vfio_pasid_helper_warn_not_attached(void)
{
	WARN_ONCE(1, "vfio_aux_detach_device() of what is not attached\n");
}

void vfio_pasid_helper_warn_short_unmap(void)
{
	WARN_ONCE(1, "iommu_unmap_fast() unmapped less than it was asked to\n");
}

/*
 * A process can meet a limit as often as it likes, but only for itself: @kind is
 * which, and each has a rate of its own. Names can have any characters.
 */
void vfio_pasid_helper_limit_met(unsigned int kind, const char *limit, u64 value,
				 const char *device, size_t len)
{
	static struct ratelimit_state states[] = {
		[0 ... 7] = RATELIMIT_STATE_INIT("vfio_pasid limits",
						 DEFAULT_RATELIMIT_INTERVAL,
						 DEFAULT_RATELIMIT_BURST),
	};
	char comm[TASK_COMM_LEN];

	if (!__ratelimit(&states[kind % ARRAY_SIZE(states)]))
		return;
	strscpy_pad(comm, current->group_leader->comm, sizeof(comm));
	pr_notice("%*pE[%d]: %s=%llu is used up%s%*pE\n", (int)strlen(comm),
		  comm, task_tgid_nr(current), limit, value,
		  len ? ", wanted for " : "", (int)len, device);
}

/* What the caller, which has @mm, may have locked, unless there is no limit. */
bool vfio_pasid_helper_lockable_pages(struct mm_struct *mm, unsigned long *limit,
				      unsigned long *left)
{
	unsigned long locked = READ_ONCE(mm->locked_vm);

	if (capable(CAP_IPC_LOCK) || rlimit(RLIMIT_MEMLOCK) == RLIM_INFINITY)
		return false;
	*limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	*left = *limit > locked ? *limit - locked : 0;
	return true;
}

/* Pinned. A member that is being unregistered is passed over. */
struct vfio_device *vfio_pasid_helper_vfio_set_find(struct vfio_device *device,
						    struct device *dev)
{
	struct vfio_device *member;

	member = vfio_find_device_in_devset(device->dev_set, dev);
	return member && vfio_device_try_get_registration(member) ? member : NULL;
}

void *vfio_pasid_helper_vfio_set_id(struct vfio_device *device)
{
	return device->dev_set->set_id;
}

unsigned int vfio_pasid_helper_vfio_index(struct vfio_device *device)
{
	return device->index;
}

int vfio_pasid_helper_pci_domain_nr(struct pci_dev *pdev)
{
	return pci_domain_nr(pdev->bus);
}
