// SPDX-License-Identifier: GPL-2.0-only
/*
 * How attachments end: whatever is closed, killed or reset, and in whatever
 * order, nothing stays attached, the group can be used again, and what shall
 * survive does.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define IOVA	0x40000000
#define PASID	777

/* All that a test uses: a container with a device and an attached space. */
struct owner {
	struct container container;
	struct pasid_device device;
	u32 group;
};

static int open_device(struct owner *owner, int index)
{
	int fd = device_of(owner->container.group, index);

	owner->container.device = fd;
	return fd < 0 ? fd : device_start(&owner->device, fd);
}

/* Its own mapping and descriptor; VFIO has closed the device after the last. */
static void close_device(struct owner *owner)
{
	device_stop(&owner->device);
	close_fd(&owner->container.device);
}

static int owner_open(struct owner *owner, int index)
{
	int ret;

	*owner = (struct owner) { NO_CONTAINER, NO_DEVICE, 0 };
	if (index < 0)
		return index;
	owner->group = group_number(index);
	ret = container_open(&owner->container, index);
	return ret ? ret : open_device(owner, index);
}

static void owner_close(struct owner *owner)
{
	device_stop(&owner->device);
	container_close(&owner->container);
}

/* With PASID attached, and seen by the device. */
static int owner_attach(struct owner *owner)
{
	int fd = owner->container.fd;
	long ret = pasid_alloc(fd, PASID, PASID);

	if (ret == PASID)
		ret = aux_create_fixed(fd, PASID);
	if (!ret)
		ret = aux_attach(fd, PASID, owner->group);
	if (!ret && device_touch(&owner->device, PASID, IOVA) != no_page())
		ret = -EPROTO;
	return ret;
}

/*
 * Nothing is left of PASID on the @index-th group: it can be opened, nothing is
 * attached, and all of it works once more.
 */
static long is_as_new(int index)
{
	struct owner owner;
	long ret = owner_open(&owner, index);

	if (!ret)
		ret = device_touch(&owner.device, PASID, IOVA);
	if (ret == NO_PASID_ENTRY)
		ret = owner_attach(&owner);
	else
		printf("# STATUS or error %#lx\n", ret);
	owner_close(&owner);
	return ret;
}

FIXTURE(aux_lifecycle) {
	struct owner owner;
	int index;
	int fd;
};

FIXTURE_SETUP(aux_lifecycle)
{
	self->owner = (struct owner) { NO_CONTAINER, NO_DEVICE, 0 };
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_EQ(0, owner_open(&self->owner, self->index));
	ASSERT_EQ(0, owner_attach(&self->owner));
	self->fd = self->owner.container.fd;
}

FIXTURE_TEARDOWN(aux_lifecycle)
{
	owner_close(&self->owner);
	EXPECT_EQ(0, is_as_new(self->index));
}

#define TOUCH()	device_touch(&self->owner.device, PASID, IOVA)

TEST_F(aux_lifecycle, detach_then_close)
{
	ASSERT_EQ(0, aux_detach(self->fd, PASID, self->owner.group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
}

TEST_F(aux_lifecycle, destroy_then_close)
{
	ASSERT_EQ(0, aux_destroy(self->fd, PASID));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
}

TEST_F(aux_lifecycle, close_in_any_order_while_attached)
{
	struct container *container = &self->owner.container;

	for (size_t i = 0; i < ARRAY_SIZE(close_orders); i++) {
		for (const char *which = close_orders[i]; *which; which++) {
			if (*which == 'd')
				device_stop(&self->owner.device);
			container_close_one(container, *which);
			/* An open device is attached, whatever else is closed. */
			if (container->device >= 0)
				ASSERT_EQ(no_page(), TOUCH());
		}
		ASSERT_EQ(0, is_as_new(self->index)) {
			TH_LOG("order %zu", i);
		}
		ASSERT_EQ(0, owner_open(&self->owner, self->index));
		ASSERT_EQ(0, owner_attach(&self->owner));
	}
}

TEST_F(aux_lifecycle, the_last_close_of_the_device_detaches)
{
	struct aux_info before = { .head.cursor = 0 }, after = before;

	ASSERT_EQ(0, aux_info(self->fd, PASID, AUX_ENTRIES, &before));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(1, aux_is_attached(self->fd, PASID,
					     self->owner.group));
		close_device(&self->owner);
		ASSERT_EQ(0, aux_is_attached(self->fd, PASID,
					     self->owner.group));
		ASSERT_EQ(-ENODEV, aux_attach(self->fd, PASID,
					      self->owner.group));
		ASSERT_EQ(-ENOENT, aux_detach(self->fd, PASID,
					      self->owner.group));
		ASSERT_EQ(0, open_device(&self->owner, self->index));
		ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
		ASSERT_EQ(0, aux_attach(self->fd, PASID, self->owner.group));
		ASSERT_EQ(no_page(), TOUCH());
	}
	/* The space itself has survived. */
	ASSERT_EQ(0, aux_info(self->fd, PASID, AUX_ENTRIES, &after));
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(before.head)));
}

TEST_F(aux_lifecycle, a_close_that_is_not_the_last_does_nothing)
{
	int second = device_of(self->owner.container.group, self->index);

	ASSERT_LE(0, second);
	close_device(&self->owner);
	ASSERT_EQ(0, device_start(&self->owner.device, second));
	ASSERT_EQ(no_page(), TOUCH());
	ASSERT_EQ(1, aux_is_attached(self->fd, PASID, self->owner.group));
	close(second);
	/* A mapping of the BAR keeps the device open. */
	ASSERT_EQ(1, aux_is_attached(self->fd, PASID, self->owner.group));
	device_stop(&self->owner.device);
	ASSERT_EQ(0, aux_is_attached(self->fd, PASID, self->owner.group));
}

