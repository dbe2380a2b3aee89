// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of aux spaces by what they return: results, and every error that
 * the uapi header lists. What a device then sees is in aux_dma.c.
 */
#include <kselftest_harness.h>

#include "conventions.h"
#include "pasid_device.h"

#define NO_SUCH_GROUP	0x7ffffff0
#define HELD		500	/* a PASID that the process holds */
#define NOT_HELD	501

FIXTURE(aux) {
	struct container container;
	int index;
	u32 group;
	int fd;
};

FIXTURE_SETUP(aux)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
	ASSERT_EQ(HELD, pasid_alloc(self->fd, HELD, HELD));
}

FIXTURE_TEARDOWN(aux)
{
	container_close(&self->container);
}

/* Adds the group of another device to the container; its descriptor. */
static int add_group(int container, int index)
{
	int group = group_node(index);
	int ret = group < 0 ? group : set_container(group, container);

	return ret ? ret : group;
}

TEST_F(aux, the_feature_bit_is_set)
{
	ASSERT_TRUE(call(self->fd, VFIO_CHECK_EXTENSION,
			 (void *)VFIO_PASID_EXTENSION) & VFIO_PASID_FEATURE_AUX);
}

/* What all five have in common. */

#define IOCTLS	5

/* In this order, all of them succeed as they are here. */
static int good_ioctls(struct ioctl ioctls[IOCTLS], int container, u32 group)
{
	long attached = aux_create(container), loose = aux_create(container);

	if (attached < 0 || loose < 0)
		return -ENOSPC;
	ioctls[0] = (struct ioctl) {
		.name = "AUX_CREATE",
		.request = VFIO_IOMMU_AUX_CREATE,
		.flags = VFIO_AUX_FIXED_PASID | VFIO_AUX_PROCESS,
		.reserved = offsetof(struct vfio_iommu_aux_create, reserved),
		.results = offsetof(struct vfio_iommu_aux_create, iova_start),
		.argument.create = {
			.argsz = sizeof(struct vfio_iommu_aux_create),
			.flags = VFIO_AUX_FIXED_PASID,
			.pasid = HELD,
		},
	};
	ioctls[1] = (struct ioctl) {
		.name = "AUX_ATTACH",
		.request = VFIO_IOMMU_AUX_ATTACH,
		.argument.attach = {
			.argsz = sizeof(struct vfio_iommu_aux_attach),
			.pasid = loose,
			.group = group,
		},
	};
	ioctls[2] = (struct ioctl) {
		.name = "AUX_DETACH",
		.request = VFIO_IOMMU_AUX_DETACH,
		.argument.attach = {
			.argsz = sizeof(struct vfio_iommu_aux_attach),
			.pasid = attached,
			.group = group,
		},
	};
	ioctls[3] = (struct ioctl) {
		.name = "AUX_INFO",
		.request = VFIO_IOMMU_AUX_INFO,
		.flags = VFIO_AUX_INFO_PROCESS,
		.results = offsetof(struct vfio_iommu_aux_info, count),
		.argument.aux_info = {
			.argsz = sizeof(struct vfio_iommu_aux_info),
			.pasid = loose,
		},
	};
	ioctls[4] = (struct ioctl) {
		.name = "AUX_DESTROY",
		.request = VFIO_IOMMU_AUX_DESTROY,
		.reserved = offsetof(struct vfio_iommu_aux_destroy, reserved),
		.argument.destroy = {
			.argsz = sizeof(struct vfio_iommu_aux_destroy),
			.pasid = loose,
		},
	};
	return aux_attach(container, attached, group);
}

/* They do so after they were broken only if nothing was half done. */
static bool all_succeed(int container, struct ioctl ioctls[IOCTLS])
{
	return all_answer(container, ioctls, IOCTLS, 0);
}

TEST_F(aux, EINVAL_if_argsz_is_too_short)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, refuses_short_argsz));
	ASSERT_TRUE(all_succeed(self->fd, ioctls));
}

TEST_F(aux, EINVAL_if_a_flag_is_unknown)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_unknown_flags));
	ASSERT_TRUE(all_succeed(self->fd, ioctls));
}

