// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory in the container's own space, and groups that come and go:
 * in one IOMMU domain and in two, without an IOMMU, and with emulated devices
 * that pin pages. Whatever stock code replays, the pages are the registered ones.
 *
 * In a kernel without kprobes nothing can be made to fail, and all groups share a
 * domain: what is left is tried.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "module/vfio_pasid_emulated.h"
#include "module/vfio_pasid_test.h"
#include "pasid_device.h"

#define OWN		VFIO_AUX_OWN_SPACE
#define IOVA		0x40000000ull
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)
#define PAGES		8
#define SIZE		(PAGES * PAGE)
#define CONTENT		0x0102030405060708ull

/* A group, its device, and what drives that. */
struct member {
	int index;
	int group;
	int fd;
	struct pasid_device device;
};

#define NO_MEMBER	((struct member) { -1, -1, -1, NO_DEVICE })

FIXTURE(own_space_groups) {
	struct before before;
	struct member first;
	struct member second;
	int module;
	int emulated;		/* its group */
	int emulated_device;
	int fd;			/* the container */
	u8 *memory;
	u64 frames[PAGES];
};

static int open_group_of(struct member *member, int index)
{
	*member = NO_MEMBER;
	member->index = index;
	member->group = group_node(index);
	return member->group < 0 ? member->group : 0;
}

static int start(struct member *member)
{
	member->fd = device_of(member->group, member->index);
	return member->fd < 0 ? member->fd :
				device_start(&member->device, member->fd);
}

static int join(struct member *member, int container)
{
	int ret = set_container(member->group, container);

	return ret ? ret : start(member);
}

static int leave(struct member *member)
{
	device_stop(&member->device);
	close_fd(&member->fd);
	return unset_container(member->group);
}

FIXTURE_SETUP(own_space_groups)
{
	self->first = NO_MEMBER;
	self->second = NO_MEMBER;
	self->emulated_device = -1;
	ASSERT_EQ(0, use_test_module(&DEFAULT_LIMITS));
	self->module = open(VFIO_PASID_TEST_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->module);
	self->before = look_before();
	self->fd = container_node();
	ASSERT_EQ(0, open_group_of(&self->first, device_index(20, 0)));
	ASSERT_EQ(0, open_group_of(&self->second, device_index(20, 1)));
	self->emulated = emulated_group_node();
	ASSERT_LE(0, self->emulated);
	/* Pages that do not follow each other, each with contents of its own. */
	self->memory = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	for (int i = 0; i < PAGES; i++)
		*(u64 *)(self->memory + i * 3 % PAGES * PAGE) =
			CONTENT + i * 3 % PAGES;
}

FIXTURE_TEARDOWN(own_space_groups)
{
	call(self->module, VFIO_PASID_TEST_FAIL_MAP, (void *)~0ul);
	device_stop(&self->first.device);
	device_stop(&self->second.device);
	close_fd(&self->first.fd);
	close_fd(&self->second.fd);
	close_fd(&self->emulated_device);
	close_fd(&self->first.group);
	close_fd(&self->second.group);
	close_fd(&self->emulated);
	close_fd(&self->fd);
	close_fd(&self->module);
	EXPECT_TRUE(holds(&self->before, 0, 0));
	EXPECT_EQ(0, count_of("mappings"));
	unload_module("vfio_pasid_emulated");
}

#define SET_IOMMU()	ASSERT_EQ(0, set_iommu(self->fd, VFIO_TYPE1v2_IOMMU))
#define REGISTER()	do {						\
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));	\
	for (int i = 0; i < PAGES; i++)					\
		self->frames[i] = page_frame(self->memory + i * PAGE);	\
} while (0)
#define MAP(memory, iova, size) \
	aux_map(self->fd, OWN, READ_WRITE, memory, iova, size)
#define UNREGISTER()	unregister_memory(self->fd, self->memory, SIZE)

/* Each registered page is charged once, and pinned so many times more. */
#define PINS_ARE(mapped)						\
	(is_value("locked memory", vm_locked() - self->before.locked, SIZE) & \
	 is_value("pinned pages", pinned_pages() - self->before.pinned,	\
		  PAGES + (mapped)))

