// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_REGISTER_MEMORY and VFIO_IOMMU_UNREGISTER_MEMORY: what is pinned
 * and charged, how often, until when, and every error of their table. For memory
 * of every kind see memory_kinds.c and memory_file.c, for several things at once
 * memory_race.c, for memory that aux spaces map memory_mapped.c.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "conventions.h"

#define PAGES		16	/* of self->memory */
#define MANY		1200	/* pages: they are pinned in several steps */
#define READ_ONLY	VFIO_MEMORY_READ_ONLY

FIXTURE(memory) {
	struct before before;
	struct container container;
	struct container other;
	char *memory;
	int fd;
};

FIXTURE_SETUP(memory)
{
	self->container = NO_CONTAINER;
	self->other = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_LE(0, self->before.locked);
	ASSERT_LE(0, self->before.pinned);
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	self->memory = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* Whatever a test does, nothing stays when its containers are closed. */
FIXTURE_TEARDOWN(memory)
{
	container_close(&self->other);
	container_close(&self->container);
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

#define HOLDS(registrations, pages) \
	ASSERT_TRUE(holds(&self->before, registrations, pages))

TEST_F(memory, the_feature_bit_is_set)
{
	ASSERT_TRUE(call(self->fd, VFIO_CHECK_EXTENSION,
			 (void *)VFIO_PASID_EXTENSION) &
		    VFIO_PASID_FEATURE_MEMORY);
}

/* Pinned and charged once, whoever registers it and how often. */

TEST_F(memory, registering_pins_and_charges_and_unregistering_gives_back)
{
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
		HOLDS(1, PAGES);
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
		HOLDS(0, 0);
	}
}

TEST_F(memory, ranges_add_up)
{
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, 1));
	HOLDS(1, 1);
	/* Neighbours do not overlap. */
	ASSERT_EQ(0, register_pages(self->fd, READ_ONLY, self->memory, 1, 3));
	HOLDS(2, 4);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 4, 12));
	HOLDS(3, 16);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 1, 3));
	HOLDS(2, 13);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 4, 12));
	HOLDS(1, 1);
}

TEST_F(memory, the_same_range_is_counted)
{
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
		HOLDS(1, PAGES);
	}
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
		HOLDS(1, PAGES);
	}
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
}

TEST_F(memory, two_containers_share_what_they_register)
{
	ASSERT_EQ(0, container_open(&self->other, 1));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
	HOLDS(2, PAGES);
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
	HOLDS(2, PAGES);

	/* Each counts its own. */
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	ASSERT_EQ(0, unregister_pages(self->other.fd, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, unregister_pages(self->other.fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
}

TEST_F(memory, the_last_container_that_holds_it_unpins)
{
	ASSERT_EQ(0, container_open(&self->other, 1));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
	container_close(&self->container);
	HOLDS(1, PAGES);
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(2, PAGES);
	container_close(&self->other);
	HOLDS(1, PAGES);
	container_close(&self->container);
	HOLDS(0, 0);
}

/* A group that leaves is not a close as long as there is another. */
TEST_F(memory, the_last_group_that_leaves_unpins)
{
	int second = group_node(1);

	ASSERT_LE(0, second);
	ASSERT_EQ(0, set_container(second, self->fd));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, unset_container(self->container.group));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, unset_container(second));
	HOLDS(0, 0);

	/* The next one does not know of it. */
	ASSERT_EQ(0, set_container(second, self->fd));
	ASSERT_EQ(0, set_iommu(self->fd, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	close(second);
	HOLDS(0, 0);
}

TEST_F(memory, any_order_of_closing_unpins)
{
	for (size_t i = 0; i < ARRAY_SIZE(close_orders); i++) {
		ASSERT_EQ(0, container_open_device(&self->other, 1));
		ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
		HOLDS(1, PAGES);
		for (const char *which = close_orders[i]; *which; which++)
			container_close_one(&self->other, *which);
		HOLDS(0, 0);
	}
}

/* Memory that goes, pages that stay. */

TEST_F(memory, pages_stay_when_they_are_unmapped)
{
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, munmap(self->memory, PAGES * PAGE));
	HOLDS(1, PAGES);
	/* For more of that see memory_suspect.c. */
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(0, 0);
}

static void keep_after_fork(int socket, void *arg)
{
	container_close(arg);
	say(socket, vm_locked());
	hear(socket);
}

TEST_F(memory, a_forked_child_is_not_charged_and_takes_nothing_along)
{
	struct peer peer;

	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, peer_start(&peer, keep_after_fork, &self->container));
	ASSERT_EQ(0, hear(peer.socket));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, peer_wait(&peer));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
}