TEST_F(aux, EINVAL_if_the_reserved_field_is_not_0)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_reserved_field));
	ASSERT_TRUE(all_succeed(self->fd, ioctls));
}

TEST_F(aux, EFAULT_if_the_argument_cannot_be_read)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, refuses_bad_pointers));
	ASSERT_TRUE(all_succeed(self->fd, ioctls));
}

TEST_F(aux, EFAULT_if_results_cannot_be_written)
{
	struct ioctl ioctls[IOCTLS];
	long used;

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	used = pasid_used(self->fd);
	ASSERT_TRUE(answers(self->fd, &ioctls[0], read_only(&ioctls[0]),
			    -EFAULT));
	/* A number that was taken for the space as well. */
	ioctls[0].argument.flags = 0;
	ASSERT_TRUE(answers(self->fd, &ioctls[0], read_only(&ioctls[0]),
			    -EFAULT));
	ioctls[0].argument.flags = VFIO_AUX_FIXED_PASID;
	ASSERT_EQ(used, pasid_used(self->fd));
	ASSERT_TRUE(answers(self->fd, &ioctls[3], read_only(&ioctls[3]),
			    -EFAULT));

	/* The others have none. */
	for (int i = 1; i < IOCTLS; i += i == 2 ? 2 : 1)
		ASSERT_TRUE(answers(self->fd, &ioctls[i], read_only(&ioctls[i]),
				    0));
}

TEST_F(aux, a_larger_argsz_is_good)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS, takes_larger_argsz));
}

TEST_F(aux, EPERM_from_another_process)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_TRUE(all_follow(self->fd, ioctls, IOCTLS,
			       refuses_another_process));
	ASSERT_TRUE(all_succeed(self->fd, ioctls));
}

TEST_F(aux, EINVAL_before_SET_IOMMU_and_after_the_last_group_left)
{
	struct ioctl ioctls[IOCTLS];
	int fresh = container_node();

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	ASSERT_LE(0, fresh);
	ASSERT_TRUE(all_answer(fresh, ioctls, IOCTLS, -EINVAL));
	close(fresh);

	close_fd(&self->container.device);
	ASSERT_EQ(0, unset_container(self->container.group));
	ASSERT_TRUE(all_answer(self->fd, ioctls, IOCTLS, -EINVAL));
}

TEST_F(aux, ENOTTY_from_the_stock_type1)
{
	struct ioctl ioctls[IOCTLS];

	ASSERT_EQ(0, good_ioctls(ioctls, self->fd, self->group));
	container_close(&self->container);
	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	ASSERT_EQ(0, container_open(&self->container, self->index));
	ASSERT_TRUE(all_answer(self->container.fd, ioctls, IOCTLS, -ENOTTY));
	ASSERT_EQ(0, call(self->container.fd, VFIO_CHECK_EXTENSION,
			  (void *)VFIO_PASID_EXTENSION));
}

/* AUX_CREATE: the number. */

TEST_F(aux, create_takes_a_number_and_destroy_gives_it_back)
{
	long used = pasid_used(self->fd);
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_GE(PASID_LAST, pasid);
	ASSERT_EQ(used + 1, pasid_used(self->fd));
	ASSERT_FALSE(pasid_is_free(self->fd, pasid));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(used, pasid_used(self->fd));
	ASSERT_TRUE(pasid_is_free(self->fd, pasid));
}

TEST_F(aux, create_uses_a_fixed_number_and_destroy_leaves_it)
{
	long used = pasid_used(self->fd);

	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
		ASSERT_EQ(used, pasid_used(self->fd));
		ASSERT_EQ(0, aux_destroy(self->fd, HELD));
		ASSERT_EQ(used, pasid_used(self->fd));
		ASSERT_FALSE(pasid_is_free(self->fd, HELD));
	}
	ASSERT_EQ(0, pasid_free(self->fd, HELD, HELD));
	ASSERT_TRUE(pasid_is_free(self->fd, HELD));
}

