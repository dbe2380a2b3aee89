// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the driver of QEMU's VT-d believe that it can walk the tables of
 * processes (intel_svm_check() of drivers/iommu/intel/svm.c): QEMU has not got
 * ECAP.SMPWC, nor CAP.FS5LP, but nobody asks it to walk: a pasid-device does so,
 * with --walks-processes. Loads in a machine with such devices only. A range that
 * crosses a multiple of 1 GB is not flushed then: QEMU refuses that.
 */
#include <linux/acpi.h>
#include <linux/bitfield.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "iommu.h"

#define CAP_MAMV	GENMASK_ULL(53, 48)
#define CAP_FS5LP	BIT_ULL(60)
#define ECAP_SMPWC	BIT_ULL(48)

/* Any range of 57 bits in one flush. QEMU's can do 18, 1 GB. */
static unsigned int mamv = 57 - PAGE_SHIFT;
module_param(mamv, uint, 0);

static struct intel_iommu *unit_of(struct pci_dev *pdev)
{
	struct device_domain_info *info;

	if (!pdev->dev.iommu || strncmp(dev_name(pdev->dev.iommu->iommu_dev->dev),
					"dmar", 4))
		return NULL;
	info = dev_iommu_priv_get(&pdev->dev);
	return info ? info->iommu : NULL;
}

static int __init sva_init(void)
{
	struct pci_dev *pdev = NULL;
	int found = 0;

	/* The fw_cfg device of QEMU's machines (hw/i386/fw_cfg.c). */
	if (!acpi_dev_present("QEMU0002", NULL, -1))
		return -ENODEV;
	while ((pdev = pci_get_device(0x1234, 0x5041, pdev))) {
		struct intel_iommu *iommu = unit_of(pdev);

		if (!iommu)
			continue;
		iommu->cap &= ~CAP_MAMV;
		iommu->cap |= CAP_FS5LP | FIELD_PREP(CAP_MAMV, mamv);
		iommu->ecap |= ECAP_SMPWC;
		iommu->flags |= VTD_FLAG_SVM_CAPABLE;
		found++;
	}
	return found ? 0 : -ENODEV;
}

static void __exit sva_exit(void)
{
}

module_init(sva_init);
module_exit(sva_exit);
MODULE_DESCRIPTION("Lets QEMU's VT-d walk the tables of processes, for tests");
MODULE_LICENSE("GPL");
