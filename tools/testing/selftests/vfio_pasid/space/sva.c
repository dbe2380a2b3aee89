// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process spaces: what a device sees of the process that it is attached to, who
 * may have one, and when it ends. QEMU's VT-d cannot walk the tables of
 * processes; module/vfio_pasid_sva.c and `pasid-device --walks-processes` take it
 * for one that can.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "pasid_device.h"

#define ALL_CAPS	(VFIO_PASID_CAP_SVA | VFIO_PASID_CAP_ATS |	\
			 VFIO_PASID_CAP_SVA_IOMMU |			\
			 VFIO_PASID_CAP_SVA_ALLOWED)

static u32 caps_of(int fd, u32 group)
{
	struct vfio_iommu_pasid_info info = { .argsz = sizeof(info) };

	return pasid_info(fd, group, &info) ? 0 : info.caps;
}

FIXTURE(sva) {
	struct container container;
	struct pasid_device device;
	u32 group;
	int index;
	int fd;
};

FIXTURE_SETUP(sva)
{
	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_processes(&PROCESS_LIMITS(false)));
	self->index = device_index(20, 0);
	ASSERT_EQ(0, container_start(&self->container, &self->device,
				     self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
}

FIXTURE_TEARDOWN(sva)
{
	container_stop(&self->container, &self->device);
	/* Each case begins with what it pretends by itself. */
	unload_module("vfio_pasid_sva");
}

#define TOUCH(pasid, address) \
	device_touch(&self->device, pasid, (uintptr_t)(address))
#define PEEK(pasid, address) \
	device_peek(&self->device, pasid, (uintptr_t)(address))
#define REACHES(pasid, address) device_shares(&self->device, pasid, address)

static u64 in_bss[8];
static const u64 in_rodata[8] = { 1 };

TEST_F(sva, the_device_uses_the_addresses_of_the_process)
{
	u64 on_stack[2] = { 5 };
	long pasid = aux_create_process(self->fd);
	u64 *heap = malloc(64), *late = new_pages(1);

	ASSERT_LT(0, pasid);
	in_bss[0] = 1;
	ASSERT_NE(DMA_DONE, TOUCH(pasid, in_bss));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	EXPECT_TRUE(REACHES(pasid, in_bss));
	EXPECT_TRUE(REACHES(pasid, on_stack));
	heap[0] = 1;
	EXPECT_TRUE(REACHES(pasid, heap));

	/* A fault is the device's to handle: nobody brings the page in. */
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(pasid, late));
	late[0] = 1;
	EXPECT_TRUE(REACHES(pasid, late));

	/* Without PASID it is the own space. */
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(NO_PASID_TAG, in_bss));
	EXPECT_EQ(0, aux_detach(self->fd, pasid, self->group));
	EXPECT_EQ(NO_PASID_ENTRY, PEEK(pasid, in_bss));
	free(heap);
}

TEST_F(sva, the_device_has_the_rights_of_the_process)
{
	long pasid = aux_create_process(self->fd);
	u64 *page = new_pages(2), *moved;

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	EXPECT_EQ(DMA_DONE, PEEK(pasid, in_rodata) | in_rodata[1]);
	EXPECT_EQ(NO_WRITE, TOUCH(pasid, in_rodata));
	EXPECT_EQ(SUPERVISOR, PEEK(pasid, 0xffffffff81000000));
	EXPECT_EQ(NOT_CANONICAL, PEEK(pasid, 1ull << 60));

	page[0] = 1;
	EXPECT_TRUE(REACHES(pasid, page));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(NO_WRITE, TOUCH(pasid, page));
	EXPECT_EQ(DMA_DONE, PEEK(pasid, page));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_NONE));
	EXPECT_NE(DMA_DONE, PEEK(pasid, page));
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	page[0] = 2;
	EXPECT_TRUE(REACHES(pasid, page));

	moved = mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       (char *)page + PAGE);
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(pasid, page));
	EXPECT_TRUE(REACHES(pasid, moved));
	ASSERT_EQ(0, madvise(moved, PAGE, MADV_DONTNEED));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(pasid, moved));
	moved[0] = 3;
	EXPECT_TRUE(REACHES(pasid, moved));
	ASSERT_EQ(0, munmap(moved, PAGE));
	EXPECT_EQ(NO_PAGE_FIRST_STAGE, PEEK(pasid, moved));
}

