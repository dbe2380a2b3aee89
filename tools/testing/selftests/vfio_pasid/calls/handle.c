// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handles by which VFIO knows containers. VFIO reads them without a lock, so
 * an ioctl may come with one that is gone, or be under way when .release comes.
 * The test module plays VFIO and a stock type1 that counts and waits on demand:
 * here the order of events is chosen, where race.c leaves it to luck.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>

#include "module/vfio_pasid_test.h"
#include "vfio_pasid_utils.h"

/* Any ioctl that is not ours: the stock type1 returns its argument. */
#define STOCK_IOCTL	VFIO_IOMMU_GET_INFO

static int open_handle(int fd, u64 *handle)
{
	return call(fd, VFIO_PASID_TEST_OPEN, handle);
}

static int release(int fd, u64 handle)
{
	return call(fd, VFIO_PASID_TEST_RELEASE, &handle);
}

static long ioctl_on(int fd, u64 handle, u32 cmd, u64 arg)
{
	struct vfio_pasid_test_ioctl ioctl = {
		.handle = handle,
		.cmd = cmd,
		.arg = arg,
	};

	return call(fd, VFIO_PASID_TEST_IOCTL, &ioctl);
}

static int device(int fd, unsigned long opened_or_closed, u64 handle)
{
	return call(fd, opened_or_closed, &handle);
}

static struct vfio_pasid_test_counts counts_of(int fd)
{
	struct vfio_pasid_test_counts counts = { 0 };

	call(fd, VFIO_PASID_TEST_COUNTS, &counts);
	return counts;
}

FIXTURE(handle) {
	int fd;
	u64 handle;
	struct vfio_pasid_test_counts before;
};

FIXTURE_SETUP(handle)
{
	ASSERT_EQ(0, use_test_module(&DEFAULT_LIMITS));
	self->fd = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, open_handle(self->fd, &self->handle));
	self->before = counts_of(self->fd);
}

FIXTURE_TEARDOWN(handle)
{
	/* Whoever still waits, and whatever is still open. */
	call(self->fd, VFIO_PASID_TEST_OPEN_GATE, NULL);
	release(self->fd, self->handle);
	close(self->fd);
}

TEST_F(handle, a_stock_ioctl_passes_through)
{
	ASSERT_EQ(0x1234, ioctl_on(self->fd, self->handle, STOCK_IOCTL, 0x1234));
	ASSERT_EQ(-EFAULT, ioctl_on(self->fd, self->handle, STOCK_IOCTL,
				    -EFAULT));
	ASSERT_EQ(self->before.ioctls + 2, counts_of(self->fd).ioctls);
}

TEST_F(handle, an_ioctl_after_release_is_ENODEV_and_not_passed_on)
{
	u64 dead = self->handle;

	ASSERT_EQ(0, release(self->fd, dead));
	ASSERT_EQ(-ENODEV, ioctl_on(self->fd, dead, STOCK_IOCTL, 1));
	ASSERT_EQ(-ENODEV, ioctl_on(self->fd, dead, VFIO_IOMMU_PASID_REQUEST, 0));
	ASSERT_EQ(-ENODEV, ioctl_on(self->fd, dead, VFIO_IOMMU_PASID_INFO, 0));
	ASSERT_EQ(self->before.ioctls, counts_of(self->fd).ioctls);
	ASSERT_EQ(self->before.released + 1, counts_of(self->fd).released);
}

/* What an ioctl gets that read iommu_driver before, and iommu_data after. */
TEST_F(handle, no_handle_is_ENODEV_and_not_passed_on)
{
	ASSERT_EQ(-ENODEV, ioctl_on(self->fd, 0, STOCK_IOCTL, 1));
	ASSERT_EQ(-ENODEV, ioctl_on(self->fd, 0, VFIO_IOMMU_PASID_REQUEST, 0));
	ASSERT_EQ(self->before.ioctls, counts_of(self->fd).ioctls);
}

TEST_F(handle, extensions_are_checked_without_a_handle)
{
	long features = ioctl_on(self->fd, 0, VFIO_CHECK_EXTENSION,
				 VFIO_PASID_EXTENSION);

	ASSERT_LT(0, features);
	ASSERT_EQ(VFIO_PASID_FEATURE_PASID, features & VFIO_PASID_FEATURE_PASID);
	ASSERT_EQ(features, ioctl_on(self->fd, self->handle,
				     VFIO_CHECK_EXTENSION,
				     VFIO_PASID_EXTENSION));
	ASSERT_EQ(self->before.ioctls, counts_of(self->fd).ioctls);

	/* The stock type1 returns its argument. */
	ASSERT_EQ(VFIO_TYPE1_IOMMU, ioctl_on(self->fd, 0, VFIO_CHECK_EXTENSION,
					     VFIO_TYPE1_IOMMU));
	ASSERT_EQ(self->before.ioctls + 1, counts_of(self->fd).ioctls);
}

TEST_F(handle, a_handle_never_comes_back)
{
	enum { ROUNDS = 1000 };
	static u64 handles[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, open_handle(self->fd, &handles[round]));
		ASSERT_NE(0, handles[round]);
		/* Now and then several are open. */
		if (round % 5 == 4)
			for (int i = round - 4; i <= round; i++)
				ASSERT_EQ(0, release(self->fd, handles[i]));
	}
	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_NE(self->handle, handles[round]);
		for (int older = 0; older < round; older++)
			ASSERT_NE(handles[older], handles[round]);
		ASSERT_EQ(-ENODEV, ioctl_on(self->fd, handles[round],
					    STOCK_IOCTL, 1));
	}
	ASSERT_EQ(7, ioctl_on(self->fd, self->handle, STOCK_IOCTL, 7));
	ASSERT_EQ(self->before.opened + ROUNDS, counts_of(self->fd).opened);
	ASSERT_EQ(self->before.released + ROUNDS, counts_of(self->fd).released);
}

