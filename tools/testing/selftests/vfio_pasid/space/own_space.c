// SPDX-License-Identifier: GPL-2.0-only
/*
 * The container's own space takes registered memory: VFIO_AUX_OWN_SPACE in
 * AUX_MAP, AUX_UNMAP and AUX_INFO. It is a stock mapping in all but pinning and
 * charging, and the range counts it until it is gone, whoever unmapped it.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "pasid_device.h"

#define OWN		VFIO_AUX_OWN_SPACE
#define IOVA		0x40000000ull
#define MB		(1024 * 1024ull)
#define GB		(1024 * MB)
#define READ		VFIO_AUX_MAP_READ
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)
#define PAGES		16
#define SIZE		(PAGES * PAGE)

/* A debug kernel is slow. */
#define PATIENCE	240

FIXTURE(own_space) {
	struct before before;
	struct container container;
	struct container other;
	struct pasid_device device;
	int index;
	u32 group;
	int fd;
	u8 *memory;		/* registered, PAGES */
	u8 *unregistered;
};

FIXTURE_SETUP(own_space)
{
	self->container = NO_CONTAINER;
	self->other = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	self->index = device_index(20, 0);
	ASSERT_EQ(0, container_start(&self->container, &self->device,
				     self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
	self->memory = new_pages(PAGES);
	self->unregistered = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_NE(NULL, self->unregistered);
	/* Small pages that need not follow each other. */
	ASSERT_EQ(0, madvise(self->memory, SIZE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
}

FIXTURE_TEARDOWN(own_space)
{
	device_stop(&self->device);
	container_close(&self->other);
	container_close(&self->container);
	EXPECT_TRUE(holds(&self->before, 0, 0));
	EXPECT_EQ(0, count_of("mappings"));
	if (self->memory)
		munmap(self->memory, SIZE);
}

#define MAP(memory, iova, size)	\
	aux_map(self->fd, OWN, READ_WRITE, memory, iova, size)
#define UNMAP(iova, size)	aux_unmap(self->fd, OWN, iova, size)
#define UNREGISTER()		unregister_memory(self->fd, self->memory, SIZE)
#define REACHES(iova, memory)						\
	device_reaches(&self->device, NO_PASID_TAG, iova, memory)
#define TOUCH(iova)	device_touch(&self->device, NO_PASID_TAG, iova)

/* VmLck and the pins: those of the registration, and so many more of mappings. */
#define IS_CHARGED_ONCE(mapped_pages)					\
	(is_value("locked memory", vm_locked() - self->before.locked, SIZE) & \
	 is_value("pages that vfio_pasid pinned", count_of("pinned_pages"), PAGES) & \
	 is_value("pinned pages", pinned_pages() - self->before.pinned,	\
		  PAGES + (mapped_pages)))

static long stock_unmap(int fd, u32 flags, u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = size,
	};
	long ret = call(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	return ret ? ret : (long)unmap.size;
}

static int stock_map(int fd, u32 flags, const void *memory, u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return call(fd, VFIO_IOMMU_MAP_DMA, &map);
}

TEST_F(own_space, there_is_a_feature_bit)
{
	ASSERT_EQ(VFIO_PASID_FEATURE_OWN_SPACE,
		  call(self->fd, VFIO_CHECK_EXTENSION,
		       (void *)VFIO_PASID_EXTENSION) &
		  VFIO_PASID_FEATURE_OWN_SPACE);
}

/* What is mapped. */

TEST_F(own_space, requests_without_a_pasid_reach_registered_memory)
{
	ASSERT_EQ(no_page(), TOUCH(IOVA));
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_TRUE(IS_CHARGED_ONCE(PAGES));
	for (int i = 0; i < PAGES; i++)
		ASSERT_TRUE(REACHES(IOVA + i * PAGE + 8 * i,
				    self->memory + i * PAGE + 8 * i));
	ASSERT_EQ(no_page(), TOUCH(IOVA + SIZE));
	ASSERT_EQ(SIZE, UNMAP(IOVA, SIZE));
	ASSERT_EQ(no_page(), TOUCH(IOVA));
	ASSERT_EQ(no_page(), TOUCH(IOVA + SIZE - PAGE));
	ASSERT_TRUE(IS_CHARGED_ONCE(0));
	ASSERT_EQ(0, UNREGISTER());
}

/* A part of a range, and one page at several addresses. */
TEST_F(own_space, a_mapping_may_be_any_part_any_number_of_times)
{
	for (int i = 0; i < PAGES; i++)
		ASSERT_EQ(0, MAP(self->memory + (PAGES - 1 - i) * PAGE,
				 IOVA + i * PAGE, PAGE));
	ASSERT_EQ(0, MAP(self->memory + 3 * PAGE, 2 * IOVA, 2 * PAGE));
	for (int i = 0; i < PAGES; i++)
		ASSERT_TRUE(REACHES(IOVA + i * PAGE,
				    self->memory + (PAGES - 1 - i) * PAGE));
	ASSERT_TRUE(REACHES(2 * IOVA + PAGE, self->memory + 4 * PAGE));
	ASSERT_TRUE(IS_CHARGED_ONCE(PAGES + 2));
	ASSERT_EQ(PAGES + 1, count_of("mappings"));
}

/* Two devices, each in a container of its own, and one buffer. */
TEST_F(own_space, a_second_container_charges_nothing)
{
	struct pasid_device device = NO_DEVICE;
	int index = device_index(20, 1);

	ASSERT_EQ(0, container_start(&self->other, &device, index));
	/* Each container has to hold it. */
	ASSERT_EQ(-ENOENT, aux_map(self->other.fd, OWN, READ_WRITE,
				   self->memory, IOVA, SIZE));
	ASSERT_EQ(0, register_memory(self->other.fd, 0, self->memory, SIZE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, aux_map(self->other.fd, OWN, READ_WRITE, self->memory,
			     2 * IOVA, SIZE));
	ASSERT_TRUE(IS_CHARGED_ONCE(2 * PAGES));
	ASSERT_TRUE(REACHES(IOVA + PAGE, self->memory + PAGE));
	ASSERT_TRUE(device_reaches(&device, NO_PASID_TAG, 2 * IOVA + PAGE,
				   self->memory + PAGE));
	ASSERT_EQ(no_page(), TOUCH(2 * IOVA));

	/* Stock would charge it again. */
	ASSERT_EQ(0, map_dma(self->other.fd, self->memory, IOVA, SIZE));
	ASSERT_EQ(2 * SIZE, vm_locked() - self->before.locked);
	ASSERT_EQ(SIZE, unmap_dma(self->other.fd, IOVA, SIZE));

	/* Closing one leaves the other. */
	device_stop(&self->device);
	container_close(&self->container);
	ASSERT_TRUE(IS_CHARGED_ONCE(PAGES));
	ASSERT_TRUE(device_reaches(&device, NO_PASID_TAG, 2 * IOVA + PAGE,
				   self->memory + PAGE));
	device_stop(&device);
}

/* The limit is that of locked memory; MAP_DMA of what is registered is ENOMEM. */
TEST_F(own_space, RLIMIT_MEMLOCK_is_asked_once)
{
	struct rlimit limit = {
		vm_locked(), RLIM_INFINITY,
	};

	set_ipc_lock(false);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(-ENOMEM, map_dma(self->fd, self->memory, IOVA, SIZE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, MAP(self->memory, 2 * IOVA, SIZE));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	set_ipc_lock(true);
}

TEST_F(own_space, what_the_process_does_to_its_memory_changes_nothing)
{
	u8 *kept = self->memory + SIZE / 2;
	u64 expected = 0x1122334455667788ull, seen = 0;
	struct outcome outcome;

	*(u64 *)kept = expected;
	/* Another page is there when it is mapped. */
	ASSERT_EQ(kept, mmap(kept, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(u64 *)kept = ~expected;
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, device_dma(&self->device, DMA_READ, NO_PASID_TAG,
				IOVA + SIZE / 2, 8, &outcome));
	ASSERT_EQ(DMA_DONE, outcome.status);
	device_get_data(&self->device, &seen, 8);
	ASSERT_EQ(expected, seen);
}

TEST_F(own_space, an_aux_space_has_the_same_page)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ_WRITE, self->memory, IOVA,
			     PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_TRUE(device_reaches(&self->device, pasid, IOVA, self->memory));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, pasid));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_EQ(no_page(), device_touch(&self->device, pasid, IOVA));
}

TEST_F(own_space, memory_to_read_is_not_written)
{
	u8 *memory = new_pages(1);

	ASSERT_EQ(0, register_memory(self->fd, VFIO_MEMORY_READ_ONLY, memory,
				     PAGE));
	ASSERT_EQ(-EACCES, MAP(memory, IOVA, PAGE));
	ASSERT_EQ(-EACCES, aux_map(self->fd, OWN, VFIO_AUX_MAP_WRITE, memory,
				   IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ, memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ, self->memory, 2 * IOVA, PAGE));
	ASSERT_EQ(DMA_DONE, device_peek(&self->device, NO_PASID_TAG, IOVA));
	ASSERT_EQ(NO_WRITE, TOUCH(IOVA));
	ASSERT_EQ(NO_WRITE, TOUCH(2 * IOVA));
	ASSERT_EQ(2 * PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, unregister_memory(self->fd, memory, PAGE));
	munmap(memory, PAGE);
}

/* It is in stock's list. */

TEST_F(own_space, EEXIST_whoever_mapped_first)
{
	ASSERT_EQ(0, MAP(self->memory, IOVA, 4 * PAGE));
	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, IOVA + 8 * PAGE,
			     4 * PAGE));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(-EEXIST, map_dma(self->fd, self->unregistered,
					   IOVA + i * PAGE, PAGE));
		ASSERT_EQ(-EEXIST, MAP(self->memory, IOVA + i * PAGE, PAGE));
		ASSERT_EQ(-EEXIST, MAP(self->memory, IOVA + (8 + i) * PAGE,
				       PAGE));
	}
	ASSERT_EQ(-EEXIST, MAP(self->memory, IOVA + 4 * PAGE, 5 * PAGE));
	ASSERT_EQ(-EEXIST, map_dma(self->fd, self->unregistered, IOVA - PAGE,
				   2 * PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA + 4 * PAGE, 4 * PAGE));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_TRUE(REACHES(IOVA + 8 * PAGE, self->unregistered));
	ASSERT_EQ(2, count_of("mappings"));
}

TEST_F(own_space, UNMAP_DMA_unmaps_and_counts_it)
{
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, MAP(self->memory, IOVA + i * PAGE, PAGE));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	/* One, then two, then all. */
	ASSERT_EQ(PAGE, unmap_dma(self->fd, IOVA, PAGE));
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(no_page(), TOUCH(IOVA));
	ASSERT_EQ(2 * PAGE, unmap_dma(self->fd, IOVA + PAGE, 2 * PAGE));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, IOVA, PAGE));
	ASSERT_EQ(2 * PAGE, stock_unmap(self->fd, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_TRUE(IS_CHARGED_ONCE(0));
	ASSERT_EQ(0, UNREGISTER());
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* As stock: type1v2 cuts nothing. */
TEST_F(own_space, UNMAP_DMA_cuts_nothing)
{
	ASSERT_EQ(0, MAP(self->memory, IOVA, 4 * PAGE));
	ASSERT_EQ(-EINVAL, unmap_dma(self->fd, IOVA, PAGE));
	ASSERT_EQ(-EINVAL, unmap_dma(self->fd, IOVA + PAGE, 4 * PAGE));
	ASSERT_EQ(4 * PAGE, unmap_dma(self->fd, IOVA - PAGE, 6 * PAGE));
}

TEST_F(own_space, AUX_UNMAP_leaves_what_MAP_DMA_mapped)
{
	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, IOVA, 2 * PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA + 2 * PAGE, PAGE));
	ASSERT_EQ(0, map_dma(self->fd, self->unregistered + 2 * PAGE,
			     IOVA + 3 * PAGE, 2 * PAGE));
	ASSERT_EQ(0, MAP(self->memory + PAGE, IOVA + 5 * PAGE, PAGE));

	/* It has parts of MAP_DMA's, which does not matter. */
	ASSERT_EQ(PAGE, UNMAP(IOVA + PAGE, 3 * PAGE));
	ASSERT_EQ(no_page(), TOUCH(IOVA + 2 * PAGE));
	ASSERT_EQ(0, UNMAP(IOVA, 5 * PAGE));
	ASSERT_TRUE(REACHES(IOVA + 5 * PAGE, self->memory + PAGE));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, aux_unmap_all(self->fd, OWN));
	ASSERT_TRUE(REACHES(IOVA, self->unregistered));
	ASSERT_TRUE(REACHES(IOVA + 4 * PAGE, self->unregistered + 3 * PAGE));
	ASSERT_EQ(0, UNREGISTER());
	ASSERT_EQ(4 * PAGE, unmap_dma(self->fd, IOVA, 8 * PAGE));
}

