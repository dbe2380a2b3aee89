// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise: ioctls that follow the structures and then break one rule or another,
 * in no sensible order, from threads of several processes, while containers,
 * groups, devices and memory come and go. An ioctl may fail in any way that the
 * uapi header lists for it, and in no other; it may succeed only if nothing was
 * wrong with its argument, and then with a result that can be true.
 *
 * Environment: VFIO_PASID_SEED, where the noise begins (the time); the same seed
 * makes the same calls, though threads meet differently. VFIO_PASID_ROUNDS, how
 * many calls each thread makes (1500). VFIO_PASID_PROCESSES, if processes can be
 * attached to devices.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "conventions.h"
#include "pasid_device.h"

/* Seconds. */
#define PATIENCE	3600

/* Of each process. */
#define THREADS		2
#define CHILD_CALLS	40

/*
 * Descriptors have fixed numbers, so that a call through one that is closed or
 * opened meanwhile meets a descriptor of the same kind, or none.
 */
#define CONTAINERS	3
#define GROUPS		4
#define CONTAINER(slot)	(100 + (slot))
#define GROUP(index)	(110 + (index))
#define DEVICE(index)	(120 + (index))

/*
 * Container 0 of each process has a group of its own for good; the others have,
 * at times, those that the processes compete for.
 */
#define PROCESSES	2
#define FIRST_FLOATING	PROCESSES

/* So narrow that all are met. */
#define QUOTA		12
#define FIRST		2
#define LAST		(PASID_LAST - 1)

static const struct limits narrow = { QUOTA, FIRST, LAST, 6, 8, 12, true, false };

/* Memory to register, where nothing else of the process ever is. */
#define ARENA		0x200000000000ull
#define REGIONS		8
#define REGION_SIZE	(8 * PAGE)
#define ARENA_SIZE	(REGIONS * REGION_SIZE)

#define IOVA		0x40000000ull

#ifndef fallthrough
#define fallthrough	__attribute__((__fallthrough__))
#endif

#define FLAG_ALLOC	VFIO_IOMMU_FLAG_ALLOC_PASID
#define FLAG_FREE	VFIO_IOMMU_FLAG_FREE_PASID

static const struct {
	const char *ioctl;
	int error;
	const char *only;
} documented[] = {
#include "errnos.h"
};

enum what {
	PASID_REQUEST, PASID_INFO, REGISTER_MEMORY, UNREGISTER_MEMORY,
	AUX_CREATE, AUX_DESTROY, AUX_ATTACH, AUX_DETACH, AUX_MAP, AUX_UNMAP,
	AUX_INFO, SETUP, HOT_RESET_INFO, IOCTLS,
};

