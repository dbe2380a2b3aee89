// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation, and every copy from or to the user, fails once: each call
 * is repeated with the first, the second, ... of them failing until none is
 * left to fail. Whatever the call returns, all is as it was before, or as it is
 * after a call that succeeds, and never between. Documentation/fault-injection
 * of the kernel describes fail-nth.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "module/vfio_pasid_test.h"
#include "pasid_device.h"

#define PASID	600
#define OTHER	601
#define PAGES	32
#define SIZE	(PAGES * PAGE)
/* Across a boundary of the tables, so that new ones are needed in the middle. */
#define IOVA	(0x40000000 - SIZE / 2)

/* More than any call has; a call that never gets through is an error. */
#define MOST	400

/* A debug kernel is slow. */
#define PATIENCE	600

/* Each test is a process of its own. */
static struct {
	struct container container;
	struct container second;
	int fd;
	int index;
	int second_index;
	u32 group;
	char *memory;
	int module;
	struct vfio_pasid_test_attach attach;
	/* The number of the process space, when there was one. */
	long process;
	/* A group joins: for its reserved regions goes what note_space() says. */
	bool joins;
} machine;

FIXTURE(fail_nth) {
};

/* Allocations that may wait fail too; no messages for each. */
static int inject_everything(void)
{
	static const struct {
		const char *file;
		const char *number;
	} settings[] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int ret;

		snprintf(path, sizeof(path), "/sys/kernel/debug/%s",
			 settings[i].file);
		ret = write_file(path, settings[i].number);
		if (ret)
			return ret;
	}
	return 0;
}

/* The first one of that width, in a container. */
static int use_device(unsigned int width)
{
	int ret;

	machine.index = device_index(width, 0);
	if (machine.index < 0)
		return machine.index;
	ret = container_open_device(&machine.container, machine.index);
	machine.fd = machine.container.fd;
	machine.group = group_number(machine.index);
	return ret;
}

FIXTURE_SETUP(fail_nth)
{
	machine.container = NO_CONTAINER;
	machine.second = NO_CONTAINER;
	ASSERT_EQ(0, inject_everything());
	ASSERT_EQ(0, use_test_module(&DEFAULT_LIMITS));
	ASSERT_EQ(0, use_device(20));
	machine.second_index = device_index(20, 1);
	ASSERT_LE(0, machine.second_index);
	machine.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, machine.memory);
	/* Touched out of order, so that the pages do not follow each other. */
	for (int i = 0; i < PAGES; i++)
		machine.memory[(i * 7 % PAGES) * PAGE] = i;
	machine.module = open(VFIO_PASID_TEST_DEVICE, O_RDWR);
	ASSERT_LE(0, machine.module);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(machine.module);
	container_close(&machine.second);
	container_close(&machine.container);
}

/* All that there is, as text. */
struct state {
	char text[8192];
};

static void note(struct state *state, const char *what, long value)
{
	size_t used = strlen(state->text);

	snprintf(state->text + used, sizeof(state->text) - used, "%s %lld\n",
		 what, (long long)value);
}

/*
 * Holes are left aside: intel_iommu_get_resv_regions() does not tell that it had
 * no memory for one. AUX_ATTACH finds out.
 */
static void note_space(struct state *state, int fd, u32 pasid)
{
	struct aux_info info = {};
	int ret = aux_info(fd, pasid, AUX_ENTRIES, &info);

	note(state, "space", ret);
	for (u32 i = 0; !ret && i < info.head.count; i++) {
		if (info.entries[i].type == VFIO_AUX_ENTRY_HOLE)
			continue;
		note(state, "entry", info.entries[i].type);
		note(state, " data", info.entries[i].data);
		note(state, " iova", info.entries[i].iova);
		note(state, " size", info.entries[i].size);
	}
}

