// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints, for trace.rs: the kernel crate's declare_trace! looks for
 * tracepoints in the kernel's own bindings only.
 */
#define CREATE_TRACE_POINTS
#include <trace/events/vfio_pasid.h>

#include "trace.h"

#define DEFINE_MEMORY(event)						\
	void vfio_pasid_helper_trace_##event(u64 vaddr, u64 size,	\
					     bool writable)		\
	{								\
		trace_vfio_pasid_##event(vaddr, size, writable);	\
	}

DEFINE_MEMORY(pin)
DEFINE_MEMORY(unpin)
DEFINE_MEMORY(register)
DEFINE_MEMORY(unregister)

void vfio_pasid_helper_trace_map(u32 pasid, u64 iova, u64 size, bool read,
				 bool write)
{
	trace_vfio_pasid_map(pasid, iova, size, read, write);
}

void vfio_pasid_helper_trace_unmap(u32 pasid, u64 iova, u64 size, bool read,
				   bool write)
{
	trace_vfio_pasid_unmap(pasid, iova, size, read, write);
}

void vfio_pasid_helper_trace_attach(struct device *dev, u32 pasid)
{
	trace_vfio_pasid_attach(dev, pasid);
}

void vfio_pasid_helper_trace_detach(struct device *dev, u32 pasid)
{
	trace_vfio_pasid_detach(dev, pasid);
}
