// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_HOT_RESET_INFO: whom a hot reset hits, and whether the container
 * owns them. The kernel has the last word: every answer is compared with its
 * own list, and its own reset is tried with the groups of the container.
 *
 *   00:10.0  ALONE
 *   00:1c.0  port ── 00.0 PORT_0, 00.3 PORT_3     one IOMMU group
 *                    00.1 PORT_1                  another
 *                    00.2 PORT_2                  a third
 *   00:1d.0  port ── bridge ── 01.0 SHARED_1, 02.0 SHARED_2   all in one group
 *   00:1e.0  port ── bridge ── 01.0 UPPER                     all in one group
 *                              02.0 BRIDGE ── 01.0 INNER
 *
 * All but the bridges are bound to vfio-pci, and are so after each test.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>

#include "module/vfio_pasid_test.h"
#include "vfio_pasid_utils.h"

enum {
	PORT_0, PORT_1, PORT_2, PORT_3,
	SHARED_1, SHARED_2,
	UPPER, BRIDGE, INNER,
	ALONE,
	FUNCTIONS,
};

static const char * const places[FUNCTIONS] = {
	[PORT_0] = "0000:00:1c.0/*:00.0",
	[PORT_1] = "0000:00:1c.0/*:00.1",
	[PORT_2] = "0000:00:1c.0/*:00.2",
	[PORT_3] = "0000:00:1c.0/*:00.3",
	[SHARED_1] = "0000:00:1d.0/*:00.0/*:01.0",
	[SHARED_2] = "0000:00:1d.0/*:00.0/*:02.0",
	[UPPER] = "0000:00:1e.0/*:00.0/*:01.0",
	[BRIDGE] = "0000:00:1e.0/*:00.0/*:02.0",
	[INNER] = "0000:00:1e.0/*:00.0/*:02.0/*:01.0",
	[ALONE] = "0000:00:10.0",
};

#define SHARED_BRIDGE	"0000:00:1d.0/*:00.0"
/* Where a test plugs in a device, and takes it out. */
#define PLUGGED		SHARED_BRIDGE "/*:03.0"
#define UNPLUG		"{\"id\": \"plugged\"}"
#define PLUG \
	"{\"id\": \"plugged\", \"driver\": \"edu\", \"bus\": \"shared\", \"addr\": \"3\"}"

/* Resets wait for what they have reset; a debug kernel is slow as well. */
#define PATIENCE	120

/* A container with groups. */
struct owner {
	int fd;
	int groups;
	struct {
		int number;
		int fd;
	} group[4];
};

static int owner_group(const struct owner *owner, int number)
{
	for (int i = 0; i < owner->groups; i++)
		if (owner->group[i].number == number)
			return owner->group[i].fd;
	return -ENOENT;
}

static int open_group(int number)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Adds the group of a function, if it is not there yet. */
static int owner_add(struct owner *owner, const struct function *function)
{
	int ret, fd;

	if (owner_group(owner, function->group) >= 0)
		return 0;
	fd = open_group(function->group);
	if (fd < 0)
		return fd;
	ret = set_container(fd, owner->fd);
	if (!ret && !owner->groups)
		ret = set_iommu(owner->fd, VFIO_TYPE1v2_IOMMU);
	if (ret) {
		close(fd);
		return ret;
	}
	owner->group[owner->groups].number = function->group;
	owner->group[owner->groups++].fd = fd;
	return 0;
}

/* Adds the group of a function, and opens the function. */
static int owner_device(struct owner *owner, const struct function *function)
{
	int ret = owner_add(owner, function);

	if (ret)
		return ret;
	return call(owner_group(owner, function->group),
		    VFIO_GROUP_GET_DEVICE_FD, (void *)function->address);
}

static void owner_close(struct owner *owner)
{
	while (owner->groups)
		close(owner->group[--owner->groups].fd);
	close_fd(&owner->fd);
}

/* The ioctl. */

#define ROOM	8

struct answer {
	struct vfio_iommu_hot_reset_info info;
	struct vfio_pci_dependent_device devices[ROOM];
};

static struct answer question(const struct function *function)
{
	struct answer answer = {
		.info = {
			.argsz = sizeof(answer),
			.segment = function->segment,
			.bus = function->bus,
			.devfn = function->devfn,
		},
	};

	return answer;
}

static long ask(int container, const struct function *function,
		struct answer *answer)
{
	*answer = question(function);
	return call(container, VFIO_IOMMU_HOT_RESET_INFO, answer);
}

static const struct vfio_pci_dependent_device *
entry(const struct answer *answer, const struct function *function)
{
	for (u32 i = 0; i < answer->info.count; i++)
		if (answer->devices[i].segment == function->segment &&
		    answer->devices[i].bus == function->bus &&
		    answer->devices[i].devfn == function->devfn)
			return &answer->devices[i];
	return NULL;
}

