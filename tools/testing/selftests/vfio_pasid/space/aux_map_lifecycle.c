// SPDX-License-Identifier: GPL-2.0-only
/*
 * How mappings end: whatever is closed, killed or destroyed, and in whatever
 * order, nothing stays mapped, pinned, charged or attached, and the device that
 * could reach the memory cannot any more.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define IOVA		0x40000000
#define PASID		779
#define PAGES		16
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

/* A killed process closes its files a little later: steps of 10 ms. */
#define PATIENCE	1000

/* What is in use, of everything that is counted somewhere. */
struct usage {
	long counts[ARRAY_SIZE(counted_kinds)];
	long pinned;
	long locked;
};

static struct usage usage(void)
{
	struct usage usage = { .pinned = pinned_pages(), .locked = vm_locked() };

	for (size_t i = 0; i < ARRAY_SIZE(counted_kinds); i++)
		usage.counts[i] = count_of(counted_kinds[i]);
	return usage;
}

static bool is_used(const struct usage *expected)
{
	struct usage now = usage();

	return !memcmp(&now, expected, sizeof(now));
}

/* Sooner or later. */
static bool becomes_used(const struct usage *expected)
{
	struct usage now;

	for (int i = 0; i < PATIENCE; i++) {
		if (is_used(expected))
			return true;
		usleep(10 * 1000);
	}
	now = usage();
	for (size_t i = 0; i < ARRAY_SIZE(counted_kinds); i++)
		is_value(counted_kinds[i], now.counts[i], expected->counts[i]);
	is_value("pinned pages", now.pinned, expected->pinned);
	is_value("VmLck", now.locked, expected->locked);
	return false;
}

/* All that a test uses: a device that reaches mapped memory. */
struct owner {
	struct container container;
	struct pasid_device device;
	u32 group;
	u8 *memory;
};

#define NO_OWNER	((struct owner) { NO_CONTAINER, NO_DEVICE, 0, NULL })

static int open_device(struct owner *owner, int index)
{
	int fd = device_of(owner->container.group, index);

	owner->container.device = fd;
	return fd < 0 ? fd : device_start(&owner->device, fd);
}

static void close_device(struct owner *owner)
{
	device_stop(&owner->device);
	close_fd(&owner->container.device);
}

static bool reaches(struct owner *owner)
{
	for (int i = 0; i < PAGES; i += 5)
		if (!device_reaches(&owner->device, PASID, IOVA + i * PAGE,
				    owner->memory + i * PAGE))
			return false;
	return true;
}

/* With PASID attached, and @mappings mappings of the same memory. */
static int owner_map(struct owner *owner, int mappings)
{
	int fd = owner->container.fd;
	long ret = pasid_alloc(fd, PASID, PASID);

	if (ret == PASID)
		ret = aux_create_fixed(fd, PASID);
	if (!ret)
		ret = aux_attach(fd, PASID, owner->group);
	if (!ret)
		ret = register_memory(fd, 0, owner->memory, PAGES * PAGE);
	for (int i = 0; i < mappings && !ret; i++)
		ret = aux_map(fd, PASID, READ_WRITE, owner->memory,
			      IOVA + i * PAGES * PAGE, PAGES * PAGE);
	return ret ? ret : reaches(owner) ? 0 : -EIO;
}

static int owner_open(struct owner *owner, int index)
{
	int ret;

	*owner = NO_OWNER;
	if (index < 0)
		return index;
	owner->group = group_number(index);
	owner->memory = new_pages(PAGES);
	if (!owner->memory)
		return -ENOMEM;
	ret = container_open(&owner->container, index);
	if (!ret)
		ret = open_device(owner, index);
	return ret ? ret : owner_map(owner, 3);
}

static void owner_close(struct owner *owner)
{
	device_stop(&owner->device);
	container_close(&owner->container);
}

FIXTURE(aux_map_lifecycle) {
	struct owner owner;
	struct usage before;
	struct usage mapped;
	int index;
	int fd;
};