static long write_in_child(void *arg)
{
	__atomic_store_n((u64 *)arg, 0xbad, __ATOMIC_SEQ_CST);
	return 0;
}

/* The child has pages of its own, as soon as either of them writes. */
TEST_F(sva, a_child_is_another_process)
{
	long pasid = aux_create_process(self->fd);
	u64 *page = new_pages(1), seen = 0;

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	page[0] = 1;
	ASSERT_EQ(0, in_child(write_in_child, page));
	ASSERT_EQ(DMA_DONE, PEEK(pasid, page));
	device_get_data(&self->device, &seen, sizeof(seen));
	EXPECT_EQ(1, seen);
	page[0] = 2;
	EXPECT_TRUE(REACHES(pasid, page));
}

TEST_F(sva, nothing_is_pinned_or_charged)
{
	struct before before = look_before();
	long pasid = aux_create_process(self->fd);
	u64 *page = new_pages(1);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	page[0] = 1;
	ASSERT_TRUE(REACHES(pasid, page));
	EXPECT_TRUE(holds(&before, 0, 0));
}

TEST_F(sva, the_process_has_one_number_in_all_its_containers)
{
	struct container other;
	long pasid = aux_create_process(self->fd);
	int index = device_index(20, 1);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(-EBUSY, aux_create_process(self->fd));
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_LE(0, index);
	ASSERT_EQ(0, container_open_device(&other, index));
	ASSERT_EQ(pasid, aux_create_process(other.fd));
	EXPECT_EQ(1, pasid_used(self->fd));
	EXPECT_EQ(1, count_of("pasids"));
	EXPECT_EQ(2, count_of("spaces"));
	ASSERT_EQ(0, aux_attach(other.fd, pasid, group_number(index)));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	EXPECT_TRUE(REACHES(pasid, in_bss));
	EXPECT_EQ(2, count_of("attachments"));

	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	EXPECT_EQ(NO_PASID_ENTRY, PEEK(pasid, in_bss));
	EXPECT_EQ(-ENOENT, aux_attach(self->fd, pasid, self->group));
	EXPECT_EQ(1, pasid_used(self->fd));
	container_close(&other);
	wait_for_closing();
	EXPECT_EQ(0, pasid_used(self->fd));
	EXPECT_EQ(0, count_of("spaces"));
	/* The kernel remembers it. */
	EXPECT_EQ(pasid, aux_create_process(self->fd));
}

TEST_F(sva, the_number_is_not_the_users)
{
	long pasid = aux_create_process(self->fd);

	ASSERT_LT(0, pasid);
	EXPECT_EQ(0, pasid_free(self->fd, 0, ~0u));
	EXPECT_EQ(1, pasid_used(self->fd));
	EXPECT_EQ(-ENOSPC, pasid_alloc(self->fd, pasid, pasid));
	EXPECT_EQ(-ENOENT, aux_create_fixed(self->fd, pasid));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	EXPECT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	EXPECT_EQ(-EBUSY, aux_create_process(self->fd));
	EXPECT_EQ(1, pasid_used(self->fd));
	EXPECT_EQ(0, pasid_free(self->fd, pasid, pasid));
	EXPECT_EQ(pasid, aux_create_process(self->fd));
}

