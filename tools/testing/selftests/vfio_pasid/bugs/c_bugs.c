// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bugs, one for each detector of the debug kernel, so that its silence about
 * other code means something. Writing the name of one to
 * /sys/kernel/debug/vfio_pasid_bugs runs it; what must then be reported stands
 * in ../planted.sh. Never load this module into a kernel that is to live on.
 */
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "bugs.h"

static int somewhere;

/* The compiler must not see the bugs. */
static int hide(int value)
{
	OPTIMIZER_HIDE_VAR(value);
	return value;
}

static void use(int value)
{
	WRITE_ONCE(somewhere, value);
}

static void use_after_free(void)
{
	int *memory = kmalloc(64, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(memory);
	kfree(memory);
	use(*memory);
}

static void out_of_bounds(void)
{
	char *memory = kmalloc(100, GFP_KERNEL);

	if (memory)
		use(memory[hide(100)]);
	kfree(memory);
}

static void vmalloc_out_of_bounds(void)
{
	char *memory = vmalloc(100);

	if (memory)
		use(memory[hide(100)]);
	vfree(memory);
}

static void stack_out_of_bounds(void)
{
	char memory[16] = {};
	char *first = memory;

	OPTIMIZER_HIDE_VAR(first);
	use(first[hide(16)]);
}

static void array_index(void)
{
	static int array[4];

	use(array[hide(4)]);
}

static void shift(void)
{
	use(1 << hide(32));
}

static void refcount_underflow(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	if (refcount_dec_and_test(&count))
		use(1);
}

static void list_corruption(void)
{
	struct list_head head, entry;

	INIT_LIST_HEAD(&head);
	list_add(&entry, &head);
	entry.next = &entry;
	list_del(&entry);
}

static void planted_work(struct work_struct *work)
{
}

static void free_active_work(void)
{
	struct delayed_work *work = kmalloc_obj(*work);

	if (!work)
		return;
	INIT_DELAYED_WORK(work, planted_work);
	schedule_delayed_work(work, HZ);
	kfree(work);
}

static void get_free_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;
	__free_page(page);
	get_page(page);
}

static struct device *device_with_iommu(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (device_iommu_mapped(&pdev->dev))
			return &pdev->dev;
	return NULL;
}

static void free_mapped_page(void)
{
	struct device *dev = device_with_iommu();
	struct page *page = alloc_page(GFP_KERNEL);
	struct iommu_domain *domain;

	if (!dev || !page)
		return;
	domain = iommu_paging_domain_alloc(dev);
	if (IS_ERR(domain))
		return;
	if (!iommu_map(domain, 0x100000, page_to_phys(page), PAGE_SIZE,
		       IOMMU_READ, GFP_KERNEL))
		__free_page(page);
	iommu_unmap(domain, 0x100000, PAGE_SIZE);
	iommu_domain_free(domain);
	put_device(dev);
}

static void hang(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(10 * HZ);
}

/* Not bugs, but failures that were asked for (fail-nth). */
static void failed(const char *name, bool failed)
{
	if (failed)
		pr_info("%s: ENOMEM\n", name);
}

static void failed_page_allocation(void)
{
	struct page *page;

	current->fail_nth = 1;
	page = alloc_page(GFP_KERNEL);
	failed(__func__, !page);
	if (page)
		__free_page(page);
}

static void failed_rust_allocation(void)
{
	current->fail_nth = 1;
	failed(__func__, rust_failed_allocation());
}

static void warn(void)
{
	WARN(1, "planted\n");
}

static const struct {
	const char *name;
	void (*plant)(void);
} bugs[] = {
	{ "use_after_free", use_after_free },
	{ "out_of_bounds", out_of_bounds },
	{ "vmalloc_out_of_bounds", vmalloc_out_of_bounds },
	{ "stack_out_of_bounds", stack_out_of_bounds },
	{ "array_index", array_index },
	{ "shift", shift },
	{ "refcount_underflow", refcount_underflow },
	{ "list_corruption", list_corruption },
	{ "free_active_work", free_active_work },
	{ "get_free_page", get_free_page },
	{ "free_mapped_page", free_mapped_page },
	{ "hang", hang },
	{ "failed_page_allocation", failed_page_allocation },
	{ "warn", warn },
	{ "rust_use_after_free", rust_use_after_free },
	{ "rust_out_of_bounds", rust_out_of_bounds },
	{ "rust_stack_out_of_bounds", rust_stack_out_of_bounds },
	{ "rust_lock_inversion", rust_lock_inversion },
	{ "rust_sleep_in_atomic", rust_sleep_in_atomic },
	{ "rust_leak", rust_leak },
	{ "rust_overflow", rust_overflow },
	{ "rust_debug_assert", rust_debug_assert },
	{ "failed_rust_allocation", failed_rust_allocation },
};

static ssize_t plant(struct file *file, const char __user *from, size_t size,
		     loff_t *offset)
{
	char name[32];
	size_t i;

	if (size >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, from, size))
		return -EFAULT;
	name[size] = '\0';
	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (!strcmp(strim(name), bugs[i].name)) {
			bugs[i].plant();
			return size;
		}
	}
	return -ENOENT;
}

static const struct file_operations plant_operations = {
	.owner = THIS_MODULE,
	.write = plant,
};

static struct dentry *file;

static int __init bugs_init(void)
{
	/*
	 * Without the proxy that debugfs puts before an open file: a bug may
	 * kill its task in here, and the proxy would never be left.
	 */
	file = debugfs_create_file_unsafe("vfio_pasid_bugs", 0200, NULL, NULL,
					  &plant_operations);
	return PTR_ERR_OR_ZERO(file);
}
module_init(bugs_init);

static void __exit bugs_exit(void)
{
	debugfs_remove(file);
}
module_exit(bugs_exit);

MODULE_DESCRIPTION("Bugs for the detectors of a debug kernel");
MODULE_LICENSE("GPL");
