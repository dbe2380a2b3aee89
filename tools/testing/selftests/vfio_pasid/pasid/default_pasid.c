// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains that kernel drivers attach for a process, through the test module:
 * vfio_aux_attach_device() and its two companions, the default PASID, and what
 * it shares with the host's allocator and with user space.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>

#include "module/vfio_pasid_test.h"
#include "pasid_device.h"

#define IOVA	0x40000000
#define PATIENCE	240

FIXTURE(default_pasid) {
	struct container container;	/* of the same process */
	struct pasid_device device;
	int index;
	u32 group;
	int fd;
	int module;			/* vfio_mm in slot 0 */
};

static int open_module(const struct limits *limits)
{
	struct vfio_pasid_test_get get = { .slot = 0, .task = getpid() };
	int ret = use_test_module(limits), fd;

	if (ret)
		return ret;
	fd = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = call(fd, VFIO_PASID_TEST_GET, &get);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* The harness's FIXTURE_DATA(default_pasid), which checkpatch cannot read. */
static int start(struct _test_data_default_pasid *self,
		 const struct limits *limits);

FIXTURE_SETUP(default_pasid)
{
	self->module = -1;
	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, start(self, &DEFAULT_LIMITS));
}

static void finish(struct _test_data_default_pasid *self)
{
	/* The group must have no PASID any more when VFIO closes it. */
	if (self->module >= 0) {
		call(self->module, VFIO_PASID_TEST_OPEN_GATE, NULL);
		close(self->module);
	}
	self->module = -1;
	device_stop(&self->device);
	container_close(&self->container);
}

FIXTURE_TEARDOWN(default_pasid)
{
	finish(self);
}

static struct vfio_pasid_test_device named(int index)
{
	struct vfio_pasid_test_device device;

	snprintf(device.address, sizeof(device.address), "%s",
		 index < 0 ? "" : group_device(index));
	return device;
}

/* Domains 0 and 1 are for the first 20-bit device. */
static int domain(int module, u32 number, int index)
{
	struct vfio_pasid_test_domain domain = {
		.device = named(index), .domain = number,
	};

	return call(module, VFIO_PASID_TEST_DOMAIN, &domain);
}

static int start(struct _test_data_default_pasid *self,
		 const struct limits *limits)
{
	int ret;

	self->module = open_module(limits);
	if (self->module < 0)
		return self->module;
	self->index = device_index(20, 0);
	ret = container_start(&self->container, &self->device, self->index);
	if (!ret)
		ret = domain(self->module, 0, self->index);
	if (!ret)
		ret = domain(self->module, 1, self->index);
	self->fd = self->container.fd;
	self->group = group_number(self->index);
	return ret;
}

static long on_pair(int module, unsigned long request, u32 number, int index)
{
	struct vfio_pasid_test_attach attach = {
		.device = named(index), .domain = number, .slot = 0,
	};

	return call(module, request, &attach);
}

#define ATTACH(domain, index)						\
	on_pair(self->module, VFIO_PASID_TEST_ATTACH, domain, index)
#define DETACH(domain, index)						\
	on_pair(self->module, VFIO_PASID_TEST_DETACH, domain, index)
#define NUMBER(domain, index)						\
	on_pair(self->module, VFIO_PASID_TEST_PASID, domain, index)

static long on_entry(int module, unsigned long request, u32 number, int index,
		     u32 pasid)
{
	struct vfio_pasid_test_entry entry = {
		.device = named(index), .domain = number, .pasid = pasid,
	};

	return call(module, request, &entry);
}

/* As a kernel driver that knows nothing of vfio_pasid. */
#define SET(domain, pasid)						\
	on_entry(self->module, VFIO_PASID_TEST_SET, domain, self->index, pasid)
#define UNSET(domain, pasid)						\
	on_entry(self->module, VFIO_PASID_TEST_UNSET, domain, self->index, pasid)

/* As host SVA does. */
static long host_alloc(int module, int index)
{
	struct vfio_pasid_test_host host = { .device = named(index) };
	long ret = call(module, VFIO_PASID_TEST_HOST_ALLOC, &host);

	return ret ? ret : (long)host.pasid;
}

static long host_free(int module, u32 pasid)
{
	struct vfio_pasid_test_host host = { .pasid = pasid };

	return call(module, VFIO_PASID_TEST_HOST_FREE, &host);
}

#define HOST_ALLOC()	host_alloc(self->module, self->index)
#define HOST_FREE(pasid)	host_free(self->module, pasid)
#define TOUCH(pasid)	device_touch(&self->device, pasid, IOVA)

