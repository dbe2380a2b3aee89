// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose PASIDs they are: a container belongs to the address space that called
 * VFIO_SET_IOMMU, all containers of one share its PASIDs, and nobody else may
 * use them, whatever descriptors they got hold of.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "vfio_pasid_utils.h"

/* The argument that makes this program probe a descriptor after exec. */
#define PROBE	"--probe"

FIXTURE(identity) {
	struct container container;
	int fd;
};

FIXTURE_SETUP(identity)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	ASSERT_EQ(0, pasid_used(self->fd));
}

FIXTURE_TEARDOWN(identity)
{
	container_close(&self->container);
}

/* One process. */

TEST_F(identity, containers_of_one_process_share_its_pasids)
{
	struct container second;

	ASSERT_EQ(100, pasid_alloc(self->fd, 100, 100));
	ASSERT_EQ(0, container_open(&second, 1));
	ASSERT_EQ(1, pasid_used(second.fd));
	ASSERT_EQ(-ENOSPC, pasid_alloc(second.fd, 100, 100));
	ASSERT_EQ(101, pasid_alloc(second.fd, 101, 101));
	ASSERT_EQ(2, pasid_used(self->fd));

	/* Either may free what the other took. */
	ASSERT_EQ(0, pasid_free(self->fd, 101, 101));
	ASSERT_EQ(0, pasid_free(second.fd, 100, 100));
	ASSERT_EQ(0, pasid_used(self->fd));
	ASSERT_EQ(0, pasid_used(second.fd));
	container_close(&second);
}

