/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vfio_pasid selftests share: modules, containers on real IOMMU
 * groups, one function for each ioctl, other processes, hostile memory.
 *
 * Whatever can fail returns a negative errno, never -1, so that a test says in
 * one line which error it wants.
 */
#ifndef VFIO_PASID_UTILS_H
#define VFIO_PASID_UTILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vfio_pasid.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* Seconds that a test may take: a debug kernel without KVM is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#define PASID_LAST	((1u << 20) - 1)
#define PAGE		4096

/* The hole that every space of this machine has: the interrupts. */
#define MSI_START	0xfee00000ull
#define MSI_SIZE	0x100000

/* Writes @text to a file that is there, instead of what it has. */
int write_file(const char *path, const char *text);

/* Modules. */

/* The parameters of vfio_pasid. */
struct limits {
	unsigned int quota;
	unsigned int min;
	unsigned int max;
	unsigned int regions;
	unsigned int mappings;
	unsigned int attachments;
	bool process_space;
	bool process_space_pri;
};

#define PASID_LIMITS(quota, min, max) \
	((struct limits) { quota, min, max, 65535, 65535, 16384, false, false })
#define DEFAULT_LIMITS	PASID_LIMITS(1000, 1, PASID_LAST)
/* The same, and process spaces; with @pri also on devices that request pages. */
#define PROCESS_LIMITS(pri) \
	((struct limits) { 1000, 1, PASID_LAST, 65535, 65535, 16384, true, pri })

enum type1 {
	TYPE1_STOCK,	/* the kernel's */
	TYPE1_SHIM,	/* ours, with vfio_pasid below it */
};

/*
 * Puts the modules into a state: nothing is done if they are in it already, so
 * each test asks for what it needs and leaves nothing to be restored.
 */
int use_modules(const struct limits *limits);
int use_test_module(const struct limits *limits);
int use_type1(enum type1 which);
int unload_all(void);

/*
 * $VFIO_PASID_MODULES, or /lib/modules/RELEASE/updates, has ours; the stock
 * type1 is $VFIO_PASID_STOCK_TYPE1, or where the kernel's packages put it.
 */
int load_module(const char *name, const char *parameters);
/* Makes the driver of the IOMMU believe that it can, for `pasid-device --walks-processes`. */
int pretend_to_walk_processes(void);
/* A module of the kernel: @path is below kernel/ of its folder. */
int load_stock_module(const char *path);
int load_image(const void *image, size_t size, const char *parameters);
int read_module(const char *name, void **image, size_t *size);
int unload_module(const char *name);
bool module_loaded(const char *name);
/* How many use the module; modules that depend on it count. */
int module_users(const char *name);
/* The value of a parameter of vfio_pasid, and its file mode. */
int module_parameter(const char *name, unsigned int *value, mode_t *mode);
/* The same of one that is a bool: 0 or 1. */
int module_flag(const char *name);

/* What the kernel logs from now on. */
int kernel_log_open(void);
/* Whether a message since then has both texts. Reads the messages up. */
bool kernel_log_has(int fd, const char *first, const char *second);

/* Containers. */

/* How many IOMMU groups have a device that is bound to vfio-pci. */
int group_count(void);
/* What user space calls the @index-th of them (/dev/vfio/N). */
int group_number(int index);
/* The address of its device, or NULL. */
const char *group_device(int index);
/* Looks again, after devices came or went. */
void find_groups(void);

struct container {
	int fd;
	int group;	/* descriptor of its group */
	int device;	/* descriptor of that group's device, or -1 */
};

#define NO_CONTAINER	((struct container) { -1, -1, -1 })

int container_node(void);
int group_node(int index);
/* The group of a device without an IOMMU; loads vfio_pasid_emulated. */
int emulated_group_node(void);
int set_container(int group, int container);
int unset_container(int group);
int set_iommu(int container, unsigned long type);
int device_of(int group, int index);