/* The process has something else where the registered memory was. */
static void replace_memory(u8 *memory)
{
	if (mmap(memory, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != memory)
		abort();
	memset(memory, 0xee, SIZE);
}

/* Whether the device reads at @iova what was in the @page-th registered page. */
static bool has_page(struct member *member, u64 iova, int page)
{
	struct outcome outcome;
	u64 seen = 0;

	if (device_dma(&member->device, DMA_READ, NO_PASID_TAG, iova, 8,
		       &outcome) || outcome.status != DMA_DONE)
		return is_value("status", outcome.status, DMA_DONE);
	device_get_data(&member->device, &seen, 8);
	return is_value("content", seen, CONTENT + page);
}

static bool has_all(struct member *member)
{
	for (int i = 0; i < PAGES; i++)
		if (!has_page(member, IOVA + i * PAGE, i))
			return false;
	return true;
}

#define TOUCH(member)	device_touch(&(member)->device, NO_PASID_TAG, IOVA)

/* The next group gets a domain of its own. 1 if that cannot be. */
static int domains_from_now(int module)
{
	int ret = call(module, VFIO_PASID_TEST_FLIP_COHERENCY, (void *)1);

	return ret == -EOPNOTSUPP ? 1 : ret ? ret : 2;
}

static int fail_map(int module, long after)
{
	return call(module, VFIO_PASID_TEST_FAIL_MAP, (void *)after);
}

/* Groups with an IOMMU. */

TEST_F(own_space_groups, a_group_that_joins_the_domain_has_it)
{
	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, join(&self->second, self->fd));
	ASSERT_TRUE(has_all(&self->second));
	ASSERT_TRUE(PINS_ARE(PAGES));
	ASSERT_EQ(0, leave(&self->second));
	ASSERT_TRUE(PINS_ARE(PAGES));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(SIZE, unmap_dma(self->fd, IOVA, SIZE));
	ASSERT_EQ(0, UNREGISTER());
}

/* Replay takes it from the first domain; each group takes only its own along. */
TEST_F(own_space_groups, a_second_domain_has_it_and_a_group_takes_only_its_own)
{
	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	ASSERT_EQ(0, start(&self->first));
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	replace_memory(self->memory);
	ASSERT_LT(0, domains_from_now(self->module));
	ASSERT_EQ(0, join(&self->second, self->fd));
	ASSERT_TRUE(has_all(&self->first));
	ASSERT_TRUE(has_all(&self->second));
	ASSERT_TRUE(PINS_ARE(PAGES));

	/* Both get what is mapped now, and the first domain goes. */
	ASSERT_EQ(0, MAP(self->memory + PAGE, 2 * IOVA, PAGE));
	ASSERT_TRUE(has_page(&self->first, 2 * IOVA, 1));
	ASSERT_TRUE(has_page(&self->second, 2 * IOVA, 1));
	ASSERT_EQ(0, leave(&self->first));
	ASSERT_TRUE(has_all(&self->second));
	ASSERT_TRUE(has_page(&self->second, 2 * IOVA, 1));
	ASSERT_TRUE(PINS_ARE(PAGES + 1));
	ASSERT_EQ(2, count_of("mappings"));

	ASSERT_EQ(0, join(&self->first, self->fd));
	ASSERT_TRUE(has_all(&self->first));
	ASSERT_EQ(SIZE, unmap_dma(self->fd, IOVA, SIZE));
	ASSERT_EQ(no_page(), TOUCH(&self->first));
	ASSERT_EQ(no_page(), TOUCH(&self->second));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_TRUE(PINS_ARE(0));
	ASSERT_EQ(0, UNREGISTER());
}

/* Whichever iommu_map() of either domain fails, nothing is left of it. */
TEST_F(own_space_groups, a_map_that_fails_in_either_domain_is_undone)
{
	int domains, ret = -ENOMEM, failures = 0;

	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	REGISTER();
	domains = domains_from_now(self->module);
	ASSERT_LT(0, domains);
	ASSERT_EQ(0, set_container(self->second.group, self->fd));
	for (int nth = 0; domains > 1 && ret; nth++) {
		ASSERT_EQ(0, fail_map(self->module, nth));
		ret = MAP(self->memory, IOVA, SIZE);
		if (!ret)
			break;
		ASSERT_EQ(-ENOMEM, ret);
		ASSERT_EQ(0, count_of("mappings"));
		ASSERT_TRUE(PINS_ARE(0));
		failures++;
		/* The address is free, and stock's limit has not shrunk. */
		ASSERT_EQ(0, fail_map(self->module, -1));
		ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
		ASSERT_EQ(SIZE, aux_unmap_all(self->fd, OWN));
	}
	if (domains > 1)
		ASSERT_LT(1, failures);
	ksft_print_msg("note: %d failures of AUX_MAP in %d domains\n", failures,
		       domains);
	ASSERT_LE(0, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, UNREGISTER());
}