TEST_F(own_space, AUX_UNMAP_cuts_nothing)
{
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA + PAGE, 4 * PAGE));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA, 2 * PAGE));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA + 2 * PAGE, PAGE));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA + 4 * PAGE, 4 * PAGE));
	ASSERT_EQ(2, count_of("mappings"));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_TRUE(REACHES(IOVA + PAGE, self->memory));
	ASSERT_EQ(5 * PAGE, UNMAP(IOVA - PAGE, 8 * PAGE));
}

/* A container of type1v1, where UNMAP_DMA unmaps what begins in the range. */
TEST_F(own_space, type1v1_is_no_different)
{
	int container = container_node(), index = device_index(20, 1);
	int group = group_node(index), device;
	struct pasid_device driven = NO_DEVICE;

	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, container));
	ASSERT_EQ(0, set_iommu(container, VFIO_TYPE1_IOMMU));
	device = device_of(group, index);
	ASSERT_LE(0, device);
	ASSERT_EQ(0, device_start(&driven, device));
	ASSERT_EQ(0, register_memory(container, 0, self->memory, SIZE));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, aux_map(container, OWN, READ_WRITE,
				     self->memory + i * 4 * PAGE,
				     IOVA + i * 4 * PAGE, 4 * PAGE));
	ASSERT_TRUE(device_reaches(&driven, NO_PASID_TAG, IOVA + 5 * PAGE,
				   self->memory + 5 * PAGE));
	ASSERT_EQ(-EINVAL, aux_unmap(container, OWN, IOVA, 6 * PAGE));
	ASSERT_EQ(-EINVAL, aux_unmap(container, OWN, IOVA + PAGE, 7 * PAGE));
	ASSERT_EQ(0, unmap_dma(container, IOVA + PAGE, PAGE));
	ASSERT_EQ(2, count_of("mappings"));
	ASSERT_EQ(4 * PAGE, unmap_dma(container, IOVA, PAGE));
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(4 * PAGE, aux_unmap(container, OWN, IOVA, 8 * PAGE));
	ASSERT_EQ(0, unregister_memory(container, self->memory, SIZE));
	device_stop(&driven);
	close(device);
	close(group);
	close(container);
}

