// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registering again what is registered, after the process has changed its page
 * tables: success if they still have the pages that were pinned, and not if they
 * have others. Whatever the answer, who held the range goes on to do so.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vfio_pasid_utils.h"

#define PAGES		16	/* of self->memory */
#define MANY		1200	/* pages: they are looked at in several steps */
#define READ_ONLY	VFIO_MEMORY_READ_ONLY
#define READ_WRITE	(PROT_READ | PROT_WRITE)
#define MB		(1024 * 1024)

FIXTURE(memory_suspect) {
	struct before before;
	struct container container;
	struct container other;
	int fd;
};

FIXTURE_SETUP(memory_suspect)
{
	self->container = NO_CONTAINER;
	self->other = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->before = look_before();
	ASSERT_LE(0, self->before.locked);
	ASSERT_LE(0, self->before.pinned);
	ASSERT_EQ(0, container_open(&self->container, 0));
	ASSERT_EQ(0, container_open(&self->other, 1));
	self->fd = self->container.fd;
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

/* Whatever a test does, nothing stays when its containers are closed. */
FIXTURE_TEARDOWN(memory_suspect)
{
	container_close(&self->other);
	container_close(&self->container);
	ASSERT_TRUE(all_hold(&self->before, 0, 0));
	ASSERT_TRUE(holds(&self->before, 0, 0));
}

#define HOLDS(registrations, pages) \
	ASSERT_TRUE(holds(&self->before, registrations, pages))

/* How many pages were pinned (FOLL_PIN) until now. */
static long acquired(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
	return number_in("/proc/vmstat", "nr_foll_pin_acquired");
}

/* Anonymous memory, or that of a file; each page there, none a part of a large one. */
struct memory {
	char *at;
	int memfd;
};

static bool new_memory(struct memory *memory, bool file, int pages)
{
	memory->memfd = file ? memfd_create("memory", MFD_CLOEXEC) : -1;
	if (file && ftruncate(memory->memfd, pages * PAGE))
		return false;
	memory->at = mmap(NULL, pages * PAGE, READ_WRITE,
			  file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
			  memory->memfd, 0);
	if (memory->at == MAP_FAILED ||
	    madvise(memory->at, pages * PAGE, MADV_NOHUGEPAGE))
		return false;
	for (int i = 0; i < pages; i++)
		memory->at[i * PAGE] = i + 1;
	return true;
}

static void free_memory(struct memory *memory, int pages)
{
	munmap(memory->at, pages * PAGE);
	if (memory->memfd >= 0)
		close(memory->memfd);
}

/* What a process does with all of its memory, or a part of it. */

static bool new_pages_at(char *at, int pages)
{
	if (mmap(at, pages * PAGE, READ_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		return false;
	memset(at, 0x77, pages * PAGE);
	return true;
}

/* Where the pages are that move_away() took. */
static char *away;

static bool move_away(char *at, int pages)
{
	char *to = mmap(NULL, pages * PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	away = mremap(at, pages * PAGE, pages * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, to);
	return away == to;
}

static bool move_back(char *at, int pages)
{
	return mremap(away, pages * PAGE, pages * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, at) == at;
}

static bool forks(struct memory *memory)
{
	pid_t child = fork();

	if (!child) {
		/* It gets copies. */
		for (int i = 0; i < PAGES; i++)
			memory->at[i * PAGE]++;
		_exit(0);
	}
	for (int i = 0; i < PAGES; i++)
		memory->at[i * PAGE]++;
	return child > 0 && waitpid(child, NULL, 0) == child;
}

static bool protects_and_back(struct memory *memory)
{
	return !mprotect(memory->at, PAGES * PAGE, PROT_NONE) &&
	       !mprotect(memory->at, PAGES * PAGE, PROT_READ) &&
	       !mprotect(memory->at, PAGES * PAGE, READ_WRITE);
}

static bool moves_and_back(struct memory *memory)
{
	return move_away(memory->at, PAGES) && move_back(memory->at, PAGES);
}

static bool is_short_of_memory(struct memory *memory)
{
	/* The kernel may take the pages out of the page tables, but not away. */
	return !madvise(memory->at, PAGES * PAGE, MADV_COLD) &&
	       !madvise(memory->at, PAGES * PAGE, MADV_PAGEOUT);
}

static bool maps_again(struct memory *memory)
{
	return !munmap(memory->at, PAGES * PAGE) &&
	       mmap(memory->at, PAGES * PAGE, READ_WRITE,
		    MAP_SHARED | MAP_FIXED, memory->memfd, 0) == memory->at;
}

static bool wants_none(struct memory *memory)
{
	return !madvise(memory->at, PAGES * PAGE, MADV_DONTNEED);
}

static bool unmaps(struct memory *memory)
{
	return !munmap(memory->at, PAGES * PAGE);
}

static bool unmaps_one(struct memory *memory)
{
	return !munmap(memory->at + 7 * PAGE, PAGE);
}

static bool unmaps_and_maps(struct memory *memory)
{
	return unmaps(memory) && new_pages_at(memory->at, PAGES);
}

static bool maps_over(struct memory *memory)
{
	return new_pages_at(memory->at, PAGES);
}

static bool maps_over_the_last(struct memory *memory)
{
	return new_pages_at(memory->at + (PAGES - 1) * PAGE, 1);
}

static bool moves(struct memory *memory)
{
	return move_away(memory->at, PAGES);
}

static bool moves_and_maps(struct memory *memory)
{
	return moves(memory) && new_pages_at(memory->at, PAGES);
}

static bool moves_over(struct memory *memory)
{
	char *from = new_pages(PAGES);

	memset(from, 0x77, PAGES * PAGE);
	return mremap(from, PAGES * PAGE, PAGES * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, memory->at) == memory->at;
}

static bool swaps_two(struct memory *memory)
{
	char *first = memory->at, *second = first + PAGE;

	return move_away(first, 1) &&
	       mremap(second, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      first) == first && move_back(second, 1);
}

static bool lets_only_read(struct memory *memory)
{
	return !mprotect(memory->at, PAGES * PAGE, PROT_READ);
}

static bool lets_nothing(struct memory *memory)
{
	return !mprotect(memory->at + 3 * PAGE, PAGE, PROT_NONE);
}

static bool truncates(struct memory *memory)
{
	return !ftruncate(memory->memfd, 0);
}

static bool truncates_and_extends(struct memory *memory)
{
	return truncates(memory) && !ftruncate(memory->memfd, PAGES * PAGE);
}

static bool punches_a_hole(struct memory *memory)
{
	return !fallocate(memory->memfd,
			  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  5 * PAGE, PAGE);
}

struct change {
	const char *name;
	bool (*make)(struct memory *memory);
	bool file;
	u32 flags;	/* of the registration */
	int answer;	/* of the next */
};

static const struct change the_same[] = {
	{ "fork", forks, false, 0, 0 },
	{ "fork", forks, false, READ_ONLY, 0 },
	{ "fork, of a file", forks, true, 0, 0 },
	{ "mprotect", protects_and_back, false, 0, 0 },
	{ "mprotect, of a file", protects_and_back, true, 0, 0 },
	{ "mremap", moves_and_back, false, 0, 0 },
	{ "mremap, of a file", moves_and_back, true, 0, 0 },
	{ "munmap and mmap of a file", maps_again, true, 0, 0 },
	{ "DONTNEED of a file", wants_none, true, 0, 0 },
	{ "PROT_READ of what is read", lets_only_read, false, READ_ONLY, 0 },
};

static const struct change not_the_same[] = {
	{ "munmap", unmaps, false, 0, -EFAULT },
	{ "munmap", unmaps, false, READ_ONLY, -EFAULT },
	{ "munmap of a file", unmaps, true, 0, -EFAULT },
	{ "munmap of a page", unmaps_one, false, 0, -EFAULT },
	{ "munmap and mmap", unmaps_and_maps, false, 0, -EEXIST },
	{ "munmap and mmap", unmaps_and_maps, true, READ_ONLY, -EEXIST },
	{ "MAP_FIXED", maps_over, false, 0, -EEXIST },
	{ "MAP_FIXED over a file", maps_over, true, 0, -EEXIST },
	{ "MAP_FIXED over the last page", maps_over_the_last, false, 0, -EEXIST },
	{ "mremap", moves, false, 0, -EFAULT },
	{ "mremap and mmap", moves_and_maps, false, 0, -EEXIST },
	{ "mremap over it", moves_over, false, 0, -EEXIST },
	{ "mremap of two pages", swaps_two, false, 0, -EEXIST },
	{ "DONTNEED", wants_none, false, 0, -EEXIST },
	{ "DONTNEED", wants_none, false, READ_ONLY, -EEXIST },
	{ "PROT_READ", lets_only_read, false, 0, -EFAULT },
	{ "PROT_NONE of a page", lets_nothing, false, READ_ONLY, -EFAULT },
	{ "truncation", truncates, true, 0, -EFAULT },
	{ "truncation and extension", truncates_and_extends, true, 0, -EEXIST },
	{ "a hole in a file", punches_a_hole, true, 0, -EEXIST },
};

static bool answers(const struct change *change, int fd, struct memory *memory,
		    int answer)
{
	return is_value(change->name,
			register_pages(fd, change->flags, memory->at, 0, PAGES),
			answer);
}

/* Nothing is looked at that nothing has happened to. */
TEST_F(memory_suspect, what_has_not_changed_is_not_pinned_again)
{
	struct memory memory;
	long start;

	ASSERT_TRUE(new_memory(&memory, false, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	start = acquired();
	/* Neither is what happens beside it. */
	ASSERT_TRUE(new_pages_at(new_pages(PAGES), PAGES));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
		ASSERT_EQ(0, register_pages(self->other.fd, 0, memory.at, 0, PAGES));
	}
	ASSERT_EQ(start, acquired());
	HOLDS(2, PAGES);
}

/* A look that finds what it should is the last, and costs nothing that stays. */
TEST_F(memory_suspect, the_same_pages_can_be_registered_again)
{
	for (size_t i = 0; i < ARRAY_SIZE(the_same); i++) {
		const struct change *change = &the_same[i];
		struct memory memory;
		long start;

		ASSERT_TRUE(new_memory(&memory, change->file, PAGES));
		ASSERT_TRUE(answers(change, self->fd, &memory, 0));
		ASSERT_TRUE(change->make(&memory));
		start = acquired();
		ASSERT_TRUE(answers(change, self->other.fd, &memory, 0));
		/* But for shared memory, of which fork() leaves the tables alone. */
		if (!change->file || change->make != forks)
			ASSERT_TRUE(is_value(change->name, acquired() - start,
					     PAGES));
		HOLDS(2, PAGES);
		start = acquired();
		ASSERT_TRUE(answers(change, self->fd, &memory, 0));
		ASSERT_TRUE(answers(change, self->other.fd, &memory, 0));
		ASSERT_TRUE(is_value(change->name, acquired() - start, 0));
		for (int j = 0; j < 2; j++) {
			ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, PAGES));
			ASSERT_EQ(0, unregister_pages(self->other.fd, memory.at, 0, PAGES));
		}
		HOLDS(0, 0);
		free_memory(&memory, PAGES);
	}
}

/* Whoever asks, and how often. */
TEST_F(memory_suspect, other_pages_cannot_be_registered_before_the_old_are_not)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_the_same); i++) {
		const struct change *change = &not_the_same[i];
		struct memory memory;

		ASSERT_TRUE(new_memory(&memory, change->file, PAGES));
		ASSERT_TRUE(answers(change, self->fd, &memory, 0));
		ASSERT_TRUE(change->make(&memory));
		for (int j = 0; j < 3; j++) {
			ASSERT_TRUE(answers(change, self->fd, &memory,
					    change->answer));
			ASSERT_TRUE(answers(change, self->other.fd, &memory,
					    change->answer));
		}
		/* Who holds it goes on. */
		HOLDS(1, PAGES);
		ASSERT_EQ(-ENOENT, unregister_pages(self->other.fd, memory.at, 0, PAGES));
		ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, PAGES));
		HOLDS(0, 0);
		ASSERT_EQ(-ENOENT, unregister_pages(self->fd, memory.at, 0, PAGES));

		/* Now it is like any memory. */
		ASSERT_TRUE(answers(change, self->other.fd, &memory,
				    change->answer == -EEXIST ? 0 : -EFAULT));
		if (change->answer == -EEXIST) {
			HOLDS(1, PAGES);
			ASSERT_EQ(0, unregister_pages(self->other.fd, memory.at, 0, PAGES));
		}
		HOLDS(0, 0);
		free_memory(&memory, PAGES);
	}
}

