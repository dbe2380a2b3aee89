// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked into the kernel's own tests of VFIO, which have no option for it: where
 * they do not name what is below VFIO, it is type1 instead of iommufd.
 */
#include <libvfio.h>

static void __attribute__((constructor)) choose_type1(void)
{
	default_iommu_mode = MODE_VFIO_TYPE1V2_IOMMU;
}
