/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * PASIDs for VFIO containers: the ioctls that vfio_pasid adds to a container
 * (/dev/vfio/vfio) after VFIO_SET_IOMMU with VFIO_TYPE1_IOMMU or
 * VFIO_TYPE1v2_IOMMU.
 *
 * A PASID is a number in [1, 2^20 - 1]. It belongs to the process whose thread
 * called VFIO_SET_IOMMU (its address space, strictly), is shared by all
 * containers of that process, and goes back with the last of them. Numbers that
 * a kernel driver holds for the process count against the same quota, but no
 * ioctl frees or names them.
 *
 * As everywhere in VFIO, @argsz is the size of the structure that the caller
 * knows and @flags holds no bit that is not defined here. On top of the errors
 * listed with each ioctl, every ioctl here except VFIO_CHECK_EXTENSION returns:
 *
 *   EFAULT  @arg does not point to memory that can be read (and, where the
 *           structure has results, written)
 *   EINTR   a signal that ends the process came while the call waited
 *   EINVAL  argsz is too short, a flag is unknown, a reserved field is not 0,
 *           or VFIO_SET_IOMMU has not been called
 *   ENODEV  the container lost its last group while the call was under way
 *   EPERM   the caller's address space is not the one that called
 *           VFIO_SET_IOMMU (a forked child, after exec, a passed descriptor)
 *   ENOTTY  the kernel's stock type1 is loaded
 *
 * What fails has changed nothing, though results may have been written in part.
 * AUX_UNMAP and SETUP cannot be undone: they write to @arg once before they
 * begin, and fail if they cannot. What they have done by the second time is no
 * error, even if the results can no longer be written.
 */
#ifndef _UAPI_LINUX_VFIO_PASID_H
#define _UAPI_LINUX_VFIO_PASID_H

#include <linux/types.h>
#include <linux/vfio.h>

/*
 * VFIO_PASID_EXTENSION - argument of VFIO_CHECK_EXTENSION
 *
 * The return value is a set of VFIO_PASID_FEATURE_* bits: what this module can
 * do. 0 from a type1 without it. Never an error.
 */
#define VFIO_PASID_EXTENSION		0x5041

#define VFIO_PASID_FEATURE_PASID	(1 << 0) /* PASID_REQUEST, PASID_INFO */
#define VFIO_PASID_FEATURE_AUX		(1 << 1) /* AUX_CREATE ... AUX_INFO */
#define VFIO_PASID_FEATURE_MEMORY	(1 << 2) /* REGISTER_MEMORY, AUX_MAP, ... */
#define VFIO_PASID_FEATURE_WINDOW	(1 << 3) /* SETUP, AUX_CREATE's window */
#define VFIO_PASID_FEATURE_HOT_RESET	(1 << 4) /* HOT_RESET_INFO */
#define VFIO_PASID_FEATURE_OWN_SPACE	(1 << 5) /* VFIO_AUX_OWN_SPACE */
#define VFIO_PASID_FEATURE_PROCESS	(1 << 6) /* VFIO_AUX_PROCESS */

/**
 * struct vfio_iommu_type1_pasid_request - VFIO_IOMMU_PASID_REQUEST
 * @argsz: size of the structure
 * @flags: exactly one of VFIO_IOMMU_FLAG_ALLOC_PASID and
 *         VFIO_IOMMU_FLAG_FREE_PASID
 * @range: the numbers
 * @range.min: the first number
 * @range.max: the last number, included
 *
 * ALLOC takes the highest free number of the range, narrowed to what the
 * module parameters pasid_min and pasid_max allow, and returns it. The number
 * is unique in the system.
 *
 * FREE gives back every number of the range that the process holds; holes and
 * numbers of kernel drivers and of other processes are skipped. Any range is
 * good. Returns 0. It frees nothing if a number of the range is in use.
 *
 * Errors:
 *
 *   EINVAL  neither or both of the flags; min > max
 *   ENOSPC  ALLOC: the process holds as many as the parameter pasid_quota
 *           allows, or no number of the range is free
 *   ENOMEM  ALLOC: no memory
 *   EBUSY   FREE: a number of the range has an aux space
 */
