// SPDX-License-Identifier: GPL-2.0-only
/*
 * Storm: two processes, each with threads that call everything at once. Owners
 * have PASIDs, memory and IO addresses of their own in a container that stays,
 * and know what every call must return. Sharers take what they can get, also
 * from a container that comes and goes. A breaker closes, resets and forks. In
 * the end what there is must be what the owners know, and then nothing.
 *
 * Environment: VFIO_PASID_SEED (the time); VFIO_PASID_SECONDS, how long each of
 * the cases takes (5); VFIO_PASID_PROCESSES, if processes can be attached to
 * devices: then a thread of each does that, too.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "pasid_device.h"

/* Seconds, besides those of VFIO_PASID_SECONDS. */
#define PATIENCE	7200

#define PROCESSES	2
#define OWNERS		2
#define SHARERS		2

/* Of an owner. */
#define SPACES		4
#define SLOTS		4
#define SLICES		4
#define SLICE		(4 * PAGE)
#define OWNED		(SLICES * SLICE)

#define PASID(process, owner)	(1000 + 100 * (process) + 10 * (owner))
#define SHARED_PASID(process)	(1000 + 100 * (process) + 90)
#define SHARED_PASIDS		4

#define IOVA		0x40000000ull
/* Of the container's own space. */
#define DMA_IOVA	0x10000000ull

/*
 * The container that comes and goes has descriptors of fixed numbers, so that a
 * call meets it or nothing.
 */
#define FLOATING	100
#define FLOATING_GROUP	101
#define FLOATING_DEVICE	102

enum attached { NO, YES, MAYBE };

struct space {
	bool held;
	bool made;
	enum attached attached;
	unsigned int since;	/* YES: generation of the device */
	int slice[SLOTS];	/* what is mapped there, or -1 */
};

struct slice {
	int references;
	bool read_only;
	int mapped;
};

struct owner {
	struct sequence sequence;
	u32 pasid;
	u64 dma_iova;
	char *memory;
	struct space spaces[SPACES];
	struct slice slices[SLICES];
	bool dma;		/* slice 0 is mapped in the own space as well */
	unsigned long calls;
};

/* What is there when all is quiet. */
struct inventory {
	long pasids;
	long spaces;
	long attachments;
	long mappings;
	long registrations;
	long pinned;
	long dma;
};

/* A process of the storm, and what its threads share. */
static struct {
	int number;
	u64 seed;
	int index;		/* of the group that stays */
	int other;		/* and of the one that comes and goes */
	u32 group;
	struct container container;
	/* Odd while the device is not open for sure. */
	unsigned int generation;
	bool stop;
	bool wrong;
	char text[256];
	struct owner owners[OWNERS];
	char *shared_memory;
	/* Of the container that stays: successes of one less those of the other. */
	int shared_references;
	int shared_spaces[SHARED_PASIDS];
	/* The process itself, in the container that stays. */
	struct space itself;
	u32 own_pasid;
	unsigned long calls;
} storm;

static bool processes_are_spaces(void)
{
	return getenv("VFIO_PASID_PROCESSES");
}

static void wrong(const char *what, long ret, long where)
{
	if (__atomic_exchange_n(&storm.wrong, true, __ATOMIC_SEQ_CST))
		return;
	snprintf(storm.text, sizeof(storm.text), "process %d: %s: %ld (%#lx)",
		 storm.number, what, ret, where);
	__atomic_store_n(&storm.stop, true, __ATOMIC_SEQ_CST);
}

static bool stopped(void)
{
	return __atomic_load_n(&storm.stop, __ATOMIC_RELAXED);
}

static unsigned int generation(void)
{
	return __atomic_load_n(&storm.generation, __ATOMIC_SEQ_CST);
}

static void expect(const char *what, long ret, bool possible, long where)
{
	if (!possible)
		wrong(what, ret, where);
}

static u32 chance(struct owner *owner, u32 limit)
{
	return next_random(&owner->sequence, limit);
}

/* Owners. */

static void own_number(struct owner *owner, struct space *space, u32 pasid)
{
	long ret;

	if (chance(owner, 3)) {
		ret = pasid_alloc(storm.container.fd, pasid, pasid);
		expect("alloc", ret, ret == (space->held ? -ENOSPC : (long)pasid),
		       pasid);
		space->held = true;
		return;
	}
	ret = pasid_free(storm.container.fd, pasid, pasid);
	expect("free", ret, ret == (space->made ? -EBUSY : 0), pasid);
	space->held = space->made;
}