/* Errors. */

TEST_F(own_space, EINVAL_for_what_makes_no_sense)
{
	const u64 beyond = -(u64)PAGE;

	ASSERT_EQ(-EINVAL, aux_map(self->fd, OWN, 0, self->memory, IOVA, PAGE));
	ASSERT_EQ(-EINVAL, MAP(self->memory, IOVA, 0));
	ASSERT_EQ(-EINVAL, MAP(self->memory, IOVA, PAGE + 1));
	ASSERT_EQ(-EINVAL, MAP(self->memory + 8, IOVA, PAGE));
	ASSERT_EQ(-EINVAL, MAP(self->memory, IOVA + 8, PAGE));
	ASSERT_EQ(-EINVAL, MAP(self->memory, beyond, 2 * PAGE));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA, 0));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA, 1));
	ASSERT_EQ(-EINVAL, UNMAP(IOVA + 1, PAGE));
	ASSERT_EQ(-EINVAL, UNMAP(beyond, 2 * PAGE));
	ASSERT_EQ(0, count_of("mappings"));

	/* It is there already, and attached as stock does. */
	ASSERT_EQ(-EINVAL, aux_create_fixed(self->fd, OWN));
	ASSERT_EQ(-EINVAL, aux_destroy(self->fd, OWN));
	ASSERT_EQ(-EINVAL, aux_attach(self->fd, OWN, self->group));
	ASSERT_EQ(-EINVAL, aux_detach(self->fd, OWN, self->group));
}

