// SPDX-License-Identifier: GPL-2.0-only

#include "user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/fuse.h>
#include <linux/userfaultfd.h>

/* FUSE */

#define NOBODY		65534
#define NODE		2
#define FILE_NAME	"/tmp/page"

/* What the server says to the test. */
enum {
	MOUNTED,	/* or a negative errno; the file follows */
	READ_CAME,
};

struct server {
	int socket;
	int device;	/* /dev/fuse */
};

static void reply(const struct server *server, const struct fuse_in_header *to,
		  int error, const void *payload, size_t size)
{
	struct fuse_out_header header = {
		.len = sizeof(header) + size,
		.error = error,
		.unique = to->unique,
	};
	u8 message[256];

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), payload, size);
	/* Nobody may want the answer any more, which is no error of ours. */
	if (write(server->device, message, header.len) < 0 && errno != ENOENT)
		_exit(1);
}

static struct fuse_attr attributes(u64 node)
{
	return (struct fuse_attr) {
		.ino = node,
		.size = node == NODE ? PAGE : 0,
		.mode = node == NODE ? S_IFREG | 0644 : S_IFDIR | 0755,
		.nlink = 1,
		.blksize = PAGE,
	};
}

static void answer(const struct server *server,
		   const struct fuse_in_header *request)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		/* Without FUSE_ASYNC_READ, a signal does not end the wait. */
		.max_write = PAGE,
	};
	struct fuse_entry_out entry = {
		.nodeid = NODE,
		.entry_valid = 3600,
		.attr_valid = 3600,
		.attr = attributes(NODE),
	};
	struct fuse_attr_out attr = {
		.attr_valid = 3600,
		.attr = attributes(request->nodeid),
	};
	struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };

	switch (request->opcode) {
	case FUSE_INIT:
		reply(server, request, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		reply(server, request, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		reply(server, request, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(server, request, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		say(server->socket, READ_CAME);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(server, request, -EOPNOTSUPP, NULL, 0);
	}
}

static void *serve(void *arg)
{
	static u8 request[FUSE_MIN_READ_BUFFER + PAGE];
	struct server *server = arg;

	while (read(server->device, request, sizeof(request)) > 0)
		answer(server, (void *)request);
	return NULL;
}

/* A user without privileges, who is root in a namespace of his own. */
static int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	/* Both are lost with the old user. */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	return write_file("/proc/self/setgroups", "deny") ?:
	       write_file("/proc/self/uid_map", "0 65534 1") ?:
	       write_file("/proc/self/gid_map", "0 65534 1");
}

static int mount_it(struct server *server, enum fuse_mounter mounter)
{
	char options[64];
	int ret = 0;

	if (mounter == FUSE_NOBODY)
		ret = become_nobody();
	else if (unshare(CLONE_NEWNS))
		ret = -errno;
	if (ret)
		return ret;
	/* Not before: who opens it must be who mounts. */
	server->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (server->device < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", server->device);
	if (mount("page", "/tmp", "fuse", MS_NOSUID | MS_NODEV, options))
		return -errno;
	return 0;
}

static void run_server(int socket, void *arg)
{
	struct server server = { .socket = socket };
	pthread_t thread;
	int ret, fd;

	ret = mount_it(&server, *(enum fuse_mounter *)arg);
	if (!ret)
		ret = -pthread_create(&thread, NULL, serve, &server);
	if (!ret) {
		fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
		ret = fd < 0 ? -errno : 0;
	}
	say(socket, ret ?: MOUNTED);
	if (ret || send_fds(socket, &fd, 1))
		return;
	/* Now, as closing is a request too, which wants an answer. */
	close(fd);
	pthread_join(thread, NULL);
}

int fuse_start(struct fuse_file *file, enum fuse_mounter mounter)
{
	int ret;

	file->fd = -1;
	/* As udev would have it. */
	if (chmod("/dev/fuse", 0666))
		return -errno;
	ret = peer_start(&file->server, run_server, &mounter);
	if (ret)
		return ret;
	ret = hear(file->server.socket);
	if (ret == MOUNTED)
		ret = receive_fds(file->server.socket, &file->fd, 1);
	if (ret)
		peer_kill(&file->server);
	return ret;
}

static int wait_for_input(int fd, int milliseconds)
{
	struct pollfd input = { .fd = fd, .events = POLLIN };
	int ret = poll(&input, 1, milliseconds);

	return ret < 0 ? -errno : ret ? 0 : -ETIMEDOUT;
}

int fuse_wait(struct fuse_file *file, int milliseconds)
{
	int ret = wait_for_input(file->server.socket, milliseconds);

	if (!ret && hear(file->server.socket) != READ_CAME)
		ret = -EPIPE;
	return ret;
}

/* Whoever reads must have a number in the namespace of the server. */
void fuse_become_user(void)
{
	setfsgid(NOBODY);
	setfsuid(NOBODY);
}

void fuse_abort(struct fuse_file *file)
{
	peer_kill(&file->server);
	close_fd(&file->fd);
}

/* userfaultfd */

int uffd_open(void *page, enum uffd_blocks blocks)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
		.mode = blocks == UFFD_ALL ? UFFDIO_REGISTER_MODE_MISSING :
					     UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect protect = {
		.range = range.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd, ret = 0;

	/* The faults of the kernel are what it is for, so not USER_MODE_ONLY. */
	fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range) ||
	    (blocks == UFFD_WRITES && ioctl(fd, UFFDIO_WRITEPROTECT, &protect))) {
		ret = -errno;
		close(fd);
	}
	return ret ?: fd;
}

int uffd_wait(int fd, int milliseconds)
{
	struct uffd_msg message;
	int ret = wait_for_input(fd, milliseconds);

	if (!ret && read(fd, &message, sizeof(message)) != sizeof(message))
		ret = -EPIPE;
	return ret;
}

int uffd_serve(int fd, void *page, enum uffd_blocks blocks,
	       const void *content)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page,
		.src = (uintptr_t)content,
		.len = PAGE,
	};
	struct uffdio_writeprotect allow = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
	};

	if (blocks == UFFD_ALL)
		return ioctl(fd, UFFDIO_COPY, &copy) ? -errno : 0;
	return ioctl(fd, UFFDIO_WRITEPROTECT, &allow) ? -errno : 0;
}