static void own_space(struct owner *owner, struct space *space, u32 pasid)
{
	long ret;

	if (chance(owner, 3)) {
		ret = aux_create_fixed(storm.container.fd, pasid);
		expect("create", ret, ret == (space->made ? -EBUSY :
					      space->held ? 0 : -ENOENT),
		       pasid);
		space->made = space->held;
		return;
	}
	ret = aux_destroy(storm.container.fd, pasid);
	expect("destroy", ret, ret == (space->made ? 0 : -ENOENT), pasid);
	for (int i = 0; i < SLOTS; i++) {
		if (space->slice[i] >= 0)
			owner->slices[space->slice[i]].mapped--;
		space->slice[i] = -1;
	}
	space->made = false;
	space->attached = NO;
}

static enum attached attached_now(const struct space *space)
{
	return space->attached == YES && space->since != generation() ?
	       MAYBE : space->attached;
}

/*
 * The breaker resets the device: until it is done, nothing can be attached to one
 * with ATS (pci_dev_reset_iommu_prepare()).
 */
static bool is_reset(long ret)
{
	return ret == -EBUSY && processes_are_spaces();
}

/* Nothing was closed since, and nothing is. */
static bool was_open(unsigned int before)
{
	return before == generation() && before % 2 == 0;
}

static void attach_own(struct space *space, u32 pasid)
{
	unsigned int before = generation();
	long ret = aux_attach(storm.container.fd, pasid, storm.group);
	enum attached was = attached_now(space);
	bool open = was_open(before);

	if (!space->made) {
		expect("attach: no space", ret, ret == -ENOENT, pasid);
		return;
	}
	expect("attach", ret, (ret == 0 && was != YES) ||
	       (ret == -EEXIST && was != NO) || (ret == -ENODEV && !open) ||
	       is_reset(ret), pasid);
	if (!ret || ret == -EEXIST) {
		space->attached = before % 2 ? MAYBE : YES;
		space->since = before;
	} else if (ret == -ENODEV) {
		/* Which a device does that is closed, after it was detached. */
		space->attached = NO;
	}
}

static void detach_own(struct space *space, u32 pasid)
{
	long ret = aux_detach(storm.container.fd, pasid, storm.group);
	enum attached was = attached_now(space);

	expect("detach", ret, (ret == 0 && was != NO) ||
	       (ret == -ENOENT && was != YES), pasid);
	space->attached = NO;
}

static void own_attachment(struct owner *owner, struct space *space, u32 pasid)
{
	if (chance(owner, 2))
		attach_own(space, pasid);
	else
		detach_own(space, pasid);
}

static void own_memory(struct owner *owner, int number)
{
	struct slice *slice = &owner->slices[number];
	char *memory = owner->memory + number * SLICE;
	bool read_only = chance(owner, 2);
	u32 flags = read_only ? VFIO_MEMORY_READ_ONLY : 0;
	bool last, other;
	long ret;

	switch (chance(owner, 4)) {
	case 0:
	case 1:
		ret = register_memory(storm.container.fd, flags, memory, SLICE);
		other = slice->references && slice->read_only != read_only;
		expect("register", ret, ret == (other ? -EEXIST : 0), number);
		if (!slice->references)
			slice->read_only = read_only;
		slice->references += !ret;
		break;
	case 2:
		last = slice->references == 1;
		ret = unregister_memory(storm.container.fd, memory, SLICE);
		expect("unregister", ret,
		       ret == (!slice->references ? -ENOENT :
			       last && slice->mapped ? -EBUSY : 0), number);
		slice->references -= !ret;
		break;
	default:
		/* A part of what is registered, and of no other slice. */
		if (!slice->references)
			break;
		ret = register_memory(storm.container.fd, 0, memory, PAGE);
		expect("register a part", ret, ret == -EEXIST, number);
		ret = unregister_memory(storm.container.fd, memory, PAGE);
		expect("unregister a part", ret, ret == -ENOENT, number);
		break;
	}
}

static u64 slot_iova(int slot)
{
	return IOVA + slot * SLICE;
}

