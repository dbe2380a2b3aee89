// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared virtual addressing (drivers/iommu/iommu-sva.c), which a kernel may be
 * built without, for sva.rs.
 */
#include <linux/iommu.h>
#include <linux/mmu_context.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/sched.h>

#include "helpers.h"

/*
 * Whether the driver of the IOMMU of @dev, a PCI device, has domains for
 * processes, and has enabled page requests if @dev can make them: VT-d demands
 * that (intel_iommu_sva_supported()).
 */
bool vfio_pasid_helper_sva_driver(struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);

	return IS_ENABLED(CONFIG_IOMMU_SVA) &&
	       dev->iommu->iommu_dev->ops->domain_alloc_sva &&
	       (pdev->pri_enabled || !pci_pri_supported(pdev));
}

/* Whether devices can use the addresses of the caller's process as they are. */
bool vfio_pasid_helper_sva_process(void)
{
	return arch_pgtable_dma_compat(current->mm);
}

/* Of the caller's process. IOMMU_PASID_INVALID before it was bound first. */
u32 vfio_pasid_helper_sva_pasid(void)
{
	return mm_get_enqcmd_pasid(current->mm);
}

/* Binds the caller's process. */
struct iommu_sva *vfio_pasid_helper_sva_bind(struct device *dev)
{
	return iommu_sva_bind_device(dev, current->mm);
}

void vfio_pasid_helper_sva_unbind(struct iommu_sva *sva)
{
	iommu_sva_unbind_device(sva);
}
