// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading the modules: the parameters of vfio_pasid, what they do, what is
 * refused and how it is said; kernels that the modules were not built for.
 */
#include <kselftest_harness.h>

#include "vfio_pasid_utils.h"

FIXTURE(params) {
	int log;
};

FIXTURE_SETUP(params)
{
	ASSERT_EQ(0, unload_all());
	self->log = kernel_log_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(params)
{
	close(self->log);
	unload_all();
}

/* What can be read. */

TEST_F(params, defaults)
{
	unsigned int value;

	ASSERT_EQ(0, load_module("vfio_pasid", ""));
	ASSERT_EQ(0, module_parameter("pasid_quota", &value, NULL));
	ASSERT_EQ(1000, value);
	ASSERT_EQ(0, module_parameter("pasid_min", &value, NULL));
	ASSERT_EQ(1, value);
	ASSERT_EQ(0, module_parameter("pasid_max", &value, NULL));
	ASSERT_EQ(PASID_LAST, value);
	ASSERT_EQ(0, module_parameter("region_limit", &value, NULL));
	ASSERT_EQ(65535, value);
	ASSERT_EQ(0, module_parameter("mapping_limit", &value, NULL));
	ASSERT_EQ(65535, value);
	ASSERT_EQ(0, module_parameter("attachment_limit", &value, NULL));
	ASSERT_EQ(16384, value);
}

TEST_F(params, parameters_are_readable_by_all_and_writable_by_none)
{
	static const char *const names[] = {
		"pasid_quota", "pasid_min", "pasid_max", "region_limit",
		"mapping_limit", "attachment_limit",
	};
	static const char values[] =
		"pasid_quota=7 pasid_min=20 pasid_max=30 region_limit=40 mapping_limit=50";
	unsigned int value;
	mode_t mode;

	ASSERT_EQ(0, load_module("vfio_pasid", values));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ASSERT_EQ(0, module_parameter(names[i], &value, &mode));
		ASSERT_EQ(0444, mode);
	}
	ASSERT_EQ(0, module_parameter("pasid_quota", &value, NULL));
	ASSERT_EQ(7, value);
	ASSERT_EQ(0, module_parameter("pasid_min", &value, NULL));
	ASSERT_EQ(20, value);
	ASSERT_EQ(0, module_parameter("pasid_max", &value, NULL));
	ASSERT_EQ(30, value);
	ASSERT_EQ(0, module_parameter("region_limit", &value, NULL));
	ASSERT_EQ(40, value);
	ASSERT_EQ(0, module_parameter("mapping_limit", &value, NULL));
	ASSERT_EQ(50, value);
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	ASSERT_EQ(0, load_module("vfio_pasid", "attachment_limit=60"));
	ASSERT_EQ(0, module_parameter("attachment_limit", &value, NULL));
	ASSERT_EQ(60, value);
}

/* What is refused. */

