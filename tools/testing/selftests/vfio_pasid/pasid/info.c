// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_PASID_INFO and the feature bits of VFIO_CHECK_EXTENSION: what they
 * report, and every error.
 */
#include <kselftest_harness.h>

#include "conventions.h"

#define NO_SUCH_GROUP	0x7ffffff0

FIXTURE(info) {
	struct container container;
	int fd;
};

FIXTURE_SETUP(info)
{
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
}

FIXTURE_TEARDOWN(info)
{
	container_close(&self->container);
}

TEST_F(info, reports_quota_and_use)
{
	struct vfio_iommu_pasid_info info;
	unsigned int quota;

	ASSERT_EQ(0, module_parameter("pasid_quota", &quota, NULL));
	ASSERT_EQ(0, pasid_info(self->fd, VFIO_PASID_NO_GROUP, &info));
	ASSERT_EQ(quota, info.quota);
	ASSERT_EQ(0, info.used);

	ASSERT_EQ(200, pasid_alloc(self->fd, 100, 200));
	ASSERT_EQ(199, pasid_alloc(self->fd, 100, 200));
	ASSERT_EQ(0, pasid_info(self->fd, VFIO_PASID_NO_GROUP, &info));
	ASSERT_EQ(quota, info.quota);
	ASSERT_EQ(2, info.used);

	ASSERT_EQ(0, pasid_free(self->fd, 200, 200));
	ASSERT_EQ(0, pasid_info(self->fd, VFIO_PASID_NO_GROUP, &info));
	ASSERT_EQ(1, info.used);
}

TEST_F(info, leaves_what_is_not_a_result_alone)
{
	struct {
		struct vfio_iommu_pasid_info info;
		u32 behind;
	} larger = {
		.info = {
			.argsz = sizeof(larger),
			.group = VFIO_PASID_NO_GROUP,
		},
		.behind = 0x5a5a5a5a,
	};

	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_PASID_INFO, &larger));
	ASSERT_EQ(sizeof(larger), larger.info.argsz);
	ASSERT_EQ(0, larger.info.flags);
	ASSERT_EQ(VFIO_PASID_NO_GROUP, larger.info.group);
	ASSERT_EQ(0, larger.info.reserved);
	ASSERT_EQ(0x5a5a5a5a, larger.behind);
}

TEST_F(info, results_are_not_looked_at)
{
	struct vfio_iommu_pasid_info info = {
		.argsz = sizeof(info),
		.group = VFIO_PASID_NO_GROUP,
		.quota = UINT32_MAX,
		.used = UINT32_MAX,
		.width = UINT32_MAX,
		.caps = UINT32_MAX,
	};

	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_PASID_INFO, &info));
	ASSERT_EQ(DEFAULT_LIMITS.quota, info.quota);
	ASSERT_EQ(0, info.used);
	ASSERT_EQ(0, info.width);
	ASSERT_EQ(0, info.caps);
}

/* The groups. */

TEST_F(info, no_group_has_no_width)
{
	struct vfio_iommu_pasid_info info;

	ASSERT_EQ(0, pasid_info(self->fd, VFIO_PASID_NO_GROUP, &info));
	ASSERT_EQ(0, info.width);
	ASSERT_EQ(0, info.caps);
}

/* The devices that QEMU emulates have no PASID capability. */
TEST_F(info, group_of_a_device_without_pasid_capability_has_width_0)
{
	struct vfio_iommu_pasid_info info;

	ASSERT_EQ(0, pasid_info(self->fd, group_number(0), &info));
	ASSERT_EQ(0, info.width);
	ASSERT_EQ(0, info.caps);
	ASSERT_EQ(DEFAULT_LIMITS.quota, info.quota);
	ASSERT_EQ(0, info.used);
	ASSERT_EQ(group_number(0), info.group);
}

TEST_F(info, every_group_of_the_container_is_known_while_it_is_there)
{
	struct vfio_iommu_pasid_info info;
	int second = group_node(1);

	ASSERT_LE(0, second);
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, group_number(1), &info));
	ASSERT_EQ(0, set_container(second, self->fd));
	ASSERT_EQ(0, pasid_info(self->fd, group_number(1), &info));
	ASSERT_EQ(0, pasid_info(self->fd, group_number(0), &info));

	ASSERT_EQ(0, unset_container(self->container.group));
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, group_number(0), &info));
	ASSERT_EQ(0, pasid_info(self->fd, group_number(1), &info));
	ASSERT_EQ(0, set_container(self->container.group, self->fd));
	ASSERT_EQ(0, pasid_info(self->fd, group_number(0), &info));

	close(second);
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, group_number(1), &info));
	ASSERT_EQ(0, pasid_info(self->fd, group_number(0), &info));
}

