// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registered memory, several things at once: who waits for whom, signals that
 * end a wait or a process, and the same or overlapping ranges from all sides.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vfio_pasid_utils.h"

#define PAGES		16	/* of self->memory */
#define MANY		1200	/* pages: they are pinned in several steps */
#define MB		(1024 * 1024)

FIXTURE(memory_race) {
	struct before before;
	struct container container;
	struct container other;
	char *memory;
	int fd;
};

FIXTURE_SETUP(memory_race)
{
	self->container = NO_CONTAINER;
	self->other = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_LE(0, self->before.locked);
	ASSERT_LE(0, self->before.pinned);
	ASSERT_EQ(0, container_open(&self->container, 0));
	self->fd = self->container.fd;
	self->memory = new_pages(PAGES);
	ASSERT_NE(NULL, self->memory);
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* Whatever a test does, nothing stays when its containers are closed. */
FIXTURE_TEARDOWN(memory_race)
{
	container_close(&self->other);
	container_close(&self->container);
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

#define HOLDS(registrations, pages) \
	ASSERT_TRUE(holds(&self->before, registrations, pages))

/* Makes whoever faults at @memory wait until page_arrives(). */
static int pages_arrive_later(void *memory, long pages)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)memory, pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		return -errno;
	return fd;
}

/* Waits until somebody faults there. */
static int wait_for_fault(int uffd)
{
	struct uffd_msg message;

	if (read(uffd, &message, sizeof(message)) != sizeof(message))
		return -errno;
	return message.event == UFFD_EVENT_PAGEFAULT ? 0 : -EPROTO;
}

static int pages_arrive(int uffd, void *memory, long pages)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)memory, pages * PAGE },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero) ? -errno : 0;
}

struct registering {
	pthread_t thread;
	int fd;
	char *memory;
	int pages;
	int result;
	bool done;
};

static void *do_register(void *arg)
{
	struct registering *it = arg;

	it->result = register_pages(it->fd, 0, it->memory, 0, it->pages);
	__atomic_store_n(&it->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool start_registering(struct registering *it, int fd, char *memory,
			      int pages)
{
	*it = (struct registering) {
		.fd = fd,
		.memory = memory,
		.pages = pages,
	};
	return !pthread_create(&it->thread, NULL, do_register, it);
}

static int end_registering(struct registering *it)
{
	pthread_join(it->thread, NULL);
	return it->result;
}

static bool is_done(struct registering *it)
{
	return __atomic_load_n(&it->done, __ATOMIC_ACQUIRE);
}

static void on_signal(int number)
{
	(void)number;
}

TEST_F(memory_race, who_wants_what_is_being_pinned_waits)
{
	struct registering first, same, overlap;
	int uffd = pages_arrive_later(self->memory + 8 * PAGE, 1);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, container_open(&self->other, 1));
	ASSERT_TRUE(start_registering(&first, self->fd, self->memory, PAGES));
	ASSERT_EQ(0, wait_for_fault(uffd));
	ASSERT_TRUE(start_registering(&same, self->other.fd, self->memory,
				      PAGES));
	ASSERT_TRUE(start_registering(&overlap, self->fd, self->memory, 1));
	usleep(100 * 1000);
	ASSERT_FALSE(is_done(&first));
	ASSERT_FALSE(is_done(&same));
	ASSERT_FALSE(is_done(&overlap));

	/* It is charged, but nobody holds it yet. Nothing else waits. */
	ASSERT_EQ(0, count_of("registrations"));
	ASSERT_EQ(PAGES * PAGE, vm_locked() - self->before.locked);
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, self->memory, 0, PAGES));
	ASSERT_EQ(7, pasid_alloc(self->fd, 7, 7));
	ASSERT_EQ(0, register_pages(self->fd, 0, new_pages(1), 0, 1));

	ASSERT_EQ(0, pages_arrive(uffd, self->memory + 8 * PAGE, 1));
	ASSERT_EQ(0, end_registering(&first));
	ASSERT_EQ(0, end_registering(&same));
	ASSERT_EQ(-EEXIST, end_registering(&overlap));
	HOLDS(3, PAGES + 1);
	close(uffd);
}

/* Not long, as who is forgotten waits for ever. */
TEST_F_TIMEOUT(memory_race, who_waits_for_what_fails_pins_it_anew, 60)
{
	struct registering first, overlap;
	int uffd = pages_arrive_later(self->memory + 8 * PAGE, 1);

	ASSERT_LE(0, uffd);
	ASSERT_TRUE(start_registering(&first, self->fd, self->memory, PAGES));
	ASSERT_EQ(0, wait_for_fault(uffd));
	ASSERT_TRUE(start_registering(&overlap, self->fd, self->memory, 4));
	usleep(100 * 1000);
	ASSERT_FALSE(is_done(&overlap));
	/* Whoever waits there then faults again, and finds nothing. */
	ASSERT_EQ(0, munmap(self->memory + 8 * PAGE, PAGE));
	close(uffd);
	ASSERT_EQ(-EFAULT, end_registering(&first));
	ASSERT_EQ(0, end_registering(&overlap));
	HOLDS(1, 4);
}