/* The devid of a function, or of one that was not reported. */
#define NOT_THERE	0x80000000

static u32 devid(const struct answer *answer, const struct function *function)
{
	const struct vfio_pci_dependent_device *found = entry(answer, function);

	return found ? found->devid : NOT_THERE;
}

#define OWNED		VFIO_PCI_DEVID_OWNED
#define NOT_OWNED	((u32)VFIO_PCI_DEVID_NOT_OWNED)
/* Stands for any number that a device can have. */
#define OPEN		1

static u32 kind(u32 devid)
{
	return devid == OWNED || devid >= NOT_THERE ? devid : OPEN;
}

/* What the flags have to be, by the devids. */
static u32 flags_for(const struct answer *answer)
{
	for (u32 i = 0; i < answer->info.count; i++)
		if (answer->devices[i].devid == NOT_OWNED)
			return VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
	return VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
	       VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
}

/* The kernel's own list, with group numbers. */
struct stock_answer {
	struct vfio_pci_hot_reset_info info;
	struct vfio_pci_dependent_device devices[ROOM];
};

static long ask_stock(int device, struct stock_answer *answer)
{
	*answer = (struct stock_answer) { .info.argsz = sizeof(*answer) };
	return call(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, answer);
}

/*
 * The kernel's own reset, with those groups of the container that it hits. It
 * does not wait for locks, so others can be in its way for a moment.
 */
static long reset(int device, const struct owner *owner)
{
	struct {
		struct vfio_pci_hot_reset reset;
		int groups[ROOM];
	} arg = { .reset.argsz = sizeof(arg) };
	struct stock_answer hit;
	long ret;

	ret = ask_stock(device, &hit);
	for (int i = 0; i < owner->groups; i++)
		for (u32 k = 0; k < hit.info.count; k++)
			if ((u32)owner->group[i].number == hit.devices[k].group_id) {
				arg.groups[arg.reset.count++] = owner->group[i].fd;
				break;
			}
	if (ret)
		arg.groups[arg.reset.count++] = owner->group[0].fd;
	for (int i = 0; i < 200; i++) {
		ret = call(device, VFIO_DEVICE_PCI_HOT_RESET, &arg);
		if (ret != -EBUSY && ret != -EAGAIN)
			break;
		usleep(20 * 1000);
	}
	return ret;
}

FIXTURE(hot_reset) {
	struct function functions[FUNCTIONS];
	struct function plugged;
	struct owner owner;
	struct owner other;
};

FIXTURE_SETUP(hot_reset)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	for (int i = 0; i < FUNCTIONS; i++) {
		ASSERT_EQ(0, function_find(&self->functions[i], places[i])) {
			TH_LOG("there is no function at %s", places[i]);
		}
	}
	self->owner.fd = container_node();
	ASSERT_LE(0, self->owner.fd);
	self->other.fd = container_node();
	ASSERT_LE(0, self->other.fd);
}

FIXTURE_TEARDOWN(hot_reset)
{
	owner_close(&self->other);
	owner_close(&self->owner);
	if (self->plugged.bus)
		qmp_execute("device_del", UNPLUG);
	for (int i = 0; i < FUNCTIONS; i++)
		if (i != BRIDGE)
			EXPECT_EQ(0, function_bind(&self->functions[i], "vfio-pci"));
}

#define AT(name)	(&self->functions[name])

/* Opens it through the container, until the container closes. */
#define open_device(name) ({						\
	int device_ = owner_device(&self->owner, AT(name));		\
									\
	ASSERT_LE(0, device_);						\
	device_;							\
})

/* A function that is hit, and what devid it has to have. */
struct hit {
	int function;
	u32 kind;
};

/*
 * Asks for @name, which is open as @device: the answer must be @hits, in the
 * order of the kernel's own, and the kernel's own reset must agree.
 */
static void check(struct __test_metadata *_metadata,
		  struct _test_data_hot_reset *self, int name, int device,
		  const struct hit *hits, u32 count)
{
	struct stock_answer stock;
	struct answer answer;
	bool owned = true;

	ASSERT_EQ(0, ask(self->owner.fd, AT(name), &answer));
	ASSERT_EQ(count, answer.info.count);
	for (u32 i = 0; i < count; i++) {
		EXPECT_EQ(hits[i].kind, kind(devid(&answer, AT(hits[i].function)))) {
			TH_LOG("of %s", AT(hits[i].function)->address);
		}
		owned &= hits[i].kind != NOT_OWNED;
	}
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
		  (owned ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0),
		  answer.info.flags);
	EXPECT_EQ(sizeof(answer), answer.info.argsz);

	ASSERT_EQ(0, ask_stock(device, &stock));
	ASSERT_EQ(count, stock.info.count);
	for (u32 i = 0; i < count; i++) {
		EXPECT_EQ(stock.devices[i].segment, answer.devices[i].segment);
		EXPECT_EQ(stock.devices[i].bus, answer.devices[i].bus);
		EXPECT_EQ(stock.devices[i].devfn, answer.devices[i].devfn);
	}
	ASSERT_EQ(owned ? 0 : -EINVAL, reset(device, &self->owner));
}