FIXTURE_SETUP(aux_map_lifecycle)
{
	self->owner = NO_OWNER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	self->before = usage();
	/* Nobody else is here. */
	for (size_t i = 0; i < ARRAY_SIZE(counted_kinds); i++)
		ASSERT_EQ(0, self->before.counts[i]);
	ASSERT_EQ(0, owner_open(&self->owner, self->index));
	self->fd = self->owner.container.fd;
	self->mapped = usage();
	/* So that a return to the old values means something. */
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(self->before.pinned + PAGES, self->mapped.pinned);
	ASSERT_EQ(self->before.locked + PAGES * PAGE, self->mapped.locked);
}

FIXTURE_TEARDOWN(aux_map_lifecycle)
{
	owner_close(&self->owner);
	EXPECT_TRUE(becomes_used(&self->before));
	EXPECT_EQ(NO_PASID_ENTRY, device_touch_anew(self->index, PASID, IOVA));
	EXPECT_TRUE(is_used(&self->before));
}

#define TOUCH()	device_touch(&self->owner.device, PASID, IOVA)

/* What is in use when, from before, only the registration is left. */
#define ASSERT_PINNED() do {						\
	ASSERT_EQ(0, count_of("mappings"));				\
	ASSERT_EQ(1, count_of("registrations"));			\
	ASSERT_EQ(self->before.pinned + PAGES, pinned_pages());		\
	ASSERT_EQ(self->before.locked + PAGES * PAGE, vm_locked());	\
} while (0)

#define ASSERT_UNPINNED() do {						\
	ASSERT_EQ(0, count_of("registrations"));			\
	ASSERT_EQ(0, count_of("pinned_pages"));				\
	ASSERT_EQ(self->before.pinned, pinned_pages());			\
	ASSERT_EQ(self->before.locked, vm_locked());			\
} while (0)

TEST_F(aux_map_lifecycle, unmap_and_unregister)
{
	ASSERT_EQ(3 * PAGES * PAGE, aux_unmap_all(self->fd, PASID));
	ASSERT_EQ(no_page(), TOUCH());
	ASSERT_PINNED();
	ASSERT_EQ(0, unregister_memory(self->fd, self->owner.memory,
				       PAGES * PAGE));
	ASSERT_UNPINNED();
	ASSERT_EQ(no_page(), TOUCH());
}

TEST_F(aux_map_lifecycle, destroy)
{
	ASSERT_EQ(0, aux_destroy(self->fd, PASID));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
	ASSERT_EQ(0, count_of("spaces"));
	ASSERT_EQ(0, count_of("attachments"));
	ASSERT_PINNED();
	ASSERT_EQ(0, unregister_memory(self->fd, self->owner.memory,
				       PAGES * PAGE));
	ASSERT_UNPINNED();
}

TEST_F(aux_map_lifecycle, detach)
{
	ASSERT_EQ(0, aux_detach(self->fd, PASID, self->owner.group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(0, count_of("attachments"));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, self->owner.memory,
					    PAGES * PAGE));
}

TEST_F(aux_map_lifecycle, detach_and_destroy)
{
	ASSERT_EQ(0, aux_detach(self->fd, PASID, self->owner.group));
	ASSERT_EQ(0, aux_destroy(self->fd, PASID));
	ASSERT_PINNED();
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
}

TEST_F(aux_map_lifecycle, close_in_any_order)
{
	struct container *container = &self->owner.container;

	for (size_t i = 0; i < ARRAY_SIZE(close_orders); i++) {
		for (const char *which = close_orders[i]; *which; which++) {
			if (*which == 'd')
				device_stop(&self->owner.device);
			container_close_one(container, *which);
			/* As long as the device is open it reaches the memory. */
			if (container->device >= 0)
				ASSERT_TRUE(reaches(&self->owner));
		}
		ASSERT_TRUE(is_used(&self->before)) {
			TH_LOG("order %zu", i);
		}
		ASSERT_EQ(NO_PASID_ENTRY,
			  device_touch_anew(self->index, PASID, IOVA));
		ASSERT_EQ(0, owner_open(&self->owner, self->index));
		ASSERT_TRUE(is_used(&self->mapped));
	}
}