static const struct {
	const char *name;
	unsigned long request;
	u32 size;		/* without room for entries */
	u32 entry;
	u32 flags;		/* all that there are */
	int reserved;		/* offset */
	bool results;
} ioctls[] = {
#define IOCTL(name, type, ...) \
	[name] = { "VFIO_IOMMU_" #name, VFIO_IOMMU_##name, \
		   sizeof(struct vfio_iommu_##type), __VA_ARGS__ }
#define RESERVED(type)	.reserved = offsetof(struct vfio_iommu_##type, reserved)
	IOCTL(PASID_REQUEST, type1_pasid_request, .flags = FLAG_ALLOC | FLAG_FREE),
	IOCTL(PASID_INFO, pasid_info, .results = true, RESERVED(pasid_info)),
	IOCTL(REGISTER_MEMORY, register_memory, .flags = VFIO_MEMORY_READ_ONLY),
	IOCTL(UNREGISTER_MEMORY, register_memory, .flags = 0),
	IOCTL(AUX_CREATE, aux_create,
	      .flags = VFIO_AUX_FIXED_PASID | VFIO_AUX_PROCESS,
	      .results = true, RESERVED(aux_create)),
	IOCTL(AUX_DESTROY, aux_destroy, RESERVED(aux_destroy)),
	IOCTL(AUX_ATTACH, aux_attach, .flags = 0),
	IOCTL(AUX_DETACH, aux_attach, .flags = 0),
	IOCTL(AUX_MAP, aux_map, .flags = VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
	      RESERVED(aux_map)),
	IOCTL(AUX_UNMAP, aux_unmap, .flags = VFIO_AUX_UNMAP_ALL, .results = true,
	      RESERVED(aux_unmap)),
	IOCTL(AUX_INFO, aux_info, .flags = VFIO_AUX_INFO_PROCESS, .results = true,
	      .entry = sizeof(struct vfio_iommu_aux_entry)),
	IOCTL(SETUP, setup, .results = true),
	IOCTL(HOT_RESET_INFO, hot_reset_info, .results = true,
	      .entry = sizeof(struct vfio_pci_dependent_device)),
};

/* What all processes share. */
static struct world {
	bool failed;
	char text[1024];	/* about the first failure */
	unsigned long calls;
	unsigned long successes[IOCTLS];
	unsigned long process_spaces;
	bool seen[ARRAY_SIZE(documented)];
} *world;

/* A process: its children inherit a copy. */
static struct {
	int number;
	bool is_child;
	u32 groups[GROUPS];	/* numbers; the order is that of the processes */
	int indexes[GROUPS];
	u16 addresses[GROUPS];	/* bus and function of their devices */
	u32 pasids[CONTAINERS][4];	/* of spaces, as last heard */
	pid_t threads[THREADS];
} process;

/* A thread. */
struct actor {
	struct sequence sequence;
	int number;
	long call;
	u8 *page;		/* behind which there is a hole */
	u8 before[PAGE];
	pid_t child;
};

static u32 chance(struct actor *actor, u32 limit)
{
	return next_random(&actor->sequence, limit);
}

static void failed(struct actor *actor, const char *call, const char *how,
		   long ret, const void *argument)
{
	const u32 *words = argument;
	int size;

	if (__atomic_exchange_n(&world->failed, true, __ATOMIC_SEQ_CST))
		return;
	size = snprintf(world->text, sizeof(world->text),
			"%s %s: %ld, process %d%s, thread %d, call %ld:", call,
			how, ret, process.number,
			process.is_child ? " (child)" : "", actor->number,
			actor->call);
	for (int i = 0; words && i < 12; i++)
		size += snprintf(world->text + size, sizeof(world->text) - size,
				 " %08x", words[i]);
}

static bool is_documented(enum what what, u32 flags, int error)
{
	bool found = false;

	/* Ours is loaded. */
	if (error == ENOTTY)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(documented); i++) {
		const char *only = documented[i].only;

		if (documented[i].error != error ||
		    (*documented[i].ioctl &&
		     strcmp(documented[i].ioctl, ioctls[what].name)))
			continue;
		if ((!strcmp(only, "ALLOC") && !(flags & FLAG_ALLOC)) ||
		    (!strcmp(only, "FREE") && !(flags & FLAG_FREE)) ||
		    (!strcmp(only, "FIXED") && !(flags & VFIO_AUX_FIXED_PASID)) ||
		    (!strcmp(only, "PROCESS") && !(flags & VFIO_AUX_PROCESS)))
			continue;
		world->seen[i] = true;
		found = true;
	}
	return found;
}

/* Values, most of which make sense. */

static u32 some_pasid(struct actor *actor, int slot)
{
	static const u32 values[] = {
		0, 1, FIRST, 3, 4, 5, 254, 255, 256, LAST, PASID_LAST,
		PASID_LAST + 1, 0x7fffffff, 0x80000000, 0xffffffff,
	};

	if (chance(actor, 4))
		return process.pasids[slot][chance(actor, 4)];
	return values[chance(actor, ARRAY_SIZE(values))];
}

static u32 some_group(struct actor *actor, int slot)
{
	static const u32 values[] = { 0, 0xffff, 0x7fffffff, VFIO_PASID_NO_GROUP };

	if (!chance(actor, 8))
		return values[chance(actor, ARRAY_SIZE(values))];
	if (!slot && chance(actor, 3))
		return process.groups[process.number];
	return process.groups[chance(actor, ARRAY_SIZE(process.groups))];
}

/* Where address spaces, windows and what is reserved in them begin and end. */
static u64 some_edge(struct actor *actor)
{
	static const u64 values[] = {
		0, PAGE, IOVA - PAGE, 0xfedff000, 0xfee00000, 0xfeeff000,
		0xfef00000, 0x100000000, 1ull << 46, 1ull << 47, 1ull << 48,
		1ull << 56, 1ull << 63, -2 * PAGE, -PAGE,
	};
	u64 value = values[chance(actor, ARRAY_SIZE(values))];

	switch (chance(actor, 6)) {
	case 0:
		return value - PAGE;
	case 1:
		return value - 1;
	case 2:
		return value + 1 + chance(actor, PAGE - 1);
	default:
		return value;
	}
}

static u64 some_size(struct actor *actor, u64 usual)
{
	static const u64 values[] = {
		0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 0x200000, 0x40000000,
		1ull << 47, 1ull << 48, 1ull << 52, 1ull << 63, -PAGE, -1,
	};

	return chance(actor, 8) ? usual : values[chance(actor, ARRAY_SIZE(values))];
}

static u64 some_iova(struct actor *actor)
{
	if (!chance(actor, 8))
		return some_edge(actor);
	return IOVA + chance(actor, 16) * PAGE;
}

static u64 some_vaddr(struct actor *actor)
{
	static const u64 values[] = {
		0, ARENA - PAGE, ARENA + 1, ARENA + ARENA_SIZE, 0x7ffffffff000,
		0x800000000000, 0xffff800000000000, 0xffffffff81000000, -PAGE, -1,
	};

	if (!chance(actor, 16))
		return values[chance(actor, ARRAY_SIZE(values))];
	return ARENA + chance(actor, REGIONS) * REGION_SIZE;
}

/* The structures; what is wrong with them comes later. */

static void fill(struct actor *actor, enum what what, int slot,
		 union argument *arg)
{
	u64 size = PAGE << chance(actor, 3);
	u32 pasid;

	*arg = (union argument) { .argsz = ioctls[what].size };
	switch (what) {
	case PASID_REQUEST:
		arg->flags = chance(actor, 3) ? FLAG_ALLOC : FLAG_FREE;
		pasid = some_pasid(actor, slot);
		arg->request.range.min = pasid;
		arg->request.range.max = chance(actor, 4) ? pasid :
					 some_pasid(actor, slot);
		break;
	case PASID_INFO:
		arg->info.group = some_group(actor, slot);
		arg->info.quota = chance(actor, 0xffffffff);
		break;
	case REGISTER_MEMORY:
		arg->flags = chance(actor, 3) ? 0 : VFIO_MEMORY_READ_ONLY;
		fallthrough;
	case UNREGISTER_MEMORY:
		arg->memory.vaddr = some_vaddr(actor);
		arg->memory.size = some_size(actor, REGION_SIZE);
		break;
	case AUX_CREATE:
		arg->create.pasid = some_pasid(actor, slot);
		if (chance(actor, 3))
			arg->flags = VFIO_AUX_FIXED_PASID;
		else if (chance(actor, 2))
			arg->flags = VFIO_AUX_PROCESS;
		if (arg->flags == VFIO_AUX_PROCESS && chance(actor, 8))
			break;
		if (chance(actor, 2)) {
			arg->create.iova_start = chance(actor, 2) ? 0 :
						 some_edge(actor);
			arg->create.iova_size = some_size(actor, 1ull << 47);
		}
		break;
	case AUX_DESTROY:
		arg->destroy.pasid = some_pasid(actor, slot);
		break;
	case AUX_ATTACH:
	case AUX_DETACH:
		arg->attach.pasid = some_pasid(actor, slot);
		arg->attach.group = some_group(actor, slot);
		break;
	case AUX_MAP:
		arg->flags = 1 + chance(actor, 3);
		arg->map.pasid = some_pasid(actor, slot);
		arg->map.vaddr = some_vaddr(actor) + (chance(actor, 4) ? 0 : PAGE);
		arg->map.iova = some_iova(actor);
		arg->map.size = some_size(actor, size);
		break;
	case AUX_UNMAP:
		arg->unmap.pasid = some_pasid(actor, slot);
		if (!chance(actor, 4)) {
			arg->flags = VFIO_AUX_UNMAP_ALL;
			if (chance(actor, 4))
				break;
		}
		arg->unmap.iova = some_iova(actor);
		arg->unmap.size = some_size(actor, size);
		break;
	case SETUP:
		/* It cannot be undone, so not the only container that stays. */
		if (slot || !chance(actor, 8)) {
			arg->setup.iova_start = some_edge(actor);
			arg->setup.iova_size = some_size(actor, 1ull << 47);
		}
		break;
	default:
		break;
	}
}

/* These two have more than fits above. */
static void fill_with_entries(struct actor *actor, enum what what, int slot,
			      u8 *bytes)
{
	struct vfio_iommu_hot_reset_info *reset = (void *)bytes;
	struct vfio_iommu_aux_info *info = (void *)bytes;

	memset(bytes, 0, ioctls[what].size);
	if (what == AUX_INFO) {
		info->argsz = ioctls[what].size;
		info->pasid = some_pasid(actor, slot);
		if (!chance(actor, 3))
			info->cursor = (u64)chance(actor, 4) << 62 |
				       some_edge(actor) >> chance(actor, 3);
		return;
	}
	reset->argsz = ioctls[what].size;
	if (chance(actor, 8)) {
		u32 address = process.addresses[chance(actor, ARRAY_SIZE(process.addresses))];

		reset->bus = address >> 8;
		reset->devfn = address;
	} else {
		reset->bus = chance(actor, 256);
		reset->devfn = chance(actor, 256);
	}
}

/* What a result may be. */

static bool is_page_aligned(u64 value)
{
	return !(value % PAGE);
}

/* A window was requested, and one was granted: [start, start + size). */
static bool can_be_granted(u64 requested, u64 requested_size, u64 start,
			   u64 size)
{
	u64 last = start + size - 1;

	return size && last >= start && is_page_aligned(start) &&
	       is_page_aligned(size) && start >= requested &&
	       (!requested_size || last <= requested + requested_size - 1);
}

static bool are_entries(const struct vfio_iommu_aux_info *info)
{
	u64 end = 0, window_last = info->iova_start + info->iova_size - 1;
	u32 type = 0;

	for (u32 i = 0; i < info->count; i++) {
		const struct vfio_iommu_aux_entry *entry = &info->entries[i];

		if (entry->type < type || entry->type < VFIO_AUX_ENTRY_HOLE ||
		    entry->type > VFIO_AUX_ENTRY_MAPPING)
			return false;
		if (entry->type != type)
			end = 0;
		type = entry->type;
		if (type == VFIO_AUX_ENTRY_GROUP) {
			if (entry->iova || entry->size || entry->vaddr)
				return false;
			continue;
		}
		/* In order, and nothing overlaps. */
		if (entry->iova < end || entry->iova < info->iova_start ||
		    entry->iova + entry->size - 1 > window_last ||
		    !entry->size)
			return false;
		end = entry->iova + entry->size;
		if (type == VFIO_AUX_ENTRY_MAPPING &&
		    (!entry->data || entry->data & ~ioctls[AUX_MAP].flags ||
		     entry->vaddr < ARENA ||
		     entry->vaddr + entry->size > ARENA + ARENA_SIZE))
			return false;
	}
	return true;
}

static bool are_caps(u32 caps)
{
	const u32 all = VFIO_PASID_CAP_SVA_IOMMU | VFIO_PASID_CAP_ATS |
			VFIO_PASID_CAP_SVA_ALLOWED;

	return !(caps & ~(VFIO_PASID_CAP_EXEC | VFIO_PASID_CAP_PRIV |
			  VFIO_PASID_CAP_SVA | all)) &&
	       !(caps & VFIO_PASID_CAP_SVA) == ((caps & all) != all);
}

/* A process space: no window, and it is attached to groups. */
static bool is_process(const struct vfio_iommu_aux_info *info)
{
	for (u32 i = 0; i < info->count; i++)
		if (info->entries[i].type != VFIO_AUX_ENTRY_GROUP)
			return false;
	return info->flags == VFIO_AUX_INFO_PROCESS && !info->pgsize_bitmap &&
	       !info->iova_start && !info->iova_size;
}

static bool can_be(enum what what, const union argument *in, const void *out,
		   long ret)
{
	const struct vfio_iommu_hot_reset_info *reset = out;
	const struct vfio_iommu_aux_info *aux = out;
	const union argument *arg = out;
	u32 entries = (in->argsz - ioctls[what].size) / (ioctls[what].entry ?: 1);

	if (what == PASID_REQUEST && in->flags == FLAG_ALLOC)
		return ret >= FIRST && ret <= LAST &&
		       ret >= in->request.range.min &&
		       ret <= in->request.range.max;
	if (ret)
		return false;
	switch (what) {
	case PASID_INFO:
		return arg->info.quota == QUOTA && arg->info.used <= QUOTA &&
		       (!arg->info.width || arg->info.width == 8 ||
			arg->info.width == 20) && are_caps(arg->info.caps) &&
		       (in->info.group != VFIO_PASID_NO_GROUP ||
			!(arg->info.width | arg->info.caps));
	case AUX_CREATE:
		if (in->flags == VFIO_AUX_PROCESS)
			__atomic_add_fetch(&world->process_spaces, 1,
					   __ATOMIC_RELAXED);
		if (in->flags == VFIO_AUX_PROCESS)
			return arg->create.pasid && !in->create.iova_start &&
			       !in->create.iova_size &&
			       !arg->create.pgsize_bitmap;
		return !(in->flags & VFIO_AUX_PROCESS) &&
		       arg->create.pasid >= FIRST && arg->create.pasid <= LAST &&
		       (!in->flags || arg->create.pasid == in->create.pasid) &&
		       arg->create.pgsize_bitmap & PAGE &&
		       can_be_granted(in->create.iova_start, in->create.iova_size,
				      arg->create.iova_start,
				      arg->create.iova_size);
	case AUX_UNMAP:
		return is_page_aligned(arg->unmap.size) &&
		       (in->flags || arg->unmap.size <= in->unmap.size) &&
		       arg->unmap.size <= 8 * REGION_SIZE;
	case AUX_INFO:
		if (aux->flags)
			return aux->count <= entries && is_process(aux);
		return aux->count <= entries && aux->pgsize_bitmap & PAGE &&
		       is_page_aligned(aux->iova_start | aux->iova_size) &&
		       are_entries(aux);
	case SETUP:
		return arg->setup.pgsize_bitmap & PAGE &&
		       can_be_granted(in->setup.iova_start, in->setup.iova_size,
				      arg->setup.iova_start,
				      arg->setup.iova_size);
	case HOT_RESET_INFO:
		return reset->count && reset->count <= entries &&
		       !(reset->flags & ~(VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
					  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED));
	default:
		return true;
	}
}

/* How many bytes a call may have changed from the start of the structure. */
static u32 may_change(enum what what, const void *out, long ret)
{
	const struct vfio_iommu_hot_reset_info *reset = out;
	const struct vfio_iommu_aux_info *aux = out;
	const union argument *arg = out;

	/* That the container has the process already is seen when it gets it. */
	if (what == AUX_CREATE && ret == -EBUSY && arg->flags == VFIO_AUX_PROCESS)
		return ioctls[what].size;
	/* The count, of a list that is too long. */
	if (what == HOT_RESET_INFO && ret == -ENOSPC)
		return ioctls[what].size;
	/* What was gathered when a write failed is no result. */
	if (ret < 0)
		return ret == -EFAULT && ioctls[what].entry ? PAGE : 0;
	if (!ioctls[what].results)
		return 0;
	if (what == AUX_INFO)
		return ioctls[what].size + aux->count * ioctls[what].entry;
	if (what == HOT_RESET_INFO)
		return ioctls[what].size + reset->count * ioctls[what].entry;
	return ioctls[what].size;
}

static bool is_changed(struct actor *actor, u32 at, u32 size)
{
	return memcmp(actor->page, actor->before, at) ||
	       (at + size < PAGE &&
		memcmp(actor->page + at + size, actor->before + at + size,
		       PAGE - at - size));
}

/*
 * One of our ioctls. Container 0 of the parent is none of the child's, and is
 * always there.
 */
static void check_result(struct actor *actor, enum what what, int slot,
			 const union argument *in, const void *out, bool wrong,
			 long ret)
{
	const char *name = ioctls[what].name;

	if (ret == -EBADF && slot)
		return;
	if (ret < 0) {
		if (!is_documented(what, in->flags, -ret))
			failed(actor, name, "failed as not documented", ret, in);
		return;
	}
	__atomic_add_fetch(&world->successes[what], 1, __ATOMIC_RELAXED);
	if (wrong)
		failed(actor, name, "took a wrong argument", ret, in);
	else if (process.is_child && !slot)
		failed(actor, name, "let a child in", ret, in);
	else if (!can_be(what, in, out, ret))
		failed(actor, name, "had a wrong result", ret, out);
}

static u32 some_argsz(struct actor *actor, enum what what)
{
	u32 size = ioctls[what].size, room = chance(actor, 90);

	switch (chance(actor, 24)) {
	case 0:
		return 0;
	case 1:
		return size - 1;
	case 2:
		return chance(actor, size);
	case 3:
		return ~0u;
	case 4:
		return size + 1 + chance(actor, 64);
	default:
		return size + room * ioctls[what].entry;
	}
}

/* Breaks a rule, or none; true if the call cannot succeed now. */
static bool spoil(struct actor *actor, enum what what, union argument *arg)
{
	u32 bit = 1u << chance(actor, 32);

	if (!chance(actor, 16))
		arg->flags |= bit;
	else if (!chance(actor, 16) && ioctls[what].reserved)
		*(u32 *)(arg->bytes + ioctls[what].reserved) |= bit;
	arg->argsz = some_argsz(actor, what);
	return arg->argsz < ioctls[what].size ||
	       arg->flags & ~ioctls[what].flags ||
	       (ioctls[what].reserved &&
		*(u32 *)(arg->bytes + ioctls[what].reserved));
}

/* Where a structure is; other values: in a page of the actor. */
static const u64 places[] = {
	0, ARENA - PAGE, 0x7ffffffff000, 0xffff888000000000, 0xffffffffffffff00,
};

#define PLACES		ARRAY_SIZE(places)
enum { NOT_ALIGNED = PLACES, BEFORE_HOLE, INTO_HOLE, READ_ONLY };

static void call_ours(struct actor *actor)
{
	/* Mapping needs more luck than the others. */
	enum what what = chance(actor, 4) ? chance(actor, IOCTLS) : AUX_MAP;
	int slot = chance(actor, 2) ? 0 : chance(actor, CONTAINERS);
	u32 size = ioctls[what].size, at = 0;
	union argument arg;
	void *where, *copy = NULL;
	u32 place;
	bool wrong;
	long ret;

	if (ioctls[what].entry)
		fill_with_entries(actor, what, slot, arg.bytes);
	else
		fill(actor, what, slot, &arg);
	wrong = spoil(actor, what, &arg);

	place = chance(actor, 32);
	if (place == NOT_ALIGNED)
		at = 1 + chance(actor, 7);
	else if (place == BEFORE_HOLE)
		at = PAGE - size;
	else if (place == INTO_HOLE)
		at = PAGE - chance(actor, size);
	where = actor->page + at;
	memcpy(where, &arg, at + size > PAGE ? PAGE - at : size);
	if (place == READ_ONLY) {
		copy = read_only_copy(&arg, size);
		where = copy;
		wrong |= ioctls[what].results;
	} else if (place < PLACES) {
		where = (void *)places[place];
	}
	wrong |= place == INTO_HOLE || place < PLACES;

	memcpy(actor->before, actor->page, PAGE);
	ret = call(CONTAINER(slot), ioctls[what].request, where);
	check_result(actor, what, slot, &arg, where, wrong, ret);
	if (is_changed(actor, at, wrong && ret >= 0 ? 0 :
		       may_change(what, where, ret)))
		failed(actor, ioctls[what].name, "wrote what is no result", ret,
		       &arg);
	if (copy)
		munmap(copy, PAGE);
	if (ret > 0)
		process.pasids[slot][chance(actor, 4)] = ret;
	else if (!ret && what == AUX_CREATE && !copy)
		process.pasids[slot][chance(actor, 4)] =
			((struct vfio_iommu_aux_create *)where)->pasid;
}

/* Numbers next to ours, and what our CHECK_EXTENSION says. */
static void call_strangers(struct actor *actor)
{
	int slot = chance(actor, CONTAINERS);
	u32 number = 0x3c + chance(actor, 20);
	long ret;

	if (chance(actor, 2)) {
		ret = call(CONTAINER(slot), VFIO_CHECK_EXTENSION,
			   (void *)VFIO_PASID_EXTENSION);
		if (ret != 0x7f && !(slot && ret == -EBADF))
			failed(actor, "VFIO_CHECK_EXTENSION", "failed", ret,
			       NULL);
		return;
	}
	if (number >= 0x40 && number <= 0x4b)
		return;
	ret = call(CONTAINER(slot), _IO(VFIO_TYPE, number), actor->page);
	if (ret != -ENOTTY && ret != -EINVAL && ret != -ENODEV && ret != -EBADF)
		failed(actor, "an ioctl of nobody", "did something", ret,
		       actor->page);
}

/* The stock ioctls: whatever they say, as long as they do not claim success. */
static void call_stock(struct actor *actor)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = { .argsz = sizeof(dirty) };
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap) };
	int fd = CONTAINER(chance(actor, CONTAINERS));
	long ret;

	switch (chance(actor, 5)) {
	case 0:
		if (!chance(actor, 4))
			info.argsz += chance(actor, 64);
		memcpy(actor->page, &info, sizeof(info));
		call(fd, VFIO_IOMMU_GET_INFO, actor->page);
		break;
	case 1:
	case 2:
		map.flags = chance(actor, 8);
		map.vaddr = some_vaddr(actor);
		map.iova = some_iova(actor);
		map.size = some_size(actor, PAGE << chance(actor, 3));
		ret = call(fd, VFIO_IOMMU_MAP_DMA, &map);
		if (ret > 0 || (!ret && !map.size))
			failed(actor, "VFIO_IOMMU_MAP_DMA", "succeeded", ret,
			       &map);
		break;
	case 3:
		unmap.flags = chance(actor, 8) ? 0 : chance(actor, 8);
		unmap.iova = some_iova(actor);
		unmap.size = some_size(actor, REGION_SIZE);
		ret = call(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
		if (ret > 0)
			failed(actor, "VFIO_IOMMU_UNMAP_DMA", "succeeded", ret,
			       &unmap);
		break;
	default:
		dirty.flags = 1u << chance(actor, 3);
		call(fd, VFIO_IOMMU_DIRTY_PAGES, &dirty);
		break;
	}
}

