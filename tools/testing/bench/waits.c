// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two processes, each with a device and a container, do for some seconds what
 * users do; scripts/bench looks whom they wait for. How long each thing takes is
 * printed, and says what this machine is worth at the time.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "count.h"
#include "pasid_device.h"

#define IOVA		0x100000000ul
#define READ_WRITE	(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)

struct user {
	int fd;
	u32 group;
	u32 pasid;		/* an aux space, attached */
	char *registered;	/* a page */
	char *other;		/* one that is not */
};

static void alloc_and_free(const struct user *user)
{
	long pasid = CHECK(pasid_alloc(user->fd, 1, PASID_LAST));

	CHECK(pasid_free(user->fd, pasid, pasid));
}

static void map_and_unmap(const struct user *user)
{
	CHECK(aux_map(user->fd, user->pasid, READ_WRITE, user->registered, IOVA,
		      PAGE));
	CHECK(aux_unmap(user->fd, user->pasid, IOVA, PAGE));
}

static void map_and_unmap_own(const struct user *user)
{
	CHECK(aux_map(user->fd, VFIO_AUX_OWN_SPACE, READ_WRITE,
		      user->registered, IOVA, PAGE));
	CHECK(aux_unmap(user->fd, VFIO_AUX_OWN_SPACE, IOVA, PAGE));
}

static void register_and_unregister(const struct user *user)
{
	CHECK(register_memory(user->fd, 0, user->other, PAGE));
	CHECK(unregister_memory(user->fd, user->other, PAGE));
}

static void create_and_destroy(const struct user *user)
{
	CHECK(aux_destroy(user->fd, CHECK(aux_create(user->fd))));
}

static void detach_and_attach(const struct user *user)
{
	CHECK(aux_detach(user->fd, user->pasid, user->group));
	CHECK(aux_attach(user->fd, user->pasid, user->group));
}

static void stock(const struct user *user)
{
	CHECK(map_dma(user->fd, user->other, IOVA, PAGE));
	CHECK(unmap_dma(user->fd, IOVA, PAGE));
}

static const struct {
	const char *name;
	void (*act)(const struct user *user);
} acts[] = {
	{ "alloc+free", alloc_and_free },
	{ "AUX_MAP+UNMAP", map_and_unmap },
	{ "AUX_MAP+UNMAP-own-space", map_and_unmap_own },
	{ "REGISTER+UNREGISTER", register_and_unregister },
	{ "AUX_CREATE+DESTROY", create_and_destroy },
	{ "AUX_ATTACH+DETACH", detach_and_attach },
	{ "MAP_DMA+UNMAP_DMA", stock },
};

static void start(struct user *user, struct container *container, int nth)
{
	int index = CHECK(device_index(20, nth));

	CHECK(container_open_device(container, index));
	user->fd = container->fd;
	user->group = group_number(index);
	user->registered = new_pages(1);
	user->other = new_pages(1);
	if (!user->registered || !user->other)
		give_up("new_pages()", -1);
	CHECK(register_memory(user->fd, 0, user->registered, PAGE));
	user->pasid = CHECK(aux_create(user->fd));
	CHECK(aux_attach(user->fd, user->pasid, user->group));
}

/* All of it in turns, 20 times each, until the time is over. */
static void use(int nth, int seconds)
{
	u64 end = nanoseconds() + seconds * 1000000000ull, spent[ARRAY_SIZE(acts)] = {};
	struct container container;
	struct user user;
	int rounds = 0;

	start(&user, &container, nth);
	for (; nanoseconds() < end; rounds++)
		for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
			u64 before = nanoseconds();

			for (int times = 0; times < 20; times++)
				acts[i].act(&user);
			spent[i] += nanoseconds() - before;
		}
	for (size_t i = 0; i < ARRAY_SIZE(acts) && !nth; i++)
		tally((double)spent[i] / rounds / 20, "wall.%s", acts[i].name);
	container_close(&container);
}

static void wait_for_all(void)
{
	int status, failed = 0;

	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		give_up("a process", failed);
}

/* A process whose memory comes and goes, until then. */
static void unmap_memory(bool attached, u64 end)
{
	int index = CHECK(device_index(16, 0));
	struct container container;

	CHECK(container_open_device(&container, index));
	if (attached)
		CHECK(aux_attach(container.fd,
				 CHECK(aux_create_process(container.fd)),
				 group_number(index)));
	while (nanoseconds() < end)
		map_touch_and_unmap();
	container_close(&container);
}

/* What another process pays for it. */
static void count_beside_one(bool attached, int seconds)
{
	u64 begin = nanoseconds(), end = begin + seconds * 1000000000ull;
	struct container container;
	struct user user;
	u64 rounds = 0;

	if (!CHECK(fork())) {
		unmap_memory(attached, end);
		_exit(0);
	}
	start(&user, &container, 0);
	for (begin = nanoseconds(); nanoseconds() < end; rounds++)
		map_and_unmap(&user);
	tally((double)(nanoseconds() - begin) / rounds, "beside.%s",
	      attached ? "attached" : "plain");
	container_close(&container);
	wait_for_all();
}

void count_beside(int seconds)
{
	announce("beside a process that unmaps, %d s", 2 * seconds);
	CHECK(pretend_to_walk_processes());
	fflush(stdout);
	count_beside_one(false, seconds);
	fflush(stdout);
	count_beside_one(true, seconds);
}

void count_waits(int seconds)
{
	announce("two processes, %d s", seconds);
	fflush(stdout);
	for (int nth = 0; nth < 2; nth++)
		if (!CHECK(fork())) {
			use(nth, seconds);
			fflush(stdout);
			_exit(0);
		}
	wait_for_all();
}
