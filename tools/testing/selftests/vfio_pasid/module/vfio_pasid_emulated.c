// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO device that does nothing and sits behind no IOMMU, like a mediated one:
 * for containers whose groups have none. Its IOMMU group is that of
 * /sys/devices/vfio_pasid_emulated.
 */
#include <linux/device.h>
#include <linux/iommufd.h>
#include <linux/module.h>
#include <linux/vfio.h>

struct emulated {
	struct vfio_device device;
};

static struct device *root;
static struct emulated *emulated;

static int emulated_open_device(struct vfio_device *device)
{
	return 0;
}

static void emulated_close_device(struct vfio_device *device)
{
}

static void emulated_dma_unmap(struct vfio_device *device, u64 iova, u64 length)
{
}

static const struct vfio_device_ops emulated_ops = {
	.name = "vfio_pasid_emulated",
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	.open_device = emulated_open_device,
	.close_device = emulated_close_device,
	.dma_unmap = emulated_dma_unmap,
};

static int __init emulated_init(void)
{
	int ret;

	root = root_device_register("vfio_pasid_emulated");
	if (IS_ERR(root))
		return PTR_ERR(root);
	emulated = vfio_alloc_device(emulated, device, root, &emulated_ops);
	if (IS_ERR(emulated)) {
		ret = PTR_ERR(emulated);
		goto unregister_root;
	}
	ret = vfio_register_emulated_iommu_dev(&emulated->device);
	if (!ret)
		return 0;
	vfio_put_device(&emulated->device);
unregister_root:
	root_device_unregister(root);
	return ret;
}

static void __exit emulated_exit(void)
{
	vfio_unregister_group_dev(&emulated->device);
	vfio_put_device(&emulated->device);
	root_device_unregister(root);
}

module_init(emulated_init);
module_exit(emulated_exit);

MODULE_DESCRIPTION("A VFIO device without an IOMMU, for the selftests of vfio_pasid");
MODULE_LICENSE("GPL");