static void map_own(struct owner *owner, struct space *space, u32 pasid,
		    int slot, int number)
{
	struct slice *slice = &owner->slices[number];
	u32 flags = 1 + chance(owner, 3);
	bool denied = slice->read_only && flags & VFIO_AUX_MAP_WRITE;
	long ret = aux_map(storm.container.fd, pasid, flags,
			   owner->memory + number * SLICE, slot_iova(slot),
			   SLICE);
	bool taken = space->slice[slot] >= 0;

	expect("map", ret, ret == (!space->made ? -ENOENT : taken ? -EEXIST :
	       !slice->references ? -ENOENT : denied ? -EACCES : 0), pasid);
	if (!ret) {
		space->slice[slot] = number;
		slice->mapped++;
	}
}

static void unmap_own(struct owner *owner, struct space *space, u32 pasid,
		      int slot)
{
	bool all = !chance(owner, 4);
	long bytes = 0, ret;

	/* Half of a mapping. */
	if (space->made && space->slice[slot] >= 0 && !chance(owner, 4)) {
		ret = aux_unmap(storm.container.fd, pasid, slot_iova(slot),
				PAGE);
		expect("unmap half", ret, ret == -EINVAL, pasid);
		return;
	}
	for (int i = 0; i < SLOTS; i++) {
		if (space->slice[i] < 0 || !(all || i == slot))
			continue;
		bytes += SLICE;
		owner->slices[space->slice[i]].mapped--;
		space->slice[i] = -1;
	}
	ret = all ? aux_unmap_all(storm.container.fd, pasid) :
		    aux_unmap(storm.container.fd, pasid, slot_iova(slot), SLICE);
	expect("unmap", ret, ret == (space->made ? bytes : -ENOENT), pasid);
}

static void own_mapping(struct owner *owner, struct space *space, u32 pasid)
{
	int slot = chance(owner, SLOTS);

	if (chance(owner, 3))
		map_own(owner, space, pasid, slot, chance(owner, SLICES));
	else
		unmap_own(owner, space, pasid, slot);
}

/* What AUX_INFO says, against what the owner knows. */
static void own_info(struct owner *owner, struct space *space, u32 pasid)
{
	struct aux_info info = { .head.cursor = 0 };
	bool groups = false, mapped[SLOTS] = { false };
	enum attached was;
	long ret;

	ret = aux_info(storm.container.fd, pasid, AUX_ENTRIES, &info);
	was = attached_now(space);
	expect("info", ret, ret == (space->made ? 0 : -ENOENT), pasid);
	if (ret)
		return;
	for (u32 i = 0; i < info.head.count; i++) {
		const struct vfio_iommu_aux_entry *entry = &info.entries[i];
		u64 slot = (entry->iova - IOVA) / SLICE;
		char *memory;

		if (entry->type == VFIO_AUX_ENTRY_GROUP) {
			expect("info: group", entry->data, !groups &&
			       entry->data == storm.group, pasid);
			groups = true;
		}
		if (entry->type != VFIO_AUX_ENTRY_MAPPING)
			continue;
		if (slot >= SLOTS || space->slice[slot] < 0) {
			wrong("info: mapping", entry->iova, pasid);
			return;
		}
		memory = owner->memory + space->slice[slot] * SLICE;
		mapped[slot] = true;
		expect("info: vaddr", entry->vaddr, entry->size == SLICE &&
		       entry->vaddr == (uintptr_t)memory, pasid);
	}
	expect("info: attached", groups, was == MAYBE || groups == (was == YES),
	       pasid);
	for (int i = 0; i < SLOTS; i++)
		expect("info: mapped", i, mapped[i] == (space->slice[i] >= 0),
		       pasid);
}

/* The same memory in the container's own space, by the stock ioctls. */
static void own_dma(struct owner *owner)
{
	int fd = storm.container.fd;
	long ret;

	if (chance(owner, 2)) {
		ret = map_dma(fd, owner->memory, owner->dma_iova, SLICE);
		expect("MAP_DMA", ret, ret == (owner->dma ? -EEXIST : 0), 0);
		owner->dma = true;
		return;
	}
	ret = unmap_dma(fd, owner->dma_iova, SLICE);
	expect("UNMAP_DMA", ret, ret == (owner->dma ? SLICE : 0), 0);
	owner->dma = false;
}