TEST_F(identity, containers_of_one_process_share_its_quota)
{
	struct container second;
	long quota = pasid_quota(self->fd);

	ASSERT_EQ(0, container_open(&second, 1));
	for (long i = 0; i < quota; i++)
		ASSERT_LT(0, pasid_alloc(i % 2 ? self->fd : second.fd, 0,
					 UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(second.fd, 0, UINT32_MAX));
	container_close(&second);
}

TEST_F(identity, pasids_go_with_the_last_container_of_the_process)
{
	struct container second;

	ASSERT_EQ(100, pasid_alloc(self->fd, 100, 100));
	ASSERT_EQ(0, container_open(&second, 1));
	ASSERT_EQ(101, pasid_alloc(second.fd, 101, 101));
	container_close(&self->container);
	ASSERT_EQ(2, pasid_used(second.fd));
	ASSERT_EQ(-ENOSPC, pasid_alloc(second.fd, 100, 100));
	container_close(&second);

	ASSERT_EQ(0, container_open(&second, 1));
	ASSERT_EQ(0, pasid_used(second.fd));
	ASSERT_EQ(101, pasid_alloc(second.fd, 100, 101));
	ASSERT_EQ(100, pasid_alloc(second.fd, 100, 101));
	container_close(&second);
}

static void *alloc_in_thread(void *container)
{
	return (void *)pasid_alloc(*(int *)container, 50, 50);
}

TEST_F(identity, threads_of_the_process_are_the_process)
{
	pthread_t thread;
	void *pasid;

	ASSERT_EQ(0, pthread_create(&thread, NULL, alloc_in_thread, &self->fd));
	ASSERT_EQ(0, pthread_join(thread, &pasid));
	ASSERT_EQ(50, (long)pasid);
	ASSERT_EQ(1, pasid_used(self->fd));
}

static long shared_result;

static int alloc_in_clone(void *container)
{
	shared_result = pasid_alloc(*(int *)container, 51, 51);
	return 0;
}

TEST_F(identity, a_process_with_the_same_memory_is_the_process)
{
	static char stack[64 * 1024];
	int pid;

	pid = clone(alloc_in_clone, stack + sizeof(stack), CLONE_VM | SIGCHLD,
		    &self->fd);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_EQ(51, shared_result);
	ASSERT_EQ(1, pasid_used(self->fd));
}

TEST_F(identity, a_vfork_child_is_the_process)
{
	pid_t pid = vfork();

	if (!pid) {
		shared_result = pasid_alloc(self->fd, 52, 52);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_EQ(52, shared_result);
	ASSERT_EQ(1, pasid_used(self->fd));
}

/* Two processes. */

static void fill_quota(int socket, void *unused)
{
	struct container container;
	long taken = 0;

	(void)unused;
	if (container_open(&container, 1))
		return;
	while (pasid_alloc(container.fd, 0, UINT32_MAX) > 0)
		taken++;
	say(socket, taken);
	say(socket, pasid_used(container.fd));
	hear(socket);
}

TEST_F(identity, every_process_has_a_quota_of_its_own)
{
	long quota = pasid_quota(self->fd);
	struct peer peer;

	for (long i = 0; i < quota; i++)
		ASSERT_LT(0, pasid_alloc(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, peer_start(&peer, fill_quota, NULL));
	ASSERT_EQ(quota, hear(peer.socket));
	ASSERT_EQ(quota, hear(peer.socket));
	ASSERT_EQ(quota, pasid_used(self->fd));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
	peer_kill(&peer);
}

static long try_alloc(void *container)
{
	return pasid_alloc(*(int *)container, 60, 60);
}

static long try_free(void *container)
{
	return pasid_free(*(int *)container, 0, UINT32_MAX);
}

static long try_info(void *container)
{
	return pasid_used(*(int *)container);
}

TEST_F(identity, a_forked_child_gets_EPERM)
{
	ASSERT_EQ(70, pasid_alloc(self->fd, 70, 70));
	ASSERT_EQ(-EPERM, in_child(try_alloc, &self->fd));
	ASSERT_EQ(-EPERM, in_child(try_free, &self->fd));
	ASSERT_EQ(-EPERM, in_child(try_info, &self->fd));
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(60, pasid_alloc(self->fd, 60, 60));
}

static long alloc_with_own_container(void *inherited)
{
	struct container own;
	long pasid;
	int ret;

	ret = container_open(&own, 1);
	if (ret)
		return ret;
	pasid = pasid_alloc(own.fd, 60, 60);
	if (pasid != 60 || pasid_used(own.fd) != 1)
		return -EPROTO;
	return pasid_alloc(*(int *)inherited, 61, 61);
}

TEST_F(identity, a_container_of_its_own_does_not_give_a_child_the_inherited_one)
{
	ASSERT_EQ(-EPERM, in_child(alloc_with_own_container, &self->fd));
	ASSERT_EQ(0, pasid_used(self->fd));
	ASSERT_EQ(60, pasid_alloc(self->fd, 60, 60));
}

static long try_features(void *container)
{
	return call(*(int *)container, VFIO_CHECK_EXTENSION,
		    (void *)VFIO_PASID_EXTENSION);
}

TEST_F(identity, a_forked_child_may_check_the_extension)
{
	long features = try_features(&self->fd);

	ASSERT_EQ(VFIO_PASID_FEATURE_PASID, features & VFIO_PASID_FEATURE_PASID);
	ASSERT_EQ(features, in_child(try_features, &self->fd));
}

static long stock_ioctls(void *container)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int fd = *(int *)container;
	long ret;

	ret = call(fd, VFIO_IOMMU_GET_INFO, &info);
	if (!ret)
		ret = map_dma(fd, before_hole(PAGE), 0x100000, PAGE);
	if (!ret && unmap_dma(fd, 0x100000, PAGE) != PAGE)
		ret = -EPROTO;
	return ret;
}

TEST_F(identity, stock_ioctls_work_from_a_forked_child)
{
	ASSERT_EQ(0, stock_ioctls(&self->fd));
	ASSERT_EQ(0, in_child(stock_ioctls, &self->fd));
}

static long exec_with_container(void *unused)
{
	struct container container;
	char number[16];
	int ret;

	(void)unused;
	ret = container_open(&container, 1);
	if (ret)
		return ret;
	if (pasid_alloc(container.fd, 80, 80) != 80)
		return -EPROTO;
	fcntl(container.fd, F_SETFD, 0);
	fcntl(container.group, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", container.fd);
	execl("/proc/self/exe", "identity", PROBE, number, NULL);
	return -errno;
}

/* What the program that exec() started reports as its exit status. */
static int probe(int container)
{
	if (pasid_alloc(container, 81, 81) == -EPERM &&
	    pasid_free(container, 0, UINT32_MAX) == -EPERM &&
	    pasid_used(container) == -EPERM &&
	    try_features(&container) & VFIO_PASID_FEATURE_PASID &&
	    stock_ioctls(&container) == 0)
		return 0;
	return 1;
}

static void exec_in_peer(int socket, void *unused)
{
	(void)unused;
	say(socket, exec_with_container(NULL));
}

TEST_F(identity, after_exec_the_process_gets_EPERM)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, exec_in_peer, NULL));
	/* exec() closes the socket; a value would be exec's error. */
	ASSERT_EQ(-EPIPE, hear(peer.socket));
	ASSERT_EQ(0, peer_wait(&peer));
	ASSERT_TRUE(pasid_is_free(self->fd, 80));
}

static void pass_container(int socket, void *unused)
{
	struct container container;

	(void)unused;
	if (container_open(&container, 1) ||
	    pasid_alloc(container.fd, 90, 90) != 90)
		return;
	send_fds(socket, (int []) { container.fd, container.group }, 2);
	hear(socket);
}

