/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happens to registered memory and aux spaces. Events come in pairs: pin
 * and unpin, register and unregister, map and unmap, attach and detach. Each
 * comes when the thing is done: after an unmap or a detach the device cannot
 * reach the memory any more.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_pasid

#if !defined(_TRACE_VFIO_PASID_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_PASID_H

#include <linux/device.h>
#include <linux/tracepoint.h>

/* A range of a process's memory: address and size in bytes. */
DECLARE_EVENT_CLASS(vfio_pasid_memory,
	TP_PROTO(u64 vaddr, u64 size, bool writable),
	TP_ARGS(vaddr, size, writable),
	TP_STRUCT__entry(
		__field(u64, vaddr)
		__field(u64, size)
		__field(bool, writable)
	),
	TP_fast_assign(
		__entry->vaddr = vaddr;
		__entry->size = size;
		__entry->writable = writable;
	),
	TP_printk("vaddr=%#llx size=%#llx writable=%d",
		  __entry->vaddr, __entry->size, __entry->writable)
);

/* Its pages were pinned, once for all containers of the process. */
DEFINE_EVENT(vfio_pasid_memory, vfio_pasid_pin,
	TP_PROTO(u64 vaddr, u64 size, bool writable),
	TP_ARGS(vaddr, size, writable)
);

DEFINE_EVENT(vfio_pasid_memory, vfio_pasid_unpin,
	TP_PROTO(u64 vaddr, u64 size, bool writable),
	TP_ARGS(vaddr, size, writable)
);

/* A container holds it. Registering it again is a pair: nothing more is held. */
DEFINE_EVENT(vfio_pasid_memory, vfio_pasid_register,
	TP_PROTO(u64 vaddr, u64 size, bool writable),
	TP_ARGS(vaddr, size, writable)
);

DEFINE_EVENT(vfio_pasid_memory, vfio_pasid_unregister,
	TP_PROTO(u64 vaddr, u64 size, bool writable),
	TP_ARGS(vaddr, size, writable)
);

/* IO addresses of an aux space: start and size in bytes. */
DECLARE_EVENT_CLASS(vfio_pasid_mapping,
	TP_PROTO(u32 pasid, u64 iova, u64 size, bool read, bool write),
	TP_ARGS(pasid, iova, size, read, write),
	TP_STRUCT__entry(
		__field(u64, iova)
		__field(u64, size)
		__field(u32, pasid)
		__field(bool, read)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->iova = iova;
		__entry->size = size;
		__entry->pasid = pasid;
		__entry->read = read;
		__entry->write = write;
	),
	TP_printk("pasid=%u iova=%#llx size=%#llx read=%d write=%d",
		  __entry->pasid, __entry->iova, __entry->size, __entry->read,
		  __entry->write)
);

DEFINE_EVENT(vfio_pasid_mapping, vfio_pasid_map,
	TP_PROTO(u32 pasid, u64 iova, u64 size, bool read, bool write),
	TP_ARGS(pasid, iova, size, read, write)
);

DEFINE_EVENT(vfio_pasid_mapping, vfio_pasid_unmap,
	TP_PROTO(u32 pasid, u64 iova, u64 size, bool read, bool write),
	TP_ARGS(pasid, iova, size, read, write)
);

/* A domain on a device under a PASID: an aux space's, or a kernel driver's. */
DECLARE_EVENT_CLASS(vfio_pasid_attachment,
	TP_PROTO(struct device *dev, u32 pasid),
	TP_ARGS(dev, pasid),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u32, pasid)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->pasid = pasid;
	),
	TP_printk("dev=%s pasid=%u", __get_str(dev), __entry->pasid)
);

DEFINE_EVENT(vfio_pasid_attachment, vfio_pasid_attach,
	TP_PROTO(struct device *dev, u32 pasid),
	TP_ARGS(dev, pasid)
);

DEFINE_EVENT(vfio_pasid_attachment, vfio_pasid_detach,
	TP_PROTO(struct device *dev, u32 pasid),
	TP_ARGS(dev, pasid)
);

#endif /* _TRACE_VFIO_PASID_H */

#include <trace/define_trace.h>
