// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/vfio_pasid/held: a seq_file of records, each of which is
 * looked up when its turn comes. The `kernel` crate has files only that are
 * written in one go.
 *
 * To be read by root only: with more permissions, or an ioctl or mmap, debugfs
 * would refuse it to a kernel that is locked down.
 */
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "records.h"

static void *records_find(struct seq_file *seq, loff_t index)
{
	int ret = vfio_pasid_records_find(seq->private, index);

	if (ret < 0)
		return ERR_PTR(ret);
	return ret ? seq->private : NULL;
}

static void *records_start(struct seq_file *seq, loff_t *index)
{
	return records_find(seq, *index);
}

static void *records_next(struct seq_file *seq, void *reader, loff_t *index)
{
	return records_find(seq, ++*index);
}

static void records_stop(struct seq_file *seq, void *reader)
{
}

static int records_show(struct seq_file *seq, void *reader)
{
	vfio_pasid_records_show(reader, seq);
	return 0;
}

static const struct seq_operations records_seq_ops = {
	.start = records_start,
	.next = records_next,
	.stop = records_stop,
	.show = records_show,
};

static int records_open(struct inode *inode, struct file *file)
{
	struct vfio_pasid_reader *reader = vfio_pasid_records_open();
	int ret;

	if (!reader)
		return -ENOMEM;
	ret = seq_open(file, &records_seq_ops);
	if (ret) {
		vfio_pasid_records_close(reader);
		return ret;
	}
	((struct seq_file *)file->private_data)->private = reader;
	return 0;
}

static int records_release(struct inode *inode, struct file *file)
{
	struct seq_file *seq = file->private_data;

	vfio_pasid_records_close(seq->private);
	return seq_release(inode, file);
}

/* Who has it open keeps the module, and with it all that is looked at. */
static const struct file_operations records_fops = {
	.owner = THIS_MODULE,
	.open = records_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = records_release,
};

void vfio_pasid_records_create(void)
{
	struct dentry *parent = debugfs_lookup(KBUILD_MODNAME, NULL);

	if (IS_ERR_OR_NULL(parent))
		return;
	debugfs_create_file("held", 0400, parent, NULL, &records_fops);
	dput(parent);
}