/* The container's own address space. */
static void note_own_space(struct state *state, int fd)
{
	struct {
		struct vfio_iommu_type1_info info;
		char more[1024];
	} all = { .info.argsz = sizeof(all) };
	const unsigned char *byte = (const void *)&all;
	u64 sum = 0;

	note(state, "GET_INFO", call(fd, VFIO_IOMMU_GET_INFO, &all));
	for (size_t i = 0; i < sizeof(all); i++)
		sum = sum * 31 + byte[i];
	note(state, " sum", sum);
}

static void look(struct state *state)
{
	state->text[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(counted_kinds); i++)
		note(state, counted_kinds[i], count_of(counted_kinds[i]));
	note(state, "VmLck", vm_locked());
	note(state, "pinned", pinned_pages());
	note(state, "used", pasid_used(machine.fd));
	note_space(state, machine.fd, PASID);
	if (machine.process)
		note_space(state, machine.fd, machine.process);
	if (!machine.joins)
		note_own_space(state, machine.fd);
}

static bool same(const struct state *a, const struct state *b)
{
	return !strcmp(a->text, b->text);
}

/* A call, and what takes it back. */
struct step {
	const char *name;
	long (*act)(void);
	long (*undo)(void);
	/* What earlier tries have left in memory, but not to be seen, goes. */
	long (*renew)(void);
	int other_error;	/* besides ENOMEM and EFAULT */
};

/*
 * Runs the call with its @nth allocation failing. Returns whether there was
 * one.
 */
static int act_with_failure(const struct step *step, int nth, long *ret)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR);
	char text[16] = {};
	int length = snprintf(text, sizeof(text), "%d", nth);

	if (fd < 0)
		return -errno;
	if (write(fd, text, length) != length)
		return -EIO;
	*ret = step->act();
	/* What the call has left may make these two fail: then there was no failure. */
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		text[0] = 0;
	if (write(fd, "0", 1) != 1 && write(fd, "0", 1) != 1)
		return -EIO;
	close(fd);
	return !strcmp(text, "0\n");
}

/* 0, or what is wrong. */
static const char *try(const struct step *step, int *failures)
{
	struct state before, after, now;

	look(&before);
	if (step->act() < 0)
		return "it fails by itself";
	look(&after);
	if (step->undo() < 0)
		return "it cannot be undone";
	look(&now);
	if (!same(&before, &now))
		return "undoing it leaves something";

	for (int nth = 1; nth < MOST; nth++) {
		long ret = 0;
		int injected;

		if (step->renew && step->renew() < 0)
			return "it cannot be renewed";
		injected = act_with_failure(step, nth, &ret);
		if (injected < 0)
			return "there is no fail-nth";
		look(&now);
		if (ret < 0 && ret != -ENOMEM && ret != -EFAULT &&
		    ret != -step->other_error) {
			printf("# %s: %ld\n", step->name, ret);
			return "an error that is not documented";
		}
		if (!same(&now, &before) && !same(&now, &after)) {
			printf("# %s, failure %d, returned %ld\n# before:\n%s# now:\n%s",
			       step->name, nth, ret, before.text, now.text);
			return "neither before nor after";
		}
		if (ret >= 0 && !same(&now, &after))
			return "it succeeded and did not";
		if (same(&now, &after) && !same(&before, &after) &&
		    step->undo() < 0)
			return "it cannot be undone after a failure";
		if (!injected) {
			*failures = nth - 1;
			return NULL;
		}
	}
	return "it never gets through";
}

/* Every step must have something to fail: otherwise nothing was tried. */
#define ASSERT_SURVIVES(tried) do {					\
	const struct step *step = tried;				\
	int failures = 0;						\
	const char *wrong = try(step, &failures);			\
									\
	ASSERT_EQ(NULL, wrong) TH_LOG("%s: %s", step->name, wrong);	\
	ASSERT_LT(0, failures);						\
	ksft_print_msg("note: %s: %d failures\n", step->name, failures); \
} while (0)