/* Before the process was bound first, nobody knows the number. */
TEST_F(sva, a_number_that_the_process_holds_is_found_out)
{
	int held = 0;

	for (u32 pasid = 1; pasid <= 64; pasid++)
		held += pasid_alloc(self->fd, pasid, pasid) == (long)pasid;
	ASSERT_EQ(64, held);
	EXPECT_EQ(-EBUSY, aux_create_process(self->fd));
	EXPECT_EQ(64, pasid_used(self->fd));
	EXPECT_EQ(0, count_of("spaces"));
	for (u32 pasid = 1; pasid <= 64; pasid++)
		EXPECT_NE(DMA_DONE, PEEK(pasid, in_bss));
	EXPECT_EQ(0, pasid_free(self->fd, 1, 64));
	EXPECT_LT(0, aux_create_process(self->fd));
}

static void hold_low_numbers(int socket, void *arg)
{
	struct container container;
	int ret = container_open_device(&container, *(int *)arg);

	for (u32 pasid = 1; !ret && pasid <= 64; pasid++)
		ret = pasid_alloc(container.fd, pasid, pasid) != (long)pasid;
	say(socket, ret);
	hear(socket);
}

TEST_F(sva, nobody_else_can_deny_the_number)
{
	int index = device_index(20, 1);
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, hold_low_numbers, &index));
	ASSERT_EQ(0, hear(peer.socket));
	EXPECT_GT(64, aux_create_process(self->fd));
	EXPECT_EQ(1, pasid_used(self->fd));
	peer_kill(&peer);
}

TEST_F(sva, the_number_counts_on_the_quota)
{
	struct limits one = PROCESS_LIMITS(false);
	long pasid;

	container_stop(&self->container, &self->device);
	one.quota = 1;
	ASSERT_EQ(0, use_processes(&one));
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	pasid = pasid_alloc(self->fd, 500, 500);
	ASSERT_EQ(500, pasid);
	EXPECT_EQ(-ENOSPC, aux_create_process(self->fd));
	EXPECT_EQ(0, count_of("spaces"));
	ASSERT_EQ(0, pasid_free(self->fd, 500, 500));
	EXPECT_LT(0, aux_create_process(self->fd));
	EXPECT_EQ(-ENOSPC, pasid_alloc(self->fd, 500, 500));
}

TEST_F(sva, EINVAL_for_what_it_has_not)
{
	struct vfio_iommu_aux_create create = {
		.argsz = sizeof(create),
		.flags = VFIO_AUX_PROCESS | VFIO_AUX_FIXED_PASID,
		.pasid = 5,
	};
	struct aux_info info = { .head.iova_size = 1, .head.pgsize_bitmap = 1 };
	void *page = new_pages(1);
	long pasid;

	EXPECT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_CREATE, &create));
	create.flags = VFIO_AUX_PROCESS;
	create.iova_size = PAGE;
	EXPECT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_CREATE, &create));
	create.iova_size = 0;
	create.iova_start = PAGE;
	EXPECT_EQ(-EINVAL, call(self->fd, VFIO_IOMMU_AUX_CREATE, &create));
	EXPECT_EQ(0, count_of("pasids"));

	pasid = aux_create_process(self->fd);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, register_memory(self->fd, 0, page, PAGE));
	EXPECT_EQ(-EINVAL, aux_map(self->fd, pasid, VFIO_AUX_MAP_READ, page, 0,
				   PAGE));
	EXPECT_EQ(-EINVAL, aux_unmap(self->fd, pasid, 0, PAGE));
	EXPECT_EQ(-EINVAL, aux_unmap_all(self->fd, pasid));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, aux_info(self->fd, pasid, 4, &info));
	EXPECT_EQ(VFIO_AUX_INFO_PROCESS, info.head.flags);
	EXPECT_EQ(0, info.head.iova_start);
	EXPECT_EQ(0, info.head.iova_size);
	EXPECT_EQ(0, info.head.pgsize_bitmap);
	ASSERT_EQ(1, info.head.count);
	EXPECT_EQ(VFIO_AUX_ENTRY_GROUP, info.entries[0].type);
	EXPECT_EQ(self->group, info.entries[0].data);
	/* What the last call has left is no error. */
	info.head.argsz = sizeof(info);
	EXPECT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_INFO, &info.head));
}