TEST_F(info, unknown_group_is_ENOENT)
{
	struct vfio_iommu_pasid_info info;

	ASSERT_EQ(-ENOENT, pasid_info(self->fd, NO_SUCH_GROUP, &info));
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, VFIO_PASID_NO_GROUP - 1, &info));
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, INT32_MAX, &info));
}

TEST_F(info, group_of_another_container_is_ENOENT)
{
	struct vfio_iommu_pasid_info info;
	struct container other;

	ASSERT_EQ(0, container_open(&other, 1));
	ASSERT_EQ(-ENOENT, pasid_info(self->fd, group_number(1), &info));
	ASSERT_EQ(-ENOENT, pasid_info(other.fd, group_number(0), &info));
	ASSERT_EQ(0, pasid_info(other.fd, group_number(1), &info));
	container_close(&other);
}

/* The other errors. */

static const struct ioctl good = {
	.name = "PASID_INFO",
	.request = VFIO_IOMMU_PASID_INFO,
	.reserved = offsetof(struct vfio_iommu_pasid_info, reserved),
	.argument.info = {
		.argsz = sizeof(struct vfio_iommu_pasid_info),
		.group = VFIO_PASID_NO_GROUP,
	},
};

TEST_F(info, argsz_too_short_is_EINVAL)
{
	ASSERT_TRUE(refuses_short_argsz(self->fd, &good));
}

TEST_F(info, argsz_of_a_larger_structure_is_fine)
{
	static const u32 sizes[] = {
		sizeof(struct vfio_iommu_pasid_info) + 1, PAGE, UINT32_MAX,
	};
	struct vfio_iommu_pasid_info *info = before_hole(sizeof(*info));

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		*info = good.argument.info;
		info->argsz = sizes[i];
		ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_PASID_INFO, info));
		ASSERT_EQ(DEFAULT_LIMITS.quota, info->quota);
	}
}

TEST_F(info, any_flag_is_EINVAL)
{
	ASSERT_TRUE(refuses_unknown_flags(self->fd, &good));
}

TEST_F(info, reserved_field_that_is_not_0_is_EINVAL)
{
	ASSERT_TRUE(refuses_reserved_field(self->fd, &good));
}

TEST_F(info, bad_pointers_are_EFAULT)
{
	ASSERT_TRUE(refuses_bad_pointers(self->fd, &good));
}

TEST_F(info, memory_that_cannot_be_written_is_EFAULT)
{
	ASSERT_TRUE(answers(self->fd, &good, read_only(&good), -EFAULT));
}

TEST_F(info, before_set_iommu_is_EINVAL)
{
	int group = group_node(1), container = container_node();
	struct vfio_iommu_pasid_info info;

	ASSERT_LE(0, group);
	ASSERT_LE(0, container);
	ASSERT_EQ(-EINVAL, pasid_info(container, VFIO_PASID_NO_GROUP, &info));
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(-EINVAL, pasid_info(container, group_number(1), &info));
	close(container);
	close(group);
}

/* VFIO_CHECK_EXTENSION. */

static long features(int container)
{
	return call(container, VFIO_CHECK_EXTENSION,
		    (void *)VFIO_PASID_EXTENSION);
}

TEST_F(info, features_are_reported_in_every_state_of_a_container)
{
	int group = group_node(1), container = container_node();
	/* All of them, and nothing that is not there. */
	long expected = VFIO_PASID_FEATURE_PASID | VFIO_PASID_FEATURE_AUX |
			VFIO_PASID_FEATURE_MEMORY | VFIO_PASID_FEATURE_WINDOW |
			VFIO_PASID_FEATURE_HOT_RESET |
			VFIO_PASID_FEATURE_OWN_SPACE |
			VFIO_PASID_FEATURE_PROCESS;

	ASSERT_LE(0, group);
	ASSERT_LE(0, container);
	ASSERT_EQ(expected, features(container));
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(expected, features(container));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(expected, features(container));
	ASSERT_EQ(0, unset_container(group));
	ASSERT_EQ(expected, features(container));
	close(container);
	close(group);
}

TEST_F(info, the_extension_is_not_an_iommu_type)
{
	int group = group_node(1), container = container_node();

	ASSERT_LE(0, group);
	ASSERT_LE(0, container);
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(-ENODEV, set_iommu(container, VFIO_PASID_EXTENSION));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1_IOMMU));
	close(container);
	close(group);
}

TEST_HARNESS_MAIN
