// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what only the kernel can do: see vfio_pasid_bench.h. It is for a guest
 * of scripts/bench, where nobody else is, and does not defend itself.
 */
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio_pasid.h>

#include <asm/msr.h>

#include <uapi/linux/iommufd.h>

#include "design_2020.h"
#include "vfio_pasid_bench.h"

#define PIN_BATCH	512

struct bench {
	struct vfio_mm *ours;
	struct mm_2020 *of_2020;
	struct pci_dev *pdev;
	struct iommu_domain *domain;
	ioasid_t pasid;
	struct page **pages;
	unsigned long page_count;
	struct sg_table table;
};

/* Numbers */

static int get(struct bench *bench, u32 who)
{
	switch (who) {
	case BENCH_OURS:
		bench->ours = vfio_mm_get_from_task(current);
		return PTR_ERR_OR_ZERO(bench->ours);
	case BENCH_2020:
		bench->of_2020 = mm_2020_get(current);
		return PTR_ERR_OR_ZERO(bench->of_2020);
	default:
		return 0;
	}
}

static int find(struct bench *bench, u32 who)
{
	struct vfio_mm *ours;

	if (who == BENCH_OURS) {
		ours = vfio_mm_get_from_task(current);
		if (IS_ERR(ours))
			return PTR_ERR(ours);
		vfio_mm_put(ours);
	} else {
		mm_2020_put(mm_2020_get(current));
	}
	return 0;
}

static int take(struct bench *bench, u32 who, u32 first, u32 last)
{
	ioasid_t number;

	switch (who) {
	case BENCH_OURS:
		return vfio_pasid_alloc(bench->ours, first, last);
	case BENCH_2020:
		return pasid_2020_alloc(bench->of_2020, first, last);
	default:
		number = iommu_alloc_global_pasid(&bench->pdev->dev);
		return number == IOMMU_PASID_INVALID ? -ENOSPC : number;
	}
}

static void give_back(struct bench *bench, u32 who, u32 first, u32 last)
{
	switch (who) {
	case BENCH_OURS:
		vfio_pasid_free_range(bench->ours, first, last);
		break;
	case BENCH_2020:
		pasid_2020_free_range(bench->of_2020, first, last);
		break;
	default:
		for (; first <= last; first++)
			iommu_free_global_pasid(first);
	}
}

/* Every @held-th number is held, and then only every @of-th. */
static int thin_out(struct bench *bench, u32 who, u32 first, u32 last, u32 held,
		    u32 of)
{
	for (first = roundup(first, held); first <= last; first += held)
		if (first % of)
			give_back(bench, who, first, first);
	return 0;
}

static int take_and_give_back(struct bench *bench, u32 who, u32 first, u32 last)
{
	int number = take(bench, who, first, last);

	if (number < 0)
		return number;
	give_back(bench, who, number, number);
	return 0;
}

/* Domains and memory */

static struct iommu_domain *new_domain(struct bench *bench)
{
	return iommu_paging_domain_alloc_flags(&bench->pdev->dev,
					       IOMMU_HWPT_ALLOC_PASID);
}

static void detach(struct bench *bench)
{
	if (!bench->domain)
		return;
	iommu_detach_device_pasid(bench->domain, &bench->pdev->dev,
				  bench->pasid);
	iommu_domain_free(bench->domain);
	bench->domain = NULL;
}

static int attach(struct bench *bench, ioasid_t pasid)
{
	struct iommu_domain *domain;
	int ret;

	detach(bench);
	domain = new_domain(bench);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_device_pasid(domain, &bench->pdev->dev, pasid, NULL);
	if (ret) {
		iommu_domain_free(domain);
		return ret;
	}
	bench->domain = domain;
	bench->pasid = pasid;
	return 0;
}

static int attach_and_detach(struct bench *bench, struct iommu_domain *domain,
			     ioasid_t pasid)
{
	int ret = iommu_attach_device_pasid(domain, &bench->pdev->dev, pasid,
					    NULL);

	if (!ret)
		iommu_detach_device_pasid(domain, &bench->pdev->dev, pasid);
	return ret;
}