struct vfio_iommu_type1_pasid_request {
	__u32	argsz;
	__u32	flags;
#define VFIO_IOMMU_FLAG_ALLOC_PASID	(1 << 0)
#define VFIO_IOMMU_FLAG_FREE_PASID	(1 << 1)
	struct {
		__u32	min;
		__u32	max;
	} range;
};

#define VFIO_IOMMU_PASID_REQUEST	_IO(VFIO_TYPE, VFIO_BASE + 18)

/**
 * struct vfio_iommu_pasid_info - VFIO_IOMMU_PASID_INFO
 * @argsz: size of the structure
 * @flags: 0
 * @group: in: number of an IOMMU group of this container, or
 *         VFIO_PASID_NO_GROUP
 * @quota: out: how many PASIDs the process may hold
 * @used: out: how many it holds, with those that kernel drivers hold for it, and
 *        its own (VFIO_AUX_PROCESS)
 * @width: out: how many bits a PASID may have for the devices of the group;
 *         0 if it has no device that can use PASIDs, or several, or without a
 *         group
 * @caps: out: VFIO_PASID_CAP_*, what the device's PASID capability offers
 *        (vfio-pci hides that capability in config space), and whether a
 *        process space can be attached to it. If not, with a width above 0, the
 *        reason is that VFIO_PASID_CAP_SVA_IOMMU, _ATS or _SVA_ALLOWED is not
 *        there, or else that the process uses linear address masking
 * @reserved: 0
 *
 * Errors:
 *
 *   ENOENT  the group is not one of this container
 */
struct vfio_iommu_pasid_info {
	__u32	argsz;
	__u32	flags;
	__u32	group;
#define VFIO_PASID_NO_GROUP		(~(__u32)0)
	__u32	quota;
	__u32	used;
	__u32	width;
	__u32	caps;
#define VFIO_PASID_CAP_EXEC		(1 << 0) /* execute permission */
#define VFIO_PASID_CAP_PRIV		(1 << 1) /* privileged mode */
#define VFIO_PASID_CAP_SVA		(1 << 2) /* can have a process space */
#define VFIO_PASID_CAP_PRI		(1 << 3) /* may request pages */
#define VFIO_PASID_CAP_ATS		(1 << 4) /* may keep translations */
#define VFIO_PASID_CAP_SVA_IOMMU	(1 << 5) /* IOMMU walks processes */
#define VFIO_PASID_CAP_SVA_ALLOWED	(1 << 6) /* by the module's parameters */
	__u32	reserved;
};

#define VFIO_IOMMU_PASID_INFO		_IO(VFIO_TYPE, 0x40)