/* Nobody holds any number any more. */
#define ASSERT_NOTHING_TAKEN() do {					\
	ASSERT_EQ(0, pasid_used(self->fd));				\
	ASSERT_EQ(1, HOST_ALLOC());					\
	ASSERT_EQ(0, HOST_FREE(1));					\
} while (0)

TEST_F(default_pasid, attach_gives_a_number_and_the_last_detach_takes_it)
{
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(-ENOENT, NUMBER(0, self->index));
		ASSERT_EQ(0, ATTACH(0, self->index));
		ASSERT_EQ(1, NUMBER(0, self->index));
		ASSERT_EQ(no_page(), TOUCH(1));
		ASSERT_EQ(1, pasid_used(self->fd));
		ASSERT_EQ(0, DETACH(0, self->index));
		ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1));
		ASSERT_EQ(-ENOENT, NUMBER(0, self->index));
		ASSERT_NOTHING_TAKEN();
	}
}

TEST_F(default_pasid, attachments_of_a_pair_are_counted)
{
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(1, pasid_used(self->fd));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, DETACH(0, self->index));
		ASSERT_EQ(1, NUMBER(0, self->index));
		ASSERT_EQ(no_page(), TOUCH(1));
	}
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1));
	ASSERT_EQ(-ENOENT, NUMBER(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

TEST_F(default_pasid, several_devices_of_a_domain_share_its_number)
{
	int second = device_index(20, 1);

	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(-ENOENT, NUMBER(0, second));
	ASSERT_EQ(0, ATTACH(0, second));
	ASSERT_EQ(1, NUMBER(0, second));
	ASSERT_EQ(1, pasid_used(self->fd));

	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1));
	ASSERT_EQ(-ENOENT, NUMBER(0, self->index));
	ASSERT_EQ(1, NUMBER(0, second));
	ASSERT_EQ(2, HOST_ALLOC());
	ASSERT_EQ(0, HOST_FREE(2));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(no_page(), TOUCH(1));
	ASSERT_EQ(0, DETACH(0, second));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

TEST_F(default_pasid, several_domains_of_a_device_have_a_number_each)
{
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, ATTACH(1, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(2, NUMBER(1, self->index));
	ASSERT_EQ(no_page(), TOUCH(1));
	ASSERT_EQ(no_page(), TOUCH(2));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1));
	ASSERT_EQ(no_page(), TOUCH(2));
	ASSERT_EQ(2, NUMBER(1, self->index));
	/* Whoever comes next gets the number that is free. */
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, DETACH(1, self->index));
	ASSERT_NOTHING_TAKEN();
}

/* The host. */

TEST_F(default_pasid, a_number_of_the_host_is_never_given)
{
	for (int pasid = 1; pasid <= 5; pasid++)
		ASSERT_EQ(pasid, HOST_ALLOC());
	ASSERT_EQ(0, HOST_FREE(4));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(4, NUMBER(0, self->index));
	ASSERT_EQ(0, ATTACH(1, self->index));
	ASSERT_EQ(6, NUMBER(1, self->index));
	/* And the other way round. */
	ASSERT_EQ(7, HOST_ALLOC());
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(4, HOST_ALLOC());
	ASSERT_EQ(0, DETACH(1, self->index));
	ASSERT_EQ(0, pasid_used(self->fd));
}

/* The domain has its number already, so there is no other to try. */
TEST_F(default_pasid, EBUSY_if_the_number_is_taken_on_another_device)
{
	int second = device_index(20, 1);
	struct vfio_pasid_test_entry entry = {
		.device = named(second), .domain = 2, .pasid = 1,
	};

	ASSERT_EQ(0, domain(self->module, 2, second));
	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_SET, &entry));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(-EBUSY, ATTACH(0, second));
	ASSERT_EQ(-ENOENT, NUMBER(0, second));
	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_UNSET, &entry));
	ASSERT_EQ(0, ATTACH(0, second));
	ASSERT_EQ(0, DETACH(0, second));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

TEST_F(default_pasid, EBUSY_for_users_if_the_kernel_has_it_on_that_group)
{
	ASSERT_EQ(300, pasid_alloc(self->fd, 300, 300));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 300));
	ASSERT_EQ(0, SET(0, 300));
	ASSERT_EQ(-EBUSY, aux_attach(self->fd, 300, self->group));
	ASSERT_EQ(0, aux_is_attached(self->fd, 300, self->group));
	ASSERT_EQ(-ENOENT, aux_detach(self->fd, 300, self->group));
	/* It was left alone. */
	ASSERT_EQ(no_page(), TOUCH(300));
	ASSERT_EQ(0, UNSET(0, 300));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(300));
	ASSERT_EQ(0, aux_attach(self->fd, 300, self->group));
	ASSERT_EQ(-EBUSY, SET(0, 300));
}