TEST_F(sva, attaching_and_detaching_twice)
{
	long pasid = aux_create_process(self->fd);

	ASSERT_LT(0, pasid);
	EXPECT_EQ(-ENOENT, aux_detach(self->fd, pasid, self->group));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	EXPECT_EQ(-EEXIST, aux_attach(self->fd, pasid, self->group));
	EXPECT_EQ(-ENOENT, aux_attach(self->fd, pasid, 12345));
	EXPECT_EQ(1, count_of("attachments"));
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	EXPECT_EQ(-ENOENT, aux_detach(self->fd, pasid, self->group));
	EXPECT_EQ(0, count_of("attachments"));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	EXPECT_EQ(-ENOENT, aux_destroy(self->fd, pasid));
}

TEST_F(sva, caps_say_what_is_missing)
{
	int narrow = device_index(8, 0), node = group_node(narrow), fd = -1;
	long pasid = aux_create_process(self->fd);

	ASSERT_EQ(ALL_CAPS, caps_of(self->fd, self->group) & ALL_CAPS);
	ASSERT_EQ(0, caps_of(self->fd, self->group) & VFIO_PASID_CAP_PRI);
	/* The narrow device has no ATS. */
	ASSERT_LE(0, node);
	ASSERT_EQ(0, set_container(node, self->fd));
	EXPECT_EQ(VFIO_PASID_CAP_SVA_IOMMU | VFIO_PASID_CAP_SVA_ALLOWED,
		  caps_of(self->fd, group_number(narrow)) &
		  (ALL_CAPS | VFIO_PASID_CAP_PRI));
	EXPECT_EQ(-ENODEV, aux_attach(self->fd, pasid, group_number(narrow)));
	fd = device_of(node, narrow);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP,
		  aux_attach(self->fd, pasid, group_number(narrow)));
	close_fd(&fd);
	close_fd(&node);
}

