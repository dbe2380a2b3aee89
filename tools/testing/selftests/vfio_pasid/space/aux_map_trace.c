// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints, and what they say of the order of events: whatever way
 * things go, each event has its counterpart, a space that goes as a whole is
 * detached before it is unmapped, and pages are not unpinned before they are
 * unmapped and nothing is attached any more.
 */
#include <kselftest_harness.h>

#include <sys/stat.h>

#include "pasid_device.h"

#define IOVA		0x40000000
#define PAGES		4
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

#define INSTANCE	"/sys/kernel/tracing/instances/aux_map_trace"
#define EVENTS		INSTANCE "/events/vfio_pasid"

/* An instance has events of its own: whoever else traces is not disturbed. */
static int trace_start(void)
{
	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		return -errno;
	return write_file(EVENTS "/enable", "1");
}

static void trace_stop(void)
{
	write_file(EVENTS "/enable", "0");
	rmdir(INSTANCE);
}

enum event { PIN, UNPIN, REGISTER, UNREGISTER, MAP, UNMAP, ATTACH, DETACH, NONE };

static const char *const names[] = {
	"pin", "unpin", "register", "unregister", "map", "unmap", "attach",
	"detach",
};

/* One line of the trace; what an event has not is 0. */
struct record {
	enum event event;
	u32 pasid;
	u64 vaddr;
	u64 iova;
	u64 size;
	u32 access;		/* map: VFIO_AUX_MAP_*; memory: 1 if writable */
	char dev[32];
};

#define RECORDS	512

struct trace {
	int count;
	struct record records[RECORDS];
};

static enum event event_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return i;
	return NONE;
}

static bool parse(const char *line, struct record *record)
{
	const char *at = strstr(line, ": vfio_pasid_");
	char name[16];
	int length, read, write;

	memset(record, 0, sizeof(*record));
	if (!at || sscanf(at, ": vfio_pasid_%15[a-z]: %n", name, &length) != 1)
		return false;
	record->event = event_of(name);
	at += length;
	switch (record->event) {
	case PIN ... UNREGISTER:
		return sscanf(at, "vaddr=%llx size=%llx writable=%u",
			      &record->vaddr, &record->size,
			      &record->access) == 3;
	case MAP ... UNMAP:
		if (sscanf(at, "pasid=%u iova=%llx size=%llx read=%d write=%d",
			   &record->pasid, &record->iova, &record->size, &read,
			   &write) != 5)
			return false;
		record->access = (read ? VFIO_AUX_MAP_READ : 0) |
				 (write ? VFIO_AUX_MAP_WRITE : 0);
		return true;
	case ATTACH ... DETACH:
		return sscanf(at, "dev=%31s pasid=%u", record->dev,
			      &record->pasid) == 2;
	default:
		return false;
	}
}

/* What was traced since the last time; -EPROTO for what cannot be read. */
static int trace_read(struct trace *trace)
{
	char line[512];
	int ret = 0;
	FILE *file;

	wait_for_closing();
	file = fopen(INSTANCE "/trace", "re");
	memset(trace, 0, sizeof(*trace));
	if (!file)
		return -errno;
	while (!ret && fgets(line, sizeof(line), file)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (trace->count == RECORDS ||
		    !parse(line, &trace->records[trace->count++])) {
			printf("# cannot read: %s", line);
			ret = -EPROTO;
		}
	}
	fclose(file);
	return ret ? ret : write_file(INSTANCE "/trace", "");
}

static void print(const struct trace *trace)
{
	for (int i = 0; i < trace->count; i++) {
		const struct record *record = &trace->records[i];

		printf("# %s pasid=%u vaddr=%#llx iova=%#llx size=%#llx %s\n",
		       names[record->event], record->pasid, record->vaddr,
		       record->iova, record->size, record->dev);
	}
}

/* The rules. */

static bool is_begin(enum event event)
{
	return event % 2 == 0;
}

/* Of the same thing, which is all there is in the record. */
static bool ends(const struct record *begin, const struct record *end)
{
	struct record same = *end;

	same.event--;
	return !memcmp(begin, &same, sizeof(same));
}

/*
 * Looks through the trace with what is there at each time. Every event but the
 * first of a pair must have something to end, and at its end nothing is left.
 * When pages are unpinned, none is mapped, which the test knows as it maps no
 * memory but what it unpins; with @all_goes nothing is attached either.
 */