TEST_F(own_space, ENOENT_for_what_is_not_registered)
{
	ASSERT_EQ(-ENOENT, MAP(self->unregistered, IOVA, PAGE));
	ASSERT_EQ(-ENOENT, MAP(self->memory, IOVA, SIZE + PAGE));
	ASSERT_EQ(-ENOENT, MAP(self->memory - PAGE, IOVA, PAGE));
	ASSERT_EQ(0, UNREGISTER());
	ASSERT_EQ(-ENOENT, MAP(self->memory, IOVA, PAGE));
}

TEST_F(own_space, ERANGE_outside_of_what_there_is)
{
	struct vfio_iommu_setup setup = {
		.argsz = sizeof(setup),
		.iova_start = IOVA,
		.iova_size = IOVA,
	};

	ASSERT_EQ(-ERANGE, MAP(self->memory, MSI_START, PAGE));
	ASSERT_EQ(-ERANGE, MAP(self->memory, MSI_START - PAGE, 2 * PAGE));
	ASSERT_EQ(-ERANGE, MAP(self->memory, 1ull << 62, PAGE));
	ASSERT_EQ(0, MAP(self->memory, MSI_START - PAGE, PAGE));

	/* A window holds; and what is mapped keeps it from being narrowed. */
	ASSERT_EQ(-EBUSY, call(self->fd, VFIO_IOMMU_SETUP, &setup));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_SETUP, &setup));
	ASSERT_EQ(-ERANGE, MAP(self->memory, IOVA - PAGE, PAGE));
	ASSERT_EQ(-ERANGE, MAP(self->memory, 2 * IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, 2 * IOVA - PAGE, PAGE));
}