/* What @fd is takes the place of whatever has the number @number. */
static void put(int fd, int number)
{
	if (fd < 0)
		return;
	dup3(fd, number, O_CLOEXEC);
	close(fd);
}

static void change_topology(struct actor *actor)
{
	static const unsigned long types[] = {
		VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU,
		VFIO_PASID_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU, 0, -1,
	};
	int floating = FIRST_FLOATING + chance(actor, GROUPS - FIRST_FLOATING);
	int any = chance(actor, 2) ? floating : process.number;
	int slot = 1 + chance(actor, CONTAINERS - 1);

	switch (chance(actor, 24)) {
	case 0:
		put(container_node(), CONTAINER(slot));
		break;
	case 1:
		close(CONTAINER(slot));
		break;
	case 2:
		close(GROUP(floating));
		break;
	case 3:
		unset_container(GROUP(floating));
		break;
	case 4:
		close(DEVICE(any));
		break;
	case 5:
		call(DEVICE(any), VFIO_DEVICE_RESET, NULL);
		break;
	case 6 ... 9:
		put(device_of(GROUP(any), process.indexes[any]), DEVICE(any));
		break;
	case 10 ... 14:
		put(group_node(process.indexes[floating]), GROUP(floating));
		break;
	case 15 ... 19:
		set_container(GROUP(floating),
			      CONTAINER(chance(actor, CONTAINERS)));
		break;
	default:
		set_iommu(CONTAINER(slot), types[chance(actor, ARRAY_SIZE(types))]);
		break;
	}
}