static const char *check_order(const struct trace *trace, bool all_goes)
{
	static struct record there[RECORDS];
	int count = 0;

	for (int i = 0; i < trace->count; i++) {
		const struct record *record = &trace->records[i];
		int j;

		if (is_begin(record->event)) {
			there[count++] = *record;
			continue;
		}
		for (j = count - 1; j >= 0 && !ends(&there[j], record); j--)
			;
		if (j < 0)
			return "something ends that has not begun";
		there[j] = there[--count];
		if (record->event != UNPIN)
			continue;
		for (j = 0; j < count; j++) {
			if (there[j].event == MAP)
				return "unpinned while mapped";
			if (there[j].event == REGISTER &&
			    there[j].vaddr == record->vaddr)
				return "unpinned while registered";
			if (all_goes && there[j].event == ATTACH)
				return "unpinned while attached";
		}
	}
	return count ? "something has not ended" : NULL;
}

/* The place of the @nth such event, from 0; -1 if there are not as many. */
static int place(const struct trace *trace, enum event event, int nth)
{
	for (int i = 0; i < trace->count; i++)
		if (trace->records[i].event == event && !nth--)
			return i;
	return -1;
}

static int how_many(const struct trace *trace, enum event event)
{
	int count = 0;

	while (place(trace, event, count) >= 0)
		count++;
	return count;
}

/* All @first events come before all @then events, and there are both. */
static bool comes_before(const struct trace *trace, enum event first,
			 enum event then)
{
	int last = place(trace, first, how_many(trace, first) - 1);

	return last >= 0 && place(trace, then, 0) > last;
}

/* Two spaces, of which the second is on two devices, and two ranges of memory. */
struct owner {
	struct container container;
	int second_group;
	int second_device;
	u32 pasids[2];
	u8 *memory;
};

static int owner_open(struct owner *owner, int index, int second)
{
	const u64 size = PAGES * PAGE;
	int ret = container_open_device(&owner->container, index), fd;

	owner->second_group = -1;
	owner->second_device = -1;
	if (ret)
		return ret;
	fd = owner->container.fd;
	owner->second_group = group_node(second);
	ret = set_container(owner->second_group, fd);
	if (ret)
		return ret;
	owner->second_device = device_of(owner->second_group, second);
	if (owner->second_device < 0)
		return owner->second_device;
	/* Pages between them, so that they are two. */
	owner->memory = new_pages(3 * PAGES);
	ret = register_memory(fd, 0, owner->memory, size);
	if (!ret)
		ret = register_memory(fd, VFIO_MEMORY_READ_ONLY,
				      owner->memory + 2 * size, size);
	for (int i = 0; i < 2 && !ret; i++) {
		owner->pasids[i] = aux_create(fd);
		ret = aux_attach(fd, owner->pasids[i], group_number(index));
		if (!ret)
			ret = aux_map(fd, owner->pasids[i], READ_WRITE,
				      owner->memory, IOVA, size);
		if (!ret)
			ret = aux_map(fd, owner->pasids[i], VFIO_AUX_MAP_READ,
				      owner->memory + 2 * size, IOVA + size,
				      PAGE);
	}
	if (!ret)
		ret = aux_attach(fd, owner->pasids[1], group_number(second));
	return ret;
}

static void owner_close(struct owner *owner)
{
	close_fd(&owner->second_device);
	close_fd(&owner->second_group);
	container_close(&owner->container);
}

FIXTURE(aux_map_trace) {
	struct owner owner;
	struct trace trace;
	int index;
	int second;
	int fd;
};

FIXTURE_SETUP(aux_map_trace)
{
	self->owner.container = NO_CONTAINER;
	self->owner.second_group = -1;
	self->owner.second_device = -1;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	self->second = device_index(20, 1);
	ASSERT_LE(0, self->second);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, write_file(INSTANCE "/trace", ""));
	ASSERT_EQ(0, owner_open(&self->owner, self->index, self->second));
	self->fd = self->owner.container.fd;
}

FIXTURE_TEARDOWN(aux_map_trace)
{
	owner_close(&self->owner);
	trace_stop();
}

