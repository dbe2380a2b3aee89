// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory in the container's own space, and several who use that at
 * once: one of them wins, and what is counted stays true.
 */
#include <kselftest_harness.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "vfio_pasid_utils.h"

#define OWN		VFIO_AUX_OWN_SPACE
#define IOVA		0x40000000ull
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)
#define PAGES		16
#define SIZE		(PAGES * PAGE)
#define ROUNDS		300

FIXTURE(own_space_race) {
	struct before before;
	struct container container;
	int fd;
	u8 *memory;
	u8 *unregistered;
};

FIXTURE_SETUP(own_space_race)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	self->memory = new_pages(PAGES);
	self->unregistered = new_pages(PAGES);
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
}

FIXTURE_TEARDOWN(own_space_race)
{
	container_close(&self->container);
	EXPECT_TRUE(holds(&self->before, 0, 0));
	EXPECT_EQ(0, count_of("mappings"));
}

/* Two threads, each with a call that both begin together. */
struct side {
	long (*call)(struct side *side);
	struct spin_barrier *barrier;
	int fd;
	void *memory;
	u64 iova;
	long result;
};

static void *run_side(void *arg)
{
	struct side *side = arg;

	spin_barrier_wait(side->barrier);
	side->result = side->call(side);
	return NULL;
}

static void run_both(struct side *first, struct side *second)
{
	struct spin_barrier barrier = { .threads = 2 };
	pthread_t thread;

	first->barrier = &barrier;
	second->barrier = &barrier;
	if (pthread_create(&thread, NULL, run_side, first))
		abort();
	run_side(second);
	pthread_join(thread, NULL);
}

static long do_own_map(struct side *side)
{
	return aux_map(side->fd, OWN, READ_WRITE, side->memory, side->iova, SIZE);
}

static long do_map_dma(struct side *side)
{
	return map_dma(side->fd, side->memory, side->iova, SIZE);
}

static long do_unmap_dma(struct side *side)
{
	return unmap_dma(side->fd, side->iova, SIZE);
}

static long do_own_unmap(struct side *side)
{
	return aux_unmap(side->fd, OWN, side->iova, SIZE);
}

static long do_unregister(struct side *side)
{
	return unregister_memory(side->fd, side->memory, SIZE);
}

TEST_F(own_space_race, AUX_MAP_and_MAP_DMA_at_one_address)
{
	struct side own = { do_own_map, NULL, self->fd, self->memory, IOVA, 0 };
	struct side stock = {
		do_map_dma, NULL, self->fd, self->unregistered, IOVA, 0,
	};
	int wins = 0;

	for (int i = 0; i < ROUNDS; i++) {
		run_both(&own, &stock);
		wins += !own.result;
		ASSERT_EQ(own.result ? 0 : -EEXIST, stock.result);
		ASSERT_EQ(own.result ? -EEXIST : 0, own.result);
		ASSERT_EQ(!own.result, count_of("mappings"));
		ASSERT_EQ(own.result ? 0 : SIZE, aux_unmap_all(self->fd, OWN));
		ASSERT_EQ(own.result ? SIZE : 0, unmap_dma(self->fd, IOVA, SIZE));
	}
	ksft_print_msg("note: AUX_MAP won %d of %d\n", wins, ROUNDS);
}

/* Of two that unmap one does, and what it reports is what was mapped. */
TEST_F(own_space_race, AUX_UNMAP_and_UNMAP_DMA_of_one_mapping)
{
	struct side own = { do_own_unmap, NULL, self->fd, NULL, IOVA, 0 };
	struct side stock = { do_unmap_dma, NULL, self->fd, NULL, IOVA, 0 };

	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, aux_map(self->fd, OWN, READ_WRITE, self->memory,
				     IOVA, SIZE));
		run_both(&own, &stock);
		ASSERT_EQ(SIZE, own.result + stock.result);
		ASSERT_EQ(0, count_of("mappings"));
	}
}

/* When it is unregistered, it is unmapped, unpinned and uncharged. */
TEST_F(own_space_race, UNMAP_DMA_and_UNREGISTER)
{
	struct side unmap = { do_unmap_dma, NULL, self->fd, NULL, IOVA, 0 };
	struct side gone = {
		do_unregister, NULL, self->fd, self->memory, 0, 0,
	};
	int busy = 0;

	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, aux_map(self->fd, OWN, READ_WRITE, self->memory,
				     IOVA, SIZE));
		run_both(&unmap, &gone);
		ASSERT_EQ(SIZE, unmap.result);
		if (gone.result) {
			ASSERT_EQ(-EBUSY, gone.result);
			busy++;
			ASSERT_EQ(0, unregister_memory(self->fd, self->memory,
						       SIZE));
		}
		ASSERT_TRUE(holds(&self->before, 0, 0));
		ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
	}
	ksft_print_msg("note: %d of %d were EBUSY\n", busy, ROUNDS);
}