TEST_F(sva, EOPNOTSUPP_unless_root_allows_it)
{
	container_stop(&self->container, &self->device);
	ASSERT_EQ(0, use_processes(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	EXPECT_EQ(-EOPNOTSUPP, aux_create_process(self->container.fd));
	EXPECT_EQ(VFIO_PASID_CAP_ATS | VFIO_PASID_CAP_SVA_IOMMU,
		  caps_of(self->container.fd, self->group) & ALL_CAPS);
	EXPECT_EQ(0, pasid_used(self->container.fd));
}

/* What the process gives back must not stay with the device. */
TEST_F(sva, EOPNOTSUPP_if_the_iommu_cannot_flush_a_process)
{
	container_stop(&self->container, &self->device);
	ASSERT_EQ(0, unload_module("vfio_pasid_sva"));
	ASSERT_EQ(0, load_module("vfio_pasid_sva", "mamv=18"));
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	EXPECT_EQ(-EOPNOTSUPP, aux_create_process(self->container.fd));
	EXPECT_EQ(VFIO_PASID_CAP_ATS | VFIO_PASID_CAP_SVA_ALLOWED,
		  caps_of(self->container.fd, self->group) & ALL_CAPS);
	container_close(&self->container);
	ASSERT_EQ(0, unload_module("vfio_pasid_sva"));
	ASSERT_EQ(0, pretend_to_walk_processes());
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	EXPECT_LT(0, aux_create_process(self->container.fd));
}

TEST_F(sva, ENODEV_if_no_device_is_open)
{
	struct container shut;

	ASSERT_EQ(0, container_open(&shut, device_index(20, 1)));
	EXPECT_EQ(-ENODEV, aux_create_process(shut.fd));
	container_close(&shut);
	ASSERT_EQ(0, container_open_device(&shut, device_index(8, 0)));
	EXPECT_EQ(-EOPNOTSUPP, aux_create_process(shut.fd));
	container_close(&shut);
}

TEST_F(sva, closing_the_device_detaches)
{
	long pasid = aux_create_process(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_TRUE(REACHES(pasid, in_bss));
	device_stop(&self->device);
	close_fd(&self->container.device);
	EXPECT_EQ(0, count_of("attachments"));
	EXPECT_EQ(1, count_of("spaces"));
	EXPECT_EQ(-ENODEV, aux_attach(self->fd, pasid, self->group));

	self->container.device = device_of(self->container.group, self->index);
	ASSERT_LE(0, self->container.device);
	ASSERT_EQ(0, device_start(&self->device, self->container.device));
	EXPECT_EQ(NO_PASID_ENTRY, PEEK(pasid, in_bss));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	EXPECT_TRUE(REACHES(pasid, in_bss));
}

/* The group can be opened anew, so no PASID was left on it. */
TEST_F(sva, closing_in_any_order_detaches)
{
	container_stop(&self->container, &self->device);
	for (size_t i = 0; i < ARRAY_SIZE(close_orders); i++) {
		long pasid;

		ASSERT_EQ(0, container_open_device(&self->container,
						   self->index));
		pasid = aux_create_process(self->container.fd);
		ASSERT_LT(0, pasid);
		ASSERT_EQ(0, aux_attach(self->container.fd, pasid, self->group));
		for (int j = 0; j < 3; j++)
			container_close_one(&self->container,
					    close_orders[i][j]);
		EXPECT_EQ(0, count_of("attachments"));
		EXPECT_EQ(NO_PASID_ENTRY,
			  device_touch_anew(self->index, pasid,
					    (uintptr_t)in_bss));
	}
	wait_for_closing();
	EXPECT_EQ(0, count_of("pasids"));
}

static int attach_and_hand_over(int socket, int index)
{
	struct container container;
	int fds[3];
	long pasid;

	if (container_open_device(&container, index))
		return -1;
	pasid = aux_create_process(container.fd);
	fds[0] = container.fd;
	fds[1] = container.group;
	fds[2] = container.device;
	if (pasid < 0 ||
	    aux_attach(container.fd, pasid, group_number(index)) ||
	    send_fds(socket, fds, 3))
		return -1;
	in_bss[0] = 7;
	say(socket, pasid);
	return 0;
}

static void wait_with_it(int socket, void *arg)
{
	if (!attach_and_hand_over(socket, *(int *)arg))
		hear(socket);
}

static void execute_another(int socket, void *arg)
{
	if (attach_and_hand_over(socket, *(int *)arg))
		return;
	hear(socket);
	dup2(socket, 0);
	execl("/bin/busybox", "busybox", "cat", NULL);
}

#define CORE	"/tmp/core"
/* Not there in a kernel that dumps none, as the debug kernel. */
#define PATTERN	"/proc/sys/kernel/core_pattern"

static void dump_core(int socket, void *arg)
{
	const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };

	if (attach_and_hand_over(socket, *(int *)arg) ||
	    setrlimit(RLIMIT_CORE, &any))
		return;
	write_file(PATTERN, CORE);
	hear(socket);
	abort();
}

static bool is_core(const char *path)
{
	char magic[4] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool found = read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4);

	close(fd);
	return found && !unlink(path);
}

FIXTURE(sva_end) {
	struct container container;
	struct pasid_device device;
	struct peer peer;
	long pasid;
};

FIXTURE_VARIANT(sva_end) {
	void (*body)(int socket, void *arg);
	bool killed;
};

FIXTURE_VARIANT_ADD(sva_end, killed) {
	.body = wait_with_it,
	.killed = true,
};

FIXTURE_VARIANT_ADD(sva_end, executes) {
	.body = execute_another,
};

FIXTURE_VARIANT_ADD(sva_end, dumps_core) {
	.body = dump_core,
};

FIXTURE_SETUP(sva_end)
{
	int index = device_index(20, 0);
	int fds[3];

	ASSERT_EQ(0, use_processes(&PROCESS_LIMITS(false)));
	ASSERT_LE(0, index);
	ASSERT_EQ(0, peer_start(&self->peer, variant->body, &index));
	ASSERT_EQ(0, receive_fds(self->peer.socket, fds, 3));
	self->container = (struct container) { fds[0], fds[1], fds[2] };
	self->pasid = hear(self->peer.socket);
	ASSERT_LT(0, self->pasid);
	ASSERT_EQ(0, device_start(&self->device, self->container.device));
}

FIXTURE_TEARDOWN(sva_end)
{
	container_stop(&self->container, &self->device);
}

/* Whoever keeps the device has nothing of the process any more. */
TEST_F(sva_end, the_space_ends_with_the_process)
{
	u64 seen = 0;
	int i;

	ASSERT_EQ(DMA_DONE, PEEK(self->pasid, in_bss));
	device_get_data(&self->device, &seen, sizeof(seen));
	EXPECT_EQ(7, seen);
	EXPECT_EQ(-EPERM, aux_detach(self->container.fd, self->pasid,
				     group_number(device_index(20, 0))));

	if (variant->killed)
		peer_kill(&self->peer);
	else
		say(self->peer.socket, 0);
	for (i = 0; i < 500 && PEEK(self->pasid, in_bss) == DMA_DONE; i++)
		usleep(10 * 1000);
	EXPECT_EQ(NO_PASID_ENTRY, PEEK(self->pasid, in_bss));
	EXPECT_EQ(1, count_of("attachments"));
	if (variant->body == dump_core)
		EXPECT_TRUE(access(PATTERN, F_OK) || is_core(CORE));
	if (!variant->killed)
		peer_kill(&self->peer);
	container_stop(&self->container, &self->device);
	EXPECT_EQ(0, count_of("attachments"));
	wait_for_closing();
	EXPECT_EQ(0, count_of("pasids"));
	EXPECT_EQ(NO_PASID_ENTRY,
		  device_touch_anew(device_index(20, 0), self->pasid,
				    (uintptr_t)in_bss));
}

TEST_F(sva, a_debugger_sees_what_the_device_sees)
{
	int fds[3], index = device_index(20, 1);
	struct pasid_device device;
	struct container theirs;
	u64 seen = 0, value = 11;
	struct peer peer;
	long pasid;

	ASSERT_LE(0, index);
	ASSERT_EQ(0, peer_start(&peer, wait_with_it, &index));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 3));
	theirs = (struct container) { fds[0], fds[1], fds[2] };
	pasid = hear(peer.socket);
	ASSERT_EQ(0, device_start(&device, theirs.device));

	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, peer.pid, 0, 0));
	ASSERT_EQ(peer.pid, waitpid(peer.pid, NULL, 0));
	EXPECT_EQ(7, ptrace(PTRACE_PEEKDATA, peer.pid, in_bss, 0));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, peer.pid, in_bss, 9));
	EXPECT_EQ(DMA_DONE, device_peek(&device, pasid, (uintptr_t)in_bss));
	device_get_data(&device, &seen, sizeof(seen));
	EXPECT_EQ(9, seen);
	device_set_data(&device, &value, sizeof(value));
	EXPECT_EQ(DMA_DONE, device_touch(&device, pasid, (uintptr_t)in_bss));
	EXPECT_EQ(11, ptrace(PTRACE_PEEKDATA, peer.pid, in_bss, 0));
	peer_kill(&peer);
	container_stop(&theirs, &device);
}