TEST_F(memory_race, EINTR_if_a_signal_ends_the_wait)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct registering first, second;
	int uffd = pages_arrive_later(self->memory, 1);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_TRUE(start_registering(&first, self->fd, self->memory, PAGES));
	ASSERT_EQ(0, wait_for_fault(uffd));
	ASSERT_TRUE(start_registering(&second, self->fd, self->memory, PAGES));
	while (!is_done(&second)) {
		usleep(10 * 1000);
		pthread_kill(second.thread, SIGUSR1);
		/* Pinning only heeds signals that kill. */
		pthread_kill(first.thread, SIGUSR1);
	}
	ASSERT_EQ(-EINTR, end_registering(&second));
	ASSERT_FALSE(is_done(&first));
	ASSERT_EQ(0, pages_arrive(uffd, self->memory, 1));
	ASSERT_EQ(0, end_registering(&first));
	HOLDS(1, PAGES);
	close(uffd);
}

struct closing {
	pthread_t thread;
	int fd;
	bool done;
};

static void *do_close(void *arg)
{
	struct closing *it = arg;

	close(it->fd);
	__atomic_store_n(&it->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool start_closing(struct closing *it, int fd)
{
	*it = (struct closing) { .fd = fd };
	return !pthread_create(&it->thread, NULL, do_close, it);
}

TEST_F(memory_race, the_close_of_the_last_group_waits_for_no_registration)
{
	int uffd = pages_arrive_later(self->memory + 8 * PAGE, 1);
	struct registering first;

	ASSERT_LE(0, uffd);
	ASSERT_TRUE(start_registering(&first, self->fd, self->memory, PAGES));
	ASSERT_EQ(0, wait_for_fault(uffd));
	close(self->container.group);
	self->container.group = -1;
	ASSERT_FALSE(is_done(&first));
	ASSERT_EQ(-EINVAL, register_pages(self->fd, 0, self->memory, 0, 1));
	ASSERT_EQ(0, pages_arrive(uffd, self->memory + 8 * PAGE, 1));
	/* There is no container any more that could hold it. */
	ASSERT_EQ(-ENODEV, end_registering(&first));
	HOLDS(0, 0);
	close(uffd);
}

static void be_killed_while_pinning(int socket, void *arg)
{
	struct registering waiting, another;
	struct container container;
	struct closing closing;
	char *memory = new_pages(MANY);
	int uffd;

	container_close(arg);
	madvise(memory, MANY * PAGE, MADV_NOHUGEPAGE);
	uffd = pages_arrive_later(memory + (MANY - 1) * PAGE, 1);
	if (uffd < 0 || container_open(&container, 1))
		return;
	if (!start_registering(&waiting, container.fd, memory, MANY) ||
	    wait_for_fault(uffd))
		return;
	/* Others, who wait for the first. */
	if (!start_registering(&another, container.fd, memory, 1))
		return;
	usleep(50 * 1000);
	if (!start_closing(&closing, container.group))
		return;
	say(socket, 0);
	hear(socket);
}

TEST_F(memory_race, a_process_that_is_killed_while_it_pins_leaves_nothing)
{
	struct peer peer;

	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, peer_start(&peer, be_killed_while_pinning,
					&self->container));
		ASSERT_EQ(0, hear(peer.socket));
		/* All but the last. */
		ASSERT_EQ(MANY, count_of("pinned_pages"));
		ASSERT_EQ(MANY - 1, pinned_pages() - self->before.pinned);
		peer_kill(&peer);
		ASSERT_TRUE(all_hold(&self->before, 0, 0));
	}
}

/* Much memory. */

#define LARGE_PAGES	(512 * MB / PAGE)

static long acquired(void)
{
	return number_in("/proc/vmstat", "nr_foll_pin_acquired");
}

static void register_much(int socket, void *arg)
{
	struct container container;
	char *memory = new_pages(LARGE_PAGES);

	container_close(arg);
	if (!memory || container_open(&container, 1))
		return;
	madvise(memory, (size_t)LARGE_PAGES * PAGE, MADV_NOHUGEPAGE);
	say(socket, 0);
	say(socket, register_pages(container.fd, 0, memory, 0, LARGE_PAGES));
	hear(socket);
}

TEST_F(memory_race, a_fatal_signal_ends_a_large_registration)
{
	struct peer peer;
	long start;

	pinned_pages(); /* for exact numbers to begin with */
	start = acquired();
	ASSERT_EQ(0, peer_start(&peer, register_much, &self->container));
	ASSERT_EQ(0, hear(peer.socket));
	while (acquired() < start + 1024)
		;
	peer_kill(&peer);
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
	ASSERT_LE(1024, acquired() - start);
	/* It had to stop before the end. */
	ASSERT_GT(LARGE_PAGES, acquired() - start);
}