#define CHECK(name, device, ...) do {					\
	static const struct hit hits_[] = { __VA_ARGS__ };		\
									\
	check(_metadata, self, name, device, hits_, ARRAY_SIZE(hits_));	\
} while (0)

/* Whom it hits, and whose they are. */

TEST_F(hot_reset, the_feature_is_reported)
{
	long features = call(self->owner.fd, VFIO_CHECK_EXTENSION,
			     (void *)VFIO_PASID_EXTENSION);

	ASSERT_EQ(VFIO_PASID_FEATURE_HOT_RESET,
		  features & VFIO_PASID_FEATURE_HOT_RESET);
}

/* What the tests stand on. */
TEST_F(hot_reset, groups_are_as_the_tests_want_them)
{
	ASSERT_EQ(AT(PORT_0)->group, AT(PORT_3)->group);
	ASSERT_NE(AT(PORT_0)->group, AT(PORT_1)->group);
	ASSERT_NE(AT(PORT_0)->group, AT(PORT_2)->group);
	ASSERT_NE(AT(PORT_1)->group, AT(PORT_2)->group);
	ASSERT_EQ(AT(SHARED_1)->group, AT(SHARED_2)->group);
	ASSERT_EQ(AT(UPPER)->group, AT(INNER)->group);
	ASSERT_EQ(AT(UPPER)->group, AT(BRIDGE)->group);
}

TEST_F_TIMEOUT(hot_reset, all_open_is_owned, PATIENCE)
{
	for (int name = PORT_0; name <= PORT_3; name++)
		open_device(name);
	for (int name = PORT_0; name <= PORT_3; name++) {
		int device = open_device(name);

		CHECK(name, device, { PORT_0, OPEN }, { PORT_1, OPEN },
		      { PORT_2, OPEN }, { PORT_3, OPEN });
	}
}

TEST_F_TIMEOUT(hot_reset, not_open_but_in_a_group_of_the_container_is_owned,
	       PATIENCE)
{
	int device = open_device(PORT_0), second;

	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_1)));
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });

	second = open_device(PORT_3);
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OPEN });
	close(second);
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
}

TEST_F_TIMEOUT(hot_reset, two_in_a_group_behind_a_bridge_and_one_open_is_owned,
	       PATIENCE)
{
	int device = open_device(SHARED_1);

	CHECK(SHARED_1, device, { SHARED_1, OPEN }, { SHARED_2, OWNED });
	open_device(SHARED_2);
	CHECK(SHARED_1, device, { SHARED_1, OPEN }, { SHARED_2, OPEN });
}

TEST_F(hot_reset, without_a_driver_is_not_owned)
{
	int device;

	ASSERT_EQ(0, function_bind(AT(PORT_1), NULL));
	device = open_device(PORT_0);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, NOT_OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
}

/* Its group is in the container, but it is not in the device set. */
TEST_F_TIMEOUT(hot_reset, without_a_driver_in_an_own_group_is_not_owned,
	       PATIENCE)
{
	int device;

	ASSERT_EQ(0, function_bind(AT(SHARED_2), NULL));
	device = open_device(SHARED_1);
	CHECK(SHARED_1, device, { SHARED_1, OPEN }, { SHARED_2, NOT_OWNED });

	ASSERT_EQ(0, function_bind(AT(SHARED_2), "vfio-pci"));
	CHECK(SHARED_1, device, { SHARED_1, OPEN }, { SHARED_2, OWNED });
}

TEST_F(hot_reset, with_another_driver_is_not_owned)
{
	int device;

	ASSERT_EQ(0, load_stock_module("drivers/pci/pci-stub"));
	ASSERT_EQ(0, function_bind(AT(PORT_3), "pci-stub"));
	device = open_device(PORT_0);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_1)));
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, NOT_OWNED });
}

TEST_F_TIMEOUT(hot_reset, with_its_group_elsewhere_is_not_owned, PATIENCE)
{
	int device = open_device(PORT_0), theirs, group;

	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_1)));

	/* Nobody has it. */
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, NOT_OWNED }, { PORT_3, OWNED });
	/* Somebody has it, but no container. */
	group = open_group(AT(PORT_2)->group);
	ASSERT_LE(0, group);
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, NOT_OWNED }, { PORT_3, OWNED });
	close(group);
	/* Another container has it, be the device open through it or not. */
	ASSERT_EQ(0, owner_add(&self->other, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, NOT_OWNED }, { PORT_3, OWNED });
	theirs = owner_device(&self->other, AT(PORT_2));
	ASSERT_LE(0, theirs);
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, NOT_OWNED }, { PORT_3, OWNED });

	/* It comes to this container. */
	close(theirs);
	owner_close(&self->other);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
}