#define STEP(name)	static long name(void)

STEP(nothing)
{
	return 0;
}

STEP(alloc)
{
	return pasid_alloc(machine.fd, OTHER, OTHER);
}

STEP(free_)
{
	return pasid_free(machine.fd, OTHER, OTHER);
}

TEST_F_TIMEOUT(fail_nth, pasid_request, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "PASID_REQUEST ALLOC", .act = alloc, .undo = free_ },
		{ .name = "PASID_REQUEST FREE", .act = free_, .undo = alloc },
	};

	ASSERT_SURVIVES(&steps[0]);
	ASSERT_EQ(OTHER, alloc());
	ASSERT_SURVIVES(&steps[1]);
}

STEP(info)
{
	struct vfio_iommu_pasid_info info;

	return pasid_info(machine.fd, machine.group, &info);
}

TEST_F_TIMEOUT(fail_nth, pasid_info, PATIENCE)
{
	static const struct step only = { .name = "PASID_INFO", .act = info, .undo = nothing };

	ASSERT_SURVIVES(&only);
}

STEP(register_)
{
	return register_memory(machine.fd, 0, machine.memory, SIZE);
}

STEP(unregister)
{
	return unregister_memory(machine.fd, machine.memory, SIZE);
}

TEST_F_TIMEOUT(fail_nth, registered_memory, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "REGISTER_MEMORY", .act = register_, .undo = unregister },
		{ .name = "UNREGISTER_MEMORY", .act = unregister, .undo = register_ },
		{ .name = "REGISTER_MEMORY again", .act = register_,
		  .undo = unregister },
	};

	ASSERT_SURVIVES(&steps[0]);
	ASSERT_EQ(0, register_());
	ASSERT_SURVIVES(&steps[1]);
	ASSERT_SURVIVES(&steps[2]);
}

/* Held by another container already, which pinned it. */
TEST_F_TIMEOUT(fail_nth, memory_of_two_containers, PATIENCE)
{
	static const struct step only = {
		.name = "REGISTER_MEMORY in a second container",
		.act = register_,
		.undo = unregister,
	};

	ASSERT_EQ(0, container_open(&machine.second, machine.second_index));
	ASSERT_EQ(0, register_memory(machine.second.fd, 0, machine.memory, SIZE));
	ASSERT_SURVIVES(&only);
}

STEP(create)
{
	return aux_create_fixed(machine.fd, PASID);
}

STEP(destroy)
{
	return aux_destroy(machine.fd, PASID);
}

STEP(create_any)
{
	return aux_create(machine.fd);
}

STEP(destroy_any)
{
	return aux_destroy(machine.fd, PASID_LAST);
}

STEP(attach)
{
	return aux_attach(machine.fd, PASID, machine.group);
}

STEP(detach)
{
	return aux_detach(machine.fd, PASID, machine.group);
}

STEP(create_process)
{
	long pasid = aux_create_process(machine.fd);

	if (pasid > 0)
		machine.process = pasid;
	return pasid;
}

STEP(destroy_process)
{
	return aux_destroy(machine.fd, machine.process);
}

STEP(attach_process)
{
	return aux_attach(machine.fd, machine.process, machine.group);
}

STEP(detach_process)
{
	return aux_detach(machine.fd, machine.process, machine.group);
}

STEP(process_info)
{
	struct aux_info info = {};

	return aux_info(machine.fd, machine.process, AUX_ENTRIES, &info);
}

STEP(map)
{
	return aux_map(machine.fd, PASID, VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
		       machine.memory, IOVA, SIZE);
}

STEP(unmap)
{
	return aux_unmap(machine.fd, PASID, IOVA, SIZE);
}

/* Unmapping leaves the tables of the space for the next mapping. */
STEP(new_space)
{
	return destroy() ?: create();
}

STEP(new_attached_space)
{
	return new_space() ?: attach();
}