/* The whole life of what the fixture has, by its events. */
#define ASSERT_ORDER(all_goes) do {					\
	const char *wrong;						\
									\
	ASSERT_EQ(0, trace_read(&self->trace));				\
	wrong = check_order(&self->trace, all_goes);			\
	if (wrong)							\
		print(&self->trace);					\
	ASSERT_EQ(NULL, wrong) {					\
		TH_LOG("%s", wrong);					\
	}								\
	ASSERT_LE(2, how_many(&self->trace, UNPIN));			\
	ASSERT_LE(4, how_many(&self->trace, UNMAP));			\
	ASSERT_LE(3, how_many(&self->trace, DETACH));			\
} while (0)

TEST_F(aux_map_trace, events_say_what_happens)
{
	const u64 size = PAGES * PAGE;
	u8 *constant = self->owner.memory + 2 * size;
	const struct record expected[] = {
		{ PIN, 0, (uintptr_t)self->owner.memory, 0, size, 1, "" },
		{ REGISTER, 0, (uintptr_t)self->owner.memory, 0, size, 1, "" },
		{ PIN, 0, (uintptr_t)constant, 0, size, 0, "" },
		{ REGISTER, 0, (uintptr_t)constant, 0, size, 0, "" },
		{ ATTACH, self->owner.pasids[0], 0, 0, 0, 0, "" },
		{ MAP, self->owner.pasids[0], 0, IOVA, size, READ_WRITE, "" },
		{ MAP, self->owner.pasids[0], 0, IOVA + size, PAGE,
		  VFIO_AUX_MAP_READ, "" },
	};

	ASSERT_EQ(0, trace_read(&self->trace));
	ASSERT_LE(ARRAY_SIZE(expected), self->trace.count);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct record seen = self->trace.records[i];

		if (seen.event == ATTACH) {
			ASSERT_STREQ(group_device(self->index), seen.dev);
			memset(seen.dev, 0, sizeof(seen.dev));
		}
		ASSERT_EQ(0, memcmp(&expected[i], &seen, sizeof(seen))) {
			TH_LOG("event %zu", i);
			print(&self->trace);
		}
	}
	ASSERT_EQ(2, how_many(&self->trace, PIN));
	ASSERT_EQ(4, how_many(&self->trace, MAP));
	ASSERT_EQ(3, how_many(&self->trace, ATTACH));
	ASSERT_STREQ(group_device(self->second),
		     self->trace.records[place(&self->trace, ATTACH, 2)].dev);
}

/* A reference more is neither, and what fails is nothing. */
TEST_F(aux_map_trace, what_changes_nothing_is_no_event)
{
	const u64 size = PAGES * PAGE;
	u8 *memory = self->owner.memory;
	u32 pasid = self->owner.pasids[0];

	ASSERT_EQ(0, trace_read(&self->trace));
	ASSERT_EQ(-EEXIST, aux_map(self->fd, pasid, READ_WRITE, memory, IOVA,
				   PAGE));
	ASSERT_EQ(-EACCES, aux_map(self->fd, pasid, READ_WRITE,
				   memory + 2 * size, 0, PAGE));
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, pasid, IOVA, PAGE));
	ASSERT_EQ(0, aux_unmap(self->fd, pasid, 0, IOVA));
	ASSERT_EQ(-EEXIST, register_memory(self->fd, 0, memory, PAGE));
	ASSERT_EQ(-EFAULT, register_memory(self->fd, 0, unmapped(), PAGE));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, memory, size));
	ASSERT_EQ(-EEXIST, aux_attach(self->fd, pasid,
				      group_number(self->index)));
	ASSERT_EQ(-ENOENT, aux_detach(self->fd, pasid,
				      group_number(self->second)));
	ASSERT_EQ(0, trace_read(&self->trace));
	/* A failed registration may say that it came and went, in pairs. */
	for (int i = 0; i < self->trace.count; i++)
		ASSERT_NE(true, self->trace.records[i].event >= MAP ||
			  self->trace.records[i].event <= UNPIN) {
			print(&self->trace);
		}
}

/* Every way to tear it down. */

