// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nobody waits for somebody else's memory. A caller gives an ioctl memory that
 * is never served; while it sits there, other threads, other processes and root
 * do what they like, and each of them has done it in time.
 *
 *   00:08.0  port ── 00.0 SLOT       the caller's
 *                    00.1 OTHER      in its dev_set, but not in its IOMMU group
 *                    00.2            no driver, so that the slot is not reset
 *   00:10.0  UNRELATED
 *   00:11.0  PASID                   the caller's as well, with PASIDs
 *
 * What waits under the kernel's own type1 may wait under ours, so the same
 * is asked of it, where it has the ioctl.
 */
#include <kselftest_harness.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "conventions.h"
#include "user_memory.h"

/*
 * Milliseconds: what each step may take (100 at most, under the kernel's own
 * type1, without KVM), and what it is given when another was late already.
 */
#define IN_TIME		2000
#define IN_VAIN		500
/* How long it may take to undo everything, when the memory is there. */
#define UNDOING		20000

#define IOVA		0x200000
#define SPARE_IOVA	0x400000

enum { SLOT, OTHER, UNRELATED, PASID, FUNCTIONS };

static const char * const places[FUNCTIONS] = {
	[SLOT] = "0000:00:08.0/*:00.0",
	[OTHER] = "0000:00:08.0/*:00.1",
	[UNRELATED] = "0000:00:10.0",
	[PASID] = "0000:00:11.0",
};

/* Where the ioctl meets memory that blocks. */
enum meets {
	READING,	/* its argument */
	WRITING,	/* its argument, which it could read */
	ENTRIES,	/* what it writes behind its argument */
	MEMORY,		/* the memory that it pins, or the bitmap it fills */
};

enum memory { USERFAULTFD, FUSE };

union any_argument {
	union argument ours;
	struct vfio_iommu_type1_info info;
	struct vfio_iommu_type1_dma_map map;
	struct vfio_iommu_type1_dma_unmap unmap;
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	};
	struct vfio_iommu_hot_reset_info reset;
	u8 bytes[512];
};

/* What the test and its processes share. */
struct shared {
	enum type1 type1;
	unsigned long request;
	enum meets meets;
	enum memory memory;
	struct function functions[FUNCTIONS];
	int file;		/* on FUSE */
	/* Of the caller: */
	int uffd;
	char *page;		/* that blocks */
	union any_argument content;	/* of that page, when it is served */
	pid_t blocked;		/* the thread */
	bool done;
	long result;
};

/* The caller's own. */
struct caller {
	int container;
	int slot_group, slot;
	int pasid_group, pasid;
	char *memory;		/* registered: one page mapped, one not */
	long space, spare;	/* attached and mapped; neither */
	void *argument;
	pthread_t thread;
};

static struct caller caller;

static int open_group(const struct function *function)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", function->group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_in(int container, const struct function *function, int *group)
{
	int ret;

	*group = open_group(function);
	ret = *group < 0 ? *group : set_container(*group, container);
	return ret;
}

static int open_device(int group, const struct function *function)
{
	return call(group, VFIO_GROUP_GET_DEVICE_FD, (void *)function->address);
}

/* The caller. */

static bool needs_own_mapping(const struct shared *shared)
{
	return shared->request == VFIO_IOMMU_UNMAP_DMA ||
	       shared->request == VFIO_IOMMU_DIRTY_PAGES;
}

/* Root can unbind the device of a caller that never opened it. */
static bool opens_devices(const struct shared *shared)
{
	return shared->memory == USERFAULTFD || shared->meets != READING;
}

/* What only ours has, so that closing has something to undo. */
static int fill_container(const struct shared *shared)
{
	u32 group = shared->functions[PASID].group;
	int fd = caller.container, ret;

	ret = register_pages(fd, 0, caller.memory, 0, 1) ?:
	      register_pages(fd, 0, caller.memory, 1, 1);
	if (ret)
		return ret;
	caller.space = aux_create(fd);
	caller.spare = aux_create(fd);
	if (caller.space < 0 || caller.spare < 0)
		return caller.space < 0 ? caller.space : caller.spare;
	if (opens_devices(shared))
		ret = aux_attach(fd, caller.space, group);
	return ret ?: aux_map(fd, caller.space, VFIO_AUX_MAP_READ,
			      caller.memory, IOVA, PAGE);
}