TEST_F_TIMEOUT(hot_reset, a_group_that_leaves_the_container_is_not_owned,
	       PATIENCE)
{
	int device = open_device(PORT_0);

	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_1)));
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
	close(self->owner.group[--self->owner.groups].fd);
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, NOT_OWNED }, { PORT_3, OWNED });
}

/*
 * A device set is what one bus or slot holds. INNER is open through this very
 * container, but it is in another set, and BRIDGE is in none.
 */
TEST_F_TIMEOUT(hot_reset, below_a_further_bridge_is_not_owned, PATIENCE)
{
	int upper = open_device(UPPER), inner = open_device(INNER);

	CHECK(UPPER, upper, { UPPER, OPEN }, { BRIDGE, NOT_OWNED },
	      { INNER, NOT_OWNED });
	CHECK(INNER, inner, { INNER, OPEN });
	close(upper);
	CHECK(INNER, inner, { INNER, OPEN });
}

TEST_F(hot_reset, what_nothing_resets_is_ENODEV)
{
	int device = open_device(ALONE);
	struct stock_answer stock;
	struct answer answer, asked = question(AT(ALONE));

	ASSERT_EQ(-ENODEV, ask(self->owner.fd, AT(ALONE), &answer));
	ASSERT_EQ(0, memcmp(&answer, &asked, sizeof(answer)));
	ASSERT_EQ(-ENODEV, ask_stock(device, &stock));
	ASSERT_EQ(-ENODEV, reset(device, &self->owner));
}

/* The numbers. */

TEST_F(hot_reset, devids_are_unique_and_the_same_whoever_is_asked_for)
{
	struct answer first, answer;

	for (int name = PORT_0; name <= PORT_3; name++)
		open_device(name);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &first));
	for (int a = PORT_0; a <= PORT_3; a++) {
		ASSERT_EQ(OPEN, kind(devid(&first, AT(a))));
		for (int b = PORT_0; b < a; b++)
			ASSERT_NE(devid(&first, AT(a)), devid(&first, AT(b)));
		ASSERT_EQ(0, ask(self->owner.fd, AT(a), &answer));
		for (int b = PORT_0; b <= PORT_3; b++)
			ASSERT_EQ(devid(&first, AT(b)), devid(&answer, AT(b)));
	}
	/* Also across device sets. */
	open_device(INNER);
	ASSERT_EQ(0, ask(self->owner.fd, AT(INNER), &answer));
	for (int a = PORT_0; a <= PORT_3; a++)
		ASSERT_NE(devid(&first, AT(a)), devid(&answer, AT(INNER)));
}

TEST_F(hot_reset, devid_is_the_same_after_close_and_reopen)
{
	struct answer answer;
	int second;
	u32 id;

	open_device(PORT_0);
	second = open_device(PORT_3);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
	id = devid(&answer, AT(PORT_3));
	ASSERT_EQ(OPEN, kind(id));

	for (int i = 0; i < 3; i++) {
		close(second);
		ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
		ASSERT_EQ(OWNED, devid(&answer, AT(PORT_3)));
		second = open_device(PORT_3);
		ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
		ASSERT_EQ(id, devid(&answer, AT(PORT_3)));
	}
}

/* Two descriptors of a device: it is open until both are closed. */
TEST_F(hot_reset, open_twice_is_open_until_the_last_close)
{
	struct answer answer;
	int first, second;
	u32 id;

	open_device(PORT_0);
	first = open_device(PORT_3);
	second = open_device(PORT_3);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_3), &answer));
	id = devid(&answer, AT(PORT_3));
	close(first);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_3), &answer));
	ASSERT_EQ(id, devid(&answer, AT(PORT_3)));
	close(second);
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_3), &answer));
}

/* The buffer. */

static size_t size_for(u32 count)
{
	return offsetof(struct vfio_iommu_hot_reset_info, devices[count]);
}

TEST_F(hot_reset, too_little_room_is_ENOSPC_with_the_count)
{
	const u32 count = 4;
	struct answer answer, asked;

	open_device(PORT_0);
	for (size_t size = size_for(0); size < size_for(count); size++) {
		asked = question(AT(PORT_0));
		memset(asked.devices, 0x5a, sizeof(asked.devices));
		asked.info.argsz = size;
		answer = asked;
		ASSERT_EQ(-ENOSPC, call(self->owner.fd,
					VFIO_IOMMU_HOT_RESET_INFO, &answer));
		ASSERT_EQ(count, answer.info.count);
		asked.info.count = count;
		ASSERT_EQ(0, memcmp(&answer, &asked, sizeof(answer)));
	}
}