/* In: flags only, with FIXED the number. Anything in a result is ignored. */
TEST_F(aux, results_of_create_are_not_looked_at)
{
	struct vfio_iommu_aux_create create = {
		.argsz = sizeof(create),
		.pasid = UINT32_MAX,
		.pgsize_bitmap = UINT64_MAX,
	};

	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_CREATE, &create));
	ASSERT_GE(PASID_LAST, create.pasid);
	ASSERT_NE(UINT64_MAX, create.pgsize_bitmap);
	ASSERT_EQ(sizeof(create), create.argsz);
	ASSERT_EQ(0, create.flags);
	ASSERT_EQ(0, create.reserved);
}

TEST_F(aux, EBUSY_if_the_fixed_number_is_in_use)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(-EBUSY, aux_create_fixed(self->fd, pasid));
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(-EBUSY, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, aux_attach(self->fd, HELD, self->group));
	ASSERT_EQ(-EBUSY, aux_create_fixed(self->fd, HELD));
	/* It was not this that kept it. */
	ASSERT_EQ(0, aux_destroy(self->fd, HELD));
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
}

static long hold_a_number(void *arg)
{
	struct container container;
	int *index = arg;

	if (container_open(&container, *index))
		return -ENXIO;
	return pasid_alloc(container.fd, NOT_HELD, NOT_HELD);
}

static void hold_it_until_told(int socket, void *arg)
{
	say(socket, hold_a_number(arg));
	hear(socket);
}

TEST_F(aux, ENOENT_if_the_fixed_number_is_not_held)
{
	static const u32 numbers[] = {
		1, NOT_HELD, PASID_LAST, PASID_LAST + 1, UINT32_MAX,
	};
	int other = device_index(20, 1);
	struct peer peer;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		ASSERT_EQ(-ENOENT, aux_create_fixed(self->fd, numbers[i]));

	/* Another process holds it. */
	ASSERT_EQ(0, peer_start(&peer, hold_it_until_told, &other));
	ASSERT_EQ(NOT_HELD, hear(peer.socket));
	ASSERT_EQ(-ENOENT, aux_create_fixed(self->fd, NOT_HELD));
	peer_wait(&peer);
}

TEST_F(aux, ENOSPC_if_the_quota_is_used_up)
{
	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&PASID_LIMITS(2, 1, PASID_LAST)));
	ASSERT_EQ(0, container_open(&self->container, self->index));
	self->fd = self->container.fd;
	ASSERT_EQ(HELD, pasid_alloc(self->fd, HELD, HELD));
	ASSERT_LT(0, aux_create(self->fd));
	ASSERT_EQ(-ENOSPC, aux_create(self->fd));
	/* A number that is held already costs nothing. */
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
}

TEST_F(aux, ENOSPC_if_the_range_is_used_up)
{
	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&PASID_LIMITS(10, 300, 301)));
	ASSERT_EQ(0, container_open(&self->container, self->index));
	self->fd = self->container.fd;
	ASSERT_EQ(301, aux_create(self->fd));
	ASSERT_EQ(300, aux_create(self->fd));
	ASSERT_EQ(-ENOSPC, aux_create(self->fd));
	ASSERT_EQ(0, aux_destroy(self->fd, 301));
	ASSERT_EQ(301, aux_create(self->fd));

	/* All of it is beyond what an 8-bit device can use. */
	container_close(&self->container);
	ASSERT_EQ(0, container_open(&self->container, device_index(8, 0)));
	ASSERT_EQ(-ENOSPC, aux_create(self->container.fd));
}

/* Each attachment takes one of the domain ids of the IOMMU, which others need. */

static void attach_two_until_told(int socket, void *arg)
{
	const int *index = arg;
	struct container container;
	int ret = container_open_device(&container, *index);

	for (int i = 0; i < 2 && !ret; i++)
		ret = aux_attach(container.fd, aux_create(container.fd),
				 group_number(*index));
	say(socket, ret);
	hear(socket);
}