static long open_all(struct shared *shared)
{
	int ret;

	caller.memory = new_pages(3);
	if (!caller.memory)
		return -ENOMEM;
	memset(caller.memory, 1, 3 * PAGE);
	caller.container = container_node();
	if (caller.container < 0)
		return caller.container;
	ret = open_in(caller.container, &shared->functions[SLOT],
		      &caller.slot_group) ?:
	      open_in(caller.container, &shared->functions[PASID],
		      &caller.pasid_group) ?:
	      set_iommu(caller.container, VFIO_TYPE1v2_IOMMU);
	if (ret)
		return ret;
	if (opens_devices(shared)) {
		caller.slot = open_device(caller.slot_group,
					  &shared->functions[SLOT]);
		caller.pasid = open_device(caller.pasid_group,
					   &shared->functions[PASID]);
		if (caller.slot < 0 || caller.pasid < 0)
			return caller.slot < 0 ? caller.slot : caller.pasid;
	}
	if (needs_own_mapping(shared))
		ret = map_dma(caller.container, caller.memory, IOVA, PAGE);
	if (!ret && shared->request == VFIO_IOMMU_DIRTY_PAGES)
		ret = track_dirty(caller.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	if (!ret && shared->type1 == TYPE1_SHIM)
		ret = fill_container(shared);
	return ret;
}

/* An argument that is good; returns its size without what follows it. */
static size_t fill_argument(const struct shared *shared, union any_argument *arg)
{
	const struct function *slot = &shared->functions[SLOT];
	u32 group = shared->functions[PASID].group;
	size_t size = 0;

	*arg = (union any_argument) { .bytes = { 0 } };
	switch (shared->request) {
	case VFIO_IOMMU_PASID_REQUEST:
		arg->ours.request.flags = VFIO_IOMMU_FLAG_ALLOC_PASID;
		arg->ours.request.range.min = 500;
		arg->ours.request.range.max = 600;
		size = sizeof(arg->ours.request);
		break;
	case VFIO_IOMMU_PASID_INFO:
		arg->ours.info.group = group;
		size = sizeof(arg->ours.info);
		break;
	case VFIO_IOMMU_REGISTER_MEMORY:
		arg->ours.memory.vaddr = (uintptr_t)(caller.memory + 2 * PAGE);
		if (shared->meets == MEMORY)
			arg->ours.memory.vaddr = (uintptr_t)shared->page;
		arg->ours.memory.size = PAGE;
		size = sizeof(arg->ours.memory);
		break;
	case VFIO_IOMMU_UNREGISTER_MEMORY:
		arg->ours.memory.vaddr = (uintptr_t)(caller.memory + PAGE);
		arg->ours.memory.size = PAGE;
		size = sizeof(arg->ours.memory);
		break;
	case VFIO_IOMMU_AUX_CREATE:
		size = sizeof(arg->ours.create);
		break;
	case VFIO_IOMMU_AUX_DESTROY:
		arg->ours.destroy.pasid = caller.space;
		size = sizeof(arg->ours.destroy);
		break;
	case VFIO_IOMMU_AUX_ATTACH:
	case VFIO_IOMMU_AUX_DETACH:
		arg->ours.attach.pasid = caller.space;
		if (shared->request == VFIO_IOMMU_AUX_ATTACH)
			arg->ours.attach.pasid = caller.spare;
		arg->ours.attach.group = group;
		size = sizeof(arg->ours.attach);
		break;
	case VFIO_IOMMU_AUX_MAP:
		arg->ours.map.flags = VFIO_AUX_MAP_READ;
		arg->ours.map.pasid = caller.space;
		arg->ours.map.vaddr = (uintptr_t)caller.memory;
		arg->ours.map.iova = SPARE_IOVA;
		arg->ours.map.size = PAGE;
		size = sizeof(arg->ours.map);
		break;
	case VFIO_IOMMU_AUX_UNMAP:
		arg->ours.unmap.pasid = caller.space;
		arg->ours.unmap.iova = IOVA;
		arg->ours.unmap.size = PAGE;
		size = sizeof(arg->ours.unmap);
		break;
	case VFIO_IOMMU_AUX_INFO:
		arg->ours.aux_info.pasid = caller.space;
		size = sizeof(arg->ours.aux_info);
		break;
	case VFIO_IOMMU_SETUP:
		size = sizeof(arg->ours.setup);
		break;
	case VFIO_IOMMU_HOT_RESET_INFO:
		arg->reset.segment = slot->segment;
		arg->reset.bus = slot->bus;
		arg->reset.devfn = slot->devfn;
		size = sizeof(arg->reset);
		break;
	case VFIO_IOMMU_GET_INFO:
		size = sizeof(arg->info);
		break;
	case VFIO_IOMMU_MAP_DMA:
		arg->map.flags = VFIO_DMA_MAP_FLAG_READ;
		arg->map.vaddr = (uintptr_t)caller.memory;
		if (shared->meets == MEMORY)
			arg->map.vaddr = (uintptr_t)shared->page;
		arg->map.iova = SPARE_IOVA;
		arg->map.size = PAGE;
		size = sizeof(arg->map);
		break;
	case VFIO_IOMMU_UNMAP_DMA:
		arg->unmap.iova = IOVA;
		arg->unmap.size = PAGE;
		size = sizeof(arg->unmap);
		break;
	case VFIO_IOMMU_DIRTY_PAGES:
		size = sizeof(arg->dirty);
		arg->dirty.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
		if (shared->meets != MEMORY)
			break;
		arg->dirty.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
		arg->get.iova = IOVA;
		arg->get.size = PAGE;
		arg->get.bitmap.pgsize = PAGE;
		arg->get.bitmap.size = sizeof(u64);
		arg->get.bitmap.data = (void *)shared->page;
		size += sizeof(arg->get);
		break;
	}
	/* Each begins with it. There is room for all that follows. */
	arg->ours.argsz = size;
	if (shared->request == VFIO_IOMMU_AUX_INFO ||
	    shared->request == VFIO_IOMMU_HOT_RESET_INFO ||
	    shared->request == VFIO_IOMMU_GET_INFO)
		arg->ours.argsz = sizeof(*arg);
	return size;
}

static enum uffd_blocks what_uffd_blocks(const struct shared *shared)
{
	return shared->meets == WRITING ? UFFD_WRITES : UFFD_ALL;
}

/* A page that can be used, and behind it the one that blocks. */
static int lay_out(struct shared *shared)
{
	char *pages = new_pages(2);
	size_t size;

	if (!pages)
		return -ENOMEM;
	shared->page = pages + PAGE;
	size = fill_argument(shared, &shared->content);
	switch (shared->meets) {
	case READING:
		caller.argument = shared->page;
		break;
	case WRITING:
		caller.argument = shared->page;
		memcpy(shared->page, &shared->content, sizeof(shared->content));
		break;
	case ENTRIES:
		caller.argument = shared->page - size;
		memcpy(caller.argument, &shared->content, size);
		break;
	case MEMORY:
		caller.argument = pages;
		memcpy(pages, &shared->content, sizeof(shared->content));
		break;
	}
	if (shared->memory == FUSE)
		return mmap(shared->page, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_FIXED, shared->file, 0) ==
		       MAP_FAILED ? -errno : 0;
	shared->uffd = uffd_open(shared->page, what_uffd_blocks(shared));
	return shared->uffd < 0 ? shared->uffd : 0;
}

static void *sit_there(void *arg)
{
	struct shared *shared = arg;

	if (shared->memory == FUSE)
		fuse_become_user();
	shared->blocked = gettid();
	shared->result = call(caller.container, shared->request, caller.argument);
	__atomic_store_n(&shared->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static long block(struct shared *shared)
{
	return lay_out(shared) ?:
	       -pthread_create(&caller.thread, NULL, sit_there, shared);
}

static long close_devices(struct shared *shared)
{
	(void)shared;
	close_fd(&caller.slot);
	close_fd(&caller.pasid);
	return 0;
}

/* The last group leaves when root unbinds it, or when the caller closes it. */
static bool last_is_unbound(const struct shared *shared)
{
	return shared->memory == USERFAULTFD;
}

static long close_first_group(struct shared *shared)
{
	if (last_is_unbound(shared))
		close_fd(&caller.pasid_group);
	return 0;
}

static long close_groups(struct shared *shared)
{
	(void)shared;
	close_fd(&caller.pasid_group);
	close_fd(&caller.slot_group);
	return 0;
}

static long close_container(struct shared *shared)
{
	(void)shared;
	close_fd(&caller.container);
	return 0;
}

/* Other users, and root. */

static long use(const struct function *function)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int container = container_node(), group = -1, device = -1;
	void *memory = new_pages(1);
	long ret = container < 0 ? container : memory ? 0 : -ENOMEM;

	if (!ret)
		ret = open_in(container, function, &group);
	if (!ret)
		ret = set_iommu(container, VFIO_TYPE1v2_IOMMU);
	if (!ret) {
		device = open_device(group, function);
		ret = device < 0 ? device : 0;
	}
	if (!ret)
		ret = call(device, VFIO_DEVICE_GET_INFO, &info);
	if (!ret)
		ret = map_dma(container, memory, IOVA, PAGE);
	if (!ret)
		ret = unmap_dma(container, IOVA, PAGE) - PAGE;
	close_fd(&device);
	close_fd(&group);
	close_fd(&container);
	munmap(memory, PAGE);
	return ret;
}

static long use_other_function(struct shared *shared)
{
	return use(&shared->functions[OTHER]);
}

static long use_unrelated_function(struct shared *shared)
{
	return use(&shared->functions[UNRELATED]);
}

static long use_callers_function(struct shared *shared)
{
	return use(&shared->functions[SLOT]);
}

static long unbind(struct shared *shared)
{
	return function_bind(&shared->functions[SLOT], NULL);
}

static long bind_again(struct shared *shared)
{
	return function_bind(&shared->functions[SLOT], "vfio-pci");
}

static long unbind_unrelated(struct shared *shared)
{
	return function_bind(&shared->functions[UNRELATED], NULL);
}

static long bind_unrelated(struct shared *shared)
{
	return function_bind(&shared->functions[UNRELATED], "vfio-pci");
}

/* Who does what, in processes of their own: the test itself never waits. */

enum who { CALLER, USER, ROOT, OTHER_ROOT, WHO };

struct step {
	const char *what;
	enum who who;
	long (*body)(struct shared *shared);
	/* Stock takes iommu->lock for it. */
	bool takes_iommu_lock;
};

enum { QUIT, OPEN_ALL, BLOCK, USE_CALLERS_FUNCTION, FIRST_STEP };

static const struct step steps[] = {
	{ "another thread closes the devices", CALLER, close_devices, false },
	{ "another process uses another function of the slot", USER,
	  use_other_function, false },
	{ "another process uses another group", USER, use_unrelated_function,
	  false },
	{ "another thread closes a group", CALLER, close_first_group, true },
	{ "root unbinds the device", ROOT, unbind, true },
	{ "root binds it again", ROOT, bind_again, true },
	{ "root unbinds another device", OTHER_ROOT, unbind_unrelated, false },
	{ "root binds another device", OTHER_ROOT, bind_unrelated, false },
	{ "another thread closes the groups", CALLER, close_groups, true },
	{ "another thread closes the container", CALLER, close_container, false },
};

static long obey(struct shared *shared, long order)
{
	switch (order) {
	case OPEN_ALL:
		return open_all(shared);
	case BLOCK:
		return block(shared);
	case USE_CALLERS_FUNCTION:
		return use_callers_function(shared);
	default:
		return steps[order - FIRST_STEP].body(shared);
	}
}

static void servant(int socket, void *arg)
{
	long order;

	caller = (struct caller) { -1, -1, -1, -1, -1, NULL, -1, -1, NULL, 0 };
	while ((order = hear(socket)) > QUIT)
		say(socket, obey(arg, order));
}

/* A process that does steps. */
struct worker {
	struct peer peer;
	bool there;
	bool busy;	/* and has still to answer */
};

/* One case. */
struct run {
	struct shared *shared;
	struct worker workers[WHO];
	struct fuse_file file;
	bool has_file;
	int uffd;	/* the test's own descriptor of it */
	int late;
};

/* In milliseconds. */
static long now(void)
{
	return nanoseconds() / 1000000;
}

/* What it did, or -ETIMEDOUT: then it is busy. */
static long answer_of(struct worker *worker, int milliseconds)
{
	struct pollfd input = { .fd = worker->peer.socket, .events = POLLIN };

	if (poll(&input, 1, milliseconds) != 1)
		return -ETIMEDOUT;
	worker->busy = false;
	return hear(worker->peer.socket);
}

static long order(struct worker *worker, long what, int milliseconds)
{
	if (worker->busy)
		return -EBUSY;
	say(worker->peer.socket, what);
	worker->busy = true;
	return answer_of(worker, milliseconds);
}

/* Whether the child and all of its threads are gone in time. */
static bool ends(struct worker *worker, int milliseconds)
{
	long end = now() + milliseconds;
	pid_t gone;

	do {
		gone = waitpid(worker->peer.pid, NULL, WNOHANG);
		if (!gone)
			usleep(2000);
	} while (!gone && now() < end);
	if (gone) {
		worker->there = false;
		close_fd(&worker->peer.socket);
	}
	return gone;
}

/* The state of a task, and what it is called; 0 if it is gone. */
static char task_state(const char *process, const char *task, char *name,
		       size_t size)
{
	char path[600], text[256] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", process, task);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	end = strrchr(text, ')');
	if (!end)
		return 0;
	snprintf(name, size, "%.*s", (int)(end + 1 - text), text);
	return end[2];
}

/* What a task waits in, in the kernel. */
static void say_where(const char *process, const char *task, const char *name)
{
	char path[600], text[128] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/wchan", process, task);
	file = fopen(path, "re");
	if (file && !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		fclose(file);
	printf("# in state D: %s, in %s\n", name, text);
}

/* How many tasks besides @exempt wait uninterruptibly now. */
static int waiting_tasks(pid_t exempt, bool aloud)
{
	struct dirent *process, *task;
	DIR *processes, *tasks;
	char path[512], name[256];
	int found = 0;

	processes = opendir("/proc");
	while (processes && (process = readdir(processes))) {
		if (atoi(process->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task", process->d_name);
		tasks = opendir(path);
		while (tasks && (task = readdir(tasks))) {
			if (atoi(task->d_name) <= 0 ||
			    atoi(task->d_name) == exempt ||
			    task_state(process->d_name, task->d_name, name,
				       sizeof(name)) != 'D')
				continue;
			found++;
			if (aloud)
				say_where(process->d_name, task->d_name, name);
		}
		if (tasks)
			closedir(tasks);
	}
	if (processes)
		closedir(processes);
	return found;
}

/* Whether for a moment nobody does. */
static bool nobody_waits(const struct shared *shared)
{
	long end = now() + IN_TIME;

	while (waiting_tasks(shared->blocked, false)) {
		if (now() >= end)
			return !waiting_tasks(shared->blocked, true);
		usleep(10 * 1000);
	}
	return true;
}

static bool is_done(const struct shared *shared)
{
	return __atomic_load_n(&shared->done, __ATOMIC_ACQUIRE);
}

static bool is_done_in(const struct shared *shared, int milliseconds)
{
	long end = now() + milliseconds;

	while (!is_done(shared) && now() < end)
		usleep(1000);
	return is_done(shared);
}

/* A descriptor of another process. */
static int descriptor_of(pid_t pid, int fd)
{
	int process = syscall(SYS_pidfd_open, pid, 0);
	int copy = syscall(SYS_pidfd_getfd, process, fd, 0);
	int ret = copy < 0 ? -errno : copy;

	close(process);
	return ret;
}

/*
 * Where it pins memory and fills bitmaps, the kernel's own type1 has iommu->lock,
 * and whoever attaches or detaches a group waits for that: under ours as well.
 */
static bool has_iommu_lock(const struct shared *shared)
{
	return shared->meets == MEMORY &&
	       shared->request != VFIO_IOMMU_REGISTER_MEMORY;
}

/*
 * Starts the processes; opens everything in the caller, and has it sit in its
 * ioctl. The caller comes last, as it needs the file.
 */
static int block_caller(struct run *run)
{
	struct shared *shared = run->shared;
	int ret;

	for (int who = WHO - 1; who >= 0; who--) {
		if (who == CALLER && shared->memory == FUSE) {
			ret = fuse_start(&run->file, FUSE_NOBODY);
			if (ret)
				return ret;
			run->has_file = true;
			shared->file = run->file.fd;
		}
		ret = peer_start(&run->workers[who].peer, servant, shared);
		if (ret)
			return ret;
		run->workers[who].there = true;
	}
	ret = order(&run->workers[CALLER], OPEN_ALL, UNDOING);
	if (!ret)
		ret = order(&run->workers[CALLER], BLOCK, UNDOING);
	if (ret)
		return ret;
	if (shared->memory == FUSE)
		return fuse_wait(&run->file, IN_TIME);
	run->uffd = descriptor_of(run->workers[CALLER].peer.pid, shared->uffd);
	return run->uffd < 0 ? run->uffd : uffd_wait(run->uffd, IN_TIME);
}

/* One after the other, each in time. Goes on if one is late, to show them all. */
static void try_steps(struct run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *step = &steps[i];
		long start = now(), ret;

		if (step->takes_iommu_lock && has_iommu_lock(run->shared))
			continue;
		ret = order(&run->workers[step->who], FIRST_STEP + i,
			    run->late ? IN_VAIN : IN_TIME);
		if (!ret)
			continue;
		run->late++;
		if (ret != -EBUSY)
			printf("# %s: %s (%ld) after %ld ms\n", step->what,
			       ret == -ETIMEDOUT ? "not done" : "failed", ret,
			       now() - start);
	}
}

/*
 * Lets the call go on. The kernel's own type1 must not: it would use what it
 * has freed. So there it is killed, or its memory is gone for good.
 */
static bool let_go(struct run *run)
{
	struct shared *shared = run->shared;

	if (run->has_file) {
		fuse_abort(&run->file);
		run->has_file = false;
	} else if (run->uffd >= 0 && shared->type1 == TYPE1_STOCK) {
		kill(run->workers[CALLER].peer.pid, SIGKILL);
	} else if (run->uffd >= 0) {
		if (uffd_serve(run->uffd, shared->page,
			       what_uffd_blocks(shared), &shared->content))
			return false;
	}
	return true;
}

/* Whatever has happened, nobody is left, and all devices are bound. */
static bool clean_up(struct run *run)
{
	bool clean = true;

	let_go(run);
	for (int who = 0; who < WHO; who++) {
		struct worker *worker = &run->workers[who];

		if (!worker->there)
			continue;
		if (worker->busy)
			answer_of(worker, UNDOING);
		if (!worker->busy)
			send(worker->peer.socket, &(long) { QUIT }, sizeof(long),
			     MSG_NOSIGNAL);
		if (!ends(worker, worker->busy ? 0 : UNDOING)) {
			kill(worker->peer.pid, SIGKILL);
			clean = false;
			ends(worker, IN_TIME);
		}
	}
	close_fd(&run->uffd);
	for (int i = 0; i < FUNCTIONS; i++)
		if (function_bind(&run->shared->functions[i], "vfio-pci"))
			clean = false;
	return clean;
}

/* What the ioctl may return that has met the end of its container. */
static bool is_possible(const struct shared *shared, long result)
{
	bool ended = !has_iommu_lock(shared);

	/* The memory was gone. */
	if (shared->memory == FUSE)
		return result == -EFAULT || (ended && result == -ENODEV);
	if (!ended)
		return !result;
	if (result == -ENODEV)
		return true;
	/* The group, the space or the device was gone before the container was. */
	if (result == -ENOENT)
		return shared->request >= VFIO_IOMMU_PASID_INFO &&
		       shared->request <= VFIO_IOMMU_HOT_RESET_INFO;
	/* What has been done is told. */
	return !result && (shared->meets == WRITING || shared->meets == ENTRIES);
}

/* Finds the functions; what a case is about is filled in by the case. */
static int prepare(struct run *run, enum type1 type1, unsigned long request,
		   enum meets meets)
{
	struct shared *shared;
	int ret;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -errno;
	shared->type1 = type1;
	shared->request = request;
	shared->meets = meets;
	shared->file = -1;
	*run = (struct run) { .shared = shared, .uffd = -1, .file.fd = -1 };
	for (int i = 0; i < FUNCTIONS; i++) {
		ret = function_find(&shared->functions[i], places[i]);
		if (ret) {
			printf("# there is no function at %s\n", places[i]);
			return ret;
		}
		/* Resets take longer than all the rest. Not all have one. */
		function_write(&shared->functions[i], "reset_method", "\n");
	}
	return use_type1(type1);
}

static void nobody_else_waits(struct __test_metadata *_metadata,
			      struct run *run, enum memory memory)
{
	struct shared *shared = run->shared;
	bool killed = memory == USERFAULTFD && shared->type1 == TYPE1_STOCK;

	shared->memory = memory;
	ASSERT_EQ(0, block_caller(run)) {
		if (is_done(shared))
			TH_LOG("the call returned %ld", shared->result);
	}
	try_steps(run);
	EXPECT_EQ(0, run->late) {
		waiting_tasks(shared->blocked, true);
	}
	if (!run->late)
		EXPECT_TRUE(nobody_waits(shared));
	EXPECT_FALSE(is_done(shared));
	EXPECT_TRUE(let_go(run));
	if (killed) {
		EXPECT_TRUE(ends(&run->workers[CALLER], IN_TIME));
		return;
	}
	EXPECT_TRUE(is_done_in(shared, IN_TIME));
	/* Who had to wait for it may have met it alive. */
	if (!run->late)
		EXPECT_TRUE(is_possible(shared, shared->result)) {
			TH_LOG("%ld", shared->result);
		}
}

static void it_can_be_killed(struct __test_metadata *_metadata,
			     struct run *run)
{
	ASSERT_EQ(0, block_caller(run));
	kill(run->workers[CALLER].peer.pid, SIGKILL);
	ASSERT_TRUE(ends(&run->workers[CALLER], IN_TIME));
	ASSERT_EQ(0, order(&run->workers[USER], USE_CALLERS_FUNCTION, IN_TIME));
}

/* The argument of every ioctl. */

FIXTURE(argument) {
	struct run run;
};

FIXTURE_VARIANT(argument) {
	enum type1 type1;
	unsigned long request;
};

FIXTURE_VARIANT_ADD(argument, stock_get_info) {
	TYPE1_STOCK, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(argument, stock_map_dma) {
	TYPE1_STOCK, VFIO_IOMMU_MAP_DMA,
};

FIXTURE_VARIANT_ADD(argument, stock_unmap_dma) {
	TYPE1_STOCK, VFIO_IOMMU_UNMAP_DMA,
};

FIXTURE_VARIANT_ADD(argument, stock_dirty_pages) {
	TYPE1_STOCK, VFIO_IOMMU_DIRTY_PAGES,
};

FIXTURE_VARIANT_ADD(argument, get_info) {
	TYPE1_SHIM, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(argument, map_dma) {
	TYPE1_SHIM, VFIO_IOMMU_MAP_DMA,
};

FIXTURE_VARIANT_ADD(argument, unmap_dma) {
	TYPE1_SHIM, VFIO_IOMMU_UNMAP_DMA,
};

FIXTURE_VARIANT_ADD(argument, dirty_pages) {
	TYPE1_SHIM, VFIO_IOMMU_DIRTY_PAGES,
};

FIXTURE_VARIANT_ADD(argument, pasid_request) {
	TYPE1_SHIM, VFIO_IOMMU_PASID_REQUEST,
};

FIXTURE_VARIANT_ADD(argument, pasid_info) {
	TYPE1_SHIM, VFIO_IOMMU_PASID_INFO,
};

FIXTURE_VARIANT_ADD(argument, register_memory) {
	TYPE1_SHIM, VFIO_IOMMU_REGISTER_MEMORY,
};

FIXTURE_VARIANT_ADD(argument, unregister_memory) {
	TYPE1_SHIM, VFIO_IOMMU_UNREGISTER_MEMORY,
};

FIXTURE_VARIANT_ADD(argument, aux_create) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_CREATE,
};

FIXTURE_VARIANT_ADD(argument, aux_destroy) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_DESTROY,
};

FIXTURE_VARIANT_ADD(argument, aux_attach) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_ATTACH,
};

FIXTURE_VARIANT_ADD(argument, aux_detach) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_DETACH,
};

FIXTURE_VARIANT_ADD(argument, aux_map) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_MAP,
};

FIXTURE_VARIANT_ADD(argument, aux_unmap) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_UNMAP,
};