/* Two containers, each as often as it succeeded. */
TEST_F(memory_suspect, a_refusal_counts_for_nothing)
{
	struct memory memory;

	ASSERT_TRUE(new_memory(&memory, false, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	ASSERT_EQ(0, register_pages(self->other.fd, 0, memory.at, 0, PAGES));
	ASSERT_TRUE(maps_over(&memory));
	ASSERT_EQ(-EEXIST, register_pages(self->fd, 0, memory.at, 0, PAGES));
	ASSERT_EQ(-EEXIST, register_pages(self->other.fd, 0, memory.at, 0, PAGES));
	HOLDS(2, PAGES);
	ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, PAGES));
	HOLDS(2, PAGES);
	ASSERT_EQ(0, unregister_pages(self->other.fd, memory.at, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, PAGES));
	HOLDS(0, 0);
}

/* In every step, at its edges, and back again. */
TEST_F(memory_suspect, each_page_counts)
{
	static const int where[] = { 0, 1, 511, 512, 700, 1023, 1024, MANY - 1 };
	struct memory memory;

	ASSERT_TRUE(new_memory(&memory, false, MANY));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, MANY));
	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		char *page = memory.at + where[i] * PAGE;

		ASSERT_TRUE(move_away(page, 1));
		ASSERT_EQ(-EFAULT, register_pages(self->fd, 0, memory.at, 0, MANY));
		ASSERT_TRUE(new_pages_at(page, 1));
		ASSERT_EQ(-EEXIST, register_pages(self->fd, 0, memory.at, 0, MANY)) {
			TH_LOG("page %d", where[i]);
		}
		HOLDS(1, MANY);
		ASSERT_TRUE(move_back(page, 1));
		ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, MANY));
		HOLDS(1, MANY);
	}
}