static void own_something(struct owner *owner)
{
	int number = chance(owner, SPACES);
	struct space *space = &owner->spaces[number];
	u32 pasid = owner->pasid + number;

	switch (chance(owner, 16)) {
	case 0:
	case 1:
		own_number(owner, space, pasid);
		break;
	case 2:
	case 3:
		own_space(owner, space, pasid);
		break;
	case 4 ... 6:
		own_attachment(owner, space, pasid);
		break;
	case 7 ... 9:
		own_memory(owner, chance(owner, SLICES));
		break;
	case 10 ... 13:
		own_mapping(owner, space, pasid);
		break;
	case 14:
		own_info(owner, space, pasid);
		break;
	default:
		own_dma(owner);
		break;
	}
}

static void *own(void *arg)
{
	struct owner *owner = arg;

	for (; !stopped(); owner->calls++)
		own_something(owner);
	return NULL;
}

/* The process itself. */

static void create_itself(void)
{
	struct space *space = &storm.itself;
	unsigned int before = generation();
	long pasid = aux_create_process(storm.container.fd);
	bool open = was_open(before);

	if (pasid > 0) {
		expect("process: create", pasid, !space->made &&
		       (!storm.own_pasid || storm.own_pasid == pasid), 0);
		storm.own_pasid = pasid;
		space->made = true;
		return;
	}
	/* Its number is not known before it is bound for the first time. */
	expect("process: create", pasid, (pasid == -EBUSY && space->made) ||
	       (is_reset(pasid) && !storm.own_pasid) ||
	       (pasid == -ENODEV && !open), space->made);
}

static void destroy_itself(void)
{
	struct space *space = &storm.itself;
	long ret = aux_destroy(storm.container.fd, storm.own_pasid);

	expect("process: destroy", ret, ret == (space->made ? 0 : -ENOENT), 0);
	space->made = false;
	space->attached = NO;
}

static void map_itself(void)
{
	long ret = aux_map(storm.container.fd, storm.own_pasid,
			   VFIO_AUX_MAP_READ, storm.shared_memory, IOVA, SLICE);

	expect("process: map", ret, ret == (storm.itself.made ? -EINVAL :
					    -ENOENT), 0);
}

/* The same space of the container that comes and goes. */
static void share_itself(struct sequence *sequence)
{
	u32 group = group_number(storm.other);
	long ret;

	switch (next_random(sequence, 4)) {
	case 0:
		ret = aux_create_process(FLOATING);
		expect("process: shared create", ret, ret == storm.own_pasid ||
		       ret == -EBADF || ret == -EINVAL || ret == -ENODEV ||
		       ret == -EBUSY || ret == -EOPNOTSUPP, 0);
		break;
	case 1:
		ret = aux_destroy(FLOATING, storm.own_pasid);
		expect("process: shared destroy", ret, !ret || ret == -EBADF ||
		       ret == -EINVAL || ret == -ENODEV || ret == -ENOENT, 0);
		break;
	case 2:
		ret = aux_detach(FLOATING, storm.own_pasid, group);
		expect("process: shared detach", ret, !ret || ret == -EBADF ||
		       ret == -EINVAL || ret == -ENODEV || ret == -ENOENT, 0);
		break;
	default:
		ret = aux_attach(FLOATING, storm.own_pasid, group);
		expect("process: shared attach", ret, !ret || ret == -EBADF ||
		       ret == -EINVAL || ret == -ENODEV || ret == -ENOENT ||
		       ret == -EEXIST || ret == -EOPNOTSUPP ||
		       is_reset(ret), 0);
		break;
	}
}