/* Other processes. */

static void register_and_wait(int socket, void *arg)
{
	struct container container;
	char *memory = new_pages(PAGES);

	container_close(arg);
	if (container_open(&container, 1))
		return;
	say(socket, register_pages(container.fd, 0, memory, 0, PAGES));
	say(socket, vm_locked());
	hear(socket);
	say(socket, unregister_pages(container.fd, memory, 0, PAGES));
	say(socket, vm_locked());
	hear(socket);
}

TEST_F(memory, each_process_has_its_own)
{
	struct peer peer;

	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, peer_start(&peer, register_and_wait, &self->container));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(PAGES * PAGE, hear(peer.socket));
	ASSERT_TRUE(all_hold(&self->before, 2, 2 * PAGES));
	ASSERT_EQ(PAGES * PAGE, vm_locked() - self->before.locked);
	say(peer.socket, 0);
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, hear(peer.socket));
	HOLDS(1, PAGES);
	peer_wait(&peer);
	HOLDS(1, PAGES);
}

TEST_F(memory, kill_9_unpins)
{
	struct peer peer;

	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(0, peer_start(&peer, register_and_wait,
					&self->container));
		ASSERT_EQ(0, hear(peer.socket));
		ASSERT_TRUE(all_hold(&self->before, 1, PAGES));
		peer_kill(&peer);
		ASSERT_TRUE(all_hold(&self->before, 0, 0));
	}
}

static void leave_to_a_child(int socket, void *arg)
{
	struct container container;

	container_close(arg);
	if (container_open(&container, 1))
		return;
	if (register_pages(container.fd, 0, new_pages(PAGES), 0, PAGES))
		return;
	/* The child has a copy of each descriptor, of the socket too. */
	if (!fork())
		say(socket, hear(socket));
	_exit(0);
}

TEST_F(memory, pages_outlive_the_process_while_a_child_has_the_group)
{
	struct peer peer;
	int socket;

	ASSERT_EQ(0, peer_start(&peer, leave_to_a_child, &self->container));
	socket = dup(peer.socket);
	ASSERT_LE(0, socket);
	ASSERT_EQ(0, peer_wait(&peer));
	ASSERT_TRUE(all_hold(&self->before, 1, PAGES));
	say(socket, 7);
	ASSERT_EQ(7, hear(socket));
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
	close(socket);
}

static void exec_with_descriptors(int socket, void *arg)
{
	struct container container;

	container_close(arg);
	if (container_open(&container, 1))
		return;
	if (register_pages(container.fd, 0, new_pages(PAGES), 0, PAGES))
		return;
	fcntl(container.fd, F_SETFD, 0);
	fcntl(container.group, F_SETFD, 0);
	say(socket, 0);
	execlp("sleep", "sleep", "1000", NULL);
}

TEST_F(memory, pages_outlive_an_exec_while_the_group_stays_open)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, exec_with_descriptors,
				&self->container));
	ASSERT_EQ(0, hear(peer.socket));
	/* The socket is closed when the new program starts. */
	ASSERT_EQ(-EPIPE, hear(peer.socket));
	ASSERT_TRUE(all_hold(&self->before, 1, PAGES));
	peer_kill(&peer);
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
}

/* RLIMIT_MEMLOCK. */

static void limit_locked(long pages)
{
	struct rlimit limit = { pages * PAGE, pages * PAGE };

	set_ipc_lock(false);
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		abort();
}

TEST_F(memory, ENOMEM_if_the_limit_is_a_page_short)
{
	limit_locked(PAGES - 1);
	ASSERT_EQ(-ENOMEM, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES - 1));
	HOLDS(1, PAGES - 1);
	ASSERT_EQ(-ENOMEM, register_pages(self->fd, 0, self->memory, PAGES - 1, 1));
	HOLDS(1, PAGES - 1);
}