/* Users. */

TEST_F(default_pasid, numbers_of_users_are_skipped)
{
	for (int pasid = 1; pasid <= 3; pasid++)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(4, NUMBER(0, self->index));
	/* What was skipped is the host's again. */
	ASSERT_EQ(1, HOST_ALLOC());
	ASSERT_EQ(2, HOST_ALLOC());
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(3, pasid_used(self->fd));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(3, NUMBER(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
}

TEST_F(default_pasid, users_get_no_default_pasid)
{
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, 1));
	ASSERT_EQ(-ENOENT, aux_create_fixed(self->fd, 1));
	ASSERT_EQ(-ENOENT, aux_attach(self->fd, 1, self->group));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(1, pasid_alloc(self->fd, 0, 1));
}

TEST_F(default_pasid, users_cannot_free_it)
{
	ASSERT_EQ(10, pasid_alloc(self->fd, 10, 10));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, pasid_free(self->fd, 1, 1));
	ASSERT_EQ(2, pasid_used(self->fd));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(no_page(), TOUCH(1));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_NOTHING_TAKEN();
}

TEST_F(default_pasid, the_kernel_function_leaves_what_is_in_use_or_the_users)
{
	struct vfio_pasid_test_range range = { 0, 0, UINT32_MAX };
	struct vfio_pasid_test_range drivers = { 0, 12, 12 };

	ASSERT_EQ(10, pasid_alloc(self->fd, 10, 10));
	ASSERT_EQ(11, pasid_alloc(self->fd, 11, 11));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 11));
	ASSERT_EQ(12, call(self->module, VFIO_PASID_TEST_ALLOC, &drivers));
	ASSERT_EQ(-ENOENT, aux_create_fixed(self->fd, 12));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(4, pasid_used(self->fd));
	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_FREE, &range));
	ASSERT_EQ(3, pasid_used(self->fd));
	ASSERT_FALSE(pasid_is_free(self->fd, 10));
	ASSERT_TRUE(pasid_is_free(self->fd, 12));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(0, aux_attach(self->fd, 11, self->group));
	ASSERT_EQ(0, aux_destroy(self->fd, 11));
	ASSERT_EQ(0, DETACH(0, self->index));
}

/* The host's allocator begins at the bottom. */
TEST_F(default_pasid, what_the_process_holds_is_passed_over)
{
	enum { HELD = 200 };

	for (int pasid = 1; pasid <= HELD; pasid++)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(HELD + 1, NUMBER(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_NOTHING_TAKEN();
}

/* Those of the own process, in turn, are not given to it. */
TEST_F(default_pasid, the_process_does_not_get_the_number_a_second_time)
{
	ASSERT_EQ(3, pasid_alloc(self->fd, 3, 3));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, ATTACH(1, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(2, NUMBER(1, self->index));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1, 3));
	ASSERT_EQ(4, pasid_alloc(self->fd, 1, 4));
	ASSERT_EQ(0, DETACH(1, self->index));
	ASSERT_EQ(2, pasid_alloc(self->fd, 1, 3));
	ASSERT_EQ(0, DETACH(0, self->index));
}

/* What is taken on the device's group is passed over as well. */
TEST_F(default_pasid, what_the_group_has_is_passed_over)
{
	struct vfio_pasid_test_entry entry = {
		.device = named(self->index), .domain = 1, .pasid = 1,
	};

	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_SET, &entry));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(2, NUMBER(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_UNSET, &entry));
}

FIXTURE(default_pasid_of_others)
{
	struct _test_data_default_pasid own;
};

FIXTURE_VARIANT(default_pasid_of_others)
{
	u32 held;
};

FIXTURE_VARIANT_ADD(default_pasid_of_others, 64) { .held = 64 };
FIXTURE_VARIANT_ADD(default_pasid_of_others, 1000) { .held = 1000 };
FIXTURE_VARIANT_ADD(default_pasid_of_others, 200000) { .held = 200000 };

FIXTURE_SETUP(default_pasid_of_others)
{
	self->own = (struct _test_data_default_pasid) {
		.module = -1, .container = NO_CONTAINER, .device = NO_DEVICE,
	};
	ASSERT_EQ(0, start(&self->own, &PASID_LIMITS(200000, 1, PASID_LAST)));
}

FIXTURE_TEARDOWN(default_pasid_of_others)
{
	finish(&self->own);
}