/* What the kernel does on its own. */

static char *aligned_memory(void)
{
	char *memory = mmap(NULL, 4 * MB, READ_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory + (-(uintptr_t)memory & (2 * MB - 1));
}

TEST_F(memory_suspect, small_pages_that_could_be_a_large_one)
{
	char *memory = aligned_memory();

	ASSERT_EQ(0, madvise(memory, 2 * MB, MADV_NOHUGEPAGE));
	memset(memory, 1, 2 * MB);
	ASSERT_EQ(0, madvise(memory, 2 * MB, MADV_HUGEPAGE));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 3, PAGES));
	/* It must not move what is pinned. */
	madvise(memory, 2 * MB, MADV_COLLAPSE);
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 3, PAGES));
	HOLDS(1, PAGES);
}

TEST_F(memory_suspect, a_large_page_that_becomes_small_ones)
{
	char *memory = aligned_memory();
	long start;

	ASSERT_EQ(0, madvise(memory, 2 * MB, MADV_HUGEPAGE));
	memset(memory, 1, 2 * MB);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory + MB, MB));
	ASSERT_EQ(0, munmap(memory, MB / 2));
	start = acquired();
	ASSERT_EQ(0, register_memory(self->fd, 0, memory + MB, MB));
	ASSERT_EQ(MB / PAGE, acquired() - start);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory + MB, MB));
	ASSERT_EQ(MB / PAGE, acquired() - start);
	HOLDS(1, MB / PAGE);
}