static long create_step(const void *arg)
{
	return aux_create_process(*(const int *)arg) > 0 ? 0 : -EBUSY;
}

static long destroy_step(const void *arg)
{
	int fd = *(const int *)arg;
	struct aux_info info = { 0 };

	for (u32 pasid = 1; pasid < 64; pasid++) {
		info.head.cursor = 0;
		if (!aux_info(fd, pasid, 1, &info))
			return aux_destroy(fd, pasid);
	}
	return -ENOENT;
}

TEST_F(sva, one_of_several_threads_creates_it)
{
	struct contest contest = {
		.step = create_step, .again = destroy_step, .arg = &self->fd,
		.winner = 0, .loser = -EBUSY, .rounds = 20,
	};

	EXPECT_EQ(0, run_contest(&contest));
	EXPECT_EQ(0, count_of("pasids"));
}

struct target {
	int fd;
	u32 pasid;
	u32 group;
};

static long attach_step(const void *arg)
{
	const struct target *target = arg;

	return aux_attach(target->fd, target->pasid, target->group);
}

static long detach_step(const void *arg)
{
	const struct target *target = arg;

	return aux_detach(target->fd, target->pasid, target->group);
}

TEST_F(sva, one_of_several_threads_attaches_it)
{
	struct target target = { self->fd, 0, self->group };
	struct contest contest = {
		.step = attach_step, .again = detach_step, .arg = &target,
		.winner = 0, .loser = -EEXIST, .rounds = 20,
	};

	target.pasid = aux_create_process(self->fd);
	EXPECT_EQ(0, run_contest(&contest));
	EXPECT_EQ(0, count_of("attachments"));
}