TEST_F(aux, ENOSPC_if_the_system_has_as_many_attachments_as_it_may)
{
	struct limits limits = DEFAULT_LIMITS;
	int second = device_index(20, 1);
	struct container stock;
	struct peer peer;
	long pasid;

	container_close(&self->container);
	limits.attachments = 3;
	ASSERT_EQ(0, use_modules(&limits));
	ASSERT_EQ(0, peer_start(&peer, attach_two_until_told, &second));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	ASSERT_EQ(0, aux_attach(self->fd, aux_create(self->fd), self->group));
	pasid = aux_create(self->fd);
	ASSERT_EQ(-ENOSPC, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(3, count_of("attachments"));
	/* What is of stock is not counted. */
	ASSERT_EQ(0, container_open(&stock, device_index(8, 0)));
	container_close(&stock);

	peer_kill(&peer);
	for (int i = 0; i < 500 && count_of("attachments") > 1; i++)
		usleep(10 * 1000);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_EQ(1, count_of("attachments"));
}

TEST_F(aux, ENOSPC_if_the_process_has_as_many_attachments_as_pasids)
{
	int second = device_index(20, 1), group, device;
	long first_space, second_space;

	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&PASID_LIMITS(3, 1, PASID_LAST)));
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	group = add_group(self->fd, second);
	ASSERT_LE(0, group);
	device = device_of(group, second);
	ASSERT_LE(0, device);
	first_space = aux_create(self->fd);
	second_space = aux_create(self->fd);
	ASSERT_EQ(0, aux_attach(self->fd, first_space, self->group));
	ASSERT_EQ(0, aux_attach(self->fd, first_space, group_number(second)));
	ASSERT_EQ(0, aux_attach(self->fd, second_space, self->group));
	ASSERT_EQ(-ENOSPC, aux_attach(self->fd, second_space,
				      group_number(second)));
	ASSERT_EQ(0, aux_destroy(self->fd, first_space));
	ASSERT_EQ(0, aux_attach(self->fd, second_space, group_number(second)));
	close(device);
	close(group);
}

TEST_F(aux, EOPNOTSUPP_if_no_group_can_use_pasids)
{
	struct container container;
	int narrow;

	ASSERT_EQ(0, container_open_device(&container, device_index(0, 0)));
	ASSERT_EQ(-EOPNOTSUPP, aux_create(container.fd));
	ASSERT_EQ(-EOPNOTSUPP, aux_create_fixed(container.fd, HELD));
	narrow = add_group(container.fd, device_index(8, 0));
	ASSERT_LE(0, narrow);
	ASSERT_EQ(255, aux_create(container.fd));
	close(narrow);
	ASSERT_EQ(-EOPNOTSUPP, aux_create(container.fd));
	container_close(&container);
}

TEST_F(aux, the_narrowest_group_counts)
{
	int narrow = add_group(self->fd, device_index(8, 0)), none;

	ASSERT_LE(0, narrow);
	none = add_group(self->fd, device_index(0, 0));
	ASSERT_LE(0, none);
	ASSERT_EQ(255, aux_create(self->fd));
	ASSERT_EQ(254, aux_create(self->fd));
	ASSERT_EQ(-ERANGE, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(256, pasid_alloc(self->fd, 256, 256));
	ASSERT_EQ(-ERANGE, aux_create_fixed(self->fd, 256));
	ASSERT_EQ(253, pasid_alloc(self->fd, 253, 253));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 253));

	/* The error left them as they were. */
	close(narrow);
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 256));
	ASSERT_LT(255, aux_create(self->fd));
	close(none);
}

/* AUX_CREATE: the window. */

/* First-stage tables have the lower half of 48 bits, second-stage ones all. */
static u64 aperture(void)
{
	return 1ull << (first_stage() ? 47 : 48);
}

TEST_F(aux, no_wish_grants_all_there_is)
{
	struct vfio_iommu_aux_create create;

	ASSERT_EQ(0, aux_create_window(self->fd, 0, 0, &create));
	ASSERT_EQ(0, create.iova_start);
	ASSERT_EQ(aperture(), create.iova_size);
	ASSERT_EQ(PAGE, create.pgsize_bitmap & -create.pgsize_bitmap);
	ASSERT_TRUE(create.pgsize_bitmap & 2 << 20);
}

