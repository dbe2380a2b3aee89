// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets the selftests call what only kernel modules can call: the API of
 * <linux/vfio_pasid.h>, and the functions that VFIO's shim calls. See
 * vfio_pasid_test.h.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vfio_pasid.h>
#include <linux/wait.h>

#include <uapi/linux/iommufd.h>

#include "../../../../../rust/vfio_pasid/container.h"
#include "vfio_pasid_test.h"

/* The kernel API */

struct test_file {
	struct vfio_mm *slots[VFIO_PASID_TEST_SLOTS];
	struct mutex lock;	/* of what follows, but for calls under test */
	struct iommu_domain *domains[VFIO_PASID_TEST_DOMAINS];
	struct list_head attachments;
	struct list_head host_pasids;
};

struct borrower {
	struct mm_struct *mm;
	struct completion borrowed;
};

static int borrow_mm(void *arg)
{
	struct borrower *borrower = arg;

	kthread_use_mm(borrower->mm);
	complete(&borrower->borrowed);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	kthread_unuse_mm(borrower->mm);
	return 0;
}

static struct vfio_mm *get_from_borrower(void)
{
	struct borrower borrower = { .mm = current->mm };
	struct task_struct *task;
	struct vfio_mm *vmm;

	init_completion(&borrower.borrowed);
	task = kthread_run(borrow_mm, &borrower, "vfio_pasid_test");
	if (IS_ERR(task))
		return ERR_CAST(task);
	wait_for_completion(&borrower.borrowed);
	vmm = vfio_mm_get_from_task(task);
	kthread_stop(task);
	return vmm;
}

static struct vfio_mm *get_from_pid(pid_t number)
{
	struct pid *pid = find_get_pid(number);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);
	struct vfio_mm *vmm;

	put_pid(pid);
	if (!task)
		return ERR_PTR(-ECHILD);
	vmm = vfio_mm_get_from_task(task);
	put_task_struct(task);
	return vmm;
}

static struct vfio_mm **slot_of(struct test_file *file, u32 slot)
{
	return slot < VFIO_PASID_TEST_SLOTS ? &file->slots[slot] : NULL;
}

static struct vfio_mm *vmm_of(struct test_file *file, u32 slot)
{
	return slot < VFIO_PASID_TEST_SLOTS ? READ_ONCE(file->slots[slot]) : NULL;
}

static long test_get(struct test_file *file, void __user *arg)
{
	struct vfio_pasid_test_get get;
	struct vfio_mm **slot, *vmm;

	if (copy_from_user(&get, arg, sizeof(get)))
		return -EFAULT;
	slot = slot_of(file, get.slot);
	if (!slot)
		return -EBADF;

	switch (get.task) {
	case VFIO_PASID_TEST_NULL_TASK:
		vmm = vfio_mm_get_from_task(NULL);
		break;
	case VFIO_PASID_TEST_BORROWED_MM:
		vmm = get_from_borrower();
		break;
	default:
		vmm = get_from_pid(get.task);
	}
	if (IS_ERR(vmm))
		return PTR_ERR(vmm);
	if (cmpxchg(slot, NULL, vmm)) {
		vfio_mm_put(vmm);
		return -EBUSY;
	}
	return 0;
}

static long test_put(struct test_file *file, unsigned long arg)
{
	struct vfio_mm **slot = arg <= U32_MAX ? slot_of(file, arg) : NULL;
	struct vfio_mm *vmm = slot ? xchg(slot, NULL) : NULL;

	if (!vmm)
		return -EBADF;
	vfio_mm_put(vmm);
	return 0;
}

static long test_same(struct test_file *file, void __user *arg)
{
	struct vfio_pasid_test_pair pair;
	struct vfio_mm *first, *second;

	if (copy_from_user(&pair, arg, sizeof(pair)))
		return -EFAULT;
	first = vmm_of(file, pair.first);
	second = vmm_of(file, pair.second);
	if (!first || !second)
		return -EBADF;
	return first == second;
}

static long test_range(struct test_file *file, unsigned int cmd,
		       void __user *arg)
{
	struct vfio_pasid_test_range range;
	struct vfio_mm *vmm;

	if (copy_from_user(&range, arg, sizeof(range)))
		return -EFAULT;
	vmm = vmm_of(file, range.slot);
	if (!vmm)
		return -EBADF;
	if (cmd == VFIO_PASID_TEST_ALLOC)
		return vfio_pasid_alloc(vmm, range.min, range.max);
	vfio_pasid_free_range(vmm, range.min, range.max);
	return 0;
}