/**
 * struct vfio_iommu_register_memory - VFIO_IOMMU_REGISTER_MEMORY, VFIO_IOMMU_UNREGISTER_MEMORY
 * @argsz: size of the structure
 * @flags: REGISTER: VFIO_MEMORY_READ_ONLY: devices may only read. UNREGISTER: 0
 * @vaddr: start of a range of the caller's memory, in bytes, on a page boundary
 * @size: its size in bytes, a multiple of the page size
 *
 * Registered memory is what aux spaces can map, and the own space. Its pages are
 * pinned and charged to the process's locked memory (RLIMIT_MEMLOCK) once,
 * whatever number of containers register it and of spaces map it. They stay what
 * they were when they were registered: what the process does to its own mappings
 * later does not change what devices see.
 *
 * The very same range with the same flags can be registered again, which takes
 * as many UNREGISTER to undo. All goes with the last container of the process
 * that holds the range: soon after that has closed, not before the close
 * returns. REGISTER waits while another thread registers or unregisters
 * something that overlaps.
 *
 * Registering again says whether devices see what the process sees: if its page
 * tables have changed there, REGISTER compares its pages with the registered
 * ones. The same (after fork() or mprotect(), for example) is success; other
 * pages are EEXIST, and none, or such that must not be accessed so, EFAULT.
 * Neither changes anything: UNREGISTER, as often as it takes, and REGISTER for
 * the new pages. What changes during the call may be seen by the next only.
 *
 * Errors:
 *
 *   EINVAL      the range is empty, not page-aligned, or wraps around
 *
 * and of REGISTER:
 *
 *   EEXIST      it overlaps a range that is registered by this process and is
 *               not the same, or the same with other flags or other pages
 *   EFAULT      memory is not mapped (any more), or not writable (without
 *               VFIO_MEMORY_READ_ONLY), or cannot be pinned for long: device
 *               memory, memfd_secret(), writable shared mappings of files on a
 *               disk
 *   EOPNOTSUPP  the range is of a file on DAX
 *   ENOSPC      the process has as many ranges as the parameter region_limit
 *               allows
 *   ENOMEM      the process would exceed its RLIMIT_MEMLOCK; no memory
 *   EINTR       also: any signal came while it waited for another thread that
 *               registers or unregisters something that overlaps
 *
 * and of UNREGISTER:
 *
 *   ENOENT      this container does not hold that very range
 *   EBUSY       it is mapped in a space of this container, and this would be
 *               the last reference
 */
struct vfio_iommu_register_memory {
	__u32	argsz;
	__u32	flags;
#define VFIO_MEMORY_READ_ONLY		(1 << 0)
	__u64	vaddr;
	__u64	size;
};

#define VFIO_IOMMU_REGISTER_MEMORY	_IO(VFIO_TYPE, 0x41)
#define VFIO_IOMMU_UNREGISTER_MEMORY	_IO(VFIO_TYPE, 0x42)

/*
 * Aux spaces: IO address spaces of a container besides its own, each named by
 * its PASID. A device of the container that tags its requests with the PASID
 * addresses the aux space instead of the container's own space.
 *
 * Only the container that created a space can name it: for all others it is
 * ENOENT. A space goes with its container.
 *
 * VFIO_AUX_OWN_SPACE names the container's own space instead, that of
 * VFIO_IOMMU_MAP_DMA, which devices address with requests without a PASID: in
 * AUX_MAP, AUX_UNMAP and AUX_INFO. Registered memory in it is not pinned and
 * charged again. In AUX_DESTROY, AUX_ATTACH, AUX_DETACH, and AUX_CREATE with
 * VFIO_AUX_FIXED_PASID, it is EINVAL.
 */
#define VFIO_AUX_OWN_SPACE		0