TEST_F(params, bad_values_are_refused_with_a_message)
{
	static const struct {
		const char *parameters, *name, *value;
	} bad[] = {
		{ "pasid_quota=1048576", "pasid_quota", "1048576" },
		{ "pasid_quota=4294967295", "pasid_quota", "4294967295" },
		{ "pasid_min=0", "pasid_min", "0" },
		{ "pasid_min=1048576", "pasid_min", "1048576" },
		{ "pasid_max=1048576", "pasid_max", "1048576" },
		{ "pasid_max=4294967295", "pasid_max", "4294967295" },
		{ "pasid_max=0", "pasid_max", "0" },
		{ "pasid_min=11 pasid_max=10", "pasid_max=10", "pasid_min=11" },
		{ "pasid_quota=many", "pasid_quota", "many" },
		{ "pasid_quota=-1", "pasid_quota", "-1" },
		{ "pasid_min=1.5", "pasid_min", "1.5" },
		{ "pasid_max=", "pasid_max", "" },
		{ "region_limit=-1", "region_limit", "-1" },
		{ "mapping_limit=all", "mapping_limit", "all" },
		{ "attachment_limit=-1", "attachment_limit", "-1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char name[64];

		ASSERT_EQ(-EINVAL, load_module("vfio_pasid", bad[i].parameters)) {
			TH_LOG("%s", bad[i].parameters);
		}
		ASSERT_FALSE(module_loaded("vfio_pasid"));
		snprintf(name, sizeof(name), "%s", bad[i].name);
		ASSERT_TRUE(kernel_log_has(self->log, name, bad[i].value)) {
			TH_LOG("%s: no message says so", bad[i].parameters);
		}
	}
	/* Nothing of it stays. */
	ASSERT_EQ(0, load_module("vfio_pasid", ""));
}

TEST_F(params, messages_name_the_module)
{
	ASSERT_EQ(-EINVAL, load_module("vfio_pasid", "pasid_quota=1048576"));
	ASSERT_TRUE(kernel_log_has(self->log, "vfio_pasid: ", "pasid_quota"));
}

TEST_F(params, good_values_are_loaded_without_a_message)
{
	ASSERT_EQ(0, load_module("vfio_pasid", "pasid_quota=0"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	ASSERT_EQ(0, load_module("vfio_pasid", "pasid_quota=1048575"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	ASSERT_EQ(0, load_module("vfio_pasid", "pasid_min=1 pasid_max=1"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	ASSERT_EQ(0, load_module("vfio_pasid",
				 "pasid_min=1048575 pasid_max=1048575"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	/* Any number is good here. */
	ASSERT_EQ(0, load_module("vfio_pasid",
				 "region_limit=0 mapping_limit=4294967295"));
	ASSERT_EQ(0, unload_module("vfio_pasid"));
	ASSERT_EQ(0, load_module("vfio_pasid",
				 "region_limit=4294967295 mapping_limit=0"));
	ASSERT_FALSE(kernel_log_has(self->log, "vfio_pasid: ", "pasid_"));
}

/* What they do. */

static long alloc_any(int container)
{
	return pasid_alloc(container, 0, UINT32_MAX);
}

TEST_F(params, quota_0_means_none)
{
	struct container container;

	ASSERT_EQ(0, use_modules(&PASID_LIMITS(0, 1, PASID_LAST)));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(0, pasid_quota(container.fd));
	ASSERT_EQ(-ENOSPC, alloc_any(container.fd));
	ASSERT_EQ(-ENOSPC, pasid_alloc(container.fd, 1, 1));
	ASSERT_EQ(0, pasid_free(container.fd, 0, UINT32_MAX));
	ASSERT_EQ(0, pasid_used(container.fd));
	container_close(&container);
}

TEST_F(params, quota_1_means_1)
{
	struct container container;

	ASSERT_EQ(0, use_modules(&PASID_LIMITS(1, 1, PASID_LAST)));
	ASSERT_EQ(0, container_open(&container, 0));
	ASSERT_EQ(1, pasid_quota(container.fd));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(PASID_LAST, alloc_any(container.fd));
		ASSERT_EQ(-ENOSPC, alloc_any(container.fd));
		ASSERT_EQ(0, pasid_free(container.fd, PASID_LAST, PASID_LAST));
	}
	container_close(&container);
}

TEST_F(params, quota_n_means_n)
{
	static const unsigned int quotas[] = { 2, 63, 64, 65, 130 };
	struct limits limits = DEFAULT_LIMITS;

	for (size_t i = 0; i < ARRAY_SIZE(quotas); i++) {
		struct container container;

		limits.quota = quotas[i];
		ASSERT_EQ(0, use_modules(&limits));
		ASSERT_EQ(0, container_open(&container, 0));
		ASSERT_EQ(quotas[i], pasid_quota(container.fd));
		for (int round = 0; round < 2; round++) {
			for (unsigned int n = 0; n < quotas[i]; n++)
				ASSERT_EQ(PASID_LAST - n,
					  alloc_any(container.fd));
			ASSERT_EQ(-ENOSPC, alloc_any(container.fd));
			ASSERT_EQ(quotas[i], pasid_used(container.fd));
			ASSERT_EQ(0, pasid_free(container.fd, 0, UINT32_MAX));
		}
		container_close(&container);
	}
}

TEST_F(params, min_and_max_narrow_every_range)
{
	struct container container;
	int fd;

	ASSERT_EQ(0, use_modules(&PASID_LIMITS(1000, 100, 200)));
	ASSERT_EQ(0, container_open(&container, 0));
	fd = container.fd;
	ASSERT_EQ(-ENOSPC, pasid_alloc(fd, 0, 99));
	ASSERT_EQ(-ENOSPC, pasid_alloc(fd, 201, UINT32_MAX));
	ASSERT_EQ(-ENOSPC, pasid_alloc(fd, PASID_LAST, PASID_LAST));
	ASSERT_EQ(100, pasid_alloc(fd, 0, 100));
	ASSERT_EQ(200, pasid_alloc(fd, 200, UINT32_MAX));
	for (u32 pasid = 199; pasid > 100; pasid--)
		ASSERT_EQ(pasid, alloc_any(fd));
	ASSERT_EQ(-ENOSPC, alloc_any(fd));
	ASSERT_EQ(101, pasid_used(fd));
	ASSERT_EQ(0, pasid_free(fd, 0, 100));
	ASSERT_EQ(0, pasid_free(fd, 200, UINT32_MAX));
	ASSERT_EQ(99, pasid_used(fd));
	ASSERT_EQ(200, alloc_any(fd));
	ASSERT_EQ(100, alloc_any(fd));
	ASSERT_EQ(-ENOSPC, alloc_any(fd));
	container_close(&container);
}

TEST_F(params, min_equal_to_max_leaves_one_number)
{
	static const unsigned int only[] = { 1, 64, PASID_LAST };
	struct limits limits = DEFAULT_LIMITS;

	for (size_t i = 0; i < ARRAY_SIZE(only); i++) {
		struct container container;

		limits.min = only[i];
		limits.max = only[i];
		ASSERT_EQ(0, use_modules(&limits));
		ASSERT_EQ(0, container_open(&container, 0));
		ASSERT_EQ(only[i], alloc_any(container.fd));
		ASSERT_EQ(-ENOSPC, alloc_any(container.fd));
		ASSERT_EQ(0, pasid_free(container.fd, 0, UINT32_MAX));
		ASSERT_EQ(only[i], alloc_any(container.fd));
		container_close(&container);
	}
}

/* Unloading, and what cannot be loaded. */

TEST_F(params, unloading_leaves_nothing)
{
	struct container container;

	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
		ASSERT_EQ(0, container_open(&container, 0));
		ASSERT_EQ(0, pasid_used(container.fd));
		ASSERT_EQ(PASID_LAST, alloc_any(container.fd));
		container_close(&container);
		ASSERT_EQ(0, unload_module("vfio_iommu_type1"));
		ASSERT_EQ(0, unload_module("vfio_pasid"));
		ASSERT_FALSE(module_loaded("vfio_pasid"));
	}
}

TEST_F(params, type1_without_vfio_pasid_is_refused)
{
	ASSERT_EQ(-ENOENT, load_module("vfio_iommu_type1", ""));
	ASSERT_TRUE(kernel_log_has(self->log, "vfio_iommu_type1: ",
				   "Unknown symbol vfio_pasid_"));
}

TEST_F(params, a_kernel_it_was_not_built_for_refuses_it)
{
	static const char *const names[] = { "vfio_pasid", "vfio_iommu_type1" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *image, *magic;
		size_t size;

		ASSERT_EQ(0, read_module(names[i], (void **)&image, &size));
		magic = memmem(image, size, "vermagic=", strlen("vermagic="));
		ASSERT_NE(NULL, magic);
		/* Another series, the same length: "vermagic=9.3.4+..." */
		magic[strlen("vermagic=")] = '9';
		ASSERT_EQ(-ENOEXEC, load_image(image, size, ""));
		ASSERT_FALSE(module_loaded(names[i]));
		ASSERT_TRUE(kernel_log_has(self->log, names[i],
					   "version magic '9"));
		free(image);
	}
}

TEST_HARNESS_MAIN