static long try_own_map(void *arg)
{
	return aux_map(*(int *)arg, OWN, READ, arg, IOVA, PAGE);
}

static long try_own_unmap(void *arg)
{
	return aux_unmap_all(*(int *)arg, OWN);
}

static long try_own_info(void *arg)
{
	struct aux_info info = {};

	return aux_info(*(int *)arg, OWN, 1, &info);
}

TEST_F(own_space, EPERM_for_another_process)
{
	ASSERT_EQ(-EPERM, in_child(try_own_map, &self->fd));
	ASSERT_EQ(-EPERM, in_child(try_own_unmap, &self->fd));
	ASSERT_EQ(-EPERM, in_child(try_own_info, &self->fd));
}

/* Both limits hold: ours is the process's, stock's is the container's. */
TEST_F(own_space, ENOSPC_for_both_limits)
{
	const char *file =
		"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	struct limits few = DEFAULT_LIMITS;

	few.mappings = 3;
	device_stop(&self->device);
	container_close(&self->container);
	ASSERT_EQ(0, use_modules(&few));
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(0, write_file(file, round ? "2" : "65535"));
		ASSERT_EQ(0, container_open(&self->container, self->index));
		self->fd = self->container.fd;
		ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
		for (int i = 0; i < (round ? 2 : 3); i++)
			ASSERT_EQ(0, MAP(self->memory, IOVA + i * PAGE, PAGE));
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(-ENOSPC, MAP(self->memory, 2 * IOVA, PAGE));
		ASSERT_EQ(PAGE, unmap_dma(self->fd, IOVA, PAGE));
		ASSERT_EQ(0, MAP(self->memory, 2 * IOVA, PAGE));
		ASSERT_EQ(-ENOSPC, MAP(self->memory, 3 * IOVA, PAGE));
		container_close(&self->container);
	}
	ASSERT_EQ(0, write_file(file, "65535"));
}