/**
 * struct vfio_iommu_aux_create - VFIO_IOMMU_AUX_CREATE
 * @argsz: size of the structure
 * @flags: VFIO_AUX_FIXED_PASID: use @pasid, which the process holds and which
 *         has no space yet. Otherwise a number is taken that all PASID-capable
 *         groups of the container can use, and destroying frees it.
 *         VFIO_AUX_PROCESS, alone: the space is the address space of the process
 * @pasid: in with VFIO_AUX_FIXED_PASID; out: the name of the space
 * @reserved: 0
 * @iova_start: in: start of the requested IOVA window, in bytes; out: granted
 * @iova_size: in: its size in bytes, or 0 (and @iova_start 0) for all there is;
 *             out: granted, the largest page-aligned part of the request that the
 *             IOMMU can serve
 * @pgsize_bitmap: out: the page sizes that the space can map
 *
 * The space is empty and attached to nothing.
 *
 * With VFIO_AUX_PROCESS, devices that it is attached to use the addresses of the
 * process as the process itself does, with its rights in user mode: what it maps,
 * unmaps or protects, it does for them as well. Nothing is registered, mapped,
 * pinned or charged; AUX_MAP and AUX_UNMAP are EINVAL. The name of the space is
 * the number that the kernel gives the process for this (its SVA PASID), the same
 * in all containers of the process, each of which has one such space at most. The
 * process holds the number for as long as one of them has it, once. There is no
 * window and no page size: @iova_start, @iova_size and @pgsize_bitmap are 0.
 * When the process ends or executes another program, devices find nothing any
 * more. Before the first such space is created, a device that can have one must
 * be open. Root allows all this by the parameters process_space, and
 * process_space_pri for devices that may request pages.
 *
 * Errors:
 *
 *   EINVAL      the request wraps around, or has a start and no size; FIXED:
 *               VFIO_AUX_OWN_SPACE; PROCESS: also FIXED, or a window
 *   EOPNOTSUPP  no group of the container can use PASIDs; the IOMMU driver has
 *               no address spaces for them; PROCESS: of the open devices that
 *               can use PASIDs, none has VFIO_PASID_CAP_SVA, or the IOMMU
 *               driver refuses (AMD without amd_iommu=pgtbl_v2)
 *   ENODEV      PROCESS: no device is open that can use PASIDs
 *   ENOENT      FIXED: the process does not hold the number
 *   EBUSY       FIXED: the number has a space already; PROCESS: the container
 *               has the space already, or the process holds its number for
 *               something else; the number is taken on the device's group by
 *               someone else; the device is being reset
 *   ERANGE      nothing of the request can be served; FIXED: the number is wider
 *               than a group of the container can use; PROCESS: than the device
 *   ENOSPC      the quota or the range of numbers is used up; PROCESS: also the
 *               host's numbers that the device can use
 *   EINTR       PROCESS: also: any signal came while the process was bound
 *   ENOMEM      no memory
 */
struct vfio_iommu_aux_create {
	__u32	argsz;
	__u32	flags;
#define VFIO_AUX_FIXED_PASID		(1 << 0)
#define VFIO_AUX_PROCESS		(1 << 1)
	__u32	pasid;
	__u32	reserved;
	__u64	iova_start;
	__u64	iova_size;
	__u64	pgsize_bitmap;
};

#define VFIO_IOMMU_AUX_CREATE		_IO(VFIO_TYPE, 0x43)

/**
 * struct vfio_iommu_aux_destroy - VFIO_IOMMU_AUX_DESTROY
 * @argsz: size of the structure
 * @flags: 0
 * @pasid: the space
 * @reserved: 0
 *
 * Detaches the space from every group, unmaps everything and then lets go of
 * the number.
 *
 * Errors:
 *
 *   EINVAL  VFIO_AUX_OWN_SPACE
 *   ENOENT  no such space
 */
struct vfio_iommu_aux_destroy {
	__u32	argsz;
	__u32	flags;
	__u32	pasid;
	__u32	reserved;
};

#define VFIO_IOMMU_AUX_DESTROY		_IO(VFIO_TYPE, 0x44)

/**
 * struct vfio_iommu_aux_attach - VFIO_IOMMU_AUX_ATTACH, VFIO_IOMMU_AUX_DETACH
 * @argsz: size of the structure
 * @flags: 0
 * @pasid: the space
 * @group: number of a group of this container
 *
 * Attached, the PASID-capable device of the group addresses the space with
 * requests that carry the PASID. The device must be open through this
 * container; when it is closed for the last time, the space is detached, and
 * can be attached again after the device is opened again. The space itself is
 * left as it is. A reset of the device does not detach.
 *
 * Of a process space, both take the machine-wide lock of all that binds processes
 * to devices: they wait for others who do that, and these may wait for their own
 * memory.
 *
 * Errors:
 *
 *   EINVAL      VFIO_AUX_OWN_SPACE; ATTACH: the device cannot serve the space:
 *               it sits behind an IOMMU of another kind, differs in enforced
 *               cache coherency from the device that the space was created
 *               for, or has a reserved region in the window where the space
 *               has no hole
 *   ENOENT      no such space; the group is not one of this container;
 *               DETACH: the space is not attached to the group
 *
 * and of ATTACH:
 *
 *   EOPNOTSUPP  the group has no PASID-capable device, or several; its IOMMU
 *               driver cannot attach address spaces under a PASID; process
 *               space: the device has no VFIO_PASID_CAP_SVA, or the IOMMU
 *               driver refuses all the same
 *   ENODEV      the device is not open through this container
 *   ERANGE      the PASID is wider than the device can use
 *   EEXIST      the space is attached to the group already
 *   EBUSY       the PASID is taken on that group by someone else; the device
 *               is being reset
 *   ENOSPC      the process has as many attachments as it may have PASIDs, or
 *               the system as many as the parameter attachment_limit allows,
 *               or as leave the IOMMU enough domain ids for others
 *   EINTR       process space: also: any signal came while it was bound
 *   ENOMEM      no memory
 */