TEST_F(memory, the_limit_is_used_up_exactly)
{
	limit_locked(PAGES);
	ASSERT_EQ(0, container_open(&self->other, 1));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES - 1));
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, PAGES - 1, 1));
		HOLDS(2, PAGES);
		/* What is registered costs nothing. */
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES - 1));
		ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES - 1));
		HOLDS(3, PAGES);
		ASSERT_EQ(0, unregister_pages(self->other.fd, self->memory, 0, PAGES - 1));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES - 1));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES - 1));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, PAGES - 1, 1));
		HOLDS(0, 0);
	}
}

TEST_F(memory, what_failed_does_not_count_against_the_limit)
{
	limit_locked(PAGES);
	ASSERT_EQ(0, munmap(self->memory + (PAGES - 1) * PAGE, PAGE));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES - 1));
	HOLDS(1, PAGES - 1);
}

/* mlock() counts pages where they are mapped, so some count twice. */
TEST_F(memory, mlock_counts_against_the_same_limit)
{
	ASSERT_EQ(0, mlock(self->memory, 4 * PAGE));
	limit_locked(PAGES);
	ASSERT_EQ(-ENOMEM, register_pages(self->fd, 0, self->memory, 4, PAGES - 3));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 4, PAGES - 4));
	ASSERT_EQ(PAGES * PAGE, vm_locked());
	ASSERT_EQ(-1, mlock(self->memory + 4 * PAGE, PAGE));
	ASSERT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, munlock(self->memory, 4 * PAGE));
	HOLDS(1, PAGES - 4);
}

TEST_F(memory, CAP_IPC_LOCK_lifts_the_limit)
{
	limit_locked(0);
	ASSERT_EQ(-ENOMEM, register_pages(self->fd, 0, self->memory, 0, 1));
	set_ipc_lock(true);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	set_ipc_lock(false);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(0, 0);
}

/* Without swap, only being unpinned makes an anonymous page dirty. */
TEST_F(memory, pages_that_a_device_could_write_are_dirty_when_unpinned)
{
	const u64 dirty = 1ull << KPF_DIRTY;

	ASSERT_EQ(0, madvise(self->memory, PAGES * PAGE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, register_pages(self->fd, READ_ONLY, self->memory, 0, 2));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 2, 2));
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, 2));
	for (int page = 0; page < 4; page++)
		ASSERT_FALSE(page_flags(self->memory + page * PAGE) & dirty);
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 2, 2));
	ASSERT_FALSE(page_flags(self->memory + PAGE) & dirty);
	ASSERT_TRUE(page_flags(self->memory + 2 * PAGE) & dirty);
	ASSERT_TRUE(page_flags(self->memory + 3 * PAGE) & dirty);
}

/* Memory that cannot be registered. */

/* Fails at the last of many pages, and nothing is left of the others. */
static bool fails_at_the_end(int fd, const struct before *before,
			     int protection, u32 flags)
{
	char *memory = new_pages(MANY);
	char *last = memory + (MANY - 1) * PAGE;
	bool good;

	madvise(memory, MANY * PAGE, MADV_NOHUGEPAGE);
	if (protection < 0)
		munmap(last, PAGE);
	else
		mprotect(last, PAGE, protection);
	good = register_pages(fd, flags, memory, 0, MANY) == -EFAULT &&
	       holds(before, 0, 0) &&
	       !register_pages(fd, flags, memory, 0, MANY - 1) &&
	       holds(before, 1, MANY - 1) &&
	       !unregister_pages(fd, memory, 0, MANY - 1) &&
	       holds(before, 0, 0);
	munmap(memory, MANY * PAGE);
	return good;
}

TEST_F(memory, EFAULT_if_not_all_of_it_is_mapped)
{
	ASSERT_TRUE(fails_at_the_end(self->fd, &self->before,
				     -1, 0));
	ASSERT_TRUE(fails_at_the_end(self->fd, &self->before,
				     -1, READ_ONLY));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, unmapped(), 0, 1));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, READ_ONLY, unmapped(), 0, 1));
	ASSERT_EQ(0, munmap(self->memory + 5 * PAGE, PAGE));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 5, 1));
	HOLDS(0, 0);
}

TEST_F(memory, EFAULT_if_not_all_of_it_can_be_accessed)
{
	ASSERT_TRUE(fails_at_the_end(self->fd, &self->before,
				     PROT_NONE, 0));
	ASSERT_TRUE(fails_at_the_end(self->fd, &self->before,
				     PROT_NONE, READ_ONLY));
	ASSERT_TRUE(fails_at_the_end(self->fd, &self->before,
				     PROT_READ, 0));
}