/* Domains and attachments */

/* To be taken back when the file is closed. */
struct attachment {
	struct list_head list;
	struct iommu_domain *domain;
	struct pci_dev *pdev;
	struct vfio_mm *vmm;	/* vfio_aux_attach_device(), or else NULL: */
	ioasid_t pasid;		/* iommu_attach_device_pasid() */
};

struct host_pasid {
	struct list_head list;
	ioasid_t pasid;
};

static struct pci_dev *find_device(const struct vfio_pasid_test_device *device)
{
	unsigned int domain, bus, slot, function;

	if (sscanf(device->address, "%x:%x:%x.%x", &domain, &bus, &slot,
		   &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
}

static struct iommu_domain *domain_of(struct test_file *file, u32 domain)
{
	return domain < VFIO_PASID_TEST_DOMAINS ?
	       READ_ONCE(file->domains[domain]) : NULL;
}

static long test_domain(struct test_file *file, void __user *arg)
{
	struct vfio_pasid_test_domain wanted;
	struct iommu_domain *domain;
	struct pci_dev *pdev;

	if (copy_from_user(&wanted, arg, sizeof(wanted)))
		return -EFAULT;
	if (wanted.domain >= VFIO_PASID_TEST_DOMAINS)
		return -EBADF;
	pdev = find_device(&wanted.device);
	if (!pdev)
		return -ENXIO;
	domain = iommu_paging_domain_alloc_flags(&pdev->dev,
						 IOMMU_HWPT_ALLOC_PASID);
	pci_dev_put(pdev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	if (cmpxchg(&file->domains[wanted.domain], NULL, domain)) {
		iommu_domain_free(domain);
		return -EEXIST;
	}
	return 0;
}

static long test_domain_free(struct test_file *file, unsigned long arg)
{
	struct iommu_domain *domain;

	if (arg >= VFIO_PASID_TEST_DOMAINS)
		return -EBADF;
	domain = xchg(&file->domains[arg], NULL);
	if (!domain)
		return -EBADF;
	iommu_domain_free(domain);
	return 0;
}

/* The attachment takes the reference to the device over. */
static void note_attachment(struct test_file *file, struct attachment *new,
			    struct iommu_domain *domain, struct pci_dev *pdev,
			    struct vfio_mm *vmm, ioasid_t pasid)
{
	*new = (struct attachment) {
		.domain = domain, .pdev = pdev, .vmm = vmm, .pasid = pasid,
	};
	mutex_lock(&file->lock);
	list_add(&new->list, &file->attachments);
	mutex_unlock(&file->lock);
}

static void forget_attachment(struct test_file *file,
			      struct iommu_domain *domain, struct pci_dev *pdev,
			      struct vfio_mm *vmm, ioasid_t pasid)
{
	struct attachment *one;

	mutex_lock(&file->lock);
	list_for_each_entry(one, &file->attachments, list)
		if (one->domain == domain && one->pdev == pdev &&
		    one->vmm == vmm && one->pasid == pasid) {
			list_del(&one->list);
			pci_dev_put(one->pdev);
			kfree(one);
			break;
		}
	mutex_unlock(&file->lock);
}

static long test_attach(struct test_file *file, unsigned int cmd,
			void __user *arg)
{
	struct vfio_pasid_test_attach attach;
	struct attachment *new = NULL;
	struct iommu_domain *domain;
	struct pci_dev *pdev;
	struct vfio_mm *vmm;
	long ret = 0;

	if (copy_from_user(&attach, arg, sizeof(attach)))
		return -EFAULT;
	domain = domain_of(file, attach.domain);
	vmm = vmm_of(file, attach.slot);
	if (!domain || !vmm)
		return -EBADF;
	pdev = find_device(&attach.device);
	if (!pdev)
		return -ENXIO;

	switch (cmd) {
	case VFIO_PASID_TEST_ATTACH:
		new = kzalloc_obj(*new);
		ret = new ? vfio_aux_attach_device(vmm, domain, &pdev->dev) :
			    -ENOMEM;
		if (!ret) {
			note_attachment(file, new, domain, pdev, vmm, 0);
			return 0;
		}
		kfree(new);
		break;
	case VFIO_PASID_TEST_DETACH:
		vfio_aux_detach_device(vmm, domain, &pdev->dev);
		forget_attachment(file, domain, pdev, vmm, 0);
		break;
	default:
		ret = vfio_aux_get_pasid(vmm, domain, &pdev->dev);
	}
	pci_dev_put(pdev);
	return ret;
}

static long test_set(struct test_file *file, unsigned int cmd, void __user *arg)
{
	struct vfio_pasid_test_entry entry;
	struct iommu_domain *domain;
	struct attachment *new;
	struct pci_dev *pdev;
	long ret = 0;

	if (copy_from_user(&entry, arg, sizeof(entry)))
		return -EFAULT;
	domain = domain_of(file, entry.domain);
	if (!domain)
		return -EBADF;
	pdev = find_device(&entry.device);
	if (!pdev)
		return -ENXIO;
	if (cmd == VFIO_PASID_TEST_SET) {
		new = kzalloc_obj(*new);
		ret = new ? iommu_attach_device_pasid(domain, &pdev->dev,
						      entry.pasid, NULL) :
			    -ENOMEM;
		if (!ret) {
			note_attachment(file, new, domain, pdev, NULL,
					entry.pasid);
			return 0;
		}
		kfree(new);
	} else {
		iommu_detach_device_pasid(domain, &pdev->dev, entry.pasid);
		forget_attachment(file, domain, pdev, NULL, entry.pasid);
	}
	pci_dev_put(pdev);
	return ret;
}

static long test_host_alloc(struct test_file *file, void __user *arg)
{
	struct vfio_pasid_test_host host;
	struct host_pasid *new;
	struct pci_dev *pdev;

	if (copy_from_user(&host, arg, sizeof(host)))
		return -EFAULT;
	pdev = find_device(&host.device);
	if (!pdev)
		return -ENXIO;
	new = kzalloc_obj(*new);
	if (new)
		new->pasid = iommu_alloc_global_pasid(&pdev->dev);
	pci_dev_put(pdev);
	if (!new)
		return -ENOMEM;
	if (new->pasid == IOMMU_PASID_INVALID) {
		kfree(new);
		return -ENOSPC;
	}
	host.pasid = new->pasid;
	mutex_lock(&file->lock);
	list_add(&new->list, &file->host_pasids);
	mutex_unlock(&file->lock);
	return copy_to_user(arg, &host, sizeof(host)) ? -EFAULT : 0;
}

static long test_host_free(struct test_file *file, void __user *arg)
{
	struct vfio_pasid_test_host host;
	struct host_pasid *one;
	long ret = -EBADF;

	if (copy_from_user(&host, arg, sizeof(host)))
		return -EFAULT;
	mutex_lock(&file->lock);
	list_for_each_entry(one, &file->host_pasids, list)
		if (one->pasid == host.pasid) {
			iommu_free_global_pasid(one->pasid);
			list_del(&one->list);
			kfree(one);
			ret = 0;
			break;
		}
	mutex_unlock(&file->lock);
	return ret;
}

/* In the order that <linux/vfio_pasid.h> asks for. */
static void take_back(struct test_file *file)
{
	struct attachment *attachment, *next_attachment;
	struct host_pasid *host, *next_host;
	unsigned int i;

	list_for_each_entry_safe(attachment, next_attachment,
				 &file->attachments, list) {
		struct device *dev = &attachment->pdev->dev;

		if (attachment->vmm)
			vfio_aux_detach_device(attachment->vmm,
					       attachment->domain, dev);
		else
			iommu_detach_device_pasid(attachment->domain, dev,
						  attachment->pasid);
		pci_dev_put(attachment->pdev);
		kfree(attachment);
	}
	for (i = 0; i < VFIO_PASID_TEST_DOMAINS; i++)
		if (file->domains[i])
			iommu_domain_free(file->domains[i]);
	list_for_each_entry_safe(host, next_host, &file->host_pasids, list) {
		iommu_free_global_pasid(host->pasid);
		kfree(host);
	}
}

/* Containers, above a stock type1 that only counts */

static struct {
	atomic_t opened;
	atomic_t released;
	atomic_t released_too_early;
	atomic_t ioctls;
	atomic_t devices;
	atomic_t waiting;
} counts;

static atomic_t gate;
static DECLARE_WAIT_QUEUE_HEAD(gate_queue);

/* What the stock .open returns. */
struct stock {
	atomic_t waiting;
};

static void *stock_open(unsigned long type)
{
	struct stock *stock = kzalloc(sizeof(*stock), GFP_KERNEL);

	if (!stock)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&counts.opened);
	return stock;
}

static void stock_release(void *data)
{
	struct stock *stock = data;

	atomic_inc(&counts.released);
	if (atomic_read(&stock->waiting))
		atomic_inc(&counts.released_too_early);
	else
		kfree(stock);
}

static long stock_wait(struct stock *stock, void *handle)
{
	int now = atomic_read(&gate);
	bool found;

	atomic_inc(&stock->waiting);
	atomic_inc(&counts.waiting);
	wait_event_killable(gate_queue, atomic_read(&gate) != now);
	found = vfio_pasid_container_stock(handle) == stock;
	atomic_dec(&counts.waiting);
	atomic_dec(&stock->waiting);
	return found;
}

static long stock_ioctl(void *data, unsigned int cmd, unsigned long arg)
{
	atomic_inc(&counts.ioctls);
	if (cmd == VFIO_PASID_TEST_WAIT)
		return stock_wait(data, (void *)arg);
	return arg;
}

static void stock_register_device(void *data, struct vfio_device *device)
{
	atomic_inc(&counts.devices);
}

static void stock_unregister_device(void *data, struct vfio_device *device)
{
	atomic_dec(&counts.devices);
}

/* Called with the group's mutex held; once is enough. */
static int wait_at_gate(struct device *dev, void *arg)
{
	int now = atomic_read(&gate);

	atomic_inc(&counts.waiting);
	wait_event_killable(gate_queue, atomic_read(&gate) != now);
	atomic_dec(&counts.waiting);
	return 1;
}

static long test_hold_group(void __user *arg)
{
	struct vfio_pasid_test_device device;
	struct iommu_group *group;
	struct pci_dev *pdev;

	if (copy_from_user(&device, arg, sizeof(device)))
		return -EFAULT;
	pdev = find_device(&device);
	if (!pdev)
		return -ENXIO;
	group = iommu_group_get(&pdev->dev);
	pci_dev_put(pdev);
	if (!group)
		return -ENXIO;
	iommu_group_for_each_dev(group, NULL, wait_at_gate);
	iommu_group_put(group);
	return 0;
}

#ifdef CONFIG_KRETPROBES
static atomic_t short_unmaps;

static int shorten_unmap(struct kretprobe_instance *instance,
			 struct pt_regs *regs)
{
	if (atomic_dec_if_positive(&short_unmaps) >= 0)
		regs_set_return_value(regs, 0);
	return 0;
}

static struct kretprobe unmap_probe = {
	.kp.symbol_name = "iommu_unmap_fast",
	.handler = shorten_unmap,
};

static bool unmap_probed;

static long test_short_unmaps(unsigned long count)
{
	int ret;

	if (!unmap_probed) {
		ret = register_kretprobe(&unmap_probe);
		if (ret)
			return ret;
		unmap_probed = true;
	}
	atomic_set(&short_unmaps, count);
	return 0;
}

static atomic_t flips;

static int flip_coherency(struct kretprobe_instance *instance,
			  struct pt_regs *regs)
{
	if (atomic_dec_if_positive(&flips) >= 0)
		regs_set_return_value(regs, !(regs_return_value(regs) & 1));
	return 0;
}

/* First-stage tables and second-stage tables. */
static struct kretprobe flip_probes[] = {
	{
		.kp.symbol_name = "intel_iommu_enforce_cache_coherency_fs",
		.handler = flip_coherency,
	},
	{
		.kp.symbol_name = "intel_iommu_enforce_cache_coherency_ss",
		.handler = flip_coherency,
	},
};

static bool flips_probed;

static long test_flip_coherency(unsigned long count)
{
	int ret;

	if (!flips_probed) {
		ret = register_kretprobe(&flip_probes[0]);
		if (ret)
			return ret;
		ret = register_kretprobe(&flip_probes[1]);
		if (ret) {
			unregister_kretprobe(&flip_probes[0]);
			return ret;
		}
		flips_probed = true;
	}
	atomic_set(&flips, count);
	return 0;
}

static atomic_t maps_to_go;

static noinline notrace void return_to_caller(void)
{
}

/* As if iommu_map() began with a return. */
static int fail_map(struct kprobe *probe, struct pt_regs *regs)
{
	if (atomic_dec_return(&maps_to_go) != -1)
		return 0;
	regs_set_return_value(regs, -ENOMEM);
	instruction_pointer_set(regs, (unsigned long)return_to_caller);
	return 1;
}

/* With a handler behind it, no jump takes its place, which could not do that. */
static void after_map(struct kprobe *probe, struct pt_regs *regs,
		      unsigned long flags)
{
}

static struct kprobe map_probe = {
	.symbol_name = "iommu_map",
	.pre_handler = fail_map,
	.post_handler = after_map,
};

static bool map_probed;

static long test_fail_map(unsigned long after)
{
	int ret;

	atomic_set(&maps_to_go, min(after, INT_MAX));
	if (!map_probed) {
		ret = register_kprobe(&map_probe);
		if (ret)
			return ret;
		map_probed = true;
	}
	return 0;
}

static void stop_probing(void)
{
	if (unmap_probed)
		unregister_kretprobe(&unmap_probe);
	if (flips_probed) {
		unregister_kretprobe(&flip_probes[0]);
		unregister_kretprobe(&flip_probes[1]);
	}
	if (map_probed)
		unregister_kprobe(&map_probe);
}
#else
static long test_short_unmaps(unsigned long count)
{
	return -EOPNOTSUPP;
}

static long test_flip_coherency(unsigned long count)
{
	return -EOPNOTSUPP;
}

static long test_fail_map(unsigned long after)
{
	return -EOPNOTSUPP;
}

static void stop_probing(void)
{
}
#endif

static void *to_handle(u64 handle)
{
	return (void *)(uintptr_t)handle;
}

static int stock_attach_group(void *data, struct iommu_group *group,
			      unsigned int group_type)
{
	return 0;
}

static void stock_detach_group(void *data, struct iommu_group *group)
{
}

static int stock_setup(void *data, vfio_pasid_choose_t choose, void *context)
{
	return -EOPNOTSUPP;
}

static int stock_own_map(void *data, const struct vfio_pasid_own_map *map)
{
	return -EOPNOTSUPP;
}

static int stock_own_unmap(void *data, u64 start, u64 last, u64 *size)
{
	return -EOPNOTSUPP;
}

static int stock_own_look(void *data, u64 from,
			  struct vfio_pasid_own_space *space,
			  vfio_pasid_see_t see, void *context)
{
	return -EOPNOTSUPP;
}

static const struct vfio_pasid_stock_ops stock_ops = {
	.owner = THIS_MODULE,
	.open = stock_open,
	.release = stock_release,
	.ioctl = stock_ioctl,
	.attach_group = stock_attach_group,
	.detach_group = stock_detach_group,
	.register_device = stock_register_device,
	.unregister_device = stock_unregister_device,
	.setup = stock_setup,
	.own_map = stock_own_map,
	.own_unmap = stock_own_unmap,
	.own_look = stock_own_look,
};

static long test_open(void __user *arg)
{
	void *handle = vfio_pasid_container_open(0, &stock_ops);
	u64 number = (uintptr_t)handle;

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	if (copy_to_user(arg, &number, sizeof(number))) {
		vfio_pasid_container_release(handle);
		return -EFAULT;
	}
	return 0;
}

static long test_release(void __user *arg)
{
	u64 handle;

	if (copy_from_user(&handle, arg, sizeof(handle)))
		return -EFAULT;
	vfio_pasid_container_release(to_handle(handle));
	return 0;
}

static long test_ioctl(void __user *arg)
{
	struct vfio_pasid_test_ioctl ioctl;

	if (copy_from_user(&ioctl, arg, sizeof(ioctl)))
		return -EFAULT;
	return vfio_pasid_container_ioctl(to_handle(ioctl.handle), ioctl.cmd,
					  ioctl.arg, &stock_ops);
}

/* All that vfio_pasid needs of a device that is only opened and closed. */
static struct vfio_device fake_device = { .refcount = REFCOUNT_INIT(1) };

static long test_change_devices(unsigned int cmd, void __user *arg)
{
	u64 handle;

	if (copy_from_user(&handle, arg, sizeof(handle)))
		return -EFAULT;
	if (cmd == VFIO_PASID_TEST_DEVICE_OPENED)
		vfio_pasid_container_register_device(to_handle(handle),
						     &fake_device);
	else
		vfio_pasid_container_unregister_device(to_handle(handle),
						       &fake_device);
	return 0;
}

static long test_open_gate(void)
{
	atomic_inc(&gate);
	wake_up_all(&gate_queue);
	return 0;
}

static long test_counts(void __user *arg)
{
	struct vfio_pasid_test_counts seen = {
		.opened = atomic_read(&counts.opened),
		.released = atomic_read(&counts.released),
		.released_too_early = atomic_read(&counts.released_too_early),
		.ioctls = atomic_read(&counts.ioctls),
		.devices = atomic_read(&counts.devices),
		.waiting = atomic_read(&counts.waiting),
	};

	return copy_to_user(arg, &seen, sizeof(seen)) ? -EFAULT : 0;
}

static long test_segment(void __user *arg)
{
	struct vfio_pasid_test_segment segment;
	struct pci_sysdata *host;
	struct pci_dev *pdev;

	if (copy_from_user(&segment, arg, sizeof(segment)))
		return -EFAULT;
	pdev = find_device(&segment.device);
	if (!pdev)
		return -ENXIO;
	host = to_pci_sysdata(pdev->bus);
	WRITE_ONCE(host->domain, host->domain ^ segment.xor);
	pci_dev_put(pdev);
	return 0;
}

/* The device */

static int test_file_open(struct inode *inode, struct file *file)
{
	struct test_file *test = kvzalloc(sizeof(*test), GFP_KERNEL);

	if (!test)
		return -ENOMEM;
	mutex_init(&test->lock);
	INIT_LIST_HEAD(&test->attachments);
	INIT_LIST_HEAD(&test->host_pasids);
	file->private_data = test;
	return 0;
}

static int test_file_release(struct inode *inode, struct file *file)
{
	struct test_file *test = file->private_data;
	unsigned int slot;

	take_back(test);
	for (slot = 0; slot < VFIO_PASID_TEST_SLOTS; slot++)
		if (test->slots[slot])
			vfio_mm_put(test->slots[slot]);
	kvfree(test);
	return 0;
}

static long test_file_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	struct test_file *test = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case VFIO_PASID_TEST_GET:
		return test_get(test, user);
	case VFIO_PASID_TEST_PUT:
		return test_put(test, arg);
	case VFIO_PASID_TEST_SAME:
		return test_same(test, user);
	case VFIO_PASID_TEST_ALLOC:
	case VFIO_PASID_TEST_FREE:
		return test_range(test, cmd, user);
	case VFIO_PASID_TEST_DOMAIN:
		return test_domain(test, user);
	case VFIO_PASID_TEST_DOMAIN_FREE:
		return test_domain_free(test, arg);
	case VFIO_PASID_TEST_ATTACH:
	case VFIO_PASID_TEST_DETACH:
	case VFIO_PASID_TEST_PASID:
		return test_attach(test, cmd, user);
	case VFIO_PASID_TEST_SET:
	case VFIO_PASID_TEST_UNSET:
		return test_set(test, cmd, user);
	case VFIO_PASID_TEST_HOST_ALLOC:
		return test_host_alloc(test, user);
	case VFIO_PASID_TEST_HOST_FREE:
		return test_host_free(test, user);
	case VFIO_PASID_TEST_OPEN:
		return test_open(user);
	case VFIO_PASID_TEST_RELEASE:
		return test_release(user);
	case VFIO_PASID_TEST_IOCTL:
		return test_ioctl(user);
	case VFIO_PASID_TEST_DEVICE_OPENED:
	case VFIO_PASID_TEST_DEVICE_CLOSED:
		return test_change_devices(cmd, user);
	case VFIO_PASID_TEST_HOLD_GROUP:
		return test_hold_group(user);
	case VFIO_PASID_TEST_FAIL_MAP:
		return test_fail_map(arg);
	case VFIO_PASID_TEST_FLIP_COHERENCY:
		return test_flip_coherency(arg);
	case VFIO_PASID_TEST_SHORT_UNMAPS:
		return test_short_unmaps(arg);
	case VFIO_PASID_TEST_SEGMENT:
		return test_segment(user);
	case VFIO_PASID_TEST_OPEN_GATE:
		return test_open_gate();
	case VFIO_PASID_TEST_COUNTS:
		return test_counts(user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations test_file_operations = {
	.owner = THIS_MODULE,
	.open = test_file_open,
	.release = test_file_release,
	.unlocked_ioctl = test_file_ioctl,
};

static struct miscdevice test_miscdevice = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfio_pasid_test",
	.fops = &test_file_operations,
	.mode = 0600,
};

static int __init test_init(void)
{
	int ret = misc_register(&test_miscdevice);

	/* One that is on no bus and behind no IOMMU. */
	fake_device.dev = test_miscdevice.this_device;
	return ret;
}
module_init(test_init);

static void __exit test_exit(void)
{
	misc_deregister(&test_miscdevice);
	stop_probing();
}
module_exit(test_exit);

MODULE_DESCRIPTION("Lets the selftests of vfio_pasid call its kernel API");
MODULE_LICENSE("GPL");