TEST_F(hot_reset, as_much_room_as_needed_is_enough)
{
	struct answer answer, *exact = before_hole(size_for(4));

	open_device(PORT_0);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
	memcpy(exact, &(struct answer) { .info = question(AT(PORT_0)).info },
	       size_for(4));
	exact->info.argsz = size_for(4);
	ASSERT_EQ(0, call(self->owner.fd, VFIO_IOMMU_HOT_RESET_INFO, exact));
	ASSERT_EQ(size_for(4), exact->info.argsz);
	exact->info.argsz = answer.info.argsz;
	ASSERT_EQ(0, memcmp(exact, &answer, size_for(4)));
}

TEST_F(hot_reset, more_room_than_needed_is_left_alone)
{
	struct answer answer = question(AT(PORT_0));

	open_device(PORT_0);
	memset(answer.devices, 0x5a, sizeof(answer.devices));
	answer.info.count = UINT32_MAX;
	ASSERT_EQ(0, call(self->owner.fd, VFIO_IOMMU_HOT_RESET_INFO, &answer));
	ASSERT_EQ(4, answer.info.count);
	for (size_t i = size_for(4); i < sizeof(answer); i++)
		ASSERT_EQ(0x5a, ((u8 *)&answer)[i]);

	/* No more memory is touched than is needed. */
	answer = question(AT(PORT_0));
	answer.info.argsz = UINT32_MAX;
	ASSERT_EQ(0, call(self->owner.fd, VFIO_IOMMU_HOT_RESET_INFO, &answer));
	ASSERT_EQ(4, answer.info.count);
}

/* The other errors. */

TEST_F(hot_reset, what_is_not_open_through_the_container_is_ENOENT)
{
	struct function wrong;
	struct answer answer;
	int device, theirs;

	/* In the container with its group, but not open. */
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_0)));
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_0), &answer));
	device = open_device(PORT_0);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_3), &answer));
	/* Not in the container. */
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_1), &answer));
	/* Open through another one. */
	theirs = owner_device(&self->other, AT(PORT_1));
	ASSERT_LE(0, theirs);
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_1), &answer));
	ASSERT_EQ(-ENOENT, ask(self->other.fd, AT(PORT_0), &answer));
	ASSERT_EQ(0, ask(self->other.fd, AT(PORT_1), &answer));
	/* Bridges cannot be. */
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(BRIDGE), &answer));
	/* Elsewhere. */
	for (int bit = 0; bit < 16; bit++) {
		wrong = *AT(PORT_0);
		wrong.segment ^= 1 << bit;
		ASSERT_EQ(-ENOENT, ask(self->owner.fd, &wrong, &answer));
	}
	for (int bit = 0; bit < 8; bit++) {
		wrong = *AT(PORT_0);
		wrong.bus ^= 1 << bit;
		ASSERT_EQ(-ENOENT, ask(self->owner.fd, &wrong, &answer));
		wrong = *AT(PORT_0);
		wrong.devfn ^= 1 << bit;
		ASSERT_EQ(-ENOENT, ask(self->owner.fd, &wrong, &answer));
	}
	/* Closed again. */
	close(device);
	ASSERT_EQ(-ENOENT, ask(self->owner.fd, AT(PORT_0), &answer));
	close(theirs);
	ASSERT_EQ(-ENOENT, ask(self->other.fd, AT(PORT_1), &answer));
}

/*
 * VMD's segments start at 0x10000, which the structure cannot say. Segment 0 is
 * another one.
 */
TEST_F(hot_reset, a_segment_above_16_bits_is_ENOENT)
{
	struct vfio_pasid_test_segment segment = { .xor = 0x10000 };
	struct answer answer;
	long ret[2];
	int module;

	ASSERT_EQ(0, use_test_module(&DEFAULT_LIMITS));
	module = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, module);
	open_device(PORT_0);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
	snprintf(segment.device.address, sizeof(segment.device.address),
		 "%s", AT(PORT_0)->address);
	ret[0] = call(module, VFIO_PASID_TEST_SEGMENT, &segment);
	ret[1] = ask(self->owner.fd, AT(PORT_0), &answer);
	snprintf(segment.device.address, sizeof(segment.device.address),
		 "1%s", AT(PORT_0)->address);
	EXPECT_EQ(0, call(module, VFIO_PASID_TEST_SEGMENT, &segment));
	close(module);
	EXPECT_EQ(0, ret[0]);
	EXPECT_EQ(-ENOENT, ret[1]);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
}

TEST_F(hot_reset, argsz_too_short_is_EINVAL)
{
	struct answer answer;

	open_device(PORT_0);
	for (u32 size = 0; size < size_for(0); size++) {
		answer = question(AT(PORT_0));
		answer.info.argsz = size;
		ASSERT_EQ(-EINVAL, call(self->owner.fd,
					VFIO_IOMMU_HOT_RESET_INFO, &answer));
		ASSERT_EQ(0, answer.info.count);
	}
}