TEST_F(aux, a_wish_is_cut_to_what_can_be_served)
{
	static const struct {
		u64 start, size, granted_start, granted_size;
	} requests[] = {
		{ PAGE, PAGE, PAGE, PAGE },
		{ 0, 1ull << 32, 0, 1ull << 32 },
		{ PAGE + 1, 2 * PAGE, 2 * PAGE, PAGE },
		{ 1, 3 * PAGE - 1, PAGE, 2 * PAGE },
		{ 5 * PAGE, 2 * PAGE - 1, 5 * PAGE, PAGE },
	};
	struct vfio_iommu_aux_create create;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		ASSERT_EQ(0, aux_create_window(self->fd, requests[i].start,
					       requests[i].size, &create));
		ASSERT_EQ(requests[i].granted_start, create.iova_start);
		ASSERT_EQ(requests[i].granted_size, create.iova_size);
	}
	ASSERT_EQ(0, aux_create_window(self->fd, 0, UINT64_MAX, &create));
	ASSERT_EQ(aperture(), create.iova_size);
	ASSERT_EQ(0, aux_create_window(self->fd, aperture() - PAGE,
				       UINT64_MAX - aperture(), &create));
	ASSERT_EQ(aperture() - PAGE, create.iova_start);
	ASSERT_EQ(PAGE, create.iova_size);
}

TEST_F(aux, EINVAL_if_the_wish_makes_no_sense)
{
	struct vfio_iommu_aux_create create;
	long used = pasid_used(self->fd);

	ASSERT_EQ(-EINVAL, aux_create_window(self->fd, PAGE, 0, &create));
	ASSERT_EQ(-EINVAL, aux_create_window(self->fd, UINT64_MAX, 0, &create));
	ASSERT_EQ(-EINVAL, aux_create_window(self->fd, UINT64_MAX, 2, &create));
	ASSERT_EQ(-EINVAL, aux_create_window(self->fd, PAGE, UINT64_MAX, &create));
	ASSERT_EQ(used, pasid_used(self->fd));
}

TEST_F(aux, ERANGE_if_nothing_of_the_wish_can_be_served)
{
	struct vfio_iommu_aux_create create;
	long used = pasid_used(self->fd);

	ASSERT_EQ(-ERANGE, aux_create_window(self->fd, aperture(), PAGE, &create));
	ASSERT_EQ(-ERANGE, aux_create_window(self->fd, UINT64_MAX, 1, &create));
	ASSERT_EQ(-ERANGE, aux_create_window(self->fd, 0, PAGE - 1, &create));
	ASSERT_EQ(-ERANGE, aux_create_window(self->fd, 1, PAGE, &create));
	ASSERT_EQ(used, pasid_used(self->fd));
}

/* AUX_DESTROY, AUX_ATTACH, AUX_DETACH. */

TEST_F(aux, ENOENT_if_there_is_no_such_space)
{
	static const u32 numbers[] = { HELD, NOT_HELD, UINT32_MAX };
	struct aux_info info = { .head.cursor = 0 };
	long pasid = aux_create(self->fd);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		ASSERT_EQ(-ENOENT, aux_destroy(self->fd, numbers[i]));
		ASSERT_EQ(-ENOENT, aux_attach(self->fd, numbers[i],
					      self->group));
		ASSERT_EQ(-ENOENT, aux_detach(self->fd, numbers[i],
					      self->group));
		ASSERT_EQ(-ENOENT, aux_info(self->fd, numbers[i], 1, &info));
	}
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(-ENOENT, aux_destroy(self->fd, pasid));
}

TEST_F(aux, ENOENT_if_the_space_is_another_containers)
{
	struct aux_info info = { .head.cursor = 0 };
	int index = device_index(20, 1);
	struct container other;

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, container_open_device(&other, index));
	ASSERT_EQ(-ENOENT, aux_attach(other.fd, HELD, group_number(index)));
	ASSERT_EQ(-ENOENT, aux_detach(other.fd, HELD, group_number(index)));
	ASSERT_EQ(-ENOENT, aux_info(other.fd, HELD, 1, &info));
	ASSERT_EQ(-ENOENT, aux_destroy(other.fd, HELD));
	ASSERT_EQ(-EBUSY, aux_create_fixed(other.fd, HELD));
	/* The number is the process's, whichever container took it. */
	ASSERT_EQ(0, aux_destroy(self->fd, HELD));
	ASSERT_EQ(0, aux_create_fixed(other.fd, HELD));
	container_close(&other);
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
}