STEP(space_info)
{
	struct aux_info info = {};

	return aux_info(machine.fd, PASID, AUX_ENTRIES, &info);
}

TEST_F_TIMEOUT(fail_nth, aux_space, PATIENCE)
{
	static const struct step any = {
		.name = "AUX_CREATE",
		.act = create_any,
		.undo = destroy_any,
	};
	static const struct step fixed[] = {
		{ .name = "AUX_CREATE FIXED", .act = create, .undo = destroy },
		{ .name = "AUX_DESTROY", .act = destroy, .undo = create },
		{ .name = "AUX_INFO", .act = space_info, .undo = nothing },
		{ .name = "AUX_ATTACH", .act = attach, .undo = detach },
		{ .name = "AUX_DETACH", .act = detach, .undo = attach },
	};

	ASSERT_SURVIVES(&any);
	ASSERT_EQ(PASID, pasid_alloc(machine.fd, PASID, PASID));
	ASSERT_SURVIVES(&fixed[0]);
	ASSERT_EQ(0, create());
	ASSERT_SURVIVES(&fixed[1]);
	ASSERT_SURVIVES(&fixed[2]);
	ASSERT_SURVIVES(&fixed[3]);
	ASSERT_EQ(0, attach());
	ASSERT_SURVIVES(&fixed[4]);
}

TEST_F_TIMEOUT(fail_nth, process_space, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "AUX_CREATE PROCESS", .act = create_process,
		  .undo = destroy_process },
		{ .name = "AUX_DESTROY of it", .act = destroy_process,
		  .undo = create_process },
		{ .name = "AUX_INFO of it", .act = process_info, .undo = nothing },
		{ .name = "AUX_ATTACH of it", .act = attach_process,
		  .undo = detach_process },
		{ .name = "AUX_DETACH of it", .act = detach_process,
		  .undo = attach_process },
	};

	close(machine.module);
	machine.module = -1;
	container_close(&machine.container);
	ASSERT_EQ(0, use_processes(&PROCESS_LIMITS(false)));
	ASSERT_EQ(0, use_device(16));

	/* The number, which stays with the process, is a part of each state. */
	ASSERT_LT(0, create_process());
	ASSERT_EQ(0, destroy_process());
	ASSERT_SURVIVES(&steps[0]);
	ASSERT_LT(0, create_process());
	ASSERT_SURVIVES(&steps[1]);
	ASSERT_SURVIVES(&steps[2]);
	ASSERT_SURVIVES(&steps[3]);
	ASSERT_EQ(0, attach_process());
	ASSERT_SURVIVES(&steps[4]);
}

TEST_F_TIMEOUT(fail_nth, mapping, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "AUX_MAP", .act = map, .undo = unmap,
		  .renew = new_space },
		{ .name = "AUX_MAP attached", .act = map, .undo = unmap,
		  .renew = new_attached_space },
		{ .name = "AUX_UNMAP", .act = unmap, .undo = map },
	};

	ASSERT_EQ(PASID, pasid_alloc(machine.fd, PASID, PASID));
	ASSERT_EQ(0, create());
	ASSERT_EQ(0, register_());
	ASSERT_SURVIVES(&steps[0]);
	ASSERT_EQ(0, attach());
	ASSERT_SURVIVES(&steps[1]);
	ASSERT_EQ(0, map());
	ASSERT_SURVIVES(&steps[2]);
}

/* Cannot be undone; but it can be done again. */
STEP(setup)
{
	struct vfio_iommu_setup setup = {
		.argsz = sizeof(setup), .iova_start = IOVA, .iova_size = SIZE,
	};

	return call(machine.fd, VFIO_IOMMU_SETUP, &setup);
}

STEP(open_second)
{
	return container_open(&machine.second, machine.second_index);
}

STEP(setup_second)
{
	struct vfio_iommu_setup setup = {
		.argsz = sizeof(setup), .iova_start = IOVA, .iova_size = SIZE,
	};

	return call(machine.second.fd, VFIO_IOMMU_SETUP, &setup);
}