/*
 * The most mappings there can be, of one page: each has 1,024 references to it,
 * and they are counted in an int.
 */
TEST_F_TIMEOUT(own_space, as_many_mappings_of_one_page_as_there_may_be, PATIENCE)
{
	const long limit = DEFAULT_LIMITS.mappings;
	long done = 0;
	int ret = 0;

	while (!ret) {
		ret = MAP(self->memory, IOVA + done * PAGE, PAGE);
		done += !ret;
	}
	ASSERT_EQ(-ENOSPC, ret);
	ASSERT_EQ(limit, done);
	ASSERT_TRUE(IS_CHARGED_ONCE(limit));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_TRUE(REACHES(IOVA + (limit - 1) * PAGE, self->memory));
	ASSERT_EQ(limit * PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(no_page(), TOUCH(IOVA));
	ASSERT_TRUE(IS_CHARGED_ONCE(0));
	ASSERT_EQ(0, UNREGISTER());
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* What keeps it registered. */

TEST_F(own_space, EBUSY_until_the_last_mapping_is_gone)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory + PAGE, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, pasid, READ, self->memory, IOVA, PAGE));
	ASSERT_EQ(3, count_of("mappings"));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(PAGE, UNMAP(IOVA, PAGE));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, pasid));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(PAGE, unmap_dma(self->fd, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, UNREGISTER());
}

/* A map that fails counts nothing, and pins nothing. */
TEST_F(own_space, what_fails_does_not_count)
{
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(-EEXIST, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(-ERANGE, MAP(self->memory, MSI_START, PAGE));
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_TRUE(IS_CHARGED_ONCE(1));
	ASSERT_EQ(PAGE, UNMAP(IOVA, PAGE));
	ASSERT_EQ(0, UNREGISTER());
}

TEST_F(own_space, closing_unmaps_and_unpins_in_every_order)
{
	device_stop(&self->device);
	for (int i = 0; i < 6; i++) {
		if (i) {
			ASSERT_EQ(0, container_open_device(&self->container,
							   self->index));
			self->fd = self->container.fd;
			ASSERT_EQ(0, register_memory(self->fd, 0, self->memory,
						     SIZE));
		}
		ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
		ASSERT_EQ(0, MAP(self->memory, 2 * IOVA, PAGE));
		for (int j = 0; j < 3; j++)
			container_close_one(&self->container, close_orders[i][j]);
		ASSERT_TRUE(holds(&self->before, 0, 0));
		ASSERT_EQ(0, count_of("mappings"));
	}
}

/* AUX_INFO. */

TEST_F(own_space, AUX_INFO_tells_window_groups_and_mappings)
{
	struct aux_info info = {};
	struct vfio_iommu_setup setup = { .argsz = sizeof(setup) };
	const struct vfio_iommu_aux_entry *entry = info.entries;

	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, IOVA + PAGE, PAGE));
	ASSERT_EQ(0, MAP(self->memory + PAGE, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, OWN, READ, self->memory, 2 * IOVA, SIZE));
	ASSERT_EQ(0, aux_info(self->fd, OWN, AUX_ENTRIES, &info));
	ASSERT_EQ(0, info.head.cursor);
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_SETUP, &setup));
	ASSERT_EQ(setup.iova_start, info.head.iova_start);
	ASSERT_EQ(setup.iova_size, info.head.iova_size);
	ASSERT_EQ(setup.pgsize_bitmap, info.head.pgsize_bitmap);
	ASSERT_EQ(4, info.head.count);
	ASSERT_EQ(VFIO_AUX_ENTRY_HOLE, entry->type);
	ASSERT_EQ(MSI_START, entry->iova);
	ASSERT_EQ(MSI_SIZE, entry->size);
	entry++;
	ASSERT_EQ(VFIO_AUX_ENTRY_GROUP, entry->type);
	ASSERT_EQ(self->group, entry->data);
	entry++;
	ASSERT_EQ(VFIO_AUX_ENTRY_MAPPING, entry->type);
	ASSERT_EQ(READ_WRITE, entry->data);
	ASSERT_EQ(IOVA, entry->iova);
	ASSERT_EQ(PAGE, entry->size);
	ASSERT_EQ((uintptr_t)self->memory + PAGE, entry->vaddr);
	entry++;
	ASSERT_EQ(VFIO_AUX_ENTRY_MAPPING, entry->type);
	ASSERT_EQ(READ, entry->data);
	ASSERT_EQ(2 * IOVA, entry->iova);
	ASSERT_EQ(SIZE, entry->size);
	ASSERT_EQ((uintptr_t)self->memory, entry->vaddr);
}

