// SPDX-License-Identifier: GPL-2.0-only
/*
 * How PASIDs for VFIO were proposed in 2020, as a contender: written anew from
 * the description. Processes are on a list. Each has a quota, and a tree with a
 * node for each number. The numbers of all are in an xarray, each with an entry
 * of its own that readers may still look at when it is removed.
 */
#include <linux/err.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "design_2020.h"

#define QUOTA	0x100000

/* The numbers of all. */

struct number {
	u32 id;
	void *private;
	struct rcu_head rcu;
};

static DEFINE_XARRAY_ALLOC(numbers);
static DEFINE_SPINLOCK(numbers_lock);

static int number_alloc(u32 min, u32 max, void *private)
{
	struct number *number = kzalloc_obj(*number, GFP_ATOMIC);
	int ret;

	if (!number)
		return -ENOMEM;
	number->private = private;
	spin_lock(&numbers_lock);
	ret = xa_alloc(&numbers, &number->id, number, XA_LIMIT(min, max),
		       GFP_ATOMIC);
	spin_unlock(&numbers_lock);
	if (ret) {
		kfree(number);
		return ret;
	}
	return number->id;
}

static void number_free(u32 id)
{
	struct number *number;

	spin_lock(&numbers_lock);
	number = xa_erase(&numbers, id);
	spin_unlock(&numbers_lock);
	kfree_rcu(number, rcu);
}

/* A process. */

struct mm_2020 {
	struct kref kref;
	struct mm_struct *mm;
	struct list_head next;
	struct mutex lock;	/* of what follows */
	struct rb_root pasids;
	int quota;
};

struct pasid {
	struct rb_node node;
	u32 id;
};

static LIST_HEAD(mms);
static DEFINE_MUTEX(mms_lock);

struct mm_2020 *mm_2020_get(struct task_struct *task)
{
	struct mm_struct *mm = get_task_mm(task);
	struct mm_2020 *vmm;

	if (!mm)
		return ERR_PTR(-ESRCH);
	mutex_lock(&mms_lock);
	list_for_each_entry(vmm, &mms, next)
		if (vmm->mm == mm) {
			kref_get(&vmm->kref);
			goto unlock;
		}
	vmm = kzalloc_obj(*vmm);
	if (!vmm) {
		vmm = ERR_PTR(-ENOMEM);
		goto unlock;
	}
	kref_init(&vmm->kref);
	mmgrab(mm);
	vmm->mm = mm;
	mutex_init(&vmm->lock);
	vmm->pasids = RB_ROOT;
	vmm->quota = QUOTA;
	list_add(&vmm->next, &mms);
unlock:
	mutex_unlock(&mms_lock);
	mmput(mm);
	return vmm;
}

/* Called with mms_lock, which it unlocks. */
static void mm_2020_release(struct kref *kref)
{
	struct mm_2020 *vmm = container_of(kref, struct mm_2020, kref);

	list_del(&vmm->next);
	mutex_unlock(&mms_lock);
	pasid_2020_free_range(vmm, 0, U32_MAX);
	mmdrop(vmm->mm);
	kfree(vmm);
}

void mm_2020_put(struct mm_2020 *vmm)
{
	kref_put_mutex(&vmm->kref, mm_2020_release, &mms_lock);
}

static void pasid_insert(struct mm_2020 *vmm, struct pasid *pasid)
{
	struct rb_node **link = &vmm->pasids.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		if (pasid->id < rb_entry(parent, struct pasid, node)->id)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&pasid->node, parent, link);
	rb_insert_color(&pasid->node, &vmm->pasids);
}

/* The lowest that is not below @min. */
static struct pasid *pasid_from(struct mm_2020 *vmm, u32 min)
{
	struct rb_node *node = vmm->pasids.rb_node;
	struct pasid *found = NULL;

	while (node) {
		struct pasid *pasid = rb_entry(node, struct pasid, node);

		if (pasid->id >= min) {
			found = pasid;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

int pasid_2020_alloc(struct mm_2020 *vmm, u32 min, u32 max)
{
	struct pasid *pasid = kzalloc_obj(*pasid);
	int ret;

	if (!pasid)
		return -ENOMEM;
	mutex_lock(&vmm->lock);
	ret = vmm->quota > 0 ? number_alloc(min, max, vmm) : -ENOSPC;
	if (ret >= 0) {
		vmm->quota--;
		pasid->id = ret;
		pasid_insert(vmm, pasid);
	}
	mutex_unlock(&vmm->lock);
	if (ret < 0)
		kfree(pasid);
	return ret;
}

void pasid_2020_free_range(struct mm_2020 *vmm, u32 min, u32 max)
{
	struct pasid *pasid, *next;

	mutex_lock(&vmm->lock);
	for (pasid = pasid_from(vmm, min); pasid && pasid->id <= max;
	     pasid = next) {
		next = rb_entry_safe(rb_next(&pasid->node), struct pasid, node);
		number_free(pasid->id);
		rb_erase(&pasid->node, &vmm->pasids);
		kfree(pasid);
		vmm->quota++;
		cond_resched();
	}
	mutex_unlock(&vmm->lock);
}