TEST_F(memory_suspect, pages_that_could_be_reclaimed_or_merged)
{
	struct memory memory;

	ASSERT_TRUE(new_memory(&memory, false, PAGES));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	ASSERT_TRUE(is_short_of_memory(&memory));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	madvise(memory.at, PAGES * PAGE, MADV_MERGEABLE);
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	HOLDS(1, PAGES);
}

/* A page of zeros that is shared when it is registered is replaced by pinning. */
TEST_F(memory_suspect, memory_that_was_only_read)
{
	char *memory = new_pages(PAGES);

	for (u32 flags = 0; flags <= READ_ONLY; flags++) {
		for (int i = 0; i < PAGES; i++)
			ASSERT_EQ(0, memory[i * PAGE]);
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(0, register_pages(self->fd, flags, memory, 0, PAGES));
		HOLDS(1, PAGES);
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(0, unregister_pages(self->fd, memory, 0, PAGES));
		ASSERT_EQ(0, madvise(memory, PAGES * PAGE, MADV_DONTNEED));
	}
}

/* RLIMIT_MEMLOCK. */

TEST_F(memory_suspect, a_look_is_not_charged)
{
	struct rlimit limit = { PAGES * PAGE, PAGES * PAGE };
	struct memory memory;

	ASSERT_TRUE(new_memory(&memory, false, PAGES));
	set_ipc_lock(false);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	ASSERT_TRUE(forks(&memory));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, PAGES));
	HOLDS(1, PAGES);
	ASSERT_TRUE(maps_over(&memory));
	ASSERT_EQ(-EEXIST, register_pages(self->fd, 0, memory.at, 0, PAGES));
	HOLDS(1, PAGES);
}