TEST_F(aux, ENOENT_if_the_group_is_not_one_of_the_container)
{
	struct container other;
	int index = device_index(20, 1);

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, container_open_device(&other, index));
	ASSERT_EQ(-ENOENT, aux_attach(self->fd, HELD, group_number(index)));
	ASSERT_EQ(-ENOENT, aux_detach(self->fd, HELD, group_number(index)));
	ASSERT_EQ(-ENOENT, aux_attach(self->fd, HELD, NO_SUCH_GROUP));
	ASSERT_EQ(-ENOENT, aux_attach(self->fd, HELD, VFIO_PASID_NO_GROUP));
	ASSERT_EQ(-ENOENT, aux_detach(self->fd, HELD, NO_SUCH_GROUP));
	container_close(&other);
}

TEST_F(aux, EEXIST_if_attached_already_ENOENT_if_not)
{
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(-ENOENT, aux_detach(self->fd, HELD, self->group));
		ASSERT_EQ(0, aux_attach(self->fd, HELD, self->group));
		ASSERT_EQ(-EEXIST, aux_attach(self->fd, HELD, self->group));
		ASSERT_EQ(1, aux_is_attached(self->fd, HELD, self->group));
		ASSERT_EQ(0, aux_detach(self->fd, HELD, self->group));
		ASSERT_EQ(0, aux_is_attached(self->fd, HELD, self->group));
	}
}

TEST_F(aux, ENODEV_if_the_device_is_not_open)
{
	int index = device_index(20, 1), group, device;

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	group = add_group(self->fd, index);
	ASSERT_LE(0, group);
	ASSERT_EQ(-ENODEV, aux_attach(self->fd, HELD, group_number(index)));
	ASSERT_EQ(-ENOENT, aux_detach(self->fd, HELD, group_number(index)));
	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(0, aux_attach(self->fd, HELD, group_number(index)));
	close(device);
	ASSERT_EQ(-ENODEV, aux_attach(self->fd, HELD, group_number(index)));
	close(group);
}

TEST_F(aux, EOPNOTSUPP_if_the_group_has_no_device_with_pasids)
{
	int index = device_index(0, 0), group, device;

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	group = add_group(self->fd, index);
	ASSERT_LE(0, group);
	ASSERT_EQ(-EOPNOTSUPP, aux_attach(self->fd, HELD, group_number(index)));
	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(-EOPNOTSUPP, aux_attach(self->fd, HELD, group_number(index)));
	ASSERT_EQ(0, aux_is_attached(self->fd, HELD, group_number(index)));
	close(device);
	close(group);
}

TEST_F(aux, ERANGE_if_the_pasid_is_wider_than_the_device_can_use)
{
	int index = device_index(8, 0), group, device;

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(256, pasid_alloc(self->fd, 256, 256));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 256));
	ASSERT_EQ(255, pasid_alloc(self->fd, 255, 255));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 255));
	group = add_group(self->fd, index);
	ASSERT_LE(0, group);
	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(-ERANGE, aux_attach(self->fd, HELD, group_number(index)));
	ASSERT_EQ(-ERANGE, aux_attach(self->fd, 256, group_number(index)));
	ASSERT_EQ(0, aux_attach(self->fd, 255, group_number(index)));
	close(device);
	close(group);
}

/* PASID_REQUEST and PASID_INFO. */

TEST_F(aux, EBUSY_and_nothing_freed_if_a_number_of_the_range_is_in_use)
{
	long used;

	for (u32 pasid = HELD + 1; pasid < HELD + 200; pasid++)
		ASSERT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	used = pasid_used(self->fd);
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD + 100));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, HELD + 100, HELD + 100));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, HELD, HELD + 100));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, HELD + 100, HELD + 199));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(used, pasid_used(self->fd));

	/* Beside it, and an attachment makes no difference. */
	ASSERT_EQ(0, aux_attach(self->fd, HELD + 100, self->group));
	ASSERT_EQ(0, pasid_free(self->fd, 0, HELD + 99));
	ASSERT_EQ(0, pasid_free(self->fd, HELD + 101, UINT32_MAX));
	ASSERT_EQ(1, pasid_used(self->fd));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, aux_destroy(self->fd, HELD + 100));
	ASSERT_EQ(0, pasid_free(self->fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(self->fd));
}