static int bind_and_unbind(struct bench *bench)
{
	struct iommu_sva *bond = iommu_sva_bind_device(&bench->pdev->dev,
						       current->mm);

	if (IS_ERR(bond))
		return PTR_ERR(bond);
	iommu_sva_unbind_device(bond);
	return 0;
}

static int alloc_and_free_domain(struct bench *bench)
{
	struct iommu_domain *domain = new_domain(bench);

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	iommu_domain_free(domain);
	return 0;
}

static void unpin(struct bench *bench)
{
	if (!bench->pages)
		return;
	sg_free_table(&bench->table);
	unpin_user_pages(bench->pages, bench->page_count);
	kvfree(bench->pages);
	bench->pages = NULL;
}

/* Only what pinning takes is counted. */
static int pin(struct bench *bench, u64 address, u64 size, u64 *ticks)
{
	unsigned long wanted = size >> PAGE_SHIFT;
	struct page **pages;
	u64 start;
	long got;
	int ret;

	unpin(bench);
	pages = kvcalloc(wanted, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	bench->pages = pages;
	bench->page_count = 0;
	start = rdtsc_ordered();
	while (bench->page_count < wanted) {
		got = pin_user_pages_fast(address + (bench->page_count << PAGE_SHIFT),
					  min(wanted - bench->page_count,
					      PIN_BATCH),
					  FOLL_LONGTERM | FOLL_WRITE,
					  pages + bench->page_count);
		if (got <= 0)
			return got ? got : -EFAULT;
		bench->page_count += got;
	}
	*ticks = rdtsc_ordered() - start;
	ret = sg_alloc_table_from_pages(&bench->table, pages, wanted, 0, size,
					GFP_KERNEL);
	return ret;
}

#define PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)

static int map(struct bench *bench, u64 iova, u64 size)
{
	return iommu_map(bench->domain, iova, page_to_phys(bench->pages[0]),
			 size, PROT, GFP_KERNEL_ACCOUNT);
}

static int unmap(struct bench *bench, u64 iova, u64 size)
{
	return iommu_unmap(bench->domain, iova, size) == size ? 0 : -EIO;
}

static int map_and_unmap(struct bench *bench, u64 iova, u64 size)
{
	int ret = map(bench, iova, size);

	return ret ? ret : unmap(bench, iova, size);
}

static int map_sg(struct bench *bench, u64 iova, u64 size)
{
	ssize_t ret = iommu_map_sg(bench->domain, iova, bench->table.sgl,
				   bench->table.orig_nents, PROT,
				   GFP_KERNEL_ACCOUNT);

	if (ret < 0)
		return ret;
	return ret == size ? 0 : -EIO;
}

static int map_sg_and_unmap(struct bench *bench, u64 iova, u64 size)
{
	int ret = map_sg(bench, iova, size);

	return ret ? ret : unmap(bench, iova, size);
}

/* Requests */

static int run_once(struct bench *bench, struct vfio_pasid_bench_run *run,
		    struct iommu_domain *domain)
{
	switch (run->what) {
	case BENCH_GET:
		return get(bench, run->who);
	case BENCH_ALLOC_FREE:
		return take_and_give_back(bench, run->who, run->first,
					  run->last);
	case BENCH_ALLOC:
		return min(0, take(bench, run->who, run->first, run->last));
	case BENCH_FREE:
		give_back(bench, run->who, run->first, run->last);
		return 0;
	case BENCH_THIN_OUT:
		return thin_out(bench, run->who, run->first, run->last,
				run->held, run->size);
	case BENCH_LOOKUP:
		return find(bench, run->who);
	case BENCH_ATTACH:
		return attach(bench, run->first);
	case BENCH_MAP_UNMAP:
		return map_and_unmap(bench, run->first, run->size);
	case BENCH_MAP:
		return map(bench, run->first, run->size);
	case BENCH_UNMAP:
		return unmap(bench, run->first, run->size);
	case BENCH_MAP_SG_UNMAP:
		return map_sg_and_unmap(bench, run->first, run->size);
	case BENCH_ATTACH_DETACH:
		return attach_and_detach(bench, domain, run->first);
	case BENCH_DOMAIN:
		return alloc_and_free_domain(bench);
	case BENCH_BIND_UNBIND:
		return bind_and_unbind(bench);
	default:
		return -ENOTTY;
	}
}

static int run_all(struct bench *bench, struct vfio_pasid_bench_run *run)
{
	struct iommu_domain *domain = NULL;
	u64 start, i;
	int ret = 0;

	if (run->what == BENCH_PIN)
		return pin(bench, run->first, run->size, &run->ticks);
	if (run->what == BENCH_ATTACH_DETACH) {
		domain = new_domain(bench);
		if (IS_ERR(domain))
			return PTR_ERR(domain);
	}
	start = rdtsc_ordered();
	for (i = 0; i < run->times && !ret; i++)
		ret = run_once(bench, run, domain);
	run->ticks = rdtsc_ordered() - start;
	if (domain)
		iommu_domain_free(domain);
	return ret;
}

static long bench_run(struct bench *bench, void __user *arg)
{
	struct vfio_pasid_bench_run run;
	int ret;

	if (copy_from_user(&run, arg, sizeof(run)))
		return -EFAULT;
	ret = run_all(bench, &run);
	if (copy_to_user(arg, &run, sizeof(run)))
		return -EFAULT;
	return ret;
}

static long bench_use(struct bench *bench, void __user *arg)
{
	unsigned int domain, bus, slot, function;
	char address[16];

	if (copy_from_user(address, arg, sizeof(address)))
		return -EFAULT;
	address[sizeof(address) - 1] = 0;
	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	bench->pdev = pci_get_domain_bus_and_slot(domain, bus,
						  PCI_DEVFN(slot, function));
	return bench->pdev ? 0 : -ENODEV;
}

static long bench_request(struct bench *bench, void __user *arg)
{
	struct vfio_pasid_bench_request request;

	if (copy_from_user(&request, arg, sizeof(request)))
		return -EFAULT;
	if (request.argsz < sizeof(request))
		return -EINVAL;
	switch (request.flags) {
	case VFIO_PASID_BENCH_ALLOC:
		return pasid_2020_alloc(bench->of_2020, request.min,
					request.max);
	case VFIO_PASID_BENCH_FREE:
		pasid_2020_free_range(bench->of_2020, request.min, request.max);
		return 0;
	default:
		return -EINVAL;
	}
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct bench *bench = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case VFIO_PASID_BENCH_RUN:
		return bench_run(bench, user);
	case VFIO_PASID_BENCH_USE:
		return bench_use(bench, user);
	case VFIO_PASID_BENCH_NOTHING:
		return 0;
	case VFIO_PASID_BENCH_REQUEST:
		return bench_request(bench, user);
	default:
		return -ENOTTY;
	}
}

static int bench_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc_obj(struct bench);
	return file->private_data ? 0 : -ENOMEM;
}

static int bench_release(struct inode *inode, struct file *file)
{
	struct bench *bench = file->private_data;

	detach(bench);
	unpin(bench);
	if (!IS_ERR_OR_NULL(bench->ours))
		vfio_mm_put(bench->ours);
	if (!IS_ERR_OR_NULL(bench->of_2020))
		mm_2020_put(bench->of_2020);
	pci_dev_put(bench->pdev);
	kfree(bench);
	return 0;
}

static const struct file_operations bench_operations = {
	.owner = THIS_MODULE,
	.open = bench_open,
	.release = bench_release,
	.unlocked_ioctl = bench_ioctl,
};

static struct miscdevice bench_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfio_pasid_bench",
	.fops = &bench_operations,
	.mode = 0600,
};

module_misc_device(bench_device);

MODULE_DESCRIPTION("Counts what vfio_pasid and its peers cost");
MODULE_LICENSE("GPL");
