/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test module's device: one ioctl for each function of the kernel API under
 * test. The module decides nothing; each ioctl returns what the function
 * returned, and the programs vfio_mm, handle and default_pasid judge it.
 */
#ifndef VFIO_PASID_TEST_H
#define VFIO_PASID_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VFIO_PASID_TEST_DEVICE	"/dev/vfio_pasid_test"

/*
 * References to a vfio_mm are kept in slots of the open file; closing the file
 * puts them. -EBADF: there is no such slot, or it is empty; -EBUSY: it is not.
 * As with the functions themselves, the caller must not put a slot that another
 * thread is using.
 */
#define VFIO_PASID_TEST_SLOTS	256

/* Tasks of VFIO_PASID_TEST_GET besides the process ids, which are positive. */
#define VFIO_PASID_TEST_NULL_TASK	0	/* NULL */
#define VFIO_PASID_TEST_BORROWED_MM	(-1)	/* a kernel thread in kthread_use_mm() */

struct vfio_pasid_test_get {
	__u32 slot;
	__s32 task;
};

struct vfio_pasid_test_range {
	__u32 slot;
	__u32 min;
	__u32 max;
};

struct vfio_pasid_test_pair {
	__u32 first;
	__u32 second;
};

/* vfio_mm_get_from_task(): 0 or its error */
#define VFIO_PASID_TEST_GET	_IOW('P', 0x00, struct vfio_pasid_test_get)
/* vfio_mm_put(); the argument is the slot */
#define VFIO_PASID_TEST_PUT	_IO('P', 0x01)
/* whether two slots hold the same vfio_mm */
#define VFIO_PASID_TEST_SAME	_IOW('P', 0x02, struct vfio_pasid_test_pair)
/* vfio_pasid_alloc() */
#define VFIO_PASID_TEST_ALLOC	_IOW('P', 0x03, struct vfio_pasid_test_range)
/* vfio_pasid_free_range() */
#define VFIO_PASID_TEST_FREE	_IOW('P', 0x04, struct vfio_pasid_test_range)

/*
 * Domains and attachments, in slots of their own; closing the file takes back
 * what is left. A device is named by the PCI address of its function, and may
 * well be bound to vfio-pci.
 */
#define VFIO_PASID_TEST_DOMAINS	8

struct vfio_pasid_test_device {
	char address[16];
};

struct vfio_pasid_test_domain {
	struct vfio_pasid_test_device device;
	__u32 domain;
};

struct vfio_pasid_test_attach {
	struct vfio_pasid_test_device device;
	__u32 domain;
	__u32 slot;		/* of the vfio_mm */
};

struct vfio_pasid_test_entry {
	struct vfio_pasid_test_device device;
	__u32 domain;
	__u32 pasid;
};

struct vfio_pasid_test_host {
	struct vfio_pasid_test_device device;
	__u32 pasid;		/* out of ALLOC, in for FREE */
};

/* iommu_paging_domain_alloc_flags() with IOMMU_HWPT_ALLOC_PASID */
#define VFIO_PASID_TEST_DOMAIN	_IOW('P', 0x30, struct vfio_pasid_test_domain)
/* iommu_domain_free(); the argument is the domain */
#define VFIO_PASID_TEST_DOMAIN_FREE	_IO('P', 0x31)
/* vfio_aux_attach_device() */
#define VFIO_PASID_TEST_ATTACH	_IOW('P', 0x32, struct vfio_pasid_test_attach)
/* vfio_aux_detach_device() */
#define VFIO_PASID_TEST_DETACH	_IOW('P', 0x33, struct vfio_pasid_test_attach)
/* vfio_aux_get_pasid() */
#define VFIO_PASID_TEST_PASID	_IOW('P', 0x34, struct vfio_pasid_test_attach)
/* iommu_attach_device_pasid() and iommu_detach_device_pasid() */
#define VFIO_PASID_TEST_SET	_IOW('P', 0x35, struct vfio_pasid_test_entry)
#define VFIO_PASID_TEST_UNSET	_IOW('P', 0x36, struct vfio_pasid_test_entry)
/* iommu_alloc_global_pasid() and iommu_free_global_pasid(); -ENOSPC */
#define VFIO_PASID_TEST_HOST_ALLOC	_IOWR('P', 0x37, struct vfio_pasid_test_host)
#define VFIO_PASID_TEST_HOST_FREE	_IOW('P', 0x38, struct vfio_pasid_test_host)