TEST_F(aux_map_trace, one_by_one)
{
	const u64 size = PAGES * PAGE;
	u8 *memory = self->owner.memory;

	for (int i = 0; i < 2; i++) {
		u32 pasid = self->owner.pasids[i];

		ASSERT_EQ(size + PAGE, aux_unmap_all(self->fd, pasid));
		ASSERT_EQ(0, aux_detach(self->fd, pasid,
					group_number(self->index)));
	}
	ASSERT_EQ(0, aux_detach(self->fd, self->owner.pasids[1],
				group_number(self->second)));
	ASSERT_EQ(0, unregister_memory(self->fd, memory, size));
	ASSERT_EQ(0, unregister_memory(self->fd, memory + 2 * size, size));
	ASSERT_ORDER(true);
}

TEST_F(aux_map_trace, memory_goes_while_spaces_stay_attached)
{
	const u64 size = PAGES * PAGE;
	u8 *memory = self->owner.memory;

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(size + PAGE, aux_unmap_all(self->fd,
						     self->owner.pasids[i]));
	ASSERT_EQ(0, unregister_memory(self->fd, memory, size));
	ASSERT_EQ(0, unregister_memory(self->fd, memory + 2 * size, size));
	owner_close(&self->owner);
	ASSERT_ORDER(false);
}

TEST_F(aux_map_trace, destroy_detaches_before_it_unmaps)
{
	ASSERT_EQ(0, trace_read(&self->trace));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, aux_destroy(self->fd, self->owner.pasids[i]));
		ASSERT_EQ(0, trace_read(&self->trace));
		ASSERT_EQ(2, how_many(&self->trace, UNMAP));
		ASSERT_EQ(1 + i, how_many(&self->trace, DETACH));
		ASSERT_EQ(3 + i, self->trace.count);
		ASSERT_TRUE(comes_before(&self->trace, DETACH, UNMAP));
	}
	owner_close(&self->owner);
	ASSERT_EQ(0, trace_read(&self->trace));
	ASSERT_EQ(2, how_many(&self->trace, UNREGISTER));
	ASSERT_EQ(2, how_many(&self->trace, UNPIN));
	ASSERT_EQ(4, self->trace.count);
}

TEST_F(aux_map_trace, destroy_and_close)
{
	ASSERT_EQ(0, aux_destroy(self->fd, self->owner.pasids[1]));
	owner_close(&self->owner);
	ASSERT_ORDER(true);
}

TEST_F(aux_map_trace, close_in_any_order)
{
	enum { STEPS = 5 };
	static const int orders[][STEPS] = {
		{ 0, 1, 2, 3, 4 }, { 4, 3, 2, 1, 0 }, { 2, 4, 1, 3, 0 },
		{ 1, 3, 0, 2, 4 }, { 2, 1, 4, 3, 0 }, { 0, 2, 4, 1, 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct owner *owner = &self->owner;
		int *fds[STEPS] = {
			&owner->container.fd, &owner->container.group,
			&owner->container.device, &owner->second_group,
			&owner->second_device,
		};

		for (int step = 0; step < STEPS; step++)
			close_fd(fds[orders[i][step]]);
		ASSERT_ORDER(true);
		/* Devices can only be closed before the rest goes. */
		ASSERT_TRUE(comes_before(&self->trace, DETACH, UNMAP));
		ASSERT_TRUE(comes_before(&self->trace, UNMAP, UNREGISTER));
		ASSERT_EQ(0, owner_open(owner, self->index, self->second));
	}
}

TEST_F(aux_map_trace, close_and_reopen_of_a_device)
{
	close_fd(&self->owner.container.device);
	self->owner.container.device = device_of(self->owner.container.group,
						 self->index);
	ASSERT_LE(0, self->owner.container.device);
	ASSERT_EQ(0, aux_attach(self->fd, self->owner.pasids[0],
				group_number(self->index)));
	owner_close(&self->owner);
	ASSERT_ORDER(true);
	ASSERT_EQ(4, how_many(&self->trace, DETACH));
	ASSERT_EQ(4, how_many(&self->trace, UNMAP));
}

TEST_F(aux_map_trace, the_groups_leave_one_by_one)
{
	close_fd(&self->owner.second_device);
	ASSERT_EQ(0, unset_container(self->owner.second_group));
	close_fd(&self->owner.container.device);
	ASSERT_EQ(0, unset_container(self->owner.container.group));
	ASSERT_ORDER(true);
}

TEST_F(aux_map_trace, two_containers_hold_the_same_memory)
{
	const u64 size = PAGES * PAGE;
	struct container other;
	u8 *memory = self->owner.memory;
	long pasid;

	close_fd(&self->owner.second_device);
	ASSERT_EQ(0, unset_container(self->owner.second_group));
	close_fd(&self->owner.second_group);
	ASSERT_EQ(0, container_open_device(&other, self->second));
	ASSERT_EQ(0, register_memory(other.fd, 0, memory, size));
	ASSERT_EQ(0, register_memory(other.fd, VFIO_MEMORY_READ_ONLY,
				     memory + 2 * size, size));
	pasid = aux_create(other.fd);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_map(other.fd, pasid, READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_attach(other.fd, pasid, group_number(self->second)));
	owner_close(&self->owner);
	ASSERT_EQ(1, count_of("mappings"));
	container_close(&other);
	ASSERT_ORDER(true);
	ASSERT_EQ(2, how_many(&self->trace, PIN));
	ASSERT_EQ(4, how_many(&self->trace, REGISTER));
	ASSERT_EQ(5, how_many(&self->trace, MAP));
}

static void open_and_wait(int socket, void *arg)
{
	int *indices = arg;
	struct owner owner;

	say(socket, owner_open(&owner, indices[0], indices[1]));
	hear(socket);
}

TEST_F(aux_map_trace, kill_and_exit)
{
	int indices[] = { self->index, self->second };

	owner_close(&self->owner);
	ASSERT_ORDER(true);
	for (int round = 0; round < 4; round++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, open_and_wait, indices));
		ASSERT_EQ(0, hear(peer.socket));
		if (round % 2)
			peer_kill(&peer);
		else
			ASSERT_EQ(0, peer_wait(&peer));
		/* It closes its files a little later. */
		for (int i = 0; i < 1000 && count_of("containers"); i++)
			usleep(10 * 1000);
		ASSERT_ORDER(true);
	}
}

