/* SPDX-License-Identifier: GPL-2.0-only */
/* Between records.c and Rust. */
#ifndef _VFIO_PASID_RECORDS_H
#define _VFIO_PASID_RECORDS_H

#include <linux/types.h>

struct seq_file;
struct vfio_pasid_reader;

/* records.c */
void vfio_pasid_records_create(void);

/* exports.rs, which documents them */
struct vfio_pasid_reader *vfio_pasid_records_open(void);
void vfio_pasid_records_close(struct vfio_pasid_reader *reader);
int vfio_pasid_records_find(struct vfio_pasid_reader *reader, u64 index);
void vfio_pasid_records_show(struct vfio_pasid_reader *reader,
			     struct seq_file *seq);

#endif /* _VFIO_PASID_RECORDS_H */