struct vfio_iommu_aux_attach {
	__u32	argsz;
	__u32	flags;
	__u32	pasid;
	__u32	group;
};

#define VFIO_IOMMU_AUX_ATTACH		_IO(VFIO_TYPE, 0x45)
#define VFIO_IOMMU_AUX_DETACH		_IO(VFIO_TYPE, 0x46)

/**
 * struct vfio_iommu_aux_map - VFIO_IOMMU_AUX_MAP
 * @argsz: size of the structure
 * @flags: what devices may do: VFIO_AUX_MAP_READ, VFIO_AUX_MAP_WRITE or both.
 *         (An IOMMU with first-stage tables cannot keep them from reading.)
 * @pasid: the space, or VFIO_AUX_OWN_SPACE
 * @reserved: 0
 * @vaddr: where in registered memory, in bytes
 * @iova: where in the space, in bytes
 * @size: how much, in bytes
 *
 * @vaddr, @iova and @size are multiples of the smallest page that the space can
 * map, and of the page size. Larger pages are used where the memory is
 * contiguous and all of its addresses are aligned to them.
 *
 * In the own space it is as if VFIO_IOMMU_MAP_DMA had mapped it, except that
 * nothing is pinned and charged: VFIO_IOMMU_UNMAP_DMA unmaps it, too, groups that
 * join get it, and dirty tracking and devices without an IOMMU see it. Its pages
 * are the registered ones, whatever is at @vaddr by then; only vfio_dma_rw() of
 * the kernel goes through @vaddr. VFIO_DMA_UNMAP_FLAG_VADDR is EBUSY as long as
 * the own space has such a mapping.
 *
 * Errors:
 *
 *   EINVAL  neither of the flags; @size is 0; something is not aligned or wraps
 *           around; a process space
 *   ENOENT  no such space; not all of the memory is in one range that is
 *           registered with this container
 *   ERANGE  not all of it is in the window, or some of it is in a hole; the
 *           IOMMU cannot address the memory
 *   EEXIST  something is mapped there, by whichever ioctl
 *   EACCES  VFIO_AUX_MAP_WRITE of a range that is VFIO_MEMORY_READ_ONLY
 *   EBUSY   own space: virtual addresses are invalid
 *           (VFIO_DMA_UNMAP_FLAG_VADDR)
 *   ENOSPC  the process has as many mappings as the parameter mapping_limit
 *           allows; own space: or the container as many as the parameter
 *           dma_entry_limit of vfio_iommu_type1
 *   ENOMEM  no memory; own space: or a page has too many references
 */
struct vfio_iommu_aux_map {
	__u32	argsz;
	__u32	flags;
#define VFIO_AUX_MAP_READ		(1 << 0)
#define VFIO_AUX_MAP_WRITE		(1 << 1)
	__u32	pasid;
	__u32	reserved;
	__u64	vaddr;
	__u64	iova;
	__u64	size;
};

#define VFIO_IOMMU_AUX_MAP		_IO(VFIO_TYPE, 0x47)

