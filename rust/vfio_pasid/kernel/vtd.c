// SPDX-License-Identifier: GPL-2.0-only
/*
 * What VT-d says of itself in sysfs, and nowhere else that a module may look
 * (intel_iommu_attrs[] of drivers/iommu/intel/iommu.c).
 */
#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/kstrtox.h>
#include <linux/string.h>

#include "helpers.h"

static struct attribute *find_attribute(struct device *iommu, const char *name)
{
	const struct attribute_group **group;
	struct attribute **attr;

	for (group = iommu->groups; group && *group; group++)
		for (attr = (*group)->attrs; attr && *attr; attr++)
			if (!strcmp((*attr)->name, name))
				return *attr;
	return NULL;
}

/*
 * A number that the IOMMU of @dev, which has one, shows as @name; 0 if its
 * driver does not.
 */
static int read_number(struct device *dev, const char *name, unsigned int base,
		       u64 *number)
{
	struct device *iommu = dev->iommu->iommu_dev->dev;
	struct device_attribute *shown;
	struct attribute *attr;
	char *text;

	*number = 0;
	attr = iommu ? find_attribute(iommu, name) : NULL;
	if (!attr)
		return 0;
	shown = container_of(attr, struct device_attribute, attr);
	/* A page, which is what sysfs_emit() demands. */
	text = (char *)get_zeroed_page(GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	shown->show(iommu, shown, text);
	if (kstrtou64(text, base, number))
		*number = 0;
	free_page((unsigned long)text);
	return 0;
}

/* How many domain ids the IOMMU of @dev has; 0 if its driver does not say. */
long vfio_pasid_helper_domain_ids(struct device *dev)
{
	u64 ids;
	int ret = read_number(dev, "domains_supported", 10, &ids);

	return ret ?: ids;
}

#ifdef CONFIG_X86
#include <asm/cpufeature.h>

#define CAP_MAMV	GENMASK_ULL(53, 48)
#define CAP_FL1GP	BIT_ULL(56)
#define CAP_FL5LP	BIT_ULL(60)
#define ECAP_SMPWC	BIT_ULL(48)

/*
 * Whether a flush may cover any range of a process. cache_tag_flush_iotlb() of
 * drivers/iommu/intel/cache.c asks for it in one, which covers the whole process
 * if the range crosses its middle. An IOMMU that cannot do that flushes nothing,
 * and the device keeps memory that the process has given back.
 */
static bool flushes_processes(u64 cap)
{
	return FIELD_GET(CAP_MAMV, cap) >= __VIRTUAL_MASK_SHIFT - PAGE_SHIFT;
}

/*
 * Whether the IOMMU of @dev can walk the tables of a process, as
 * intel_svm_check() sees it, and forget them. Other IOMMUs say so when they are
 * asked to.
 */
int vfio_pasid_helper_walks_processes(struct device *dev)
{
	u64 cap, ecap;
	int ret = read_number(dev, "cap", 16, &cap) ?:
		  read_number(dev, "ecap", 16, &ecap);

	if (ret || !cap)
		return ret ?: 1;
	return ecap & ECAP_SMPWC && flushes_processes(cap) &&
	       (cap & CAP_FL1GP || !cpu_feature_enabled(X86_FEATURE_GBPAGES)) &&
	       (cap & CAP_FL5LP || !cpu_feature_enabled(X86_FEATURE_LA57));
}
#else
int vfio_pasid_helper_walks_processes(struct device *dev)
{
	return 1;
}
#endif