TEST_F(hot_reset, any_flag_is_EINVAL)
{
	struct answer answer;

	open_device(PORT_0);
	for (int bit = 0; bit < 32; bit++) {
		answer = question(AT(PORT_0));
		answer.info.flags = 1u << bit;
		ASSERT_EQ(-EINVAL, call(self->owner.fd,
					VFIO_IOMMU_HOT_RESET_INFO, &answer));
		ASSERT_EQ(0, answer.info.count);
	}
}

TEST_F(hot_reset, bad_pointers_are_EFAULT)
{
	const struct answer good = question(AT(PORT_0));
	struct answer little = good;
	char *edge = before_hole(0);
	int fd = self->owner.fd;

	open_device(PORT_0);
	ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO, NULL));
	ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO, unmapped()));
	ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO,
				(void *)0xffff888000000000));
	ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO,
				read_only_copy(&good, sizeof(good))));
	/* argsz promises more than there is. */
	for (size_t there = 0; there < size_for(4); there++) {
		memcpy(edge - there, &good, there);
		ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO,
					edge - there));
	}
	/* Nowhere to tell that there is too little room. */
	little.info.argsz = size_for(0);
	ASSERT_EQ(-EFAULT, call(fd, VFIO_IOMMU_HOT_RESET_INFO,
				read_only_copy(&little, sizeof(little))));
}

TEST_F(hot_reset, before_set_iommu_is_EINVAL)
{
	struct answer answer;

	ASSERT_EQ(-EINVAL, ask(self->owner.fd, AT(PORT_0), &answer));
}

struct borrowed {
	int container;
	const struct function *function;
};

static long ask_for(void *arg)
{
	struct borrowed *borrowed = arg;
	struct answer answer;

	return ask(borrowed->container, borrowed->function, &answer);
}

TEST_F(hot_reset, from_a_forked_child_is_EPERM)
{
	struct borrowed borrowed = { self->owner.fd, AT(PORT_0) };

	open_device(PORT_0);
	ASSERT_EQ(0, ask_for(&borrowed));
	ASSERT_EQ(-EPERM, in_child(ask_for, &borrowed));
	/* It must not be told apart from a device that is not open. */
	borrowed.function = AT(PORT_1);
	ASSERT_EQ(-EPERM, in_child(ask_for, &borrowed));
}

TEST_F(hot_reset, stock_type1_does_not_know_it)
{
	struct answer answer;

	owner_close(&self->owner);
	owner_close(&self->other);
	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	self->owner.fd = container_node();
	ASSERT_LE(0, self->owner.fd);
	open_device(PORT_0);
	ASSERT_EQ(-ENOTTY, ask(self->owner.fd, AT(PORT_0), &answer));
}

/* While things change. */

/* What may be said while one function changes; the others stay as they are. */
struct changing {
	const struct function *open;
	const struct function *owned;	/* or NULL */
	const struct function *changing;
	u32 devids[4];			/* what it may be */
};

static bool is_possible(const struct answer *answer,
			const struct changing *may)
{
	u32 now = devid(answer, may->changing);
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(may->devids); i++)
		known |= may->devids[i] == now;
	return known && kind(devid(answer, may->open)) == OPEN &&
	       (!may->owned || devid(answer, may->owned) == OWNED);
}

/* Asks for a function again and again, until told to stop. */
struct asker {
	pthread_t thread;
	int container;
	const struct function *function;
	const struct changing *may;
	u32 count;		/* of functions, if that does not change */
	bool stop;
	bool ended;
	long answers;
	long again;		/* EAGAIN */
	long error;		/* any other */
	struct answer impossible;
};