/* The second of two domains refuses, at each of its maps. */
TEST_F(own_space_groups, a_replay_that_fails_leaves_all_as_it_was)
{
	int ret = -ENOMEM, failures = 0, domains;

	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	ASSERT_EQ(0, start(&self->first));
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, MAP(self->memory, 2 * IOVA, SIZE));
	for (int nth = 0; ret; nth++) {
		domains = domains_from_now(self->module);
		ASSERT_LT(0, domains);
		if (domains == 1)
			break;
		ASSERT_EQ(0, fail_map(self->module, nth));
		ret = set_container(self->second.group, self->fd);
		if (!ret)
			break;
		ASSERT_EQ(-ENOMEM, ret);
		failures++;
		ASSERT_TRUE(PINS_ARE(2 * PAGES));
		ASSERT_EQ(2, count_of("mappings"));
		ASSERT_TRUE(has_all(&self->first));
	}
	ksft_print_msg("note: %d failures of replay\n", failures);
	if (domains == 2)
		ASSERT_LT(1, failures);
	ASSERT_EQ(0, leave(&self->first));
	ASSERT_EQ(domains == 2 ? -EBUSY : -EINVAL, UNREGISTER());
}

/* Groups without one. */

#define OPEN_EMULATED()	do {						\
	self->emulated_device = call(self->emulated,			\
				     VFIO_GROUP_GET_DEVICE_FD,		\
				     "vfio_pasid_emulated");		\
	ASSERT_LE(0, self->emulated_device);				\
} while (0)

static int emulated_call(int device, unsigned long request, u64 iova, u64 *value)
{
	struct vfio_pasid_emulated_dma dma = { .iova = iova, .value = *value };
	int ret = call(device, request, &dma);

	*value = dma.value;
	return ret;
}

TEST_F(own_space_groups, without_an_IOMMU_it_is_there_and_counted)
{
	struct aux_info info = {};

	ASSERT_EQ(0, set_container(self->emulated, self->fd));
	SET_IOMMU();
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(-EEXIST, MAP(self->memory, IOVA, PAGE));
	ASSERT_EQ(0, MAP(self->memory, MSI_START, PAGE));
	ASSERT_TRUE(PINS_ARE(0));
	ASSERT_EQ(-EBUSY, UNREGISTER());
	ASSERT_EQ(0, aux_info(self->fd, OWN, AUX_ENTRIES, &info));
	ASSERT_EQ(0, info.head.iova_start);
	ASSERT_EQ(UINT64_MAX, info.head.iova_size);
	ASSERT_EQ(3, info.head.count);
	ASSERT_EQ(VFIO_AUX_ENTRY_GROUP, info.entries[0].type);
	ASSERT_EQ(VFIO_AUX_ENTRY_MAPPING, info.entries[1].type);
	ASSERT_EQ(IOVA, info.entries[1].iova);
	ASSERT_EQ(SIZE, unmap_dma(self->fd, IOVA, SIZE));
	ASSERT_EQ(PAGE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(0, UNREGISTER());
	REGISTER();
	/* And what is there when the container closes goes. */
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
}

/* With a failure at each map of it. */
TEST_F(own_space_groups, the_first_IOMMU_that_joins_pins_what_is_registered)
{
	int ret = -ENOMEM, failures = 0;

	ASSERT_EQ(0, set_container(self->emulated, self->fd));
	SET_IOMMU();
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, MAP(self->memory, 2 * IOVA, SIZE));
	replace_memory(self->memory);
	for (int nth = 0; ret; nth++) {
		ret = fail_map(self->module, nth);
		if (ret == -EOPNOTSUPP)
			break;
		ASSERT_EQ(0, ret);
		ret = set_container(self->first.group, self->fd);
		if (!ret) {
			ASSERT_EQ(0, unset_container(self->first.group));
			break;
		}
		ASSERT_EQ(-ENOMEM, ret);
		failures++;
		ASSERT_TRUE(PINS_ARE(0));
		ASSERT_EQ(2, count_of("mappings"));
	}
	ksft_print_msg("note: %d failures of the first replay\n", failures);
	fail_map(self->module, -1);
	ASSERT_EQ(0, join(&self->first, self->fd));
	ASSERT_TRUE(PINS_ARE(2 * PAGES));
	ASSERT_TRUE(has_all(&self->first));
	ASSERT_EQ(2 * SIZE, aux_unmap_all(self->fd, OWN));
	ASSERT_TRUE(PINS_ARE(0));
}