/* The group leaves; the container has another one and goes on. */
TEST_F(aux_lifecycle, a_space_survives_the_group_that_leaves)
{
	int index = device_index(20, 1), group = group_node(index), device;

	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, self->fd));
	ASSERT_EQ(-EBUSY, unset_container(self->owner.container.group));
	ASSERT_EQ(no_page(), TOUCH());
	close_device(&self->owner);
	ASSERT_EQ(0, unset_container(self->owner.container.group));
	ASSERT_EQ(-ENOENT, aux_attach(self->fd, PASID, self->owner.group));
	ASSERT_EQ(0, aux_is_attached(self->fd, PASID, self->owner.group));

	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(0, aux_attach(self->fd, PASID, group_number(index)));
	close(device);
	close(group);
	/* That was the last one. */
	ASSERT_EQ(-EINVAL, aux_destroy(self->fd, PASID));
}

TEST_F(aux_lifecycle, a_reset_does_not_detach)
{
	long resets = device_resets(&self->owner.device);

	ASSERT_LE(0, resets);
	ASSERT_EQ(0, call(self->owner.container.device, VFIO_DEVICE_RESET,
			  NULL));
	ASSERT_EQ(0, device_set_bus_master(&self->owner.device, true));
	ASSERT_EQ(resets + 1, device_resets(&self->owner.device));
	ASSERT_EQ(no_page(), TOUCH());
	ASSERT_EQ(0, aux_detach(self->fd, PASID, self->owner.group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH());
}

/* Processes. */

static void attach_and_wait(int socket, void *arg)
{
	struct owner owner;
	long ret = owner_open(&owner, *(int *)arg);

	say(socket, ret ? ret : owner_attach(&owner));
	hear(socket);
}

static void settle(int index)
{
	/* A killed process closes its files a little later. */
	for (int i = 0; i < 500; i++) {
		int group = group_node(index);

		if (group >= 0) {
			close(group);
			return;
		}
		usleep(10 * 1000);
	}
}

TEST_F(aux_lifecycle, kill_while_attached)
{
	owner_close(&self->owner);
	for (int round = 0; round < 3; round++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, attach_and_wait, &self->index));
		ASSERT_EQ(0, hear(peer.socket));
		peer_kill(&peer);
		settle(self->index);
		ASSERT_EQ(0, is_as_new(self->index));
	}
}

TEST_F(aux_lifecycle, exit_while_attached)
{
	struct peer peer;

	owner_close(&self->owner);
	ASSERT_EQ(0, peer_start(&peer, attach_and_wait, &self->index));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, peer_wait(&peer));
	settle(self->index);
	ASSERT_EQ(0, is_as_new(self->index));
}

/*
 * A child has the container open when its creator dies: the space lives for as
 * long as the group is in the container, and nobody can operate on it.
 */
static void keep_copies(int socket, void *arg)
{
	struct owner *owner = arg;

	/* A fork does not copy the mapping of a device. */
	say(socket, aux_detach(owner->container.fd, PASID, owner->group));
	hear(socket);
	say(socket, aux_destroy(owner->container.fd, PASID));
	owner_close(owner);
}

TEST_F(aux_lifecycle, copies_in_a_child_keep_what_its_parent_attached)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, keep_copies, &self->owner));
	ASSERT_EQ(-EPERM, hear(peer.socket));
	ASSERT_EQ(no_page(), TOUCH());
	/* The child's copies keep group and device open and attached. */
	owner_close(&self->owner);
	ASSERT_EQ(-EBUSY, group_node(self->index));
	say(peer.socket, 0);
	ASSERT_EQ(-EPERM, hear(peer.socket));
	peer_wait(&peer);
	settle(self->index);
}

TEST_F(aux_lifecycle, two_containers_know_nothing_of_each_other)
{
	int index = device_index(20, 1);
	struct owner other;
	long pasid;

	ASSERT_EQ(0, owner_open(&other, index));
	pasid = aux_create(other.container.fd);
	ASSERT_LT(0, pasid);
	ASSERT_NE(PASID, pasid);
	ASSERT_EQ(0, aux_attach(other.container.fd, pasid, other.group));
	ASSERT_EQ(no_page(), device_touch(&other.device, pasid, IOVA));
	ASSERT_NE(no_page(), device_touch(&other.device, PASID, IOVA));
	ASSERT_NE(no_page(), device_touch(&self->owner.device, pasid, IOVA));
	ASSERT_EQ(-ENOENT, aux_detach(other.container.fd, PASID, other.group));
	ASSERT_EQ(no_page(), TOUCH());

	owner_close(&other);
	ASSERT_EQ(no_page(), TOUCH());
	/* Of the other one's space, nothing is left. */
	wait_for_closing();
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(0, owner_open(&other, index));
	ASSERT_EQ(NO_PASID_ENTRY, device_touch(&other.device, pasid, IOVA));
	owner_close(&other);
}

/* The modules. */

TEST_F(aux_lifecycle, modules_in_use_are_not_unloaded)
{
	ASSERT_EQ(-EWOULDBLOCK, unload_module("vfio_iommu_type1"));
	ASSERT_EQ(-EWOULDBLOCK, unload_module("vfio_pasid"));
	ASSERT_EQ(no_page(), TOUCH());
	owner_close(&self->owner);
	ASSERT_EQ(0, unload_module("vfio_iommu_type1"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	/* Another load, on the hardware that this one left behind. */
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
}

TEST_HARNESS_MAIN