/**
 * struct vfio_iommu_aux_unmap - VFIO_IOMMU_AUX_UNMAP
 * @argsz: size of the structure
 * @flags: VFIO_AUX_UNMAP_ALL: everything, with @iova and @size 0
 * @pasid: the space, or VFIO_AUX_OWN_SPACE
 * @reserved: 0
 * @iova: start of a range of the space, in bytes
 * @size: in: its size in bytes; out: how many of them were mapped
 *
 * When this returns, devices cannot reach the memory any more. A range in which
 * nothing is mapped is no error. Mappings go as a whole. In the own space only
 * registered memory is unmapped: what VFIO_IOMMU_MAP_DMA has mapped stays, as if
 * it was not in the range.
 *
 * Errors:
 *
 *   EINVAL  the range is empty (without VFIO_AUX_UNMAP_ALL), not aligned as for
 *           VFIO_IOMMU_AUX_MAP, or wraps around; only a part of a mapping is in
 *           it; VFIO_AUX_UNMAP_ALL with a range; a process space
 *   ENOENT  no such space
 */
struct vfio_iommu_aux_unmap {
	__u32	argsz;
	__u32	flags;
#define VFIO_AUX_UNMAP_ALL		(1 << 0)
	__u32	pasid;
	__u32	reserved;
	__u64	iova;
	__u64	size;
};

#define VFIO_IOMMU_AUX_UNMAP		_IO(VFIO_TYPE, 0x48)

/**
 * struct vfio_iommu_aux_entry - something about an aux space
 * @type: VFIO_AUX_ENTRY_*, which says what the other fields are
 * @data: GROUP: the number of a group that the space is attached to;
 *        MAPPING: its VFIO_AUX_MAP_* flags
 * @iova: HOLE: where in the window nothing can be mapped; MAPPING: where it is
 * @size: HOLE, MAPPING: bytes
 * @vaddr: MAPPING: where in the memory of the process it was mapped to
 */
struct vfio_iommu_aux_entry {
	__u32	type;
#define VFIO_AUX_ENTRY_HOLE		1
#define VFIO_AUX_ENTRY_GROUP		2
#define VFIO_AUX_ENTRY_MAPPING		3
	__u32	data;
	__u64	iova;
	__u64	size;
	__u64	vaddr;
};

/**
 * struct vfio_iommu_aux_info - VFIO_IOMMU_AUX_INFO
 * @argsz: size of the structure with the room for @entries
 * @flags: in: any VFIO_AUX_INFO_*, which mean nothing; out: those that the space
 *         has. VFIO_AUX_INFO_PROCESS: it is the process
 * @pasid: the space, or VFIO_AUX_OWN_SPACE
 * @count: out: entries filled in
 * @iova_start: out: start of the IOVA window in bytes
 * @iova_size: out: its size in bytes
 * @pgsize_bitmap: out: the page sizes that the space can map
 * @cursor: in: 0 to begin, or what the last call left here; out: where to go
 *          on, 0 when nothing is left
 * @entries: out: as many as there is room for, in the order of their types and
 *           then of their @iova or @data
 *
 * What comes or goes between two calls may be missed; everything else is
 * reported once.
 *
 * Of the own space, the window is what VFIO_IOMMU_GET_INFO reports, and the holes
 * are what lies between its ranges; without an IOMMU it is all there is, counted
 * as 2^64 - 1 bytes. It is attached to all groups of the container, and only
 * mappings of registered memory are reported.
 *
 * Errors:
 *
 *   ENOENT  no such space
 *   ENOMEM  no memory
 */
struct vfio_iommu_aux_info {
	__u32	argsz;
	__u32	flags;
#define VFIO_AUX_INFO_PROCESS		(1 << 0)
	__u32	pasid;
	__u32	count;
	__u64	iova_start;
	__u64	iova_size;
	__u64	pgsize_bitmap;
	__u64	cursor;
	struct vfio_iommu_aux_entry entries[];
};