TEST_F(memory, memory_that_can_only_be_read_is_registered_as_such)
{
	ASSERT_EQ(0, mprotect(self->memory, PAGES * PAGE, PROT_READ));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, READ_ONLY, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	/* That it can be written later changes nothing. */
	ASSERT_EQ(0, mprotect(self->memory, PAGES * PAGE,
			      PROT_READ | PROT_WRITE));
	ASSERT_EQ(-EEXIST, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
}

TEST_F(memory, EFAULT_where_no_memory_can_be)
{
	static const u64 addresses[] = {
		0, 1ull << 47, 1ull << 62, 1ull << 63, 0xffff888000000000,
		-(u64)2 * PAGE, -(u64)PAGE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		ASSERT_EQ(-EFAULT, register_pages(self->fd, READ_ONLY,
						  (char *)addresses[i], 0, 1));
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, (char *)addresses[i], 0, 1));
	}
	HOLDS(0, 0);
	/* Sizes that no limit is high enough for, but CAP_IPC_LOCK lifts it. */
	ASSERT_EQ(-EFAULT, register_memory(self->fd, 0, self->memory,
					   (1ull << 47) - PAGE));
	ASSERT_EQ(-EFAULT, register_memory(self->fd, 0, NULL, -(u64)PAGE));
	HOLDS(0, 0);
	limit_locked(PAGES);
	ASSERT_EQ(-ENOMEM, register_memory(self->fd, 0, NULL, -(u64)PAGE));
	HOLDS(0, 0);
}

TEST_F(memory, EFAULT_for_memfd_secret)
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *memory;

	/* It counts as locked itself. */
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 4 * PAGE));
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)memory);
	for (int touched = 0; touched < 2; touched++) {
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, memory, 0, 4));
		ASSERT_EQ(-EFAULT, register_pages(self->fd, READ_ONLY, memory, 0, 4));
		memset(memory, 1, 4 * PAGE);
	}
	munmap(memory, 4 * PAGE);
	close(fd);
	HOLDS(0, 0);
}

TEST_F(memory, EFAULT_for_device_memory)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	char *memory;

	self->container.device = device_of(self->container.group, 0);
	ASSERT_LE(0, self->container.device);
	ASSERT_EQ(0, call(self->container.device, VFIO_DEVICE_GET_REGION_INFO,
			  &bar));
	ASSERT_TRUE(bar.flags & VFIO_REGION_INFO_FLAG_MMAP);
	memory = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      self->container.device, bar.offset);
	ASSERT_NE(MAP_FAILED, (void *)memory);
	ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, memory, 0, 1));
	ASSERT_EQ(-EFAULT, register_pages(self->fd, READ_ONLY, memory, 0, 1));
	HOLDS(0, 0);
	munmap(memory, bar.size);
}

/* Overlap. */

TEST_F(memory, EEXIST_for_every_overlap_that_is_not_the_same)
{
	/* Registered are [4, 8) and, to be only read, [10, 12). */
	static const struct {
		int first, pages;
	} overlaps[] = {
		/* prefix, suffix, inside, around */
		{ 4, 1 }, { 4, 3 }, { 7, 1 }, { 5, 3 }, { 5, 1 }, { 5, 2 },
		{ 3, 6 }, { 0, 16 }, { 3, 5 }, { 4, 5 },
		/* across an end */
		{ 3, 2 }, { 0, 5 }, { 7, 2 }, { 6, 4 },
		/* both */
		{ 4, 8 }, { 7, 4 }, { 5, 6 }, { 3, 10 }, { 6, 6 },
		{ 10, 1 }, { 11, 1 }, { 9, 2 }, { 11, 5 }, { 9, 4 },
	};

	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 4, 4));
	ASSERT_EQ(0, register_pages(self->fd, READ_ONLY, self->memory, 10, 2));
	ASSERT_EQ(0, container_open(&self->other, 1));
	for (size_t i = 0; i < ARRAY_SIZE(overlaps); i++) {
		for (u32 flags = 0; flags <= READ_ONLY; flags++) {
			ASSERT_EQ(-EEXIST, register_pages(self->fd, flags, self->memory,
							  overlaps[i].first,
							  overlaps[i].pages)) {
				TH_LOG("overlap %zu", i);
			}
			/* Ranges are those of the process. */
			ASSERT_EQ(-EEXIST, register_pages(self->other.fd, flags,
							  self->memory, overlaps[i].first,
							  overlaps[i].pages));
		}
		ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory,
						    overlaps[i].first, overlaps[i].pages));
	}
	HOLDS(2, 6);
	/* What is between them is free. */
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 8, 2));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, 4));
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 12, 4));
	HOLDS(5, 16);
}