FIXTURE_VARIANT_ADD(argument, aux_info) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_INFO,
};

FIXTURE_VARIANT_ADD(argument, setup) {
	TYPE1_SHIM, VFIO_IOMMU_SETUP,
};

FIXTURE_VARIANT_ADD(argument, hot_reset_info) {
	TYPE1_SHIM, VFIO_IOMMU_HOT_RESET_INFO,
};

FIXTURE_SETUP(argument)
{
	ASSERT_EQ(0, prepare(&self->run, variant->type1, variant->request,
			     READING));
}

FIXTURE_TEARDOWN(argument)
{
	EXPECT_TRUE(clean_up(&self->run));
}

TEST_F(argument, userfaultfd)
{
	nobody_else_waits(_metadata, &self->run, USERFAULTFD);
}

TEST_F(argument, fuse)
{
	nobody_else_waits(_metadata, &self->run, FUSE);
}

TEST_F(argument, killed)
{
	it_can_be_killed(_metadata, &self->run);
}

/* The results of those that have some, in the same place. */

FIXTURE(result) {
	struct run run;
};

FIXTURE_VARIANT(result) {
	enum type1 type1;
	unsigned long request;
};

FIXTURE_VARIANT_ADD(result, stock_get_info) {
	TYPE1_STOCK, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(result, stock_unmap_dma) {
	TYPE1_STOCK, VFIO_IOMMU_UNMAP_DMA,
};

FIXTURE_VARIANT_ADD(result, get_info) {
	TYPE1_SHIM, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(result, unmap_dma) {
	TYPE1_SHIM, VFIO_IOMMU_UNMAP_DMA,
};

FIXTURE_VARIANT_ADD(result, pasid_info) {
	TYPE1_SHIM, VFIO_IOMMU_PASID_INFO,
};

FIXTURE_VARIANT_ADD(result, aux_create) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_CREATE,
};

FIXTURE_VARIANT_ADD(result, aux_unmap) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_UNMAP,
};

