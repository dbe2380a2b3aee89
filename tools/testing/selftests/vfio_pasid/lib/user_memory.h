/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User memory that takes as long as somebody likes: a page of userfaultfd, or
 * of a file on FUSE. Whoever touches it waits until it is served.
 */
#ifndef USER_MEMORY_H
#define USER_MEMORY_H

#include "vfio_pasid_utils.h"

/*
 * A file on FUSE that can be opened and mapped, and never read. It is served by
 * a child: one without privileges, which mounts it in a user namespace of its
 * own, or root, as fusermount does for users. The kernel's own threads can wait
 * for the latter only.
 */
enum fuse_mounter {
	FUSE_NOBODY,
	FUSE_ROOT,
};

struct fuse_file {
	struct peer server;
	int fd;
};

int fuse_start(struct fuse_file *file, enum fuse_mounter mounter);
/* Waits until somebody waits for a page of it: 0, or -ETIMEDOUT. */
int fuse_wait(struct fuse_file *file, int milliseconds);
/* Only its user can read it: makes this thread one of his. */
void fuse_become_user(void);
/* Kills the server: whoever waits has touched memory that is not there. */
void fuse_abort(struct fuse_file *file);

/* What userfaultfd keeps from a page of this process. */
enum uffd_blocks {
	UFFD_ALL,	/* all access: the page is not there */
	UFFD_WRITES,	/* writing: the page is there */
};

/* The descriptor that it is served with, which another process may do. */
int uffd_open(void *page, enum uffd_blocks blocks);
int uffd_wait(int fd, int milliseconds);
/* Lets @page have @content, or be written: who waits goes on. */
int uffd_serve(int fd, void *page, enum uffd_blocks blocks,
	       const void *content);

#endif /* USER_MEMORY_H */