/* Other things that happen during a look. */

/*
 * Takes @page, which is a file's, out of the page tables. Who wants it waits
 * until it_is_there_again().
 */
static int wanted_later(char *page)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MINOR_SHMEM,
	};
	struct uffdio_register range = {
		.range = { (uintptr_t)page, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MINOR,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range) ||
	    madvise(page, PAGE, MADV_DONTNEED))
		return -errno;
	return fd;
}

static int wait_until_wanted(int uffd)
{
	struct pollfd ready = { .fd = uffd, .events = POLLIN };
	struct uffd_msg message;

	/* Who does not look does not want it. */
	if (poll(&ready, 1, 20 * 1000) != 1)
		return -ETIMEDOUT;
	if (read(uffd, &message, sizeof(message)) != sizeof(message))
		return -errno;
	return message.event == UFFD_EVENT_PAGEFAULT ? 0 : -EPROTO;
}

static int it_is_there_again(int uffd, char *page)
{
	struct uffdio_continue there = {
		.range = { (uintptr_t)page, PAGE },
	};

	return ioctl(uffd, UFFDIO_CONTINUE, &there) ? -errno : 0;
}

struct looking {
	pthread_t thread;
	int fd;
	char *memory;
	int first;
	int pages;
	int result;
	bool done;
};

static void *do_look(void *arg)
{
	struct looking *it = arg;

	it->result = register_pages(it->fd, 0, it->memory, it->first, it->pages);
	__atomic_store_n(&it->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool start_looking(struct looking *it, int fd, char *memory, int first,
			  int pages)
{
	*it = (struct looking) {
		.fd = fd,
		.memory = memory,
		.first = first,
		.pages = pages,
	};
	return !pthread_create(&it->thread, NULL, do_look, it);
}

static bool is_done(struct looking *it)
{
	return __atomic_load_n(&it->done, __ATOMIC_ACQUIRE);
}

static int end_looking(struct looking *it)
{
	pthread_join(it->thread, NULL);
	return it->result;
}

#define LATE	600	/* a page that is not in the first step */

/* What changes behind a look is for the next. */
TEST_F_TIMEOUT(memory_suspect, a_change_during_a_look_is_not_forgotten, 60)
{
	struct looking looking;
	struct memory memory;
	char *late;
	int uffd;

	ASSERT_TRUE(new_memory(&memory, true, MANY));
	late = memory.at + LATE * PAGE;
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, MANY));
	uffd = wanted_later(late);
	ASSERT_LE(0, uffd);
	ASSERT_TRUE(start_looking(&looking, self->fd, memory.at, 0, MANY));
	ASSERT_EQ(0, wait_until_wanted(uffd));
	ASSERT_TRUE(new_pages_at(memory.at, 1));
	ASSERT_EQ(0, it_is_there_again(uffd, late));
	/* It had seen the page that was there. */
	ASSERT_EQ(0, end_looking(&looking));
	ASSERT_EQ(-EEXIST, register_pages(self->fd, 0, memory.at, 0, MANY));
	HOLDS(1, MANY);
	close(uffd);
}

