// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many domain ids an IOMMU has. VT-d says so in sysfs, and nowhere else that
 * a module may look (domains_supported_show() of drivers/iommu/intel/iommu.c).
 */
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

/* Of the IOMMU of @dev, which has one; 0 if its driver does not say. */
long vfio_pasid_helper_domain_ids(struct device *dev)
{
	struct device *iommu = dev->iommu->iommu_dev->dev;
	struct device_attribute *shown;
	struct attribute *attr;
	unsigned long ids;
	char *text;

	attr = iommu ? find_attribute(iommu, "domains_supported") : NULL;
	if (!attr)
		return 0;
	shown = container_of(attr, struct device_attribute, attr);
	/* A page, which is what sysfs_emit() demands. */
	text = (char *)get_zeroed_page(GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	shown->show(iommu, shown, text);
	if (kstrtoul(text, 10, &ids))
		ids = 0;
	free_page((unsigned long)text);
	return ids;
}