TEST_F(memory_race, half_a_gigabyte_can_be_registered)
{
	char *memory = new_pages(LARGE_PAGES);

	ASSERT_NE(NULL, memory);
	/* Small pages and large ones. */
	ASSERT_EQ(0, madvise(memory, 64 * MB, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, LARGE_PAGES));
	HOLDS(1, LARGE_PAGES);
	ASSERT_EQ(0, unregister_pages(self->fd, memory, 0, LARGE_PAGES));
	HOLDS(0, 0);
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, LARGE_PAGES));
	container_close(&self->container);
	HOLDS(0, 0);
}

/* Races. */

#define ROUNDS	200

struct twin {
	pthread_t thread;
	struct spin_barrier *barrier;
	int fd;
	char *memory;
	int failures;
};

static void *register_at_once(void *arg)
{
	struct twin *twin = arg;

	for (int round = 0; round < ROUNDS; round++) {
		spin_barrier_wait(twin->barrier);
		twin->failures += !!register_pages(twin->fd, 0, twin->memory, 0, PAGES);
		spin_barrier_wait(twin->barrier);
		/* The test looks. */
		spin_barrier_wait(twin->barrier);
		twin->failures += !!unregister_pages(twin->fd, twin->memory, 0, PAGES);
	}
	return NULL;
}

TEST_F(memory_race, threads_that_register_the_same_at_once_share_it)
{
	struct spin_barrier barrier = { .threads = 4 };
	struct twin twins[3];

	ASSERT_EQ(0, container_open(&self->other, 1));
	for (int i = 0; i < 3; i++) {
		twins[i] = (struct twin) {
			.barrier = &barrier,
			.fd = i ? self->fd : self->other.fd,
			.memory = self->memory,
		};
		ASSERT_EQ(0, pthread_create(&twins[i].thread, NULL,
					    register_at_once, &twins[i]));
	}
	for (int round = 0; round < ROUNDS; round++) {
		bool good;

		spin_barrier_wait(&barrier);
		spin_barrier_wait(&barrier);
		/* A look at the pins takes a while. */
		good = round % 50 ? count_of("registrations") == 2 &&
				    count_of("pinned_pages") == PAGES &&
				    vm_locked() == self->before.locked +
						   PAGES * PAGE :
				    holds(&self->before, 2, PAGES);
		ASSERT_TRUE(good);
		spin_barrier_wait(&barrier);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(twins[i].thread, NULL);
		ASSERT_EQ(0, twins[i].failures);
	}
	HOLDS(0, 0);
}

/*
 * Overlapping ranges, registered and unregistered by everybody at random. The
 * model: each range of each container has been registered so many times, and
 * that takes as many times to undo; and of two that overlap, only one can be.
 */
#define RACERS		4
#define STEPS		2000

static const struct {
	int first, pages;
} raced[] = { { 0, 4 }, { 2, 4 }, { 6, 2 }, { 0, 8 }, { 8, 8 } };

struct racer {
	pthread_t thread;
	struct sequence sequence;
	const int *fds;
	char *memory;
	long references[2][ARRAY_SIZE(raced)];
	int strange;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	for (int step = 0; step < STEPS; step++) {
		u32 which = next_random(&racer->sequence, ARRAY_SIZE(raced));
		u32 container = next_random(&racer->sequence, 2);
		bool add = next_random(&racer->sequence, 2);
		int ret;

		if (add)
			ret = register_pages(racer->fds[container], 0, racer->memory,
					     raced[which].first, raced[which].pages);
		else
			ret = unregister_pages(racer->fds[container], racer->memory,
					       raced[which].first, raced[which].pages);
		if (!ret)
			racer->references[container][which] += add ? 1 : -1;
		else if (ret != (add ? -EEXIST : -ENOENT))
			racer->strange = ret;
	}
	return NULL;
}

TEST_F(memory_race, registering_and_unregistering_race)
{
	long references[2][ARRAY_SIZE(raced)] = {}, registrations = 0, pages = 0;
	struct racer racers[RACERS] = {};
	int fds[2];

	ASSERT_EQ(0, container_open(&self->other, 1));
	fds[0] = self->fd;
	fds[1] = self->other.fd;
	for (int i = 0; i < RACERS; i++) {
		racers[i].sequence.state = i;
		racers[i].fds = fds;
		racers[i].memory = self->memory;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, race,
					    &racers[i]));
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		ASSERT_EQ(0, racers[i].strange);
		for (size_t j = 0; j < ARRAY_SIZE(raced); j++) {
			references[0][j] += racers[i].references[0][j];
			references[1][j] += racers[i].references[1][j];
		}
	}
	for (size_t j = 0; j < ARRAY_SIZE(raced); j++) {
		registrations += !!references[0][j] + !!references[1][j];
		if (references[0][j] || references[1][j])
			pages += raced[j].pages;
	}
	HOLDS(registrations, pages);
	for (int i = 0; i < 2; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(raced); j++) {
			ASSERT_LE(0, references[i][j]);
			while (references[i][j]--)
				ASSERT_EQ(0, unregister_pages(fds[i], self->memory,
							      raced[j].first,
							      raced[j].pages));
			ASSERT_EQ(-ENOENT, unregister_pages(fds[i], self->memory,
							    raced[j].first,
							    raced[j].pages));
		}
	}
	HOLDS(0, 0);
}

TEST_HARNESS_MAIN