static bool stop;

/* Whatever comes of it. */
static void *keep_attaching(void *arg)
{
	const struct target *target = arg;
	long rounds = 0;

	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); rounds++) {
		aux_attach(target->fd, target->pasid, target->group);
		if (rounds & 1)
			aux_detach(target->fd, target->pasid, target->group);
	}
	return (void *)rounds;
}

/* A device that is closed while the process is being bound has no PASID left. */
TEST_F(sva, attaching_meets_the_close_of_the_device)
{
	struct target target = { self->fd, 0, self->group };
	pthread_t threads[2];
	void *rounds;

	target.pasid = aux_create_process(self->fd);
	ASSERT_LT(0, (long)target.pasid);
	device_stop(&self->device);
	stop = false;
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, keep_attaching,
					    &target));
	for (int i = 0; i < 30; i++) {
		usleep(5 * 1000);
		close_fd(&self->container.device);
		EXPECT_EQ(0, count_of("attachments"));
		self->container.device = device_of(self->container.group,
						   self->index);
		ASSERT_LE(0, self->container.device);
	}
	/* The group goes while they go on. */
	close_fd(&self->container.device);
	close_fd(&self->container.group);
	EXPECT_EQ(0, count_of("attachments"));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &rounds);
		EXPECT_LT(0, (long)rounds);
	}
	EXPECT_EQ(NO_PASID_ENTRY,
		  device_touch_anew(self->index, target.pasid,
				    (uintptr_t)in_bss));
}

/* Lines of QEMU's trace since the last call that invalidate @pasid's IOTLB. */
static int invalidations(FILE *trace, u32 pasid)
{
	char line[512];
	int count = 0;

	clearerr(trace);
	while (fgets(line, sizeof(line), trace)) {
		const char *low = strstr(line, "low 0x");

		if (strstr(line, "p-iotlb") && low &&
		    (strtoull(low + 4, NULL, 16) >> 32 & PASID_LAST) == pasid)
			count++;
	}
	return count;
}

/* The pasid-device has no IOTLB, and would not notice. */
TEST_F(sva, what_the_process_unmaps_is_invalidated)
{
	FILE *trace = fopen("/share/trace.log", "re");
	long pasid = aux_create_process(self->fd);
	u64 *page = new_pages(1);

	ASSERT_NE(NULL, trace);
	ASSERT_EQ(0, fseek(trace, 0, SEEK_END));
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	page[0] = 1;
	ASSERT_TRUE(REACHES(pasid, page));
	invalidations(trace, pasid);
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_LT(0, invalidations(trace, pasid));
	ASSERT_EQ(0, munmap(page, PAGE));
	EXPECT_LT(0, invalidations(trace, pasid));
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	EXPECT_LT(0, invalidations(trace, pasid));
	/* And from then on nobody is told. */
	page = new_pages(1);
	page[0] = 1;
	ASSERT_EQ(0, munmap(page, PAGE));
	EXPECT_EQ(0, invalidations(trace, pasid));
	fclose(trace);
}

TEST_HARNESS_MAIN
