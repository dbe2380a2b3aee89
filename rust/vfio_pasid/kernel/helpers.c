// SPDX-License-Identifier: GPL-2.0-only
/*
 * Macros and inline functions of the kernel that neither the `bindings` nor the
 * `kernel` crate offers. One line each; used only by the files beside this one.
 */
#include <linux/pci.h>
#include <linux/sched.h>

void vfio_pasid_helper_cond_resched(void);
void vfio_pasid_helper_cond_resched(void)
{
	cond_resched();
}

struct pci_dev *vfio_pasid_helper_to_pci_dev(struct device *dev);
struct pci_dev *vfio_pasid_helper_to_pci_dev(struct device *dev)
{
	return dev_is_pci(dev) ? to_pci_dev(dev) : NULL;
}