TEST_F(aux, a_number_that_create_took_is_not_freed_either)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(-EBUSY, pasid_free(self->fd, pasid, pasid));
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(-EBUSY, pasid_free(self->fd, pasid, pasid));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(0, pasid_free(self->fd, pasid, pasid));
}

TEST_F(aux, PASID_INFO_tells_what_vfio_pci_hides)
{
	static const unsigned int widths[] = { 20, 8, 0 };

	container_close(&self->container);
	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		int index = device_index(widths[i], 0);
		struct vfio_iommu_pasid_info info;
		struct container container;

		ASSERT_LE(0, index);
		ASSERT_EQ(0, container_open(&container, index));
		ASSERT_EQ(0, pasid_info(container.fd, group_number(index),
					&info));
		ASSERT_EQ(widths[i], info.width);
		ASSERT_EQ(widths[i] ? device_caps(index) : 0, info.caps);
		ASSERT_EQ(0, pasid_info(container.fd, VFIO_PASID_NO_GROUP,
					&info));
		ASSERT_EQ(0, info.width);
		ASSERT_EQ(0, info.caps);
		container_close(&container);
	}
	/* So that the comparison above means something. */
	ASSERT_EQ(VFIO_PASID_CAP_EXEC | VFIO_PASID_CAP_PRIV,
		  device_caps(self->index));
}

/* AUX_INFO. */

TEST_F(aux, info_reports_window_holes_and_groups)
{
	struct aux_info info = { .head.cursor = 0 };
	struct vfio_iommu_aux_create create;
	int index = device_index(20, 1), group, device;

	group = add_group(self->fd, index);
	ASSERT_LE(0, group);
	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(0, aux_create_window(self->fd, PAGE, 1ull << 40, &create));
	ASSERT_EQ(0, aux_info(self->fd, create.pasid, AUX_ENTRIES, &info));
	ASSERT_EQ(PAGE, info.head.iova_start);
	ASSERT_EQ(1ull << 40, info.head.iova_size);
	ASSERT_EQ(create.pgsize_bitmap, info.head.pgsize_bitmap);
	ASSERT_EQ(0, info.head.cursor);
	ASSERT_EQ(1, info.head.count);
	ASSERT_EQ(VFIO_AUX_ENTRY_HOLE, info.entries[0].type);
	ASSERT_EQ(MSI_START, info.entries[0].iova);
	ASSERT_EQ(MSI_SIZE, info.entries[0].size);
	ASSERT_EQ(0, info.entries[0].data);
	ASSERT_EQ(0, info.entries[0].vaddr);

	ASSERT_EQ(0, aux_attach(self->fd, create.pasid, group_number(index)));
	ASSERT_EQ(0, aux_attach(self->fd, create.pasid, self->group));
	ASSERT_EQ(0, aux_info(self->fd, create.pasid, AUX_ENTRIES, &info));
	ASSERT_EQ(3, info.head.count);
	ASSERT_EQ(0, info.head.cursor);
	for (int i = 1; i < 3; i++) {
		ASSERT_EQ(VFIO_AUX_ENTRY_GROUP, info.entries[i].type);
		ASSERT_EQ(0, info.entries[i].iova);
		ASSERT_EQ(0, info.entries[i].size);
		ASSERT_EQ(0, info.entries[i].vaddr);
	}
	ASSERT_LT(info.entries[1].data, info.entries[2].data);
	ASSERT_EQ(self->group + group_number(index),
		  info.entries[1].data + info.entries[2].data);
	ASSERT_TRUE(info.entries[1].data == self->group ||
		    info.entries[2].data == self->group);
	close(device);
	close(group);
}

