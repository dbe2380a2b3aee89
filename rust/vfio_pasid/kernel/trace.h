/* SPDX-License-Identifier: GPL-2.0-only */
/* What trace.c offers to trace.rs, which declares it anew. */
#ifndef _VFIO_PASID_TRACE_H
#define _VFIO_PASID_TRACE_H

#include <linux/types.h>

struct device;

void vfio_pasid_helper_trace_pin(u64 vaddr, u64 size, bool writable);
void vfio_pasid_helper_trace_unpin(u64 vaddr, u64 size, bool writable);
void vfio_pasid_helper_trace_register(u64 vaddr, u64 size, bool writable);
void vfio_pasid_helper_trace_unregister(u64 vaddr, u64 size, bool writable);
void vfio_pasid_helper_trace_map(u32 pasid, u64 iova, u64 size, bool read,
				 bool write);
void vfio_pasid_helper_trace_unmap(u32 pasid, u64 iova, u64 size, bool read,
				   bool write);
void vfio_pasid_helper_trace_attach(struct device *dev, u32 pasid);
void vfio_pasid_helper_trace_detach(struct device *dev, u32 pasid);

#endif /* _VFIO_PASID_TRACE_H */