/* A container with the @index-th group, type1v2, and no open device. */
int container_open(struct container *container, int index);
int container_open_device(struct container *container, int index);
void container_close(struct container *container);
/* The orders in which (c)ontainer, (g)roup and (d)evice can be closed. */
extern const char close_orders[6][4];
void container_close_one(struct container *container, char which);
/* Closes what is open, and makes it -1. */
void close_fd(int *fd);

/* PCI functions, in sysfs. */

struct function {
	char address[16];	/* 0000:01:00.0 */
	u16 segment;
	u8 bus;
	u8 devfn;
	int group;		/* number of its IOMMU group */
};

/* The one function whose path below /sys/devices/pci0000:00 is like @pattern. */
int function_find(struct function *function, const char *pattern);
/* Unbinds it from the driver it has, and binds it to @driver, if not NULL. */
int function_bind(const struct function *function, const char *driver);
bool function_is_bound(const struct function *function, const char *driver);
/* Writes @text to a file of the function. */
int function_write(const struct function *function, const char *file,
		   const char *text);

/*
 * Does @command, with @arguments in JSON, in the QEMU that runs this machine.
 * -ENOENT without a port to it, -EREMOTEIO if QEMU refuses.
 */
int qmp_execute(const char *command, const char *arguments);

/* ioctl(), but with the errno as the result. */
long call(int fd, unsigned long request, void *arg);

long pasid_alloc(int container, u32 min, u32 max);
long pasid_free(int container, u32 min, u32 max);
long pasid_info(int container, u32 group,
		struct vfio_iommu_pasid_info *info);
/* How many PASIDs the process holds. */
long pasid_used(int container);
long pasid_quota(int container);
/* Whether nobody holds @pasid: tries to take it and gives it back. */
bool pasid_is_free(int container, u32 pasid);

/* The container's own space, by the stock ioctls; for reading and writing. */
int map_dma(int container, const void *memory, u64 iova, u64 size);
/* How many bytes were mapped. */
long unmap_dma(int container, u64 iova, u64 size);
/* Dirty tracking there: VFIO_IOMMU_DIRTY_PAGES_FLAG_START or _STOP. */
int track_dirty(int container, u32 flags);
/* Which of the 64 pages from @iova on are dirty. */
int get_dirty(int container, u64 iova, u64 *bits);

/* A new aux space: its PASID. */
long aux_create(int container);
int aux_create_fixed(int container, u32 pasid);
/* The space that is the process: its PASID. */
long aux_create_process(int container);
/* With a window; the results are in @create. */
int aux_create_window(int container, u64 start, u64 size,
		      struct vfio_iommu_aux_create *create);
int aux_destroy(int container, u32 pasid);
int aux_attach(int container, u32 pasid, u32 group);
int aux_detach(int container, u32 pasid, u32 group);

/* VFIO_IOMMU_AUX_INFO with room for as many entries as a test wants. */
#define AUX_ENTRIES	80

struct aux_info {
	struct vfio_iommu_aux_info head;
	struct vfio_iommu_aux_entry entries[AUX_ENTRIES];
};

/* @info->head.cursor is the caller's; @room entries at most. */
int aux_info(int container, u32 pasid, int room, struct aux_info *info);
/* Whether the space is attached to the group; an error if there is no space. */
int aux_is_attached(int container, u32 pasid, u32 group);

/* @flags: VFIO_MEMORY_READ_ONLY, or 0. */
int register_memory(int container, u32 flags, const void *memory, u64 size);
int unregister_memory(int container, const void *memory, u64 size);
/* The same of @count pages from the @first on. */
int register_pages(int container, u32 flags, void *memory, int first,
		   int count);
int unregister_pages(int container, void *memory, int first, int count);
/* @flags: VFIO_AUX_MAP_*. */
int aux_map(int container, u32 pasid, u32 flags, const void *memory, u64 iova,
	    u64 size);