/* What the process has registered is not lost with one of two containers. */
TEST_F(aux_map_lifecycle, close_of_one_of_two_containers)
{
	struct container other;
	u8 *memory = self->owner.memory;
	long pasid;

	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	ASSERT_EQ(0, register_memory(other.fd, 0, memory, PAGES * PAGE));
	ASSERT_EQ(self->mapped.pinned, pinned_pages());
	ASSERT_EQ(self->mapped.locked, vm_locked());
	pasid = aux_create(other.fd);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_map(other.fd, pasid, READ_WRITE, memory, IOVA, PAGE));
	ASSERT_EQ(4, count_of("mappings"));
	container_close(&other);
	ASSERT_TRUE(is_used(&self->mapped));
	ASSERT_TRUE(reaches(&self->owner));

	/* The other way round: the mapping's own container goes. */
	ASSERT_EQ(0, container_open(&other, device_index(20, 1)));
	ASSERT_EQ(0, register_memory(other.fd, 0, memory, PAGES * PAGE));
	owner_close(&self->owner);
	ASSERT_PINNED();
	container_close(&other);
}

TEST_F(aux_map_lifecycle, the_group_leaves_and_the_container_stays)
{
	int index = device_index(20, 1), group = group_node(index);

	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, self->fd));
	close_device(&self->owner);
	ASSERT_EQ(0, unset_container(self->owner.container.group));
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(0, count_of("attachments"));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, self->owner.memory,
					    PAGES * PAGE));
	/* The last one. */
	ASSERT_EQ(0, unset_container(group));
	close(group);
	ASSERT_TRUE(is_used(&self->before));
}

/* Processes. */

static void map_and_wait(int socket, void *arg)
{
	struct owner owner;

	say(socket, owner_open(&owner, *(int *)arg));
	hear(socket);
}

TEST_F(aux_map_lifecycle, kill)
{
	owner_close(&self->owner);
	for (int round = 0; round < 3; round++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, map_and_wait, &self->index));
		ASSERT_EQ(0, hear(peer.socket));
		ASSERT_EQ(3, count_of("mappings"));
		peer_kill(&peer);
		ASSERT_TRUE(becomes_used(&self->before));
		ASSERT_EQ(NO_PASID_ENTRY,
			  device_touch_anew(self->index, PASID, IOVA));
	}
}

TEST_F(aux_map_lifecycle, exit)
{
	struct peer peer;

	owner_close(&self->owner);
	ASSERT_EQ(0, peer_start(&peer, map_and_wait, &self->index));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, peer_wait(&peer));
	ASSERT_TRUE(becomes_used(&self->before));
}

/* Everything at once, again and again, until it is killed. */
static void never_stop(int socket, void *arg)
{
	const u64 size = 512 * PAGE;
	struct container container;
	u32 group = group_number(*(int *)arg);
	u8 *memory = new_pages(2 * size / PAGE);

	if (!memory ||
	    container_open_device(&container, *(int *)arg))
		return;
	for (int round = 0;; round++) {
		int fd = container.fd;
		long pasid = aux_create(fd);

		register_memory(fd, 0, memory, size);
		register_memory(fd, 0, memory + size, size);
		aux_attach(fd, pasid, group);
		for (int i = 0; i < 32; i++)
			aux_map(fd, pasid, READ_WRITE, memory + i * 32 * PAGE,
				IOVA + i * 32 * PAGE, 32 * PAGE);
		unregister_memory(fd, memory, size);
		if (round % 2)
			aux_unmap_all(fd, pasid);
		if (aux_destroy(fd, pasid) ||
		    unregister_memory(fd, memory, size) ||
		    unregister_memory(fd, memory + size, size))
			return;
		if (!round)
			say(socket, 0);
	}
}