#define VFIO_IOMMU_AUX_INFO		_IO(VFIO_TYPE, 0x49)

/**
 * struct vfio_iommu_setup - VFIO_IOMMU_SETUP
 * @argsz: size of the structure
 * @flags: 0
 * @iova_start: in: start of the requested IOVA window, in bytes; out: granted
 * @iova_size: in: its size in bytes, or 0 (and @iova_start 0) for all there is;
 *             out: granted, the largest page-aligned part of the request that there
 *             is
 * @pgsize_bitmap: out: the page sizes that can be mapped
 *
 * Narrows the container's own IO address space, that of VFIO_IOMMU_MAP_DMA, to a
 * window. From then on VFIO_IOMMU_MAP_DMA outside of it is EINVAL, and
 * VFIO_IOMMU_GET_INFO reports what is left, reserved regions taken out. It can
 * be narrowed again, not widened; the window goes with the container.
 *
 * Errors:
 *
 *   EINVAL      the request wraps around, or has a start and no size
 *   ERANGE      nothing of the request is there
 *   EBUSY       something is mapped outside of the window
 *   EOPNOTSUPP  no group of the container has an IOMMU
 *   ENOMEM      no memory
 */
struct vfio_iommu_setup {
	__u32	argsz;
	__u32	flags;
	__u64	iova_start;
	__u64	iova_size;
	__u64	pgsize_bitmap;
};

#define VFIO_IOMMU_SETUP		_IO(VFIO_TYPE, 0x4a)

/**
 * struct vfio_iommu_hot_reset_info - VFIO_IOMMU_HOT_RESET_INFO
 * @argsz: size of the structure with the room for @devices
 * @flags: in: 0; out: VFIO_PCI_HOT_RESET_FLAG_DEV_ID, and
 *         VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED if no device below is
 *         VFIO_PCI_DEVID_NOT_OWNED
 * @segment: PCI segment of a device that is open through this container
 * @bus: its bus
 * @devfn: its device and function
 * @count: out: how many devices VFIO_DEVICE_PCI_HOT_RESET of that device hits,
 *         itself included
 * @devices: out: those devices. Of each, @devid is
 *           > 0                       represented in the dev_set, and open
 *                                     through this container; a number that no
 *                                     other device has, and that it keeps while
 *                                     bound to its driver
 *           VFIO_PCI_DEVID_OWNED      not open here, but represented in the
 *                                     dev_set, and its IOMMU group is in this
 *                                     container
 *           VFIO_PCI_DEVID_NOT_OWNED  anything else. A device that is not
 *                                     bound to a vfio driver is not in the
 *                                     dev_set
 *
 * This is what VFIO_DEVICE_GET_PCI_HOT_RESET_INFO tells users of iommufd. The
 * two requirements of VFIO_DEVICE_PCI_HOT_RESET are that all affected devices
 * are represented in the dev_set and that the user owns all of them; OWNED says
 * that both are met with the group descriptors of this container.
 *
 * Errors:
 *
 *   ENOENT  no such device is open through this container. One in a segment above
 *           0xffff (VMD) cannot be asked for, as @segment cannot say it
 *   ENODEV  also: neither its slot nor its bus can be reset
 *   ENOSPC  more devices than there is room for; only @count is filled in
 *   EAGAIN  a device was added, the slot changed, or a group or a device of this
 *           container came or went meanwhile: try again
 *   ENOMEM  no memory
 */
struct vfio_iommu_hot_reset_info {
	__u32	argsz;
	__u32	flags;
	__u16	segment;
	__u8	bus;
	__u8	devfn;
	__u32	count;
	struct vfio_pci_dependent_device devices[];
};

#define VFIO_IOMMU_HOT_RESET_INFO	_IO(VFIO_TYPE, 0x4b)

#endif /* _UAPI_LINUX_VFIO_PASID_H */