/* Holds the mutex of the device's IOMMU group until VFIO_PASID_TEST_OPEN_GATE */
#define VFIO_PASID_TEST_HOLD_GROUP	_IOW('P', 0x39, struct vfio_pasid_test_device)

struct vfio_pasid_test_segment {
	struct vfio_pasid_test_device device;
	__u32 xor;
};

/*
 * Changes the segment that the devices below the host bridge of one are in: no
 * emulated machine has one above 0xffff. Until it is changed back, the kernel
 * cannot read their configuration, and sysfs has the old names.
 */
#define VFIO_PASID_TEST_SEGMENT	_IOW('P', 0x3a, struct vfio_pasid_test_segment)

/*
 * So many of the next calls of iommu_unmap_fast() say that they unmapped
 * nothing, although they did. -EOPNOTSUPP: the kernel has no kretprobes.
 */
#define VFIO_PASID_TEST_SHORT_UNMAPS	_IO('P', 0x3b)

/*
 * After so many more calls of iommu_map(), one does nothing and is -ENOMEM.
 * ~0: none. -EOPNOTSUPP: the kernel has no kprobes.
 */
#define VFIO_PASID_TEST_FAIL_MAP	_IO('P', 0x3c)

/*
 * So many of the next domains that are asked to enforce cache coherency say the
 * opposite of what they have done. -EOPNOTSUPP as above.
 */
#define VFIO_PASID_TEST_FLIP_COHERENCY	_IO('P', 0x3d)

/*
 * Containers as VFIO drives them, with a stock type1 that only counts, and
 * that waits in its ioctl when it is told to.
 */

/* .open; 0, and the handle */
#define VFIO_PASID_TEST_OPEN	_IOR('P', 0x10, __u64)
/* .release of a handle */
#define VFIO_PASID_TEST_RELEASE	_IOW('P', 0x11, __u64)

struct vfio_pasid_test_ioctl {
	__u64 handle;
	__u32 cmd;
	__u32 reserved;
	__u64 arg;
};

/* .ioctl of a handle; the stock type1 below it returns the argument */
#define VFIO_PASID_TEST_IOCTL	_IOW('P', 0x12, struct vfio_pasid_test_ioctl)

/*
 * A command that the stock type1 waits in until VFIO_PASID_TEST_OPEN_GATE, then
 * looks its handle up as unpin_pages does: 1 if it found itself.
 */
#define VFIO_PASID_TEST_WAIT	_IO('P', 0x20)
#define VFIO_PASID_TEST_OPEN_GATE	_IO('P', 0x13)

/* .register_device and .unregister_device of a handle */
#define VFIO_PASID_TEST_DEVICE_OPENED	_IOW('P', 0x15, __u64)
#define VFIO_PASID_TEST_DEVICE_CLOSED	_IOW('P', 0x16, __u64)

struct vfio_pasid_test_counts {
	__u32 opened;
	__u32 released;
	__u32 released_too_early;	/* while its ioctl was waiting */
	__u32 ioctls;
	__u32 devices;			/* opened and not closed */
	__u32 waiting;			/* now, for VFIO_PASID_TEST_OPEN_GATE */
};

/* How often the stock type1 was called since the module was loaded */
#define VFIO_PASID_TEST_COUNTS	_IOR('P', 0x14, struct vfio_pasid_test_counts)

#endif /* VFIO_PASID_TEST_H */