TEST_F(memory, EEXIST_for_the_same_with_other_flags)
{
	ASSERT_EQ(0, container_open(&self->other, 1));
	for (u32 flags = 0; flags <= READ_ONLY; flags++) {
		ASSERT_EQ(0, register_pages(self->fd, flags, self->memory, 0, PAGES));
		ASSERT_EQ(-EEXIST, register_pages(self->fd, flags ^ READ_ONLY,
						  self->memory, 0, PAGES));
		ASSERT_EQ(-EEXIST, register_pages(self->other.fd, flags ^ READ_ONLY,
						  self->memory, 0, PAGES));
		HOLDS(1, PAGES);
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, PAGES));
		HOLDS(0, 0);
	}
}

TEST_F(memory, ENOENT_if_the_container_does_not_hold_it)
{
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	ASSERT_EQ(0, container_open(&self->other, 1));
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_EQ(0, unregister_pages(self->other.fd, self->memory, 0, PAGES));
	ASSERT_EQ(-ENOENT, unregister_pages(self->other.fd, self->memory, 0, PAGES));
	HOLDS(1, PAGES);
	/* Nor is it a part, or more, or where nothing can be. */
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES - 1));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 1, PAGES - 1));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES + 1));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, -1, PAGES + 1));
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, (char *)-(long)PAGE, 0, 1));
	HOLDS(1, PAGES);
}

/* region_limit. */

TEST_F(memory, ENOSPC_at_the_limit_of_ranges)
{
	struct limits limits = DEFAULT_LIMITS;

	limits.regions = 2;
	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&limits));
	ASSERT_EQ(0, container_open(&self->container, 0));
	ASSERT_EQ(0, container_open(&self->other, 1));
	self->fd = self->container.fd;
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, 2));
		ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 2, 2));
		/* It is that of the process. */
		ASSERT_EQ(-ENOSPC, register_pages(self->fd, 0, self->memory, 4, 1));
		ASSERT_EQ(-ENOSPC, register_pages(self->other.fd, 0, self->memory, 4, 1));
		HOLDS(2, 4);
		/* What is registered is not one more. */
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, 2));
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 2, 2));
		HOLDS(3, 4);
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 2, 2));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, 2));
		ASSERT_EQ(-ENOSPC, register_pages(self->fd, 0, self->memory, 4, 1));
		ASSERT_EQ(0, unregister_pages(self->other.fd, self->memory, 2, 2));
		/* Neither is what failed. */
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, unmapped(), 0, 1));
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, unmapped(), 0, 1));
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 4, 1));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 4, 1));
		ASSERT_EQ(0, unregister_pages(self->fd, self->memory, 0, 2));
		HOLDS(0, 0);
	}
}

TEST_F(memory, region_limit_0_means_none)
{
	struct limits limits = DEFAULT_LIMITS;

	limits.regions = 0;
	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&limits));
	ASSERT_EQ(0, container_open(&self->container, 0));
	ASSERT_EQ(-ENOSPC, register_pages(self->container.fd, 0, self->memory, 0, 1));
	HOLDS(0, 0);
}

/* The conventions. */

static struct ioctl good(unsigned long request, void *memory)
{
	bool registers = request == VFIO_IOMMU_REGISTER_MEMORY;

	return (struct ioctl) {
		.name = registers ? "REGISTER_MEMORY" : "UNREGISTER_MEMORY",
		.request = request,
		.flags = registers ? READ_ONLY : 0,
		.argument.memory = {
			.argsz = sizeof(struct vfio_iommu_register_memory),
			.vaddr = (uintptr_t)memory,
			.size = PAGES * PAGE,
		},
	};
}

#define REGISTER()	good(VFIO_IOMMU_REGISTER_MEMORY, self->memory)
#define UNREGISTER()	good(VFIO_IOMMU_UNREGISTER_MEMORY, self->memory)

TEST_F(memory, argsz_too_short_is_EINVAL)
{
	const struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(refuses_short_argsz(self->fd, &ioctls[i]));
		ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	}
	HOLDS(1, PAGES);
}