/* How many bytes were mapped. */
long aux_unmap(int container, u32 pasid, u64 iova, u64 size);
long aux_unmap_all(int container, u32 pasid);

/* What there is. */

/* What vfio_pasid counts, the lines of debugfs' vfio_pasid/in_use. */
extern const char *const counted_kinds[8];
/*
 * What is closed is detached at once, but unmapped and unpinned a little later.
 * Whatever counts what is there waits for that first.
 */
void wait_for_closing(void);
/* How many it has of @kind. */
long count_of(const char *kind);
/* The process's locked memory (VmLck) in bytes. */
long vm_locked(void);
/* Frees what the kernel only keeps because it may be of use again. */
int free_caches(void);
/* How many pins (FOLL_PIN) there are in the system, one a page of each range. */
long pinned_pages(void);

/*
 * A thread that reads who holds what (debugfs' vfio_pasid/held) ten times a
 * second, until the bool at @stop is set. How often it has, or an error.
 */
void *watch_held(void *stop);

/* The number behind @name at the start of a line of the file. */
long number_in(const char *path, const char *name);

/* The monotonic clock. */
u64 nanoseconds(void);

/* Whether they are the same; says so if they are not. */
bool is_value(const char *what, long seen, long expected);

/* What was locked and pinned before, and is the business of others. */
struct before {
	long locked;
	long pinned;
};

struct before look_before(void);
/*
 * Whether that much is registered by all processes together, and that many
 * pages are pinned more than before, and charged to this process.
 */
bool holds(const struct before *before, long registrations, long pages);
/* The same of what is not charged to this process; waits a while for it. */
bool all_hold(const struct before *before, long registrations, long pages);

/* CAP_IPC_LOCK, which lifts RLIMIT_MEMLOCK, of this thread. */
void set_ipc_lock(bool on);

/* Other processes. */

/* A child that talks through a socket and dies with the test. */
struct peer {
	pid_t pid;
	int socket;
};

int peer_start(struct peer *peer, void (*body)(int socket, void *arg),
	       void *arg);
/* Waits until the child has ended, and returns its exit status. */
int peer_wait(struct peer *peer);
void peer_kill(struct peer *peer);

void say(int socket, long value);
/* The other side has gone without a word: -EPIPE. */
long hear(int socket);
int send_fds(int socket, const int *fds, int count);
int receive_fds(int socket, int *fds, int count);

/* What @body returns in a child that fork() made. */
long in_child(long (*body)(void *arg), void *arg);

/* Memory. */

/* Fresh memory to read and write; NULL if there is none. */
void *new_pages(long count);
/* @size bytes that end where a page that cannot be accessed begins. */
void *before_hole(size_t size);
/* A page that can only be read, with a copy of @size bytes at its start. */
void *read_only_copy(const void *from, size_t size);
/* An address below which nothing is mapped. */
void *unmapped(void);

/* What the page at @address is: KPF_* bits of <linux/kernel-page-flags.h>. */
u64 page_flags(const void *address);
/* Its page frame number. */
u64 page_frame(const void *address);

/* A pseudo-random sequence; the same one for the same seed. */
struct sequence {
	u64 state;
};

u32 next_random(struct sequence *sequence, u32 limit);

/* Threads that start a step together, without a system call in between. */
struct spin_barrier {
	unsigned int threads;
	unsigned int waiting;
	unsigned int round;
};

void spin_barrier_wait(struct spin_barrier *barrier);

/* Rounds in each of which threads do the same at once, and one of them wins. */
struct contest {
	long (*step)(const void *arg);
	long (*again)(const void *arg);	/* makes the next round possible: 0 */
	const void *arg;
	long winner;		/* what one gets */
	long loser;		/* what all others get */
	int rounds;
	/* What the threads share. */
	struct spin_barrier barrier;
	int wins;
	long other;		/* a result that was neither */
};

/* 0 if every round was like that. */
int run_contest(struct contest *contest);

#endif /* VFIO_PASID_UTILS_H */