struct joining {
	int group;
	int container;
};

static long join_from_child(void *arg)
{
	struct joining *joining = arg;
	long ret = set_container(joining->group, joining->container);

	return ret ? ret : vm_locked();
}

/*
 * The last IOMMU leaves, and an emulated group keeps the mappings. What is at
 * the virtual addresses by then is something else, and who brings the next IOMMU
 * another process: neither matters.
 */
TEST_F(own_space_groups, replay_does_not_look_at_virtual_addresses)
{
	struct joining joining = { self->first.group, self->fd };

	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	ASSERT_EQ(0, set_container(self->emulated, self->fd));
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_TRUE(PINS_ARE(PAGES));
	replace_memory(self->memory);

	ASSERT_EQ(0, unset_container(self->first.group));
	ASSERT_TRUE(PINS_ARE(0));
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(-EBUSY, UNREGISTER());

	ASSERT_EQ(0, in_child(join_from_child, &joining));
	ASSERT_TRUE(PINS_ARE(PAGES));
	ASSERT_EQ(0, start(&self->first));
	ASSERT_TRUE(has_all(&self->first));
	ASSERT_EQ(SIZE, aux_unmap_all(self->fd, OWN));
	ASSERT_TRUE(PINS_ARE(0));
	ASSERT_EQ(0, UNREGISTER());
}

/* vfio_pin_pages() has the registered page, charged to nobody; rw the process's. */
TEST_F(own_space_groups, emulated_devices_use_it)
{
	const u64 at = IOVA + 2 * PAGE;
	u64 value = 0;

	ASSERT_EQ(0, set_container(self->emulated, self->fd));
	SET_IOMMU();
	OPEN_EMULATED();
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, emulated_call(self->emulated_device,
				   VFIO_PASID_EMULATED_READ, at, &value));
	ASSERT_EQ(CONTENT + 2, value);
	replace_memory(self->memory);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, emulated_call(self->emulated_device,
					   VFIO_PASID_EMULATED_PIN, at, &value));
		ASSERT_EQ(self->frames[2], value);
		ASSERT_TRUE(PINS_ARE(1));
		ASSERT_EQ(0, emulated_call(self->emulated_device,
					   VFIO_PASID_EMULATED_UNPIN, at, &value));
		ASSERT_TRUE(PINS_ARE(0));
	}
	ASSERT_EQ(0, emulated_call(self->emulated_device,
				   VFIO_PASID_EMULATED_READ, at, &value));
	ASSERT_EQ(0xeeeeeeeeeeeeeeeeull, value);
	ASSERT_EQ(SIZE, aux_unmap_all(self->fd, OWN));
	ASSERT_EQ(-EINVAL, emulated_call(self->emulated_device,
					 VFIO_PASID_EMULATED_PIN, at, &value));
	ASSERT_EQ(0, UNREGISTER());
}

/* A page that is pinned when the last IOMMU leaves stays pinned. */
TEST_F(own_space_groups, pinned_pages_outlive_the_last_IOMMU)
{
	const u64 at = IOVA + 5 * PAGE;
	u64 value = 0;

	ASSERT_EQ(0, set_container(self->first.group, self->fd));
	SET_IOMMU();
	ASSERT_EQ(0, set_container(self->emulated, self->fd));
	OPEN_EMULATED();
	REGISTER();
	ASSERT_EQ(0, MAP(self->memory, IOVA, SIZE));
	ASSERT_EQ(0, emulated_call(self->emulated_device,
				   VFIO_PASID_EMULATED_PIN, at, &value));
	ASSERT_EQ(self->frames[5], value);
	ASSERT_TRUE(PINS_ARE(PAGES + 1));
	ASSERT_EQ(0, unset_container(self->first.group));
	ASSERT_TRUE(PINS_ARE(1));
	ASSERT_EQ(0, join(&self->first, self->fd));
	ASSERT_TRUE(PINS_ARE(PAGES + 1));
	ASSERT_TRUE(has_all(&self->first));
	ASSERT_EQ(0, emulated_call(self->emulated_device,
				   VFIO_PASID_EMULATED_UNPIN, at, &value));
	ASSERT_TRUE(PINS_ARE(PAGES));
}

TEST_HARNESS_MAIN