static void change_memory(struct actor *actor)
{
	u64 start = ARENA + chance(actor, REGIONS) * REGION_SIZE;
	u64 size = chance(actor, 4) ? REGION_SIZE : PAGE;

	start += chance(actor, (REGION_SIZE - size) / PAGE + 1) * PAGE;
	switch (chance(actor, 12)) {
	case 0:
		munmap((void *)start, size);
		break;
	case 1:
		mprotect((void *)start, size, PROT_READ);
		break;
	case 2:
		madvise((void *)start, size, MADV_DONTNEED);
		break;
	case 3:
		mprotect((void *)start, size, PROT_NONE);
		break;
	default:
		mmap((void *)start, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	}
}

/* A signal that does nothing ends what waits for longer than it has to. */
static void nothing(int signal)
{
	(void)signal;
}

static void interrupt(struct actor *actor)
{
	pid_t thread = process.threads[chance(actor, ARRAY_SIZE(process.threads))];

	if (!process.is_child && thread)
		syscall(SYS_tgkill, getpid(), thread, SIGUSR1);
}

static void make_noise(struct actor *actor, long calls);

static void start_actor(struct actor *actor, u64 seed, int number)
{
	*actor = (struct actor) {
		.sequence.state = seed * 1000003 + number,
		.number = number,
		.page = before_hole(PAGE),
	};
	/* Neighbouring states begin alike. */
	for (int i = 0; i < 4; i++)
		chance(actor, 2);
}

/* A signal may come meanwhile, and a child that lives has all that is open. */
static void wait_for_child(struct actor *actor)
{
	if (actor->child <= 0)
		return;
	while (waitpid(actor->child, NULL, 0) < 0 && errno == EINTR)
		;
	actor->child = 0;
}

/* A child has what its parent had, but is another process. */
static void fork_child(struct actor *actor)
{
	u32 seed = chance(actor, 0xffffffff), end = chance(actor, 2);

	if (process.is_child)
		return;
	wait_for_child(actor);
	actor->child = fork();
	if (actor->child)
		return;
	process.is_child = true;
	start_actor(actor, seed, actor->number);
	make_noise(actor, CHILD_CALLS);
	if (end)
		kill(getpid(), SIGKILL);
	_exit(0);
}

static void make_noise(struct actor *actor, long calls)
{
	for (actor->call = 0; actor->call < calls; actor->call++) {
		if (__atomic_load_n(&world->failed, __ATOMIC_RELAXED))
			break;
		switch (chance(actor, 128)) {
		case 0:
			fork_child(actor);
			break;
		case 1:
			interrupt(actor);
			break;
		case 2 ... 7:
			change_topology(actor);
			break;
		case 8 ... 19:
			change_memory(actor);
			break;
		case 20 ... 31:
			call_stock(actor);
			break;
		case 32 ... 35:
			call_strangers(actor);
			break;
		default:
			call_ours(actor);
			break;
		}
	}
	__atomic_add_fetch(&world->calls, actor->call, __ATOMIC_RELAXED);
	wait_for_child(actor);
}

struct part {
	u64 seed;
	long rounds;
	int number;
};

static void *thread(void *arg)
{
	struct part *part = arg;
	struct actor *actor = calloc(1, sizeof(*actor));

	start_actor(actor, part->seed, part->number);
	process.threads[part->number % THREADS] = gettid();
	make_noise(actor, part->rounds);
	process.threads[part->number % THREADS] = 0;
	munmap(actor->page, PAGE);
	free(actor);
	return NULL;
}

/* A process with its threads; ends with nothing open. */
static long noise_of_a_process(u64 seed, long rounds, int number, int count)
{
	struct sigaction action = { .sa_handler = nothing };
	struct rlimit limit = { 24 * PAGE, 24 * PAGE };
	struct container container;
	pthread_t threads[THREADS];
	struct part parts[THREADS];
	int ret;

	process.number = number;
	sigaction(SIGUSR1, &action, NULL);
	if (mmap((void *)ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
	    MAP_FAILED)
		return -errno;
	/* One of the processes has little memory to lock. */
	if (number) {
		setrlimit(RLIMIT_MEMLOCK, &limit);
		set_ipc_lock(false);
	}
	ret = container_open_device(&container, process.indexes[number]);
	if (ret)
		return ret;
	put(container.fd, CONTAINER(0));
	put(container.group, GROUP(number));
	put(container.device, DEVICE(number));
	for (int i = 0; i < count; i++) {
		parts[i] = (struct part) { seed, rounds, number * THREADS + i };
		pthread_create(&threads[i], NULL, thread, &parts[i]);
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	if (number)
		set_ipc_lock(true);
	for (int fd = CONTAINER(0); fd < DEVICE(GROUPS); fd++)
		close(fd);
	munmap((void *)ARENA, ARENA_SIZE);
	return vm_locked();
}

struct noise {
	u64 seed;
	long rounds;
	int number;
	int threads;
};

static void in_process(int socket, void *arg)
{
	struct noise *noise = arg;

	say(socket, noise_of_a_process(noise->seed, noise->rounds,
				       noise->number, noise->threads));
}

FIXTURE(noise) {
	long pinned;
};

FIXTURE_SETUP(noise)
{
	ASSERT_EQ(0, use_modules(&narrow));
	if (getenv("VFIO_PASID_PROCESSES"))
		ASSERT_EQ(0, pretend_to_walk_processes());
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)world);
	process.indexes[0] = device_index(20, 0);
	process.indexes[1] = device_index(20, 1);
	process.indexes[2] = device_index(8, 0);
	process.indexes[3] = device_index(0, 0);
	for (int i = 0; i < GROUPS; i++) {
		u32 bus, device, function;
		int found;

		ASSERT_LE(0, process.indexes[i]);
		process.groups[i] = group_number(process.indexes[i]);
		found = sscanf(group_device(process.indexes[i]),
			       "0000:%x:%x.%x", &bus, &device, &function);
		ASSERT_EQ(3, found);
		process.addresses[i] = bus << 8 | device << 3 | function;
	}
	self->pinned = pinned_pages();
	ASSERT_LE(0, self->pinned);
}

/* Whatever was, nothing of it is left, and every group can be had. */
FIXTURE_TEARDOWN(noise)
{
	struct container container;

	for (size_t i = 0; i < ARRAY_SIZE(counted_kinds); i++) {
		EXPECT_EQ(0, count_of(counted_kinds[i])) {
			TH_LOG("%s", counted_kinds[i]);
		}
	}
	EXPECT_EQ(self->pinned, pinned_pages());
	for (int i = 0; i < GROUPS; i++) {
		EXPECT_EQ(0, container_open_device(&container,
						   process.indexes[i]));
		container_close(&container);
	}
}

/* 0, or what could not be is in world. */
static long run_noise(u64 seed, long rounds, int processes, int threads)
{
	struct noise noises[PROCESSES];
	struct peer peers[PROCESSES];
	long ret = 0;

	for (int i = 0; i < processes; i++) {
		noises[i] = (struct noise) { seed, rounds, i, threads };
		if (peer_start(&peers[i], in_process, &noises[i]))
			return -EAGAIN;
	}
	for (int i = 0; i < processes; i++) {
		long heard = hear(peers[i].socket);

		peer_wait(&peers[i]);
		ret = ret ?: heard;
	}
	return ret;
}

static u64 number_of(const char *name, u64 otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/*
 * Noise that found something, when one thread makes it, which is always the same
 * noise: a bug, or else a mutant.
 */
static const struct {
	u64 seed;
	long calls;
	const char *found;
} kept[] = {
	{ 1, 2000, "SETUP that failed had written what it would grant" },
};

TEST_F_TIMEOUT(noise, what_it_found_stays_fixed, PATIENCE)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		EXPECT_EQ(0, run_noise(kept[i].seed, kept[i].calls, 1, 1));
		EXPECT_FALSE(world->failed) {
			TH_LOG("%s: %s", kept[i].found, world->text);
		}
	}
}

TEST_F_TIMEOUT(noise, fails_as_documented_and_succeeds_as_it_should, PATIENCE)
{
	u64 seed = number_of("VFIO_PASID_SEED", time(NULL));
	long rounds = number_of("VFIO_PASID_ROUNDS", 1500);
	time_t start = time(NULL);
	int seen = 0;

	EXPECT_EQ(0, run_noise(seed, rounds, PROCESSES, THREADS));
	for (size_t i = 0; i < ARRAY_SIZE(documented); i++)
		seen += world->seen[i];
	printf("# note: seed %llu: %lu calls in %ld s, %d of %zu documented errors\n",
	       seed, world->calls, (long)(time(NULL) - start), seen,
	       ARRAY_SIZE(documented));
	EXPECT_FALSE(world->failed) {
		TH_LOG("%s", world->text);
	}
	/* Noise that never gets anywhere would find nothing. */
	for (int i = 0; i < IOCTLS; i++) {
		EXPECT_LT(0, world->successes[i]) {
			TH_LOG("%s never succeeded", ioctls[i].name);
		}
	}
	EXPECT_EQ(!!getenv("VFIO_PASID_PROCESSES"), !!world->process_spaces);
}

TEST_HARNESS_MAIN