TEST_F(memory, argsz_of_a_larger_structure_is_fine)
{
	static const u32 sizes[] = {
		sizeof(struct vfio_iommu_register_memory) + 1, PAGE, INT32_MAX,
		UINT32_MAX,
	};
	struct vfio_iommu_register_memory *arg = before_hole(sizeof(*arg));

	*arg = REGISTER().argument.memory;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		arg->argsz = sizes[i];
		ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_REGISTER_MEMORY, arg));
		HOLDS(1, PAGES);
		ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_UNREGISTER_MEMORY, arg));
		HOLDS(0, 0);
	}
}

TEST_F(memory, unknown_flags_are_EINVAL)
{
	const struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

	ASSERT_TRUE(refuses_unknown_flags(self->fd, &ioctls[0]));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, READ_ONLY, self->memory, 0, PAGES));
	ASSERT_TRUE(refuses_unknown_flags(self->fd, &ioctls[1]));
	HOLDS(1, PAGES);
}

TEST_F(memory, ranges_that_are_none_are_EINVAL)
{
	struct {
		u64 vaddr, size;
	} bad[] = {
		{ 0, 0 }, { 0, 1 }, { 0, PAGE - 1 }, { 0, PAGE + 1 },
		{ 1, PAGE }, { 1, PAGE - 1 }, { PAGE - 1, PAGE + 1 },
		{ 512, 2 * PAGE }, { 0, UINT64_MAX },
		/* around the end of the address space */
		{ 0, -(u64)(uintptr_t)self->memory + PAGE },
		{ 0, -(u64)PAGE },
		{ -(u64)PAGE - (uintptr_t)self->memory, 2 * PAGE },
		{ -(u64)PAGE - (uintptr_t)self->memory, -(u64)PAGE },
	};

	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

		for (int j = 0; j < 2; j++) {
			ioctls[j].argument.memory.vaddr += bad[i].vaddr;
			ioctls[j].argument.memory.size = bad[i].size;
		}
		ASSERT_TRUE(all_answer(self->fd, ioctls, 2, -EINVAL)) {
			TH_LOG("range %zu", i);
		}
	}
	HOLDS(1, PAGES);
}

TEST_F(memory, bad_pointers_are_EFAULT)
{
	const struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

	ASSERT_TRUE(all_follow(self->fd, ioctls, 2, refuses_bad_pointers));
	HOLDS(0, 0);
}

TEST_F(memory, another_process_gets_EPERM)
{
	const struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

	ASSERT_TRUE(all_follow(self->fd, ioctls, 2, refuses_another_process));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, 0, self->memory, 0, PAGES));
	ASSERT_TRUE(all_follow(self->fd, ioctls, 2, refuses_another_process));
	HOLDS(1, PAGES);
}

TEST_F(memory, the_structure_is_only_read)
{
	const struct ioctl ioctls[] = { REGISTER(), UNREGISTER() };

	ASSERT_TRUE(answers(self->fd, &ioctls[0], read_only(&ioctls[0]), 0));
	HOLDS(1, PAGES);
	ASSERT_TRUE(answers(self->fd, &ioctls[1], read_only(&ioctls[1]), 0));
	HOLDS(0, 0);
}

TEST_F(memory, before_set_iommu_is_EINVAL)
{
	self->other.fd = container_node();
	self->other.group = group_node(1);
	for (int step = 0; step < 2; step++) {
		ASSERT_EQ(-EINVAL, register_pages(self->other.fd, 0, self->memory, 0, 1));
		ASSERT_EQ(-EINVAL, unregister_pages(self->other.fd, self->memory, 0, 1));
		ASSERT_EQ(step ? -EINVAL : 0,
			  set_container(self->other.group, self->other.fd));
	}
	ASSERT_EQ(0, set_iommu(self->other.fd, VFIO_TYPE1_IOMMU));
	ASSERT_EQ(0, register_pages(self->other.fd, 0, self->memory, 0, 1));
	HOLDS(1, 1);
}

TEST(the_stock_type1_knows_no_registered_memory)
{
	struct container container;
	char *memory = new_pages(1);

	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(-ENOTTY, register_pages(container.fd, 0, memory, 0, 1));
	ASSERT_EQ(-ENOTTY, unregister_pages(container.fd, memory, 0, 1));
	container_close(&container);
}

TEST_HARNESS_MAIN