TEST_F(aux_map_lifecycle, kill_in_the_middle)
{
	struct sequence sequence = { .state = 13 };

	owner_close(&self->owner);
	for (int round = 0; round < 20; round++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, never_stop, &self->index));
		ASSERT_EQ(0, hear(peer.socket));
		usleep(next_random(&sequence, 30 * 1000));
		peer_kill(&peer);
		ASSERT_TRUE(becomes_used(&self->before)) {
			TH_LOG("round %d", round);
		}
	}
}

/* The child has everything open, and may not use it. */
static void keep_copies(int socket, void *arg)
{
	struct owner *owner = arg;

	say(socket, aux_unmap_all(owner->container.fd, PASID));
	hear(socket);
	owner_close(owner);
	say(socket, 0);
	hear(socket);
}

TEST_F(aux_map_lifecycle, a_child_with_copies_keeps_the_mappings)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, keep_copies, &self->owner));
	ASSERT_EQ(-EPERM, hear(peer.socket));
	owner_close(&self->owner);
	ASSERT_TRUE(is_used(&self->mapped));
	say(peer.socket, 0);
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_TRUE(becomes_used(&self->before));
	peer_wait(&peer);
}

/* The process that has everything; it hands the test its descriptors. */
static void map_and_pass_on(int socket, void *arg)
{
	struct owner owner;
	int ret = owner_open(&owner, *(int *)arg);

	say(socket, ret);
	if (!ret) {
		const int fds[] = {
			owner.container.fd, owner.container.group,
			owner.container.device,
		};

		send_fds(socket, fds, 3);
	}
	hear(socket);
}

TEST_F(aux_map_lifecycle, pages_stay_when_the_process_is_dead_and_the_group_open)
{
	struct pasid_device device;
	struct outcome outcome;
	struct peer peer;
	int fds[3];

	owner_close(&self->owner);
	ASSERT_EQ(0, peer_start(&peer, map_and_pass_on, &self->index));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 3));
	peer_kill(&peer);
	/* Its memory is no longer anybody's, but for the device. */
	for (int round = 0; round < 3; round++) {
		u64 pattern = 0xdead0000 + round, seen;

		ASSERT_EQ(0, device_start(&device, fds[2]));
		device_set_data(&device, &pattern, sizeof(pattern));
		ASSERT_EQ(DMA_DONE, device_touch(&device, PASID, IOVA));
		ASSERT_EQ(0, device_dma(&device, DMA_READ, PASID,
					IOVA + PAGES * PAGE, 8, &outcome));
		ASSERT_EQ(DMA_DONE, outcome.status);
		device_get_data(&device, &seen, sizeof(seen));
		/* The next mapping is of the same memory. */
		ASSERT_EQ(pattern, seen);
		device_stop(&device);
		usleep(10 * 1000);
	}
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(PAGES, count_of("pinned_pages"));
	ASSERT_EQ(self->mapped.pinned, pinned_pages());
	ASSERT_EQ(-EPERM, aux_unmap_all(fds[0], PASID));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	ASSERT_TRUE(becomes_used(&self->before));
}

/* Errors in the middle of things. */

TEST_F(aux_map_lifecycle, what_fails_leaves_nothing)
{
	u8 *memory = self->owner.memory;
	struct usage before = usage();

	ASSERT_EQ(-EEXIST, aux_map(self->fd, PASID, READ_WRITE, memory, IOVA,
				   PAGE));
	ASSERT_EQ(-ENOENT, aux_map(self->fd, PASID, READ_WRITE, memory, 0,
				   (PAGES + 1) * PAGE));
	ASSERT_EQ(-ERANGE, aux_map(self->fd, PASID, READ_WRITE, memory,
				   1ull << 48, PAGE));
	ASSERT_EQ(-EINVAL, aux_unmap(self->fd, PASID, IOVA, PAGE));
	ASSERT_EQ(-EBUSY, unregister_memory(self->fd, memory, PAGES * PAGE));
	ASSERT_EQ(-EEXIST, register_memory(self->fd, 0, memory, PAGE));
	ASSERT_TRUE(is_used(&before));
	ASSERT_TRUE(reaches(&self->owner));
}

TEST_HARNESS_MAIN