TEST_F(handle, releasing_twice_does_nothing)
{
	ASSERT_EQ(0, release(self->fd, self->handle));
	ASSERT_EQ(0, release(self->fd, self->handle));
	ASSERT_EQ(self->before.released + 1, counts_of(self->fd).released);
}

TEST_F(handle, devices_are_passed_on_until_release)
{
	ASSERT_EQ(0, device(self->fd, VFIO_PASID_TEST_DEVICE_OPENED,
			    self->handle));
	ASSERT_EQ(self->before.devices + 1, counts_of(self->fd).devices);
	ASSERT_EQ(0, device(self->fd, VFIO_PASID_TEST_DEVICE_CLOSED,
			    self->handle));
	ASSERT_EQ(self->before.devices, counts_of(self->fd).devices);
	ASSERT_EQ(0, release(self->fd, self->handle));
	ASSERT_EQ(0, device(self->fd, VFIO_PASID_TEST_DEVICE_OPENED,
			    self->handle));
	ASSERT_EQ(self->before.devices, counts_of(self->fd).devices);
}

/* An ioctl under way. */

/* A call in a thread of its own. */
struct caller {
	pthread_t thread;
	int fd;
	u64 handle;
	long (*body)(struct caller *caller);
	long result;
	bool done;
};

static long wait_in_stock_ioctl(struct caller *caller)
{
	return ioctl_on(caller->fd, caller->handle, VFIO_PASID_TEST_WAIT,
			caller->handle);
}

static long simple_ioctl(struct caller *caller)
{
	return ioctl_on(caller->fd, caller->handle, STOCK_IOCTL, 1);
}

static void *caller_thread(void *arg)
{
	struct caller *caller = arg;

	caller->result = caller->body(caller);
	__atomic_store_n(&caller->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool is_done(struct caller *caller)
{
	return __atomic_load_n(&caller->done, __ATOMIC_SEQ_CST);
}

static void start(struct caller *caller, int fd, u64 handle,
		  long (*body)(struct caller *caller))
{
	*caller = (struct caller) { .fd = fd, .handle = handle, .body = body };
	if (pthread_create(&caller->thread, NULL, caller_thread, caller))
		abort();
}

static long finish(struct caller *caller)
{
	pthread_join(caller->thread, NULL);
	return caller->result;
}

/* Starts a call that stays in the stock ioctl until the gate is opened. */
static void start_waiting(struct caller *caller, int fd, u64 handle)
{
	unsigned int waiting = counts_of(fd).waiting;

	start(caller, fd, handle, wait_in_stock_ioctl);
	while (counts_of(fd).waiting == waiting && !is_done(caller))
		usleep(1000);
}

/*
 * What they work on is released by the last of them. The container has died
 * meanwhile, and so their results may not be true any more.
 */
TEST_F(handle, release_waits_for_no_ioctl_under_way)
{
	struct caller first, second;

	start_waiting(&first, self->fd, self->handle);
	start_waiting(&second, self->fd, self->handle);
	ASSERT_EQ(0, release(self->fd, self->handle));
	EXPECT_FALSE(is_done(&first));
	EXPECT_FALSE(is_done(&second));
	EXPECT_EQ(self->before.released, counts_of(self->fd).released);
	EXPECT_EQ(-ENODEV, simple_ioctl(&first));

	ASSERT_EQ(0, call(self->fd, VFIO_PASID_TEST_OPEN_GATE, NULL));
	ASSERT_EQ(-ENODEV, finish(&first));
	ASSERT_EQ(-ENODEV, finish(&second));
	ASSERT_EQ(self->before.released + 1, counts_of(self->fd).released);
	ASSERT_EQ(self->before.released_too_early,
		  counts_of(self->fd).released_too_early);
}

TEST_F(handle, a_change_of_devices_waits_for_no_ioctl_under_way)
{
	struct caller ioctl;

	start_waiting(&ioctl, self->fd, self->handle);
	ASSERT_EQ(0, device(self->fd, VFIO_PASID_TEST_DEVICE_OPENED,
			    self->handle));
	EXPECT_FALSE(is_done(&ioctl));
	EXPECT_EQ(self->before.devices + 1, counts_of(self->fd).devices);
	ASSERT_EQ(0, device(self->fd, VFIO_PASID_TEST_DEVICE_CLOSED,
			    self->handle));
	EXPECT_EQ(self->before.devices, counts_of(self->fd).devices);

	ASSERT_EQ(0, call(self->fd, VFIO_PASID_TEST_OPEN_GATE, NULL));
	ASSERT_EQ(1, finish(&ioctl));
}

TEST_F(handle, an_ioctl_under_way_holds_up_no_other)
{
	struct caller ioctl;
	u64 other;

	start_waiting(&ioctl, self->fd, self->handle);
	ASSERT_EQ(6, ioctl_on(self->fd, self->handle, STOCK_IOCTL, 6));
	ASSERT_EQ(0, open_handle(self->fd, &other));
	ASSERT_EQ(5, ioctl_on(self->fd, other, STOCK_IOCTL, 5));
	ASSERT_EQ(0, release(self->fd, other));
	ASSERT_FALSE(is_done(&ioctl));
	ASSERT_EQ(0, call(self->fd, VFIO_PASID_TEST_OPEN_GATE, NULL));
	ASSERT_EQ(1, finish(&ioctl));
}

TEST_HARNESS_MAIN