static long do_invalidate(struct side *side)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL,
	};
	long ret = call(side->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	return ret ? ret : (long)unmap.size;
}

/* Either there is one of ours, or virtual addresses are invalid. */
TEST_F(own_space_race, AUX_MAP_and_vaddr_updates)
{
	struct side own = { do_own_map, NULL, self->fd, self->memory, IOVA, 0 };
	struct side stock = { do_invalidate, NULL, self->fd, NULL, 0, 0 };
	struct vfio_iommu_type1_dma_map update = {
		.argsz = sizeof(update),
		.flags = VFIO_DMA_MAP_FLAG_VADDR,
		.vaddr = (uintptr_t)self->unregistered,
		.iova = 2 * IOVA,
		.size = SIZE,
	};

	ASSERT_EQ(0, map_dma(self->fd, self->unregistered, 2 * IOVA, SIZE));
	for (int i = 0; i < ROUNDS; i++) {
		run_both(&own, &stock);
		if (own.result) {
			ASSERT_EQ(-EBUSY, own.result);
			ASSERT_EQ(SIZE, stock.result);
			ASSERT_EQ(0, call(self->fd, VFIO_IOMMU_MAP_DMA, &update));
		} else {
			ASSERT_EQ(-EBUSY, stock.result);
		}
		ASSERT_EQ(own.result ? 0 : SIZE, aux_unmap_all(self->fd, OWN));
	}
}

static long do_close_group(struct side *side)
{
	close(side->iova);
	return 0;
}

/* The container loses its last group: what is mapped then is not left behind. */
TEST_F(own_space_race, AUX_MAP_and_the_close_of_the_last_group)
{
	struct side own = { do_own_map, NULL, self->fd, self->memory, IOVA, 0 };
	struct side stock = { .call = do_close_group };
	int mapped = 0;

	for (int i = 0; i < 100; i++) {
		own.fd = self->container.fd;
		stock.iova = self->container.group;
		run_both(&own, &stock);
		self->container.group = -1;
		mapped += !own.result;
		if (own.result)
			ASSERT_TRUE(own.result == -ENODEV ||
				    own.result == -EINVAL ||
				    own.result == -ENOENT);
		container_close(&self->container);
		ASSERT_TRUE(holds(&self->before, 0, 0));
		ASSERT_EQ(0, count_of("mappings"));
		ASSERT_EQ(0, container_open(&self->container, 0));
		ASSERT_EQ(0, register_memory(self->container.fd, 0, self->memory,
					     SIZE));
	}
	ksft_print_msg("note: mapped before the close %d times\n", mapped);
}

struct mapper {
	int index;
	int *mapping;		/* shared: whether it is in AUX_MAP */
};

/* A process that maps and unmaps, of pages that do not follow each other. */
static void map_for_ever(int socket, void *arg)
{
	const u64 size = 16 << 20;
	struct mapper *mapper = arg;
	struct container container;
	u8 *memory = new_pages(size / PAGE);
	long ret = container_open(&container, mapper->index);

	if (!ret && madvise(memory, size, MADV_NOHUGEPAGE))
		ret = -errno;
	for (u64 i = 0; !ret && i < size / PAGE; i++)
		memory[i * 1021 % (size / PAGE) * PAGE] = 1;
	if (!ret)
		ret = register_memory(container.fd, 0, memory, size);
	say(socket, ret);
	while (!ret) {
		__atomic_store_n(mapper->mapping, 1, __ATOMIC_SEQ_CST);
		ret = aux_map(container.fd, OWN, READ_WRITE, memory, IOVA, size);
		__atomic_store_n(mapper->mapping, 0, __ATOMIC_SEQ_CST);
		if (!ret && unmap_dma(container.fd, IOVA, size) != (long)size)
			ret = -EPROTO;
	}
	say(socket, ret);
}

TEST_F(own_space_race, a_killed_process_leaves_nothing)
{
	struct sequence sequence = { 14 };
	struct mapper mapper = { .index = 1 };
	int killed = 0;

	mapper.mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mapper.mapping);
	ASSERT_EQ(0, unregister_memory(self->fd, self->memory, SIZE));
	for (int i = 0; i < 100 && killed < 5; i++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, map_for_ever, &mapper));
		ASSERT_EQ(0, hear(peer.socket));
		usleep(next_random(&sequence, 40000));
		peer_kill(&peer);
		killed += *mapper.mapping;
		*mapper.mapping = 0;
		ASSERT_TRUE(all_hold(&self->before, 0, 0));
		ASSERT_EQ(0, count_of("mappings"));
	}
	/* Within a map, the others elsewhere. */
	ASSERT_LE(5, killed);
	ASSERT_EQ(0, register_memory(self->fd, 0, self->memory, SIZE));
	munmap(mapper.mapping, PAGE);
}

TEST_HARNESS_MAIN