/* More than a batch, with room for few: each is told once. */
TEST_F(own_space, AUX_INFO_tells_all_of_them_in_turns)
{
	const u32 count = 150;
	struct aux_info info = {};
	u32 seen = 0;

	for (u32 i = 0; i < count; i++)
		ASSERT_EQ(0, MAP(self->memory, IOVA + 2 * i * PAGE, PAGE));
	do {
		ASSERT_EQ(0, aux_info(self->fd, OWN, 7, &info));
		for (u32 i = 0; i < info.head.count; i++) {
			if (info.entries[i].type != VFIO_AUX_ENTRY_MAPPING)
				continue;
			ASSERT_EQ(IOVA + 2 * seen * PAGE, info.entries[i].iova);
			seen++;
		}
	} while (info.head.cursor);
	ASSERT_EQ(count, seen);
	info.head.cursor = 0;
	ASSERT_EQ(0, aux_info(self->fd, OWN, AUX_ENTRIES, &info));
	ASSERT_EQ(AUX_ENTRIES, info.head.count);
	ASSERT_EQ(IOVA + 2 * (AUX_ENTRIES - 3) * PAGE,
		  info.entries[AUX_ENTRIES - 1].iova);
}

/* Dirty tracking. */

/*
 * vfio-pci's groups cannot tell what is dirty: it is all that is mapped. Each
 * mapping is asked for from its start, as stock shifts what is behind it wrongly.
 */
TEST_F(own_space, dirty_pages_are_tracked)
{
	const u64 second = IOVA + 64 * PAGE;
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} unmap = {
		.head.argsz = sizeof(unmap),
		.head.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.head.iova = second,
		.head.size = 8 * PAGE,
	};
	u64 bits;

	/* One mapping before tracking begins, and one after. */
	ASSERT_EQ(0, MAP(self->memory, IOVA, 4 * PAGE));
	ASSERT_EQ(0, track_dirty(self->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	ASSERT_EQ(0, MAP(self->memory, second, 8 * PAGE));
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(0, get_dirty(self->fd, IOVA, &bits));
		ASSERT_EQ(0xf, bits);
		ASSERT_EQ(0, get_dirty(self->fd, second, &bits));
		ASSERT_EQ(0xff, bits);
	}

	bits = 0;
	unmap.bitmap = (struct vfio_bitmap) {
		.pgsize = PAGE, .size = sizeof(bits), .data = (void *)&bits,
	};
	ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
	ASSERT_EQ(0xff, bits);
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(0, track_dirty(self->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP));
	ASSERT_EQ(4 * PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, UNREGISTER());
}

/* Virtual addresses that are updated. */