/* Its page tables change meanwhile, so that the IOMMU is flushed. */
static void change_itself(void)
{
	char *memory = mmap(NULL, SLICE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	mprotect(memory, PAGE, PROT_READ);
	munmap(memory, SLICE);
}

static void *be_a_space(void *arg)
{
	struct sequence sequence = { storm.seed + (uintptr_t)arg };
	struct owner books = { .sequence = sequence };

	/* So that its number is known. */
	while (!storm.own_pasid && !stopped())
		create_itself();
	for (; !stopped(); books.calls++) {
		switch (chance(&books, 8)) {
		case 0:
			create_itself();
			break;
		case 1:
			destroy_itself();
			break;
		case 2:
			map_itself();
			break;
		case 3:
			change_itself();
			break;
		case 4:
			share_itself(&books.sequence);
			break;
		case 5:
			own_info(&books, &storm.itself, storm.own_pasid);
			break;
		default:
			own_attachment(&books, &storm.itself, storm.own_pasid);
			break;
		}
	}
	__atomic_add_fetch(&storm.calls, books.calls, __ATOMIC_RELAXED);
	return NULL;
}

/* Sharers. */

/* Counts what succeeded, so that what is left is known. */
static void note(int fd, long ret, int *counter, int by)
{
	if (fd != FLOATING && !ret)
		__atomic_add_fetch(counter, by, __ATOMIC_SEQ_CST);
}

/* The container is not there, or not any more; only the one that floats. */
static bool gone(int fd, long ret)
{
	return fd == FLOATING &&
	       (ret == -EBADF || ret == -EINVAL || ret == -ENODEV);
}

static void share(struct sequence *sequence, int fd)
{
	u32 first = SHARED_PASID(storm.number), last = first + SHARED_PASIDS - 1;
	u32 pasid = first + next_random(sequence, SHARED_PASIDS);
	/* The group of the other container: none that this one has. */
	u32 group = fd == FLOATING ? (u32)group_number(storm.other) : storm.group;
	int *space = &storm.shared_spaces[pasid - first];
	void *memory = storm.shared_memory;
	long ret;

	switch (next_random(sequence, 12)) {
	case 0:
		ret = pasid_alloc(fd, first, last);
		expect("shared alloc", ret, gone(fd, ret) || ret == -ENOSPC ||
		       (ret >= first && ret <= last), pasid);
		break;
	case 1:
		ret = pasid_free(fd, pasid, last);
		expect("shared free", ret, gone(fd, ret) || !ret ||
		       ret == -EBUSY, pasid);
		break;
	case 2:
		/* EOPNOTSUPP, ERANGE: as the group that floats allows. */
		ret = aux_create_fixed(fd, pasid);
		note(fd, ret, space, 1);
		expect("shared create", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT || ret == -EBUSY || (fd == FLOATING &&
		       (ret == -EOPNOTSUPP || ret == -ERANGE)), pasid);
		break;
	case 3:
		ret = aux_destroy(fd, pasid);
		note(fd, ret, space, -1);
		expect("shared destroy", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT, pasid);
		break;
	case 4:
		ret = aux_attach(fd, pasid, group);
		expect("shared attach", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT || ret == -EEXIST || ret == -ENODEV ||
		       is_reset(ret) ||
		       (fd == FLOATING && ret == -EOPNOTSUPP), pasid);
		break;
	case 5:
		ret = aux_detach(fd, pasid, group);
		expect("shared detach", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT, pasid);
		break;
	case 6:
	case 7:
		ret = register_memory(fd, 0, memory, SLICE);
		note(fd, ret, &storm.shared_references, 1);
		expect("shared register", ret, gone(fd, ret) || !ret, fd);
		break;
	case 8:
		ret = unregister_memory(fd, memory, SLICE);
		note(fd, ret, &storm.shared_references, -1);
		expect("shared unregister", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT || ret == -EBUSY, fd);
		break;
	case 9:
		ret = aux_map(fd, pasid, VFIO_AUX_MAP_READ, memory, IOVA, SLICE);
		expect("shared map", ret, gone(fd, ret) || !ret ||
		       ret == -ENOENT || ret == -EEXIST, pasid);
		break;
	case 10:
		ret = aux_unmap(fd, pasid, IOVA, SLICE);
		expect("shared unmap", ret, gone(fd, ret) || !ret ||
		       ret == SLICE || ret == -ENOENT, pasid);
		break;
	default:
		ret = pasid_used(fd);
		expect("used", ret, gone(fd, ret) || (ret >= 0 && ret <=
		       OWNERS * SPACES + SHARED_PASIDS + 1), fd);
		break;
	}
}

static void *share_all(void *arg)
{
	struct sequence sequence = { storm.seed + (uintptr_t)arg };

	for (unsigned long calls = 0; !stopped(); calls++) {
		share(&sequence, next_random(&sequence, 2) ? FLOATING :
					       storm.container.fd);
		if (calls % 64 == 0)
			__atomic_add_fetch(&storm.calls, 64, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The breaker. */

static void break_device(struct sequence *sequence)
{
	__atomic_add_fetch(&storm.generation, 1, __ATOMIC_SEQ_CST);
	close(storm.container.device);
	usleep(next_random(sequence, 3000));
	storm.container.device = device_of(storm.container.group, storm.index);
	if (storm.container.device < 0)
		wrong("open of the device", storm.container.device, 0);
	__atomic_add_fetch(&storm.generation, 1, __ATOMIC_SEQ_CST);
}

static void close_floating(struct sequence *sequence)
{
	int first = next_random(sequence, 3);

	/* In any order; the one that is last releases the container. */
	for (int i = 0; i < 3; i++)
		close(FLOATING + (first + i) % 3);
}

static void move(int fd, int number)
{
	dup3(fd, number, O_CLOEXEC);
	close(fd);
}

static void open_floating(void)
{
	struct container container;
	long ret = container_open_device(&container, storm.other);

	if (ret) {
		wrong("open of the other container", ret, 0);
		return;
	}
	move(container.group, FLOATING_GROUP);
	move(container.device, FLOATING_DEVICE);
	move(container.fd, FLOATING);
}

/* Another process is let in nowhere, and takes nothing along when it ends. */
static void fork_child(struct sequence *sequence)
{
	bool killed = next_random(sequence, 2);
	u32 pasid = PASID(storm.number, 0);
	int fd = storm.container.fd, status;
	pid_t child = fork();

	if (!child) {
		bool wrong = pasid_used(fd) != -EPERM ||
			     pasid_free(fd, 0, ~0u) != -EPERM ||
			     aux_destroy(fd, pasid) != -EPERM ||
			     aux_unmap_all(fd, pasid) != -EPERM ||
			     unregister_memory(fd, storm.shared_memory,
					       SLICE) != -EPERM;

		if (killed && !wrong)
			kill(getpid(), SIGKILL);
		_exit(wrong);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		wrong("fork", -errno, 0);
		return;
	}
	expect("in a child", status, killed ? WIFSIGNALED(status) : !status, 0);
}

static void *break_all(void *arg)
{
	struct sequence sequence = { storm.seed + (uintptr_t)arg };

	open_floating();
	while (!stopped()) {
		switch (next_random(&sequence, 6)) {
		case 0:
			break_device(&sequence);
			break;
		case 1:
		case 2:
			close_floating(&sequence);
			usleep(next_random(&sequence, 2000));
			open_floating();
			break;
		case 3:
			fork_child(&sequence);
			break;
		case 4:
			call(storm.container.device, VFIO_DEVICE_RESET, NULL);
			break;
		default:
			usleep(next_random(&sequence, 20000));
			break;
		}
	}
	close_floating(&sequence);
	return NULL;
}

/* A process. */

static void clear_shared(void)
{
	u32 first = SHARED_PASID(storm.number);
	int fd = storm.container.fd;
	long ret;

	for (int i = 0; i < SHARED_PASIDS; i++) {
		int left = storm.shared_spaces[i];

		ret = aux_destroy(fd, first + i);
		expect("last shared destroy", ret, ret == (left ? 0 : -ENOENT) &&
		       (left == 0 || left == 1), left);
	}
	while (!unregister_memory(fd, storm.shared_memory, SLICE))
		storm.shared_references--;
	expect("shared references", storm.shared_references,
	       !storm.shared_references, 0);
	ret = pasid_free(fd, first, first + SHARED_PASIDS - 1);
	expect("last shared free", ret, !ret, first);
}

static void count(struct owner *owner, struct inventory *sum)
{
	for (int i = 0; i < SPACES; i++) {
		struct space *space = &owner->spaces[i];
		u32 pasid = owner->pasid + i;

		own_info(owner, space, pasid);
		sum->pasids += space->held;
		sum->spaces += space->made;
		if (space->made)
			sum->attachments += aux_is_attached(storm.container.fd,
							    pasid, storm.group);
		for (int slot = 0; slot < SLOTS; slot++)
			sum->mappings += space->slice[slot] >= 0;
	}
	for (int i = 0; i < SLICES; i++)
		sum->registrations += owner->slices[i].references > 0;
	sum->dma += owner->dma * SLICE / PAGE;
}

/*
 * What the other container had of it may be counted until that is taken down,
 * so in the end this one has it.
 */
static void count_itself(struct inventory *sum)
{
	if (!storm.itself.made)
		create_itself();
	expect("process: in the end", storm.own_pasid, storm.itself.made, 0);
	sum->pasids++;
	sum->spaces++;
	sum->attachments += aux_is_attached(storm.container.fd,
					    storm.own_pasid, storm.group);
}

static int start_storm(pthread_t *threads)
{
	int ret, started = 0;

	storm.group = group_number(storm.index);
	storm.shared_memory = mmap(NULL, SLICE + OWNERS * OWNED,
				   PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (storm.shared_memory == MAP_FAILED)
		return -errno;
	ret = container_open_device(&storm.container, storm.index);
	if (ret)
		return ret;
	for (int i = 0; i < OWNERS; i++) {
		struct owner *owner = &storm.owners[i];

		owner->sequence.state = storm.seed + 17 * i;
		owner->pasid = PASID(storm.number, i);
		owner->dma_iova = DMA_IOVA + i * OWNED;
		owner->memory = storm.shared_memory + SLICE + i * OWNED;
		for (int space = 0; space < SPACES; space++)
			for (int slot = 0; slot < SLOTS; slot++)
				owner->spaces[space].slice[slot] = -1;
		pthread_create(&threads[started++], NULL, own, owner);
	}
	for (uintptr_t i = 0; i < SHARERS; i++)
		pthread_create(&threads[started++], NULL, share_all,
			       (void *)(100 + i));
	for (int i = 0; i < SLOTS; i++)
		storm.itself.slice[i] = -1;
	if (processes_are_spaces())
		pthread_create(&threads[started++], NULL, be_a_space,
			       (void *)300);
	pthread_create(&threads[started++], NULL, break_all, (void *)200);
	/* The last: what it returns is looked at. */
	pthread_create(&threads[started++], NULL, watch_held, &storm.stop);
	return started;
}

/* Until it hears of it. */
static void storm_until_told(int socket, void *arg)
{
	pthread_t threads[OWNERS + SHARERS + 3];
	struct inventory sum = { 0 };
	int started = start_storm(threads);
	void *reads = NULL;

	(void)arg;
	say(socket, started);
	if (started < 0)
		return;
	hear(socket);
	__atomic_store_n(&storm.stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], &reads);
	expect("reads of who holds what", (long)reads, (long)reads > 0, 1);
	clear_shared();
	if (processes_are_spaces())
		count_itself(&sum);
	for (int i = 0; i < OWNERS; i++) {
		count(&storm.owners[i], &sum);
		storm.calls += storm.owners[i].calls;
	}
	sum.pinned = sum.registrations * SLICE / PAGE;
	expect("used in the end", pasid_used(storm.container.fd),
	       pasid_used(storm.container.fd) == sum.pasids, sum.pasids);
	expect("locked in the end", vm_locked(),
	       vm_locked() == (sum.pinned + sum.dma) * PAGE,
	       (sum.pinned + sum.dma) * PAGE);
	if (storm.wrong) {
		printf("# %s\n", storm.text);
		fflush(stdout);
	}
	say(socket, storm.wrong);
	say(socket, storm.calls);
	for (size_t i = 0; i < sizeof(sum) / sizeof(long); i++)
		say(socket, ((long *)&sum)[i]);
	hear(socket);
	container_close(&storm.container);
	say(socket, vm_locked());
}

FIXTURE(storm) {
	int wide[PROCESSES];
	int other[PROCESSES];
	u64 seed;
	long seconds;
	long pinned;
};

static u64 number_of(const char *name, u64 otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

FIXTURE_SETUP(storm)
{
	struct limits limits = DEFAULT_LIMITS;

	limits.process_space = processes_are_spaces();
	if (limits.process_space)
		ASSERT_EQ(0, pretend_to_walk_processes());
	ASSERT_EQ(0, use_modules(&limits));
	self->wide[0] = device_index(20, 0);
	self->wide[1] = device_index(20, 1);
	self->other[0] = device_index(8, 0);
	self->other[1] = device_index(0, 0);
	for (int i = 0; i < PROCESSES; i++) {
		ASSERT_LE(0, self->wide[i]);
		ASSERT_LE(0, self->other[i]);
	}
	self->seed = number_of("VFIO_PASID_SEED", time(NULL));
	self->seconds = number_of("VFIO_PASID_SECONDS", 5);
	self->pinned = pinned_pages();
	ASSERT_LE(0, self->pinned);
}

static void begin(int number, int wide, int other, u64 seed)
{
	storm.number = number;
	storm.index = wide;
	storm.other = other;
	storm.seed = seed + 1000 * number;
}

static bool has(const struct inventory *sum)
{
	return count_of("pasids") == sum->pasids &&
	       count_of("spaces") == sum->spaces &&
	       count_of("attachments") == sum->attachments &&
	       count_of("mappings") == sum->mappings &&
	       count_of("registrations") == sum->registrations &&
	       count_of("pinned_pages") == sum->pinned;
}

static bool has_nothing(void)
{
	static const struct inventory nothing;

	return !count_of("containers") && has(&nothing);
}

/* As hear(), but for a process that may be stuck. */
static long hear_soon(int socket)
{
	struct pollfd readable = { .fd = socket, .events = POLLIN };

	return poll(&readable, 1, 120 * 1000) == 1 ? hear(socket) : -ETIMEDOUT;
}

/* A space of a new container is as empty as the first one ever. */
static long is_as_new(int index)
{
	struct container container;
	struct pasid_device device;
	long ret = container_open_device(&container, index);
	long pasid = ret ? ret : aux_create(container.fd);

	if (pasid < 0)
		return pasid;
	ret = aux_attach(container.fd, pasid, group_number(index));
	if (!ret)
		ret = device_start(&device, container.device);
	if (!ret) {
		ret = device_touch(&device, pasid, IOVA);
		device_stop(&device);
	}
	container_close(&container);
	return ret;
}

FIXTURE_TEARDOWN(storm)
{
	EXPECT_TRUE(has_nothing());
	EXPECT_EQ(self->pinned, pinned_pages());
	for (int i = 0; i < PROCESSES; i++)
		EXPECT_EQ(no_page(), is_as_new(self->wide[i]));
}

TEST_F_TIMEOUT(storm, everything_returns_what_it_must, PATIENCE)
{
	struct inventory sum = { 0 };
	struct peer peers[PROCESSES];
	unsigned long calls = 0;

	for (int i = 0; i < PROCESSES; i++) {
		begin(i, self->wide[i], self->other[i], self->seed);
		ASSERT_EQ(0, peer_start(&peers[i], storm_until_told, NULL));
		ASSERT_LT(0, hear(peers[i].socket));
	}
	sleep(self->seconds);
	for (int i = 0; i < PROCESSES; i++)
		say(peers[i].socket, 0);
	for (int i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(0, hear_soon(peers[i].socket));
		calls += hear(peers[i].socket);
		for (size_t j = 0; j < sizeof(sum) / sizeof(long); j++)
			((long *)&sum)[j] += hear(peers[i].socket);
	}
	printf("# note: seed %llu: %lu calls in %ld s\n", self->seed, calls,
	       self->seconds);
	EXPECT_TRUE(has(&sum));
	EXPECT_EQ(self->pinned + sum.pinned + sum.dma, pinned_pages());
	for (int i = 0; i < PROCESSES; i++) {
		say(peers[i].socket, 0);
		EXPECT_EQ(0, hear(peers[i].socket));
		EXPECT_EQ(0, peer_wait(&peers[i]));
	}
}

/* What a process that was killed had is given back before it is gone. */
TEST_F_TIMEOUT(storm, a_killed_process_leaves_nothing, PATIENCE)
{
	struct sequence sequence = { self->seed };
	time_t end = time(NULL) + self->seconds;
	int kills = 0;

	while (time(NULL) < end || kills < 3) {
		int which = kills % PROCESSES;
		struct peer peer;

		begin(which, self->wide[which], self->other[which],
		      self->seed + kills);
		ASSERT_EQ(0, peer_start(&peer, storm_until_told, NULL));
		/* Also before it has all of its threads. */
		if (next_random(&sequence, 4))
			ASSERT_LT(0, hear(peer.socket));
		usleep(next_random(&sequence, 300 * 1000));
		peer_kill(&peer);
		kills++;
		/* A child of it may end a little later. */
		for (int i = 0; i < 200 && !has_nothing(); i++)
			usleep(10 * 1000);
		ASSERT_TRUE(has_nothing());
		ASSERT_EQ(self->pinned, pinned_pages());
		ASSERT_EQ(no_page(), is_as_new(storm.index));
	}
	printf("# note: seed %llu: %d processes killed\n", self->seed, kills);
}

TEST_HARNESS_MAIN