TEST_F_TIMEOUT(memory_suspect, nobody_waits_for_who_looks, 60)
{
	struct looking looking;
	struct memory memory, another;
	char *late;
	int uffd;

	ASSERT_TRUE(new_memory(&memory, true, MANY));
	ASSERT_TRUE(new_memory(&another, false, PAGES));
	late = memory.at + LATE * PAGE;
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, MANY));
	uffd = wanted_later(late);
	ASSERT_LE(0, uffd);
	ASSERT_TRUE(start_looking(&looking, self->other.fd, memory.at, 0, MANY));
	ASSERT_EQ(0, wait_until_wanted(uffd));
	ASSERT_EQ(0, register_pages(self->fd, 0, another.at, 0, PAGES));
	ASSERT_EQ(-EEXIST, register_pages(self->other.fd, 0, memory.at, 0, 1));
	ASSERT_EQ(MANY * PAGE + PAGES * PAGE, vm_locked() - self->before.locked);
	ASSERT_EQ(0, unregister_pages(self->fd, another.at, 0, PAGES));
	ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, MANY));
	ASSERT_FALSE(is_done(&looking));
	/* It goes on to hold what it looks at. */
	ASSERT_EQ(0, it_is_there_again(uffd, late));
	ASSERT_EQ(0, end_looking(&looking));
	HOLDS(1, MANY);
	ASSERT_EQ(-ENOENT, unregister_pages(self->fd, memory.at, 0, MANY));
	ASSERT_EQ(0, unregister_pages(self->other.fd, memory.at, 0, MANY));
	HOLDS(0, 0);
	close(uffd);
}

/* That which is only looked at is no reason to refuse what is there now. */
TEST_F_TIMEOUT(memory_suspect, who_finds_only_who_looks_waits, 60)
{
	struct looking first, same, overlap;
	struct memory memory;
	char *late;
	int uffd;

	ASSERT_TRUE(new_memory(&memory, true, MANY));
	late = memory.at + LATE * PAGE;
	ASSERT_EQ(0, register_pages(self->fd, 0, memory.at, 0, MANY));
	uffd = wanted_later(late);
	ASSERT_LE(0, uffd);
	ASSERT_TRUE(start_looking(&first, self->other.fd, memory.at, 0, MANY));
	ASSERT_EQ(0, wait_until_wanted(uffd));
	ASSERT_EQ(0, unregister_pages(self->fd, memory.at, 0, MANY));
	/* One that the first has seen, one that it is yet to see. */
	ASSERT_TRUE(new_pages_at(memory.at, 1));
	ASSERT_TRUE(new_pages_at(memory.at + (MANY - 1) * PAGE, 1));
	ASSERT_TRUE(start_looking(&same, self->fd, memory.at, 0, MANY));
	ASSERT_TRUE(start_looking(&overlap, self->fd, memory.at, 4, PAGES));
	usleep(100 * 1000);
	ASSERT_FALSE(is_done(&first));
	ASSERT_FALSE(is_done(&same));
	ASSERT_FALSE(is_done(&overlap));
	ASSERT_EQ(0, it_is_there_again(uffd, late));
	/* Either both have the new pages, or who overlaps came before them. */
	if (end_looking(&overlap)) {
		ASSERT_EQ(-EEXIST, overlap.result);
		ASSERT_EQ(0, end_looking(&first));
		ASSERT_EQ(0, end_looking(&same));
		HOLDS(2, MANY);
	} else {
		ASSERT_EQ(-EEXIST, end_looking(&first));
		ASSERT_EQ(-EEXIST, end_looking(&same));
		HOLDS(1, PAGES);
	}
	close(uffd);
}