static void *ask_on(void *arg)
{
	struct asker *asker = arg;
	struct answer answer;
	long ret;

	while (!__atomic_load_n(&asker->stop, __ATOMIC_ACQUIRE)) {
		ret = ask(asker->container, asker->function, &answer);
		if (ret == -EAGAIN) {
			asker->again++;
			continue;
		}
		if (ret) {
			asker->error = ret;
			break;
		}
		__atomic_add_fetch(&asker->answers, 1, __ATOMIC_RELAXED);
		if (answer.info.flags != flags_for(&answer) ||
		    (asker->count && answer.info.count != asker->count) ||
		    !is_possible(&answer, asker->may)) {
			asker->impossible = answer;
			break;
		}
	}
	__atomic_store_n(&asker->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start_asking(struct __test_metadata *_metadata, struct asker *asker)
{
	asker->stop = false;
	asker->ended = false;
	ASSERT_EQ(0, pthread_create(&asker->thread, NULL, ask_on, asker));
}

/* The hot-plug driver of the port above PORT_0, and what it drives. */
#define PCIEHP		"/sys/bus/pci_express/drivers/pciehp/"
#define PORT_SERVICE	"0000:00:1c.0:pcie004"

/* Changes and answers: who asks waits while a device is opened and reset. */
#define ENOUGH	30

/* Whether the test has changed things often enough while the asker asked. */
static bool go_on(const struct asker *asker, int round)
{
	if (__atomic_load_n(&asker->ended, __ATOMIC_ACQUIRE))
		return false;
	return round < ENOUGH ||
	       __atomic_load_n(&asker->answers, __ATOMIC_RELAXED) < ENOUGH;
}

static void print_answer(const struct answer *answer)
{
	printf("# flags 0x%x, count %u:", answer->info.flags, answer->info.count);
	for (u32 i = 0; i < answer->info.count && i < ROOM; i++)
		printf(" %02x:%02x.%x %d", answer->devices[i].bus,
		       answer->devices[i].devfn >> 3,
		       answer->devices[i].devfn & 7,
		       (int)answer->devices[i].devid);
	printf("\n");
}

static void stop_asking(struct __test_metadata *_metadata, struct asker *asker)
{
	__atomic_store_n(&asker->stop, true, __ATOMIC_RELEASE);
	pthread_join(asker->thread, NULL);
	TH_LOG("%ld answers, and %ld times EAGAIN", asker->answers, asker->again);
	if (asker->impossible.info.argsz)
		print_answer(&asker->impossible);
	EXPECT_EQ(0, asker->impossible.info.argsz);
	EXPECT_EQ(0, asker->error);
	EXPECT_LT(0, asker->answers);
}

/*
 * Waits until the plugged function is there, or is not. After two seconds it
 * is clear that nobody hears what the slot says; then the kernel has to be told.
 */
static bool wait_for_plugged(struct function *plugged, bool there)
{
	struct function bridge;

	for (int i = 0; i < 600; i++) {
		if (!function_find(plugged, PLUGGED) == there)
			return true;
		usleep(50 * 1000);
		if (i == 40 && there && !function_find(&bridge, SHARED_BRIDGE))
			function_write(&bridge, "rescan", "1");
		if (i == 40 && !there)
			function_write(plugged, "remove", "1");
	}
	return false;
}

TEST_F_TIMEOUT(hot_reset, a_device_that_is_plugged_in_meanwhile, 2 * PATIENCE)
{
	int device = open_device(SHARED_1);
	struct function plugged;
	struct changing may = {
		AT(SHARED_1), AT(SHARED_2), &self->plugged,
		{ NOT_THERE, NOT_OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(SHARED_1),
		.may = &may,
	};
	struct answer answer;
	int bound = 0;

	self->plugged = *AT(SHARED_1);
	self->plugged.devfn = 3 << 3;
	ASSERT_EQ(0, ask(self->owner.fd, AT(SHARED_1), &answer));
	ASSERT_EQ(2, answer.info.count);
	start_asking(_metadata, &asker);
	EXPECT_EQ(0, qmp_execute("device_add", PLUG));
	EXPECT_TRUE(wait_for_plugged(&plugged, true));
	stop_asking(_metadata, &asker);
	ASSERT_EQ(0, ask(self->owner.fd, AT(SHARED_1), &answer));
	ASSERT_EQ(3, answer.info.count);
	ASSERT_EQ(NOT_OWNED, devid(&answer, &plugged));
	ASSERT_EQ(-EINVAL, reset(device, &self->owner));

	/*
	 * It is hit by the reset, so it has to be bound as well. It is in sysfs
	 * a moment before it may have a driver.
	 */
	for (int i = 0; i < 100; i++) {
		bound = function_bind(&plugged, "vfio-pci");
		if (bound != -ENODEV)
			break;
		usleep(10 * 1000);
	}
	ASSERT_EQ(0, bound);
	ASSERT_EQ(0, ask(self->owner.fd, AT(SHARED_1), &answer));
	ASSERT_EQ(OWNED, devid(&answer, &plugged));
	ASSERT_EQ(0, reset(device, &self->owner));

	start_asking(_metadata, &asker);
	EXPECT_EQ(0, qmp_execute("device_del", UNPLUG));
	EXPECT_TRUE(wait_for_plugged(&plugged, false));
	stop_asking(_metadata, &asker);
	self->plugged.bus = 0;
	/* It leaves sysfs a moment before it leaves the bus. */
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, ask(self->owner.fd, AT(SHARED_1), &answer));
		if (answer.info.count == 2)
			break;
		usleep(10 * 1000);
	}
	ASSERT_EQ(2, answer.info.count);
	ASSERT_EQ(0, reset(device, &self->owner));
}

TEST_F_TIMEOUT(hot_reset, a_device_that_is_removed_and_found_again, PATIENCE)
{
	struct changing may = {
		AT(SHARED_1), NULL, AT(SHARED_2),
		{ NOT_THERE, NOT_OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(SHARED_1),
		.may = &may,
	};
	struct function bridge;

	ASSERT_EQ(0, function_find(&bridge, SHARED_BRIDGE));
	open_device(SHARED_1);
	start_asking(_metadata, &asker);
	for (int i = 0; go_on(&asker, i); i++) {
		EXPECT_EQ(0, function_write(AT(SHARED_2), "remove", "1"));
		EXPECT_EQ(0, function_write(&bridge, "rescan", "1"));
		/* Half of the time a vfio device goes, else one without driver. */
		if (i % 2)
			EXPECT_EQ(0, function_bind(AT(SHARED_2), "vfio-pci"));
	}
	stop_asking(_metadata, &asker);
}

TEST_F_TIMEOUT(hot_reset, a_device_that_is_bound_and_unbound, PATIENCE)
{
	struct changing may = {
		AT(PORT_0), AT(PORT_2), AT(PORT_3),
		{ NOT_OWNED, OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(PORT_0),
		.may = &may,
	};

	open_device(PORT_0);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	start_asking(_metadata, &asker);
	for (int i = 0; go_on(&asker, i); i++) {
		EXPECT_EQ(0, function_bind(AT(PORT_3), NULL));
		EXPECT_EQ(0, function_bind(AT(PORT_3), "vfio-pci"));
	}
	stop_asking(_metadata, &asker);
}

TEST_F_TIMEOUT(hot_reset, a_device_that_is_opened_and_closed, PATIENCE)
{
	struct changing may = {
		AT(PORT_0), AT(PORT_2), AT(PORT_3),
		{ OWNED, OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(PORT_0),
		.may = &may,
	};
	struct answer answer;
	int second;

	open_device(PORT_0);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	second = open_device(PORT_3);
	ASSERT_EQ(0, ask(self->owner.fd, AT(PORT_0), &answer));
	may.devids[0] = devid(&answer, AT(PORT_3));
	ASSERT_EQ(OPEN, kind(may.devids[0]));
	start_asking(_metadata, &asker);
	for (int i = 0; go_on(&asker, i); i++) {
		close(second);
		second = owner_device(&self->owner, AT(PORT_3));
		EXPECT_LE(0, second);
	}
	stop_asking(_metadata, &asker);
}

TEST_F_TIMEOUT(hot_reset, a_group_that_comes_and_goes, PATIENCE)
{
	struct changing may = {
		AT(PORT_0), AT(PORT_3), AT(PORT_2),
		{ NOT_OWNED, OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(PORT_0),
		.may = &may,
	};
	int group;

	open_device(PORT_0);
	group = open_group(AT(PORT_2)->group);
	ASSERT_LE(0, group);
	start_asking(_metadata, &asker);
	for (int i = 0; go_on(&asker, i); i++) {
		EXPECT_EQ(0, set_container(group, self->owner.fd));
		EXPECT_EQ(0, unset_container(group));
	}
	stop_asking(_metadata, &asker);
	close(group);
}

/*
 * The slot is freed, and made anew, while nobody has a reference to it but its
 * hot-plug driver. All functions stay where they are.
 */
TEST_F_TIMEOUT(hot_reset, a_slot_that_comes_and_goes, PATIENCE)
{
	struct changing may = {
		AT(PORT_0), AT(PORT_2), AT(PORT_3),
		{ OWNED, OWNED, OWNED, OWNED },
	};
	struct asker asker = {
		.container = self->owner.fd,
		.function = AT(PORT_0),
		.may = &may,
		.count = 4,
	};
	int device;

	if (access(PCIEHP PORT_SERVICE, F_OK))
		SKIP(return, "the firmware does the hot-plugging");
	device = open_device(PORT_0);
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_2)));
	start_asking(_metadata, &asker);
	for (int i = 0; go_on(&asker, i); i++) {
		EXPECT_EQ(0, write_file(PCIEHP "unbind", PORT_SERVICE));
		EXPECT_EQ(0, write_file(PCIEHP "bind", PORT_SERVICE));
	}
	stop_asking(_metadata, &asker);

	/* The set is of the first slot; now there is none, then another one. */
	ASSERT_EQ(0, owner_add(&self->owner, AT(PORT_1)));
	EXPECT_EQ(0, write_file(PCIEHP "unbind", PORT_SERVICE));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
	EXPECT_EQ(0, write_file(PCIEHP "bind", PORT_SERVICE));
	CHECK(PORT_0, device, { PORT_0, OPEN }, { PORT_1, OWNED },
	      { PORT_2, OWNED }, { PORT_3, OWNED });
}

TEST_HARNESS_MAIN