TEST_F(own_space, vaddr_updates_and_it_exclude_each_other)
{
	const u32 vaddr = VFIO_DMA_UNMAP_FLAG_VADDR;
	const u32 all = VFIO_DMA_UNMAP_FLAG_ALL;

	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, 2 * IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	/* Also of a range without it. */
	ASSERT_EQ(-EBUSY, stock_unmap(self->fd, vaddr, IOVA, PAGE));
	ASSERT_EQ(-EBUSY, stock_unmap(self->fd, vaddr, 2 * IOVA, PAGE));
	ASSERT_EQ(-EBUSY, stock_unmap(self->fd, vaddr | all, 0, 0));
	/* Nothing was invalidated: a group may join, and all is as it was. */
	ASSERT_EQ(-EINVAL, stock_map(self->fd, VFIO_DMA_MAP_FLAG_VADDR,
				     self->unregistered, 2 * IOVA, PAGE));
	ASSERT_EQ(-EINVAL, stock_map(self->fd, VFIO_DMA_MAP_FLAG_VADDR,
				     self->unregistered, IOVA, PAGE));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));

	ASSERT_EQ(PAGE, stock_unmap(self->fd, vaddr, 2 * IOVA, PAGE));
	ASSERT_EQ(-EBUSY, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(0, count_of("mappings"));
	ASSERT_EQ(0, stock_map(self->fd, VFIO_DMA_MAP_FLAG_VADDR,
			       self->unregistered, 2 * IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
	ASSERT_TRUE(REACHES(IOVA, self->memory));
	ASSERT_TRUE(REACHES(2 * IOVA, self->unregistered));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));

	/* What fails leaves nothing behind that would be EBUSY. */
	ASSERT_EQ(-EINVAL, stock_unmap(self->fd, vaddr, 2 * IOVA + 1, PAGE));
	ASSERT_EQ(0, stock_unmap(self->fd, vaddr, 3 * IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, IOVA, PAGE));
}

/* What it costs: printed, not judged. */

static void *map_large(u64 size, int flags)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_NOHUGEPAGE);
	return memory;
}

/* In pages that do not follow each other: touched far apart. */
static void scatter(u8 *memory, u64 size)
{
	const u64 pages = size / PAGE;

	for (u64 i = 0; i < pages; i++)
		memory[i * 4099 % pages * PAGE] = 1;
}

struct cost {
	u64 map;
	u64 unmap;
};

static int best_of(struct cost *best, int fd, bool own, void *memory, u64 size)
{
	*best = (struct cost) { UINT64_MAX, UINT64_MAX };
	for (int i = 0; i < (size < GB ? 3 : 1); i++) {
		u64 start = nanoseconds(), middle, end;
		int ret = own ? aux_map(fd, OWN, READ_WRITE, memory, 4 * GB, size) :
				map_dma(fd, memory, 4 * GB, size);

		if (ret)
			return ret;
		middle = nanoseconds();
		if (unmap_dma(fd, 4 * GB, size) != (long)size)
			return -EPROTO;
		end = nanoseconds();
		if (middle - start < best->map)
			best->map = middle - start;
		if (end - middle < best->unmap)
			best->unmap = end - middle;
	}
	return 0;
}

static int compare(int fd, const char *what, void *memory, u64 size)
{
	struct cost stock, own;
	int ret;

	ret = register_memory(fd, 0, memory, size) ?:
	      best_of(&stock, fd, false, memory, size) ?:
	      best_of(&own, fd, true, memory, size) ?:
	      unregister_memory(fd, memory, size);
	if (!ret)
		ksft_print_msg("note: %s: map %.3f of MAP_DMA's time, %.0f ms a GiB; unmap %.3f\n",
			       what, (double)own.map / stock.map,
			       own.map / 1e6 * GB / size,
			       (double)own.unmap / stock.unmap);
	return ret;
}

TEST_F(own_space, note_of_what_it_costs)
{
	static const struct {
		const char *what;
		u64 size;
		int flags;
	} kinds[] = {
		{ "a page of 1 GB", GB, MAP_HUGETLB | MAP_HUGE_1GB },
		{ "pages of 2 MB", 16 * MB, MAP_HUGETLB | MAP_HUGE_2MB },
		{ "scattered pages", 64 * MB, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		u8 *memory = map_large(kinds[i].size, kinds[i].flags);

		if (!memory)
			continue;
		if (!kinds[i].flags)
			scatter(memory, kinds[i].size);
		ASSERT_EQ(0, compare(self->fd, kinds[i].what, memory,
				     kinds[i].size));
		munmap(memory, kinds[i].size);
	}
}

TEST_HARNESS_MAIN
