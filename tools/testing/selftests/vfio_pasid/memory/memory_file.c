// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registering mappings of files: what file systems in memory, on a disk and on
 * DAX allow. The disk is /dev/pmem0, which memmap= on the kernel's command line
 * makes, because it can do without and with DAX.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "vfio_pasid_utils.h"

#define PAGES		16
#define READ_ONLY	VFIO_MEMORY_READ_ONLY
#define FOLDER		"/tmp/memory_file"

/* Mappings of a file. */
enum mapping {
	SHARED,
	SHARED_READ_ONLY,
	PRIVATE,
	MAPPINGS,
};

FIXTURE(memory_file) {
	struct before before;
	struct container container;
	int file;
};

FIXTURE_VARIANT(memory_file) {
	const char *options;	/* of the mount; NULL: no disk */
	/* What registering returns, without and with VFIO_MEMORY_READ_ONLY. */
	int expected[MAPPINGS][2];
};

FIXTURE_VARIANT_ADD(memory_file, in_memory) {
	.options = NULL,
	.expected = {
		[SHARED] = { 0, 0 },
		[SHARED_READ_ONLY] = { -EFAULT, 0 },
		[PRIVATE] = { 0, 0 },
	},
};

/* The file system could not tell what a device writes, and when. */
FIXTURE_VARIANT_ADD(memory_file, on_a_disk) {
	.options = "",
	.expected = {
		[SHARED] = { -EFAULT, 0 },
		[SHARED_READ_ONLY] = { -EFAULT, 0 },
		[PRIVATE] = { 0, 0 },
	},
};

FIXTURE_VARIANT_ADD(memory_file, on_dax) {
	.options = "dax=always",
	.expected = {
		[SHARED] = { -EOPNOTSUPP, -EOPNOTSUPP },
		[SHARED_READ_ONLY] = { -EOPNOTSUPP, -EOPNOTSUPP },
		[PRIVATE] = { -EOPNOTSUPP, -EOPNOTSUPP },
	},
};

FIXTURE_SETUP(memory_file)
{
	char bytes[PAGES * PAGE] = { 1 };

	self->container = NO_CONTAINER;
	self->file = -1;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	mkdir(FOLDER, 0700);
	if (variant->options) {
		ASSERT_EQ(0, system("modprobe -a nd_e820 nd_pmem ext4"));
		ASSERT_EQ(0, system("mke2fs -b 4096 -F /dev/pmem0 >/dev/null"));
		ASSERT_EQ(0, mount("/dev/pmem0", FOLDER, "ext4", 0,
				   variant->options));
	}
	self->file = open(FOLDER "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_LE(0, self->file);
	ASSERT_EQ(sizeof(bytes), write(self->file, bytes, sizeof(bytes)));
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->before = look_before();
}

FIXTURE_TEARDOWN(memory_file)
{
	container_close(&self->container);
	ASSERT_TRUE(holds(&self->before, 0, 0));
	close(self->file);
	unlink(FOLDER "/file");
	/* EBUSY if something of it is still in use. */
	ASSERT_EQ(0, variant->options ? umount(FOLDER) : 0);
}

static void *map_file(int file, enum mapping mapping)
{
	return mmap(NULL, PAGES * PAGE,
		    mapping == SHARED_READ_ONLY ? PROT_READ :
						  PROT_READ | PROT_WRITE,
		    mapping == PRIVATE ? MAP_PRIVATE : MAP_SHARED, file, 0);
}

TEST_F(memory_file, is_registered_as_its_file_system_allows)
{
	for (enum mapping mapping = 0; mapping < MAPPINGS; mapping++) {
		for (u32 flags = 0; flags <= READ_ONLY; flags++) {
			int expected = variant->expected[mapping][flags];
			char *memory = map_file(self->file, mapping);

			ASSERT_NE(MAP_FAILED, (void *)memory);
			/* Never touched, touched, and registered before. */
			for (int round = 0; round < 3; round++) {
				ASSERT_EQ(expected,
					  register_pages(self->container.fd,
							 flags, memory, 0,
							 PAGES)) {
					TH_LOG("mapping %d, flags %u, round %d",
					       mapping, flags, round);
				}
				if (expected) {
					ASSERT_TRUE(holds(&self->before, 0, 0));
				} else {
					ASSERT_TRUE(holds(&self->before, 1,
							  PAGES));
					ASSERT_EQ(0, unregister_pages(self->container.fd,
								      memory, 0, PAGES));
				}
				ASSERT_EQ(1, memory[0]);
			}
			ASSERT_EQ(0, munmap(memory, PAGES * PAGE));
		}
	}
}

TEST_F(memory_file, pages_stay_when_it_is_truncated)
{
	int expected = variant->expected[SHARED][1];
	char *memory = map_file(self->file, SHARED);
	int fd = self->container.fd;

	ASSERT_NE(MAP_FAILED, (void *)memory);
	ASSERT_EQ(expected, register_pages(fd, READ_ONLY, memory, 0, PAGES));
	ASSERT_EQ(0, ftruncate(self->file, 0));
	ASSERT_TRUE(holds(&self->before, !expected, expected ? 0 : PAGES));
	ASSERT_EQ(expected ? -ENOENT : 0,
		  unregister_pages(fd, memory, 0, PAGES));
	ASSERT_TRUE(holds(&self->before, 0, 0));
	/* Behind the end of the file nothing can be. */
	ASSERT_EQ(expected ?: -EFAULT,
		  register_pages(fd, READ_ONLY, memory, 0, PAGES));
	ASSERT_EQ(0, munmap(memory, PAGES * PAGE));
}

TEST_HARNESS_MAIN