static void hold_from_the_bottom(int socket, void *arg)
{
	const u32 *held = arg;
	struct container container;
	u32 pasid = 1;

	if (container_open_device(&container, device_index(20, 1)))
		return;
	while (pasid <= *held &&
	       pasid_alloc(container.fd, pasid, pasid) == (long)pasid)
		pasid++;
	say(socket, pasid - 1);
	hear(socket);
}

/* PASID tables are per device: nobody is denied a number by others. */
TEST_F(default_pasid_of_others, do_not_matter)
{
	struct _test_data_default_pasid *own = &self->own;
	u32 held = variant->held;
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, hold_from_the_bottom, &held));
	ASSERT_EQ((int)held, hear(peer.socket));
	ASSERT_EQ(0, on_pair(own->module, VFIO_PASID_TEST_ATTACH, 0, own->index));
	ASSERT_EQ(1, on_pair(own->module, VFIO_PASID_TEST_PASID, 0, own->index));
	ASSERT_EQ(0, on_pair(own->module, VFIO_PASID_TEST_DETACH, 0, own->index));
	peer_kill(&peer);
}

TEST_F(default_pasid, ENOSPC_if_the_quota_is_used_up)
{
	finish(self);
	ASSERT_EQ(0, start(self, &PASID_LIMITS(2, 1, PASID_LAST)));
	ASSERT_EQ(500, pasid_alloc(self->fd, 500, 500));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(-ENOSPC, ATTACH(1, self->index));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 0, UINT32_MAX));
	/* Counting one up costs nothing. */
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, pasid_free(self->fd, 500, 500));
	ASSERT_NOTHING_TAKEN();
}

/* pasid_min and pasid_max keep users apart from the host, not the host. */
TEST_F(default_pasid, it_may_lie_outside_what_users_get)
{
	finish(self);
	ASSERT_EQ(0, start(self, &PASID_LIMITS(10, 1000, 2000)));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(0, pasid_free(self->fd, 1, 1));
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

/* Devices. */

TEST_F(default_pasid, EOPNOTSUPP_if_the_device_has_no_pasids)
{
	int none = device_index(0, 0);

	ASSERT_LE(0, none);
	ASSERT_EQ(-EOPNOTSUPP, ATTACH(0, none));
	ASSERT_EQ(-ENOENT, NUMBER(0, none));
	ASSERT_NOTHING_TAKEN();
	/* Nor does it when the domain has a number already. */
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(-EOPNOTSUPP, ATTACH(0, none));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

TEST_F(default_pasid, EINVAL_if_the_number_is_too_wide_for_the_device)
{
	int narrow = device_index(8, 0);

	ASSERT_LE(0, narrow);
	for (int pasid = 1; pasid < 256; pasid++)
		ASSERT_EQ(pasid, HOST_ALLOC());
	/* The narrow device has none of its own left, the wide one has. */
	ASSERT_EQ(-ENOSPC, ATTACH(0, narrow));
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(256, NUMBER(0, self->index));
	ASSERT_EQ(-EINVAL, ATTACH(0, narrow));
	ASSERT_EQ(256, NUMBER(0, self->index));
	ASSERT_EQ(0, HOST_FREE(255));
	ASSERT_EQ(0, ATTACH(1, narrow));
	ASSERT_EQ(255, NUMBER(1, narrow));
	ASSERT_EQ(0, DETACH(1, narrow));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(default_pasid, detaching_what_is_not_attached_warns_and_does_nothing)
{
	int second = device_index(20, 1), log = kernel_log_open();

	ASSERT_LE(0, log);
	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, DETACH(0, second));
	ASSERT_TRUE(kernel_log_has(log, "vfio_aux_detach_device", "not attached"));
	ASSERT_EQ(0, DETACH(1, self->index));
	ASSERT_EQ(1, NUMBER(0, self->index));
	ASSERT_EQ(no_page(), TOUCH(1));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_EQ(0, DETACH(0, self->index));
	ASSERT_NOTHING_TAKEN();
	close(log);
}

/* Races. */

struct racer {
	struct _test_data_default_pasid *self;
	long wrong;
};

static void *attach_and_detach(void *arg)
{
	struct racer *racer = arg;
	struct _test_data_default_pasid *self = racer->self;

	for (int round = 0; round < 600; round++) {
		long ret = ATTACH(0, self->index);

		if (ret) {
			racer->wrong = ret;
			break;
		}
		ret = NUMBER(0, self->index);
		if (ret != 1)
			racer->wrong = ret;
		DETACH(0, self->index);
	}
	return NULL;
}

TEST_F_TIMEOUT(default_pasid, one_number_while_threads_attach, PATIENCE)
{
	struct racer racer = { .self = self };
	pthread_t threads[3];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    attach_and_detach, &racer));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, racer.wrong);
	ASSERT_EQ(-ENOENT, NUMBER(0, self->index));
	ASSERT_NOTHING_TAKEN();
}