FIXTURE_VARIANT_ADD(result, aux_info) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_INFO,
};

FIXTURE_VARIANT_ADD(result, setup) {
	TYPE1_SHIM, VFIO_IOMMU_SETUP,
};

FIXTURE_VARIANT_ADD(result, hot_reset_info) {
	TYPE1_SHIM, VFIO_IOMMU_HOT_RESET_INFO,
};

FIXTURE_SETUP(result)
{
	ASSERT_EQ(0, prepare(&self->run, variant->type1, variant->request,
			     WRITING));
}

FIXTURE_TEARDOWN(result)
{
	EXPECT_TRUE(clean_up(&self->run));
}

TEST_F(result, userfaultfd)
{
	nobody_else_waits(_metadata, &self->run, USERFAULTFD);
}

/* What is written behind the argument: FUSE keeps nobody from writing alone. */

FIXTURE(entries) {
	struct run run;
};

FIXTURE_VARIANT(entries) {
	enum type1 type1;
	unsigned long request;
};

FIXTURE_VARIANT_ADD(entries, stock_get_info) {
	TYPE1_STOCK, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(entries, get_info) {
	TYPE1_SHIM, VFIO_IOMMU_GET_INFO,
};

FIXTURE_VARIANT_ADD(entries, aux_info) {
	TYPE1_SHIM, VFIO_IOMMU_AUX_INFO,
};

FIXTURE_VARIANT_ADD(entries, hot_reset_info) {
	TYPE1_SHIM, VFIO_IOMMU_HOT_RESET_INFO,
};

FIXTURE_SETUP(entries)
{
	ASSERT_EQ(0, prepare(&self->run, variant->type1, variant->request,
			     ENTRIES));
}

FIXTURE_TEARDOWN(entries)
{
	EXPECT_TRUE(clean_up(&self->run));
}

TEST_F(entries, fuse)
{
	nobody_else_waits(_metadata, &self->run, FUSE);
}

/*
 * The memory that an argument names. (What MAP_DMA pins cannot be userfaultfd's:
 * it pins in a way that does not wait for that, and is EFAULT.)
 */

FIXTURE(memory) {
	struct run run;
};

FIXTURE_VARIANT(memory) {
	enum type1 type1;
	unsigned long request;
	enum memory memory;
};

FIXTURE_VARIANT_ADD(memory, stock_map_dma_fuse) {
	TYPE1_STOCK, VFIO_IOMMU_MAP_DMA, FUSE,
};

FIXTURE_VARIANT_ADD(memory, stock_dirty_pages) {
	TYPE1_STOCK, VFIO_IOMMU_DIRTY_PAGES, USERFAULTFD,
};

FIXTURE_VARIANT_ADD(memory, stock_dirty_pages_fuse) {
	TYPE1_STOCK, VFIO_IOMMU_DIRTY_PAGES, FUSE,
};

FIXTURE_VARIANT_ADD(memory, map_dma_fuse) {
	TYPE1_SHIM, VFIO_IOMMU_MAP_DMA, FUSE,
};

FIXTURE_VARIANT_ADD(memory, dirty_pages) {
	TYPE1_SHIM, VFIO_IOMMU_DIRTY_PAGES, USERFAULTFD,
};

FIXTURE_VARIANT_ADD(memory, dirty_pages_fuse) {
	TYPE1_SHIM, VFIO_IOMMU_DIRTY_PAGES, FUSE,
};

FIXTURE_VARIANT_ADD(memory, register_memory) {
	TYPE1_SHIM, VFIO_IOMMU_REGISTER_MEMORY, USERFAULTFD,
};

FIXTURE_VARIANT_ADD(memory, register_memory_fuse) {
	TYPE1_SHIM, VFIO_IOMMU_REGISTER_MEMORY, FUSE,
};

FIXTURE_SETUP(memory)
{
	ASSERT_EQ(0, prepare(&self->run, variant->type1, variant->request,
			     MEMORY));
}

FIXTURE_TEARDOWN(memory)
{
	EXPECT_TRUE(clean_up(&self->run));
}

TEST_F(memory, nobody_else_waits)
{
	nobody_else_waits(_metadata, &self->run, variant->memory);
}

/* What two spaces of one container have to do with each other. */

#define ROUNDS		8
#define ROUND_MS	50

struct mapper {
	int container;
	long space;
	void *memory;
	struct spin_barrier *barrier;
	long pairs;
	long error;
};

static void *map_and_unmap(void *arg)
{
	struct mapper *mapper = arg;
	long end, ret;

	spin_barrier_wait(mapper->barrier);
	end = now() + ROUND_MS;
	for (; now() < end && !mapper->error; mapper->pairs++) {
		ret = aux_map(mapper->container, mapper->space,
			      VFIO_AUX_MAP_READ, mapper->memory, IOVA, PAGE);
		if (!ret)
			ret = aux_unmap(mapper->container, mapper->space, IOVA,
					PAGE) - PAGE;
		mapper->error = ret;
	}
	return NULL;
}

/* How many times @threads of them have mapped and unmapped, all together. */
static long run_mappers(struct mapper *mappers, unsigned int threads)
{
	struct spin_barrier barrier = { .threads = threads };
	pthread_t thread[2];
	long pairs = 0;

	for (unsigned int i = 0; i < threads; i++) {
		mappers[i].barrier = &barrier;
		mappers[i].pairs = 0;
		if (pthread_create(&thread[i], NULL, map_and_unmap, &mappers[i]))
			abort();
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		pairs += mappers[i].pairs;
	}
	return pairs;
}

/* On two processors, twice as much would be ideal. What it is, is only told. */
TEST(two_spaces_are_mapped_at_once)
{
	int container = container_node(), group;
	struct function function;
	struct mapper mappers[2];
	long one = 0, two = 0;

	ASSERT_EQ(0, use_type1(TYPE1_SHIM));
	ASSERT_LE(0, container);
	ASSERT_EQ(0, function_find(&function, places[PASID]));
	ASSERT_EQ(0, open_in(container, &function, &group));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1v2_IOMMU));
	for (int i = 0; i < 2; i++) {
		mappers[i] = (struct mapper) {
			.container = container,
			.space = aux_create(container),
			.memory = new_pages(1),
		};
		ASSERT_LT(0, mappers[i].space);
		ASSERT_EQ(0, register_memory(container, 0, mappers[i].memory,
					     PAGE));
	}
	/* In turns, as the host may have other things to do as well. */
	for (int round = 0; round < ROUNDS; round++) {
		one += run_mappers(mappers, 1);
		two += run_mappers(mappers, 2);
	}
	ASSERT_EQ(0, mappers[0].error);
	ASSERT_EQ(0, mappers[1].error);
	ASSERT_LT(0, one);
	printf("# note: two threads in two spaces do %.2f times as much as one (%ld, %ld)\n",
	       (double)two / one, two, one);
	close(group);
	close(container);
}

TEST_HARNESS_MAIN
