// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program does first: /dev/vfio/vfio, a group, and a PASID. The argument is
 * the number of the group. Compiled against the header that vfio-pasid-dev installs,
 * and run on the machine that has vfio-pasid-dkms.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <linux/vfio_pasid.h>

int main(int argc, char **argv)
{
	struct vfio_iommu_type1_pasid_request request = {
		.argsz = sizeof(request),
		.flags = VFIO_IOMMU_FLAG_ALLOC_PASID,
		.range = { .min = 1, .max = 255 },
	};
	int container = open("/dev/vfio/vfio", O_RDWR);
	char path[32];
	int group;

	snprintf(path, sizeof(path), "/dev/vfio/%s", argc > 1 ? argv[1] : "?");
	group = open(path, O_RDWR);
	if (container < 0 || group < 0 ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror(path);
		return 2;
	}
	printf("features %d\n",
	       ioctl(container, VFIO_CHECK_EXTENSION, VFIO_PASID_EXTENSION));
	printf("pasid %d\n",
	       ioctl(container, VFIO_IOMMU_PASID_REQUEST, &request));
	return 0;
}