/*
 * A PASID outlives its hardware entry. The core clears that with the group's
 * mutex held: while another thread has the mutex, the entry is there, so
 * nobody may get the number yet.
 */

struct helper {
	struct _test_data_default_pasid *self;
	long (*body)(struct _test_data_default_pasid *self);
	pthread_t thread;
	pid_t tid;
	long result;
};

static void *help(void *arg)
{
	struct helper *helper = arg;

	__atomic_store_n(&helper->tid, gettid(), __ATOMIC_RELEASE);
	helper->result = helper->body(helper->self);
	return NULL;
}

static int start_helper(struct helper *helper)
{
	return pthread_create(&helper->thread, NULL, help, helper);
}

static long finish_helper(struct helper *helper)
{
	pthread_join(helper->thread, NULL);
	return helper->result;
}

/* Waits until the thread waits for a mutex; whether it came to that. */
static bool is_stuck(struct helper *helper)
{
	for (int i = 0; i < PATIENCE * 100; i++) {
		char path[64], state = 0;
		FILE *file;

		usleep(10 * 1000);
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
			 __atomic_load_n(&helper->tid, __ATOMIC_ACQUIRE));
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		fclose(file);
		if (state == 'D')
			return true;
	}
	return false;
}

static long hold_group(struct _test_data_default_pasid *self)
{
	struct vfio_pasid_test_device device = named(self->index);

	return call(self->module, VFIO_PASID_TEST_HOLD_GROUP, &device);
}

static bool group_is_held(int module)
{
	struct vfio_pasid_test_counts counts = { .waiting = 0 };

	for (int i = 0; i < PATIENCE * 100 && !counts.waiting; i++) {
		usleep(10 * 1000);
		if (call(module, VFIO_PASID_TEST_COUNTS, &counts))
			return false;
	}
	return counts.waiting;
}

#define PASID	600

static long destroy_the_space(struct _test_data_default_pasid *self)
{
	return aux_destroy(self->fd, PASID);
}

static long detach_the_domain(struct _test_data_default_pasid *self)
{
	return DETACH(0, self->index);
}

TEST_F_TIMEOUT(default_pasid, a_space_frees_its_number_after_the_hardware,
	       PATIENCE)
{
	struct helper holder = { .self = self, .body = hold_group };
	struct helper user = { .self = self, .body = destroy_the_space };

	/* The only number that the space could take, so that it goes with it. */
	finish(self);
	ASSERT_EQ(0, start(self, &PASID_LIMITS(10, PASID, PASID)));
	ASSERT_EQ(PASID, aux_create(self->fd));
	ASSERT_EQ(0, aux_attach(self->fd, PASID, self->group));
	ASSERT_EQ(0, start_helper(&holder));
	ASSERT_TRUE(group_is_held(self->module));
	ASSERT_EQ(0, start_helper(&user));
	ASSERT_TRUE(is_stuck(&user));

	ASSERT_EQ(no_page(), TOUCH(PASID));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, PASID, PASID));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, PASID, PASID));
	ASSERT_EQ(1, pasid_used(self->fd));

	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_OPEN_GATE, NULL));
	ASSERT_EQ(0, finish_helper(&user));
	ASSERT_EQ(0, finish_helper(&holder));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(PASID));
	ASSERT_EQ(PASID, pasid_alloc(self->fd, PASID, PASID));
}

TEST_F_TIMEOUT(default_pasid, a_default_is_anyones_after_the_hardware,
	       PATIENCE)
{
	struct helper holder = { .self = self, .body = hold_group };
	struct helper user = { .self = self, .body = detach_the_domain };

	ASSERT_EQ(0, ATTACH(0, self->index));
	ASSERT_EQ(0, start_helper(&holder));
	ASSERT_TRUE(group_is_held(self->module));
	ASSERT_EQ(0, start_helper(&user));
	ASSERT_TRUE(is_stuck(&user));

	ASSERT_EQ(no_page(), TOUCH(1));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1, 1));
	ASSERT_EQ(2, HOST_ALLOC());

	ASSERT_EQ(0, call(self->module, VFIO_PASID_TEST_OPEN_GATE, NULL));
	ASSERT_EQ(0, finish_helper(&user));
	ASSERT_EQ(0, finish_helper(&holder));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1));
	ASSERT_EQ(0, HOST_FREE(2));
	ASSERT_NOTHING_TAKEN();
}

TEST_HARNESS_MAIN