TEST_F(identity, a_passed_descriptor_gives_EPERM)
{
	struct peer peer;
	int fds[2];

	ASSERT_EQ(0, peer_start(&peer, pass_container, NULL));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 2));
	ASSERT_EQ(-EPERM, pasid_alloc(fds[0], 91, 91));
	ASSERT_EQ(-EPERM, pasid_free(fds[0], 90, 90));
	ASSERT_EQ(-EPERM, pasid_used(fds[0]));
	ASSERT_EQ(0, stock_ioctls(&fds[0]));
	ASSERT_FALSE(pasid_is_free(self->fd, 90));
	peer_kill(&peer);
	close(fds[0]);
	close(fds[1]);
	ASSERT_TRUE(pasid_is_free(self->fd, 90));
}

TEST_F(identity, pasids_of_a_dead_process_stay_while_its_container_is_open)
{
	struct peer peer;
	int fds[2];

	ASSERT_EQ(0, peer_start(&peer, pass_container, NULL));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 2));
	peer_kill(&peer);

	ASSERT_FALSE(pasid_is_free(self->fd, 90));
	ASSERT_EQ(-EPERM, pasid_alloc(fds[0], 91, 91));
	ASSERT_EQ(0, stock_ioctls(&fds[0]));
	close(fds[0]);
	ASSERT_FALSE(pasid_is_free(self->fd, 90));
	close(fds[1]);
	ASSERT_TRUE(pasid_is_free(self->fd, 90));
}

static long set_iommu_and_alloc(void *container)
{
	int ret = set_iommu(*(int *)container, VFIO_TYPE1v2_IOMMU);

	return ret ? ret : pasid_alloc(*(int *)container, 95, 95);
}

TEST_F(identity, a_container_belongs_to_who_called_set_iommu)
{
	int group = group_node(1), container = container_node();

	ASSERT_LE(0, group);
	ASSERT_LE(0, container);
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(95, in_child(set_iommu_and_alloc, &container));
	ASSERT_EQ(-EPERM, pasid_alloc(container, 96, 96));
	ASSERT_EQ(0, pasid_used(self->fd));
	ASSERT_FALSE(pasid_is_free(self->fd, 95));

	/* Set up anew by us, it is ours. */
	ASSERT_EQ(0, unset_container(group));
	ASSERT_TRUE(pasid_is_free(self->fd, 95));
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(96, pasid_alloc(container, 96, 96));
	ASSERT_EQ(1, pasid_used(self->fd));
	close(container);
	close(group);
}

/* The end of a process. */

static void hold_quota_with_device(int socket, void *unused)
{
	struct container container;
	long lowest, pasid = 0;

	(void)unused;
	if (container_open_device(&container, 1))
		return;
	do {
		lowest = pasid;
		pasid = pasid_alloc(container.fd, 0, UINT32_MAX);
	} while (pasid > 0);
	say(socket, pasid_used(container.fd));
	say(socket, lowest);
	for (;;)
		pause();
}

TEST_F(identity, kill_9_gives_everything_back)
{
	long quota = pasid_quota(self->fd);
	struct peer peer;
	long lowest;

	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, peer_start(&peer, hold_quota_with_device, NULL));
		ASSERT_EQ(quota, hear(peer.socket));
		lowest = hear(peer.socket);
		ASSERT_EQ(PASID_LAST - quota + 1, lowest);
		ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, lowest, PASID_LAST));
		ASSERT_EQ(0, kill(peer.pid, SIGKILL));
		ASSERT_EQ(128 + SIGKILL, peer_wait(&peer));
		for (long pasid = PASID_LAST; pasid >= lowest; pasid--)
			ASSERT_EQ(pasid, pasid_alloc(self->fd, lowest,
						     PASID_LAST));
		ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	}
}

TEST_F(identity, exit_gives_everything_back)
{
	for (int round = 0; round < 3; round++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, fill_quota, NULL));
		ASSERT_EQ(pasid_quota(self->fd), hear(peer.socket));
		ASSERT_EQ(pasid_quota(self->fd), hear(peer.socket));
		ASSERT_FALSE(pasid_is_free(self->fd, PASID_LAST));
		say(peer.socket, 0);
		ASSERT_EQ(0, peer_wait(&peer));
		ASSERT_TRUE(pasid_is_free(self->fd, PASID_LAST));
		ASSERT_TRUE(pasid_is_free(self->fd, PASID_LAST -
					  pasid_quota(self->fd) + 1));
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], PROBE))
		return probe(atoi(argv[2]));
	return test_harness_run(argc, argv);
}