static void be_killed_while_looking(int socket, void *arg)
{
	struct container container;
	struct looking looking;
	struct memory memory;
	int uffd;

	container_close(arg);
	if (container_open(&container, 0) || !new_memory(&memory, true, MANY) ||
	    register_pages(container.fd, 0, memory.at, 0, MANY))
		return;
	uffd = wanted_later(memory.at + LATE * PAGE);
	if (uffd < 0 ||
	    !start_looking(&looking, container.fd, memory.at, 0, MANY) ||
	    wait_until_wanted(uffd))
		return;
	say(socket, 0);
	hear(socket);
}

TEST_F(memory_suspect, a_process_that_is_killed_while_it_looks_leaves_nothing)
{
	struct peer peer;

	container_close(&self->container);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, peer_start(&peer, be_killed_while_looking,
					&self->other));
		ASSERT_EQ(0, hear(peer.socket));
		peer_kill(&peer);
		ASSERT_TRUE(all_hold(&self->before, 0, 0));
	}
}

/* Races. */

#define ROUNDS	3000

struct racer {
	pthread_t thread;
	struct racer *stop;	/* who changes stops when these have ended */
	int fd;
	char *memory;
	long registered;
	long refused;
	int strange;
	bool done;
};

static void *change(void *arg)
{
	struct racer *it = arg;

	while (!__atomic_load_n(&it->stop[0].done, __ATOMIC_ACQUIRE) ||
	       !__atomic_load_n(&it->stop[1].done, __ATOMIC_ACQUIRE)) {
		if (munmap(it->memory + 3 * PAGE, PAGE) ||
		    !new_pages_at(it->memory + 3 * PAGE, 1) ||
		    madvise(it->memory + 8 * PAGE, PAGE, MADV_DONTNEED))
			it->strange = errno;
	}
	return NULL;
}

static void *register_and_unregister(void *arg)
{
	struct racer *it = arg;

	for (int round = 0; round < ROUNDS; round++) {
		int ret = register_pages(it->fd, 0, it->memory, 0, PAGES);

		if (!ret)
			it->registered++;
		else if (ret == -EEXIST || ret == -EFAULT)
			it->refused++;
		else
			it->strange = ret;
		/* Now and then there are several. */
		while (it->registered > round % 3) {
			ret = unregister_pages(it->fd, it->memory, 0, PAGES);
			if (ret)
				it->strange = ret;
			it->registered--;
		}
	}
	__atomic_store_n(&it->done, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST_F(memory_suspect, changing_and_registering_race)
{
	struct racer racers[2] = {}, changer = { .stop = racers };
	struct memory memory;

	ASSERT_TRUE(new_memory(&memory, false, PAGES));
	changer.memory = memory.at;
	for (int i = 0; i < 2; i++) {
		racers[i].fd = i ? self->other.fd : self->fd;
		racers[i].memory = memory.at;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL,
					    register_and_unregister, &racers[i]));
	}
	ASSERT_EQ(0, pthread_create(&changer.thread, NULL, change, &changer));
	for (int i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_join(changer.thread, NULL);
	ASSERT_EQ(0, changer.strange);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, racers[i].strange);
		/* Some of either. */
		ASSERT_LT(0, racers[i].refused);
		ASSERT_GT(ROUNDS, racers[i].refused);
		while (racers[i].registered--)
			ASSERT_EQ(0, unregister_pages(racers[i].fd, memory.at,
						      0, PAGES));
	}
	HOLDS(0, 0);
}

TEST_HARNESS_MAIN
