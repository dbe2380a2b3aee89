// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs in a guest of scripts/bench. `bench numbers` counts what has nothing to
 * do with the IOMMU's tables; `bench spaces GIGABYTES` counts the rest; `bench
 * waits SECONDS` and `bench beside SECONDS` keep two processors busy.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "pasid_device.h"

/* As high as they go: what is measured is not to be refused. */
static const struct limits limits = {
	.quota = PASID_LAST,
	.min = 1,
	.max = PASID_LAST,
	.regions = 65535,
	.mappings = 1000000,
	.attachments = 16384,
	.process_space = true,
};

static void load(void)
{
	announce("vfio_pasid with pasid_quota=%u mapping_limit=%u", limits.quota,
		 limits.mappings);
	CHECK(use_modules(&limits));
	if (!module_loaded("vfio_pasid_bench"))
		CHECK(load_module("vfio_pasid_bench", ""));
}

int main(int argc, char **argv)
{
	load();
	if (argc > 1 && !strcmp(argv[1], "numbers")) {
		count_numbers();
		count_lookups();
	} else if (argc > 2 && !strcmp(argv[1], "spaces")) {
		count_spaces(atoi(argv[2]));
		wait_for_closing();
		count_stock("ours");
		CHECK(unload_module("vfio_pasid_bench"));
		CHECK(use_type1(TYPE1_STOCK));
		count_stock("stock");
		if (first_stage())
			count_process_space(&limits);
	} else if (argc > 2 && !strcmp(argv[1], "beside")) {
		count_beside(atoi(argv[2]));
	} else if (argc > 2 && !strcmp(argv[1], "waits")) {
		count_waits(atoi(argv[2]));
	} else {
		give_up("bench numbers, spaces GIGABYTES, waits SECONDS, or beside SECONDS",
			-EINVAL);
	}
	return 0;
}