STEP(reopen_second)
{
	container_close(&machine.second);
	return open_second();
}

TEST_F_TIMEOUT(fail_nth, own_space, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "SETUP", .act = setup_second, .undo = reopen_second },
		{ .name = "SETUP again", .act = setup, .undo = nothing },
	};

	ASSERT_EQ(0, open_second());
	ASSERT_SURVIVES(&steps[0]);
	ASSERT_EQ(0, setup());
	ASSERT_SURVIVES(&steps[1]);
}

STEP(own_map)
{
	return aux_map(machine.fd, VFIO_AUX_OWN_SPACE,
		       VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE, machine.memory,
		       IOVA, SIZE);
}

STEP(own_unmap)
{
	return aux_unmap(machine.fd, VFIO_AUX_OWN_SPACE, IOVA, SIZE);
}

STEP(own_info)
{
	struct aux_info info = {};

	return aux_info(machine.fd, VFIO_AUX_OWN_SPACE, AUX_ENTRIES, &info);
}

TEST_F_TIMEOUT(fail_nth, own_space_mapping, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "AUX_MAP of the own space", .act = own_map,
		  .undo = own_unmap },
		{ .name = "AUX_MAP with dirty tracking", .act = own_map,
		  .undo = own_unmap },
		{ .name = "AUX_UNMAP of the own space", .act = own_unmap,
		  .undo = own_map },
		{ .name = "AUX_INFO of the own space", .act = own_info,
		  .undo = nothing },
	};

	ASSERT_EQ(0, register_());
	ASSERT_SURVIVES(&steps[0]);
	ASSERT_EQ(0, track_dirty(machine.fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	ASSERT_SURVIVES(&steps[1]);
	ASSERT_EQ(0, track_dirty(machine.fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP));
	ASSERT_EQ(0, own_map());
	ASSERT_SURVIVES(&steps[2]);
	ASSERT_SURVIVES(&steps[3]);
}

/*
 * A group joins, and what is mapped is replayed, or goes and comes again with
 * the only domain: an emulated group keeps it meanwhile. Attaching a device tells
 * all errors that it may have.
 */
STEP(first_leaves)
{
	close_fd(&machine.container.device);
	return unset_container(machine.container.group);
}

STEP(first_joins)
{
	return set_container(machine.container.group, machine.fd);
}

TEST_F_TIMEOUT(fail_nth, own_space_replay, PATIENCE)
{
	static const struct step only = {
		.name = "replay of the own space",
		.act = first_joins,
		.undo = first_leaves,
		.other_error = EBUSY,
	};
	int emulated = emulated_group_node();

	ASSERT_LE(0, emulated);
	ASSERT_EQ(0, set_container(emulated, machine.fd));
	ASSERT_EQ(0, register_());
	ASSERT_EQ(0, own_map());
	ASSERT_EQ(0, first_leaves());
	machine.joins = true;
	ASSERT_SURVIVES(&only);
	ASSERT_EQ(SIZE, own_unmap());
	close(emulated);
	container_close(&machine.container);
	unload_module("vfio_pasid_emulated");
}

STEP(close_second)
{
	container_close(&machine.second);
	machine.second = NO_CONTAINER;
	return 0;
}

/* Nothing is left of a container that did not come up. */
STEP(try_open_second)
{
	long ret = open_second();

	if (ret)
		close_second();
	return ret;
}

TEST_F_TIMEOUT(fail_nth, container, PATIENCE)
{
	static const struct step only = {
		.name = "opening a container",
		.act = try_open_second,
		.undo = close_second,
	};

	ASSERT_SURVIVES(&only);
}

STEP(hot_reset_info)
{
	struct {
		struct vfio_iommu_hot_reset_info head;
		struct vfio_pci_dependent_device devices[32];
	} info = { .head.argsz = sizeof(info) };
	unsigned int segment, bus, slot, function;
	long ret;

	if (sscanf(group_device(machine.index), "%x:%x:%x.%x", &segment, &bus,
		   &slot, &function) != 4)
		return -EPROTO;
	info.head.segment = segment;
	info.head.bus = bus;
	info.head.devfn = slot << 3 | function;
	ret = call(machine.fd, VFIO_IOMMU_HOT_RESET_INFO, &info);
	/* On the root bus nothing can be reset. */
	return ret == -ENODEV ? 0 : ret;
}

TEST_F_TIMEOUT(fail_nth, hot_reset_info, PATIENCE)
{
	static const struct step only = {
		.name = "HOT_RESET_INFO",
		.act = hot_reset_info,
		.undo = nothing,
	};

	ASSERT_SURVIVES(&only);
}

/* The functions for kernel drivers, through the test module. */

STEP(mm_get)
{
	struct vfio_pasid_test_get get = { .slot = 1, .task = getpid() };

	return call(machine.module, VFIO_PASID_TEST_GET, &get);
}

STEP(mm_put)
{
	return call(machine.module, VFIO_PASID_TEST_PUT, (void *)1);
}

STEP(kernel_alloc)
{
	struct vfio_pasid_test_range range = {
		.slot = 0, .min = OTHER, .max = OTHER,
	};

	return call(machine.module, VFIO_PASID_TEST_ALLOC, &range);
}

STEP(kernel_free)
{
	struct vfio_pasid_test_range range = {
		.slot = 0, .min = OTHER, .max = OTHER,
	};

	return call(machine.module, VFIO_PASID_TEST_FREE, &range);
}

STEP(kernel_attach)
{
	return call(machine.module, VFIO_PASID_TEST_ATTACH, &machine.attach);
}

STEP(kernel_detach)
{
	return call(machine.module, VFIO_PASID_TEST_DETACH, &machine.attach);
}

TEST_F_TIMEOUT(fail_nth, kernel_functions, PATIENCE)
{
	static const struct step steps[] = {
		{ .name = "vfio_mm_get_from_task()", .act = mm_get, .undo = mm_put },
		{ .name = "vfio_pasid_alloc()", .act = kernel_alloc,
		  .undo = kernel_free },
		{ .name = "vfio_pasid_free_range()", .act = kernel_free,
		  .undo = kernel_alloc },
		/* The host's allocator does not say why it has no number. */
		{ .name = "vfio_aux_attach_device()", .act = kernel_attach,
		  .undo = kernel_detach, .other_error = ENOSPC },
		{ .name = "vfio_aux_detach_device()", .act = kernel_detach,
		  .undo = kernel_attach, .other_error = ENOSPC },
	};
	struct vfio_pasid_test_get get = { .task = getpid() };
	struct vfio_pasid_test_domain domain = {};

	ASSERT_EQ(0, call(machine.module, VFIO_PASID_TEST_GET, &get));
	snprintf(domain.device.address, sizeof(domain.device.address), "%s",
		 group_device(machine.index));
	ASSERT_EQ(0, call(machine.module, VFIO_PASID_TEST_DOMAIN, &domain));
	machine.attach = (struct vfio_pasid_test_attach) {
		.device = domain.device,
	};
	ASSERT_SURVIVES(&steps[0]);
	ASSERT_SURVIVES(&steps[1]);
	ASSERT_EQ(OTHER, kernel_alloc());
	ASSERT_SURVIVES(&steps[2]);
	ASSERT_EQ(0, kernel_free());
	ASSERT_SURVIVES(&steps[3]);
	ASSERT_EQ(0, kernel_attach());
	ASSERT_SURVIVES(&steps[4]);
	ASSERT_EQ(0, kernel_detach());
	ASSERT_EQ(0, call(machine.module, VFIO_PASID_TEST_PUT, (void *)0));
}

TEST_HARNESS_MAIN
