// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO device that sits behind no IOMMU, like a mediated one, and only does
 * what its ioctls say: for containers whose groups have none. Its IOMMU group is that of
 * /sys/devices/vfio_pasid_emulated.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "vfio_pasid_emulated.h"

#define PINS	8

struct emulated {
	struct vfio_device device;
	/* Not held while VFIO is called. */
	struct mutex lock;
	/* What is pinned; ~0: nothing. */
	u64 pins[PINS];
};

static struct device *root;
static struct emulated *emulated;

static struct emulated *to_emulated(struct vfio_device *device)
{
	return container_of(device, struct emulated, device);
}

/* Changes one pin from @start to @last to @to, and says in @start which. */
static bool change_pin(struct emulated *emulated, u64 *start, u64 last, u64 to)
{
	guard(mutex)(&emulated->lock);
	for (int i = 0; i < PINS; i++) {
		u64 pin = emulated->pins[i];

		if (pin >= *start && pin <= last) {
			emulated->pins[i] = to;
			*start = pin;
			return true;
		}
	}
	return false;
}

static bool take_pin(struct emulated *emulated, u64 iova)
{
	u64 none = ~0ull;

	return change_pin(emulated, &none, none, iova);
}

static bool drop_pin(struct emulated *emulated, u64 iova)
{
	return change_pin(emulated, &iova, iova, ~0ull);
}

static int emulated_init_device(struct vfio_device *device)
{
	struct emulated *emulated = to_emulated(device);

	mutex_init(&emulated->lock);
	memset(emulated->pins, 0xff, sizeof(emulated->pins));
	return 0;
}

static int emulated_open_device(struct vfio_device *device)
{
	return 0;
}

static void emulated_dma_unmap(struct vfio_device *device, u64 iova, u64 length)
{
	struct emulated *emulated = to_emulated(device);
	u64 last = min(iova + length, ~0ull - 1), pin = iova;

	while (change_pin(emulated, &pin, last - 1, ~0ull)) {
		vfio_unpin_pages(device, pin, 1);
		pin = iova;
	}
}

static void emulated_close_device(struct vfio_device *device)
{
	emulated_dma_unmap(device, 0, ~0ull);
}

static long emulated_ioctl(struct vfio_device *device, unsigned int cmd,
			   unsigned long arg)
{
	struct emulated *emulated = to_emulated(device);
	void __user *user = (void __user *)arg;
	struct vfio_pasid_emulated_dma dma;
	struct page *page;
	int ret;

	if (copy_from_user(&dma, user, sizeof(dma)))
		return -EFAULT;
	switch (cmd) {
	case VFIO_PASID_EMULATED_PIN:
		if (!take_pin(emulated, dma.iova))
			return -ENOSPC;
		ret = vfio_pin_pages(device, dma.iova, 1,
				     IOMMU_READ | IOMMU_WRITE, &page);
		if (ret != 1) {
			drop_pin(emulated, dma.iova);
			return ret;
		}
		dma.value = page_to_pfn(page);
		break;
	case VFIO_PASID_EMULATED_UNPIN:
		if (!drop_pin(emulated, dma.iova))
			return -ENOENT;
		vfio_unpin_pages(device, dma.iova, 1);
		break;
	case VFIO_PASID_EMULATED_READ:
	case VFIO_PASID_EMULATED_WRITE:
		ret = vfio_dma_rw(device, dma.iova, &dma.value,
				  sizeof(dma.value),
				  cmd == VFIO_PASID_EMULATED_WRITE);
		if (ret)
			return ret;
		break;
	default:
		return -ENOTTY;
	}
	return copy_to_user(user, &dma, sizeof(dma)) ? -EFAULT : 0;
}

static const struct vfio_device_ops emulated_ops = {
	.name = "vfio_pasid_emulated",
	.init = emulated_init_device,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	.open_device = emulated_open_device,
	.close_device = emulated_close_device,
	.ioctl = emulated_ioctl,
	.dma_unmap = emulated_dma_unmap,
};

/* Never registered: vfio_df_open() takes a reference to its module. */
static struct device_driver emulated_driver = {
	.name = "vfio_pasid_emulated",
	.owner = THIS_MODULE,
};

static int __init emulated_init(void)
{
	int ret;

	root = root_device_register("vfio_pasid_emulated");
	if (IS_ERR(root))
		return PTR_ERR(root);
	root->driver = &emulated_driver;
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
	root->driver = NULL;
	root_device_unregister(root);
	return ret;
}

static void __exit emulated_exit(void)
{
	vfio_unregister_group_dev(&emulated->device);
	vfio_put_device(&emulated->device);
	root->driver = NULL;
	root_device_unregister(root);
}

module_init(emulated_init);
module_exit(emulated_exit);

MODULE_DESCRIPTION("A VFIO device without an IOMMU, for the selftests of vfio_pasid");
MODULE_LICENSE("GPL");