TEST_F(aux, a_hole_is_only_what_is_in_the_window)
{
	struct aux_info info = { .head.cursor = 0 };
	struct vfio_iommu_aux_create create;

	ASSERT_EQ(0, aux_create_window(self->fd, 0, MSI_START, &create));
	ASSERT_EQ(0, aux_info(self->fd, create.pasid, AUX_ENTRIES, &info));
	ASSERT_EQ(0, info.head.count);
	ASSERT_EQ(0, aux_create_window(self->fd, MSI_START + PAGE, 2 * PAGE,
				       &create));
	ASSERT_EQ(0, aux_info(self->fd, create.pasid, AUX_ENTRIES, &info));
	ASSERT_EQ(1, info.head.count);
	ASSERT_EQ(MSI_START + PAGE, info.entries[0].iova);
	ASSERT_EQ(2 * PAGE, info.entries[0].size);
}

/* One hole and one group: with room for fewer, the cursor leads on. */
TEST_F(aux, the_cursor_leads_through_all_entries_once)
{
	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, aux_attach(self->fd, HELD, self->group));
	for (int room = 0; room < 4; room++) {
		struct aux_info info = { .head.cursor = 0 };

		memset(info.entries, 0x5a, sizeof(info.entries));
		ASSERT_EQ(0, aux_info(self->fd, HELD, room, &info));
		ASSERT_EQ(room < 2 ? room : 2, info.head.count);
		ASSERT_EQ(room < 2, info.head.cursor != 0);
		/* Nothing is written beyond. */
		ASSERT_EQ(0x5a5a5a5a, info.entries[info.head.count].type);
		if (room > 0)
			ASSERT_EQ(VFIO_AUX_ENTRY_HOLE, info.entries[0].type);
		if (room < 2) {
			ASSERT_EQ(0, aux_info(self->fd, HELD, 2, &info));
			ASSERT_EQ(2 - room, info.head.count);
			ASSERT_EQ(0, info.head.cursor);
			ASSERT_EQ(room ? VFIO_AUX_ENTRY_GROUP :
				  VFIO_AUX_ENTRY_HOLE, info.entries[0].type);
		}
	}
}

TEST_F(aux, room_for_no_entry_still_reports_the_space)
{
	struct aux_info info = { .head.cursor = 0 };

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, aux_info(self->fd, HELD, 0, &info));
	ASSERT_EQ(0, info.head.count);
	ASSERT_EQ(0, info.head.iova_start);
	ASSERT_EQ(aperture(), info.head.iova_size);
	/* Half an entry is no room. */
	info.head.cursor = 0;
	info.head.argsz = sizeof(info.head) + sizeof(info.entries[0]) - 1;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_INFO, &info));
	ASSERT_EQ(0, info.head.count);
	ASSERT_NE(0, info.head.cursor);
}

TEST_F(aux, any_cursor_ends_the_report_sooner_or_later)
{
	static const u64 cursors[] = {
		1, 2, PAGE, 1ull << 32, 1ull << 59, 1ull << 60, 3ull << 60,
		1ull << 63, UINT64_MAX - 1, UINT64_MAX,
	};

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	ASSERT_EQ(0, aux_attach(self->fd, HELD, self->group));
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		struct aux_info info = { .head.cursor = cursors[i] };
		int calls = 0, entries = 0;

		do {
			ASSERT_EQ(0, aux_info(self->fd, HELD, 1, &info));
			entries += info.head.count;
			ASSERT_GE(3, ++calls);
		} while (info.head.cursor);
		ASSERT_GE(2, entries);
	}
}

TEST_F(aux, EFAULT_if_entries_cannot_be_written)
{
	struct vfio_iommu_aux_info *info = before_hole(sizeof(*info));

	ASSERT_EQ(0, aux_create_fixed(self->fd, HELD));
	*info = (struct vfio_iommu_aux_info) {
		.argsz = sizeof(*info) + sizeof(info->entries[0]),
		.pasid = HELD,
	};
	ASSERT_EQ(-EFAULT, call(self->fd, VFIO_IOMMU_AUX_INFO, info));
	/* Where nothing is written, nothing is looked at, whatever argsz says. */
	info->argsz = UINT32_MAX;
	info->cursor = UINT64_MAX;
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_AUX_INFO, info));
	ASSERT_EQ(0, info->count);
}

TEST_HARNESS_MAIN
