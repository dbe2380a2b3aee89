// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl of a container against the close of its last group, after which
 * VFIO releases what the ioctl works on. An ioctl finishes, or finds the
 * container gone; it never touches what was released. A kernel with KASAN sees
 * the difference; any kernel sees a wrong result or a lost reference.
 *
 * Environment: VFIO_PASID_ROUNDS, how often the group is closed (500).
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "vfio_pasid_utils.h"

#define FIRST	3000
#define COUNT	64
#define LAST	(FIRST + COUNT - 1)

#define IOVA	0x200000

/* Seconds; 10,000 rounds in a debug kernel without KVM take several minutes. */
#define PATIENCE	900

struct race {
	int fd;
	enum type1 type1;
	void *memory;
	bool stop;
	bool wrong;
	char what[64];	/* the first result that cannot be */
};

FIXTURE(close_race) {
	struct race race;
};

FIXTURE_SETUP(close_race)
{
	self->race = (struct race) { .memory = before_hole(PAGE) };
	self->race.fd = container_node();
	ASSERT_LE(0, self->race.fd);
	/* Looks for the groups, which threads must not do at once. */
	ASSERT_LE(1, group_count());
}

FIXTURE_TEARDOWN(close_race)
{
	close(self->race.fd);
}

/*
 * EINVAL: the container had no group when the ioctl came. ENODEV: it lost its
 * last one meanwhile.
 */
static bool gone(long ret)
{
	return ret == -EINVAL || ret == -ENODEV;
}

static void expect(struct race *race, const char *what, long ret, bool possible)
{
	if (possible || gone(ret))
		return;
	if (!__atomic_exchange_n(&race->wrong, true, __ATOMIC_SEQ_CST))
		snprintf(race->what, sizeof(race->what), "%s: %ld", what, ret);
}

static void call_map(struct race *race)
{
	long ret = map_dma(race->fd, race->memory, IOVA, PAGE);

	expect(race, "MAP_DMA", ret, !ret || ret == -EEXIST);
}

static void call_unmap(struct race *race)
{
	long ret = unmap_dma(race->fd, IOVA, PAGE);

	expect(race, "UNMAP_DMA", ret, !ret || ret == PAGE);
}

static void call_get_info(struct race *race)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	long ret = call(race->fd, VFIO_IOMMU_GET_INFO, &info);

	expect(race, "GET_INFO", ret, !ret && info.iova_pgsizes & PAGE);
}

static void call_dirty_pages(struct race *race)
{
	long ret = track_dirty(race->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);

	expect(race, "DIRTY_PAGES", ret, !ret);
}

static void call_extension(struct race *race)
{
	long ret = call(race->fd, VFIO_CHECK_EXTENSION,
			(void *)VFIO_TYPE1v2_IOMMU);

	expect(race, "CHECK_EXTENSION", ret, ret == 1);
}

static void call_request(struct race *race)
{
	long ret = pasid_alloc(race->fd, FIRST, LAST);

	expect(race, "PASID_REQUEST, alloc", ret,
	       ret == -ENOSPC || (ret >= FIRST && ret <= LAST));
	ret = pasid_free(race->fd, FIRST, LAST);
	expect(race, "PASID_REQUEST, free", ret, !ret);
}

static void call_pasid_info(struct race *race)
{
	struct vfio_iommu_pasid_info info;
	long ret = pasid_info(race->fd, group_number(0), &info);

	/* ENOENT: between SET_IOMMU and the group. */
	expect(race, "PASID_INFO", ret, !ret || ret == -ENOENT);
	ret = pasid_used(race->fd);
	expect(race, "PASID_INFO", ret, ret >= 0 && ret <= COUNT);
}

static void *call_stock_ioctls(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		call_map(race);
		call_get_info(race);
		call_dirty_pages(race);
		call_unmap(race);
		call_extension(race);
	}
	return NULL;
}

static void *call_our_ioctls(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		call_request(race);
		call_pasid_info(race);
	}
	return NULL;
}

static int open_and_close(struct race *race, struct sequence *sequence)
{
	unsigned int delay = next_random(sequence, 20000);
	int group = group_node(0);
	int ret;

	if (group < 0)
		return group;
	ret = set_container(group, race->fd);
	if (!ret)
		ret = set_iommu(race->fd, VFIO_TYPE1v2_IOMMU);
	/* So that the close meets a different moment of the ioctls each time. */
	for (unsigned int i = 0; i < delay; i++)
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* By taking the group out, or just by closing it. */
	if (!ret && next_random(sequence, 2))
		ret = unset_container(group);
	close(group);
	return ret;
}

static long rounds(void)
{
	const char *text = getenv("VFIO_PASID_ROUNDS");

	return text ? atol(text) : 500;
}

TEST_F_TIMEOUT(close_race, ours_is_safe, PATIENCE)
{
	struct sequence sequence = { .state = 5 };
	struct race *race = &self->race;
	long last = rounds(), round;
	pthread_t stock, ours, watch;
	void *reads = NULL;
	int ret = 0;

	ASSERT_LT(0, last);
	ASSERT_EQ(0, use_type1(TYPE1_SHIM));
	ASSERT_EQ(0, pthread_create(&stock, NULL, call_stock_ioctls, race));
	ASSERT_EQ(0, pthread_create(&ours, NULL, call_our_ioctls, race));
	ASSERT_EQ(0, pthread_create(&watch, NULL, watch_held, &race->stop));
	for (round = 0; round < last && !ret && !race->wrong; round++)
		ret = open_and_close(race, &sequence);
	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	pthread_join(stock, NULL);
	pthread_join(ours, NULL);
	pthread_join(watch, &reads);

	EXPECT_EQ(0, ret);
	EXPECT_LT(0, (long)reads);
	EXPECT_FALSE(race->wrong) {
		TH_LOG("%s", race->what);
	}
	EXPECT_EQ(last, round);
	/* Nobody keeps the container, or what the container held. */
	EXPECT_EQ(0, module_users("vfio_iommu_type1"));
}

/*
 * That the race above is one: the kernel's own type1 loses it, and KASAN says
 * so. Only for a boot of its own, as the kernel is not sound afterwards.
 */
TEST_F(close_race, the_kernels_own_is_reported)
{
	struct sequence sequence = { .state = 7 };
	struct race *race = &self->race;
	time_t end = time(NULL) + 90;
	bool reported = false;
	pthread_t stock[2];
	int log;

	ASSERT_EQ(0, use_type1(TYPE1_STOCK));
	log = kernel_log_open();
	ASSERT_LE(0, log);
	for (size_t i = 0; i < ARRAY_SIZE(stock); i++)
		ASSERT_EQ(0, pthread_create(&stock[i], NULL, call_stock_ioctls,
					    race));
	while (!reported && time(NULL) < end) {
		open_and_close(race, &sequence);
		reported = kernel_log_has(log, "BUG: KASAN: ",
					  "slab-use-after-free");
	}
	EXPECT_TRUE(reported);
	close(log);
	/* What the threads wait for may be gone for good. */
	fflush(stdout);
	_exit(reported ? 0 : 1);
}

TEST_HARNESS_MAIN