/* A child closes the last copy, so nothing happens before. */
static void keep_copies(int socket, void *arg)
{
	hear(socket);
	owner_close(arg);
	say(socket, 0);
}

TEST_F(aux_map_trace, the_last_copy_is_closed_by_a_child)
{
	struct trace *trace = &self->trace;
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, keep_copies, &self->owner));
	owner_close(&self->owner);
	ASSERT_EQ(4, count_of("mappings"));
	say(peer.socket, 0);
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, peer_wait(&peer));
	for (int i = 0; i < 1000 && count_of("containers"); i++)
		usleep(10 * 1000);
	ASSERT_ORDER(true);
	ASSERT_EQ(22, trace->count);
}

/* That the rules can be broken: otherwise the tests above prove nothing. */
TEST(the_rules_see_a_wrong_order)
{
	static const struct record good[] = {
		{ PIN, 0, 4096, 0, 4096, 1, "" },
		{ REGISTER, 0, 4096, 0, 4096, 1, "" },
		{ ATTACH, 7, 0, 0, 0, 0, "d" },
		{ MAP, 7, 0, 4096, 4096, 3, "" },
		{ UNMAP, 7, 0, 4096, 4096, 3, "" },
		{ DETACH, 7, 0, 0, 0, 0, "d" },
		{ UNREGISTER, 0, 4096, 0, 4096, 1, "" },
		{ UNPIN, 0, 4096, 0, 4096, 1, "" },
	};
	const int count = ARRAY_SIZE(good);
	static struct trace trace;

	trace.count = count;
	memcpy(trace.records, good, sizeof(good));
	ASSERT_EQ(NULL, check_order(&trace, true));
	/* Unpinned a step too early, and earlier. */
	for (int step = count - 1; step > 2; step--) {
		struct record *record = &trace.records[step];
		struct record last = *record;

		*record = record[-1];
		record[-1] = last;
		ASSERT_NE(NULL, check_order(&trace, true));
	}
	/* One is missing. */
	for (int missing = 0; missing < count; missing++) {
		trace.count = 0;
		for (int i = 0; i < count; i++)
			if (i != missing)
				trace.records[trace.count++] = good[i];
		ASSERT_NE(NULL, check_order(&trace, true));
	}
}

TEST_HARNESS_MAIN
