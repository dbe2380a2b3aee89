// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/vfio_pasid/held: who holds what, a record a line. What it
 * says is what this process knows that it holds; what is in the way of a reader
 * is told as `-`, and a reader is in nobody's way. And the messages about limits.
 */
#include <kselftest_harness.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "module/vfio_pasid_test.h"
#include "pasid_device.h"
#include "user_memory.h"

#define FILE_NAME	"/sys/kernel/debug/vfio_pasid/held"
#define IOVA		0x40000000ull
#define RW		(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)
#define AMPLE		PASID_LIMITS(20000, 1, PASID_LAST)

/* The file, read to its end. */
struct held {
	char *text;
	size_t size;
	int reads;
	size_t largest;		/* of what a read() returned */
};

static int held_open(void)
{
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Reads @chunk bytes at a time. */
static int held_read_chunks(struct held *held, size_t chunk)
{
	size_t room = 1 << 16;
	int fd = held_open();
	ssize_t size;

	*held = (struct held) { .text = malloc(room) };
	if (fd < 0)
		return fd;
	for (;;) {
		if (room - held->size <= chunk) {
			room = 2 * room + chunk;
			held->text = realloc(held->text, room);
		}
		size = read(fd, held->text + held->size, chunk);
		if (size <= 0)
			break;
		held->size += size;
		held->reads++;
		if ((size_t)size > held->largest)
			held->largest = size;
	}
	if (size)
		size = -errno;
	held->text[held->size] = '\0';
	close(fd);
	return size;
}

static int held_read(struct held *held)
{
	return held_read_chunks(held, 1 << 16);
}

/* Whether the line at @line, which ends with a newline, has @word in it. */
static bool line_has(const char *line, const char *word)
{
	const char *end = strchr(line, '\n');
	size_t size = strlen(word);

	for (; line && line < end; line = memchr(line, ' ', end - line)) {
		line += *line == ' ';
		if (!strncmp(line, word, size) && (line[size] == ' ' || line[size] == '\n'))
			return true;
	}
	return false;
}

/*
 * The first line behind @after that is of that kind and has all of @words, which
 * are separated by spaces; or NULL.
 */
static const char *line_find(const char *after, const char *kind, const char *words)
{
	size_t size = strlen(kind);
	char copy[256], *word, *rest;

	for (const char *line = after; *line; line = strchr(line, '\n') + 1) {
		bool all = !strncmp(line, kind, size) && line[size] == ' ';

		snprintf(copy, sizeof(copy), "%s", words);
		rest = copy;
		while (all && (word = strsep(&rest, " ")))
			all = !*word || line_has(line, word);
		if (all)
			return line;
	}
	return NULL;
}

static int line_count(const struct held *held, const char *kind, const char *words)
{
	const char *line = held->text;
	int count = 0;

	while ((line = line_find(line, kind, words))) {
		line = strchr(line, '\n') + 1;
		count++;
	}
	return count;
}

/* The number that the line has for @key; -ENOENT, or -EAGAIN if that is `-`. */
static long long line_value(const char *line, const char *key)
{
	const char *end = strchr(line, '\n');
	size_t size = strlen(key);

	for (; line && line < end; line = memchr(line, ' ', end - line)) {
		line += *line == ' ';
		if (!strncmp(line, key, size) && line[size] == '=')
			return line[size + 1] == '-' ? -EAGAIN :
				(long long)strtoull(line + size + 1, NULL, 0);
	}
	return -ENOENT;
}

/* Whether there is exactly one such line; says what there is if not. */
static bool one(const struct held *held, const char *kind, const char *format, ...)
{
	char words[256];
	va_list arguments;
	int count;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	count = line_count(held, kind, words);
	if (count == 1)
		return true;
	printf("# %d times: %s %s\n", count, kind, words);
	for (const char *line = held->text; *line; line = strchr(line, '\n') + 1)
		printf("# %.*s\n", (int)strcspn(line, "\n"), line);
	return false;
}

/* The number in that place of the one such line, or an error. */
static long long value_of(const struct held *held, const char *kind, const char *words,
			  const char *key)
{
	const char *line = line_find(held->text, kind, words);

	return line ? line_value(line, key) : -ENODATA;
}

/* The generation of all records, or -EAGAIN if they do not belong together. */
static long long generation_of(const struct held *held)
{
	long long generation = line_value(held->text, "gen");

	for (const char *line = held->text; *line; line = strchr(line, '\n') + 1)
		if (line_value(line, "gen") != generation)
			return -EAGAIN;
	return generation;
}

/* The numbers by which the file knows this process, and its container. */
static long long own_process(const struct held *held)
{
	char words[32];

	snprintf(words, sizeof(words), "pid=%d", getpid());
	return value_of(held, "process", words, "id");
}

static long long own_container(const struct held *held)
{
	char words[32];

	snprintf(words, sizeof(words), "process=%lld", own_process(held));
	return value_of(held, "container", words, "id");
}

FIXTURE(held) {
	struct container container;
	struct held held;
	u32 group;
	int fd;
};

FIXTURE_SETUP(held)
{
	int index;

	ASSERT_EQ(0, use_modules(&AMPLE));
	index = device_index(20, 0);
	ASSERT_LE(0, index);
	self->group = group_number(index);
	ASSERT_EQ(0, container_open_device(&self->container, index));
	self->fd = self->container.fd;
	self->held = (struct held) { };
}

FIXTURE_TEARDOWN(held)
{
	free(self->held.text);
	container_close(&self->container);
}

#define READ() do {					\
	free(self->held.text);				\
	ASSERT_EQ(0, held_read(&self->held));		\
} while (0)

TEST_F(held, root_alone_may_read_and_nothing_else)
{
	struct stat status;
	int fd = held_open();
	pid_t child;
	int result;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &status));
	/* Else a kernel that is locked down would refuse it. */
	EXPECT_EQ(0400, status.st_mode & 07777);
	EXPECT_EQ(-ENOTTY, call(fd, VFIO_GET_API_VERSION, NULL));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);

	child = fork();
	if (!child) {
		chmod("/sys/kernel/debug", 0755);
		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(held_open() == -EACCES ? 0 : 2);
	}
	ASSERT_EQ(child, waitpid(child, &result, 0));
	chmod("/sys/kernel/debug", 0700);
	EXPECT_EQ(0, result);
}

TEST_F(held, a_container_with_nothing_in_it)
{
	long long container, process;
	int count = 0;

	READ();
	process = own_process(&self->held);
	container = own_container(&self->held);
	ASSERT_LT(0, process);
	ASSERT_LT(0, container);
	EXPECT_EQ(0, strncmp(self->held.text, "vfio_pasid gen=", 15));
	EXPECT_EQ(1, value_of(&self->held, "vfio_pasid", "", "format"));
	EXPECT_TRUE(one(&self->held, "process",
			"id=%lld quota=20000 used=0 containers=1 regions=0 mappings=0 comm=held",
			process));
	EXPECT_TRUE(one(&self->held, "container", "id=%lld process=%lld", container, process));
	EXPECT_TRUE(one(&self->held, "group", "container=%lld group=%u", container, self->group));
	EXPECT_TRUE(one(&self->held, "device", "container=%lld group=%u device=%s width=20",
			container, self->group, group_device(device_index(20, 0))));
	EXPECT_TRUE(one(&self->held, "space", "container=%lld pasid=0 kind=own mappings=0 bytes=0",
			container));
	EXPECT_TRUE(one(&self->held, "end", ""));
	for (const char *line = self->held.text; *line; line = strchr(line, '\n') + 1)
		count++;
	EXPECT_EQ(7, count);
	EXPECT_LT(0, generation_of(&self->held));
}

TEST_F(held, nothing)
{
	container_close(&self->container);
	self->container = NO_CONTAINER;
	wait_for_closing();
	READ();
	EXPECT_TRUE(one(&self->held, "vfio_pasid", "format=1"));
	EXPECT_TRUE(one(&self->held, "end", ""));
	EXPECT_EQ(strchr(self->held.text, '\n') + 1, line_find(self->held.text, "end", ""));
}

TEST_F(held, ranges_of_pasids)
{
	long long process;

	for (u32 pasid = 100; pasid < 300; pasid++)
		if (pasid != 150 && pasid != 192)
			ASSERT_EQ(pasid, pasid_alloc(self->fd, pasid, pasid));
	ASSERT_EQ(PASID_LAST, pasid_alloc(self->fd, 1, PASID_LAST));
	READ();
	process = own_process(&self->held);
	EXPECT_TRUE(one(&self->held, "process", "id=%lld used=199", process));
	EXPECT_EQ(4, line_count(&self->held, "pasids", ""));
	EXPECT_TRUE(one(&self->held, "pasids", "process=%lld first=100 last=149 holder=user",
			process));
	EXPECT_TRUE(one(&self->held, "pasids", "first=151 last=191"));
	EXPECT_TRUE(one(&self->held, "pasids", "first=193 last=299"));
	EXPECT_TRUE(one(&self->held, "pasids", "first=1048575 last=1048575"));
}

TEST_F(held, numbers_of_kernel_drivers)
{
	struct vfio_pasid_test_get get = { .slot = 0, .task = getpid() };
	struct vfio_pasid_test_range range = { .slot = 0, .min = 501, .max = 501 };
	int fd;

	container_close(&self->container);
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_test_module(&AMPLE));
	fd = open(VFIO_PASID_TEST_DEVICE, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, call(fd, VFIO_PASID_TEST_GET, &get));
	ASSERT_EQ(501, call(fd, VFIO_PASID_TEST_ALLOC, &range));
	ASSERT_EQ(0, container_open(&self->container, device_index(20, 0)));
	ASSERT_EQ(500, pasid_alloc(self->container.fd, 500, 500));
	READ();
	EXPECT_TRUE(one(&self->held, "process", "pid=%d comm=held containers=1 used=2", getpid()));
	EXPECT_TRUE(one(&self->held, "pasids", "first=500 last=500 holder=user"));
	EXPECT_TRUE(one(&self->held, "pasids", "first=501 last=501 holder=driver"));
	close(fd);
}

TEST_F(held, aux_spaces_and_what_they_are_attached_to)
{
	struct vfio_iommu_aux_create create;
	void *memory = new_pages(8);
	long long container;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_memory(self->fd, 0, memory, 8 * PAGE));
	ASSERT_EQ(17, pasid_alloc(self->fd, 17, 17));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 17));
	ASSERT_EQ(0, aux_create_window(self->fd, 0x100000, 0x100000, &create));
	ASSERT_EQ(0, aux_attach(self->fd, 17, self->group));
	ASSERT_EQ(0, aux_map(self->fd, 17, RW, memory, IOVA, 3 * PAGE));
	ASSERT_EQ(0, aux_map(self->fd, 17, RW, memory, IOVA + 16 * PAGE, 8 * PAGE));
	READ();
	container = own_container(&self->held);
	EXPECT_EQ(3, line_count(&self->held, "space", ""));
	EXPECT_TRUE(one(&self->held, "space",
			"container=%lld pasid=17 kind=aux mappings=2 bytes=%d", container,
			11 * PAGE));
	EXPECT_TRUE(one(&self->held, "space",
			"container=%lld pasid=%u kind=aux window=0x100000-0x1fffff mappings=0 bytes=0",
			container, create.pasid));
	EXPECT_EQ(1, line_count(&self->held, "attachment", ""));
	EXPECT_TRUE(one(&self->held, "attachment", "container=%lld pasid=17 group=%u", container,
			self->group));

	ASSERT_EQ(3 * PAGE, aux_unmap(self->fd, 17, IOVA, 3 * PAGE));
	ASSERT_EQ(0, aux_detach(self->fd, 17, self->group));
	ASSERT_EQ(0, aux_destroy(self->fd, create.pasid));
	READ();
	EXPECT_TRUE(one(&self->held, "space", "pasid=17 mappings=1 bytes=%d", 8 * PAGE));
	EXPECT_EQ(2, line_count(&self->held, "space", ""));
	EXPECT_EQ(0, line_count(&self->held, "attachment", ""));
	ASSERT_EQ(8 * PAGE, aux_unmap_all(self->fd, 17));
	READ();
	EXPECT_TRUE(one(&self->held, "space", "pasid=17 mappings=0 bytes=0"));
}

TEST_F(held, memory_of_the_process_and_of_each_container)
{
	int second = device_index(20, 1);
	void *memory = new_pages(16);
	struct container other;
	long long process, container;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, container_open(&other, second));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, 4));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, 4));
	ASSERT_EQ(0, register_pages(other.fd, 0, memory, 0, 4));
	ASSERT_EQ(0, register_pages(other.fd, VFIO_MEMORY_READ_ONLY, memory, 8, 8));
	ASSERT_EQ(0, aux_map(self->fd, VFIO_AUX_OWN_SPACE, RW, memory, IOVA, 2 * PAGE));
	READ();
	process = own_process(&self->held);
	EXPECT_TRUE(one(&self->held, "process", "id=%lld regions=2 mappings=1 containers=2",
			process));
	EXPECT_TRUE(one(&self->held, "memory",
			"process=%lld vaddr=%p size=0x4000 pages=4 writable=1 holders=2 state=pinned",
			process, memory));
	EXPECT_TRUE(one(&self->held, "memory",
			"process=%lld vaddr=%p size=0x8000 pages=8 writable=0 holders=1 state=pinned",
			process, memory + 8 * PAGE));
	container = value_of(&self->held, "device", "", "container");
	EXPECT_EQ(3, line_count(&self->held, "registered", ""));
	EXPECT_TRUE(one(&self->held, "registered",
			"container=%lld vaddr=%p size=0x4000 references=2 mapped=1", container,
			memory));
	EXPECT_TRUE(one(&self->held, "registered", "vaddr=%p references=1 mapped=0", memory));
	EXPECT_TRUE(one(&self->held, "registered", "vaddr=%p references=1 mapped=0",
			memory + 8 * PAGE));
	container_close(&other);
}

TEST_F(held, own_space_has_what_either_ioctl_maps)
{
	enum { MANY = 1300 };	/* more than are added up in one go */
	void *memory = new_pages(2);
	long long pages = 0;

	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, 1));
	for (int i = 0; i < MANY; i++) {
		u64 iova = IOVA + 2ull * i * PAGE;

		ASSERT_EQ(0, i % 2 ? map_dma(self->fd, memory + PAGE, iova, PAGE) :
			     aux_map(self->fd, VFIO_AUX_OWN_SPACE, RW, memory, iova, PAGE));
		pages++;
	}
	READ();
	EXPECT_TRUE(one(&self->held, "space", "pasid=0 kind=own mappings=%lld bytes=%lld", pages,
			pages * PAGE));
	EXPECT_TRUE(one(&self->held, "registered", "mapped=%d", MANY / 2));
	ASSERT_EQ(MANY * PAGE, unmap_dma(self->fd, IOVA, 2ull * MANY * PAGE));
	READ();
	EXPECT_TRUE(one(&self->held, "space", "pasid=0 kind=own mappings=0 bytes=0"));
}

/* What maps and unmaps much memory all the time. */
struct mapper {
	pthread_t thread;
	int container;
	void *memory;
	size_t size;
	atomic_bool stop;
	long rounds;
	long error;
};

static void *map_and_unmap(void *arg)
{
	struct mapper *mapper = arg;

	while (!mapper->stop && !mapper->error) {
		mapper->error = map_dma(mapper->container, mapper->memory, IOVA, mapper->size);
		if (!mapper->error && unmap_dma(mapper->container, IOVA, mapper->size) <= 0)
			mapper->error = -EPROTO;
		mapper->rounds++;
	}
	return NULL;
}

/* MAP_DMA holds iommu->lock while it pins. */
TEST_F(held, who_pins_for_long_is_not_waited_for)
{
	struct mapper mapper = { .container = self->fd, .size = 64 << 20 };
	u64 start, longest = 0;
	int busy = 0;

	mapper.memory = new_pages(mapper.size / PAGE);
	ASSERT_NE(NULL, mapper.memory);
	ASSERT_EQ(0, madvise(mapper.memory, mapper.size, MADV_NOHUGEPAGE));
	memset(mapper.memory, 1, mapper.size);
	ASSERT_EQ(0, pthread_create(&mapper.thread, NULL, map_and_unmap, &mapper));
	for (int i = 0; i < 2000 && busy < 20; i++) {
		start = nanoseconds();
		READ();
		start = nanoseconds() - start;
		longest = start > longest ? start : longest;
		busy += !!line_find(self->held.text, "space",
				    "pasid=0 kind=own window=- mappings=- bytes=-");
		EXPECT_TRUE(one(&self->held, "end", ""));
		usleep(1000);
	}
	mapper.stop = true;
	ASSERT_EQ(0, pthread_join(mapper.thread, NULL));
	EXPECT_EQ(0, mapper.error);
	EXPECT_EQ(20, busy);
	printf("# note: at most %llu ms to read, beside %ld maps of 64 MiB\n", longest / 1000000,
	       mapper.rounds);
	READ();
	EXPECT_TRUE(one(&self->held, "space", "pasid=0 kind=own mappings=0 bytes=0"));
}

/* What reads the file into a page that never comes. */
struct reader {
	pthread_t thread;
	void *page;
	ssize_t result;
};

static void *read_into_page(void *arg)
{
	struct reader *reader = arg;
	int fd = held_open();

	reader->result = read(fd, reader->page, PAGE);
	close(fd);
	return NULL;
}

TEST_F(held, a_reader_who_never_ends_is_in_nobodys_way)
{
	struct reader reader = { .page = new_pages(1) };
	char content[PAGE] = "";
	long pasid;
	int uffd, fd;

	uffd = uffd_open(reader.page, UFFD_ALL);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, read_into_page, &reader));
	ASSERT_EQ(0, uffd_wait(uffd, 20000));
	/* And one who has read a part, and has stopped in the middle of a container. */
	fd = held_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(100, read(fd, content, 100));

	pasid = aux_create(self->fd);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	container_close(&self->container);
	wait_for_closing();
	EXPECT_EQ(0, count_of("containers"));
	ASSERT_EQ(0, container_open_device(&self->container, device_index(20, 0)));
	READ();
	EXPECT_TRUE(one(&self->held, "end", ""));
	/* The shim is nobody's who only reads. */
	container_close(&self->container);
	self->container = NO_CONTAINER;
	if (module_loaded("vfio_pasid_test"))
		ASSERT_EQ(0, unload_module("vfio_pasid_test"));
	EXPECT_EQ(0, unload_module("vfio_iommu_type1"));
	EXPECT_EQ(-EWOULDBLOCK, unload_module("vfio_pasid"));

	ASSERT_EQ(0, uffd_serve(uffd, reader.page, UFFD_ALL, content));
	ASSERT_EQ(0, pthread_join(reader.thread, NULL));
	EXPECT_LT(0, reader.result);
	/* What is left of the file is the end of it. */
	while (read(fd, content, PAGE) > 0)
		;
	close(fd);
	close(uffd);
	EXPECT_EQ(0, unload_all());
	EXPECT_FALSE(module_loaded("vfio_pasid"));
}

/* A child with a container on the second device. */
static void hold_a_container(int socket, void *arg)
{
	struct container container;
	int fds[3];

	prctl(PR_SET_NAME, arg);
	if (container_open_device(&container, device_index(20, 1)) ||
	    pasid_alloc(container.fd, 900, 900) != 900) {
		say(socket, -1);
		return;
	}
	fds[0] = container.fd;
	fds[1] = container.group;
	fds[2] = container.device;
	say(socket, 0);
	send_fds(socket, fds, 3);
	hear(socket);
}

TEST_F(held, a_process_is_called_what_it_is_called_escaped)
{
	static const char *const names[][2] = {
		{ "plain", "plain" },
		{ "a b=c\\d", "a\\x20b=c\\x5cd" },
		{ "tab\tnew\nline", "tab\\x09new\\x0aline" },
		{ "\xc3\xa9t\xc3\xa9 \"'#", "\\xc3\\xa9t\\xc3\\xa9\\x20\"'#" },
		{ "123456789012345678", "123456789012345" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct peer peer;

		ASSERT_EQ(0, peer_start(&peer, hold_a_container, (void *)names[i][0]));
		ASSERT_EQ(0, hear(peer.socket));
		READ();
		EXPECT_TRUE(one(&self->held, "process", "pid=%d used=1 comm=%s", peer.pid,
				names[i][1]));
		EXPECT_EQ(2, line_count(&self->held, "process", ""));
		peer_kill(&peer);
		wait_for_closing();
	}
}

TEST_F(held, a_process_that_is_gone_has_no_pid)
{
	struct peer peer;
	int fds[3];

	ASSERT_EQ(0, peer_start(&peer, hold_a_container, "gone"));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 3));
	peer_kill(&peer);
	READ();
	EXPECT_TRUE(one(&self->held, "process", "comm=gone pid=- containers=1 used=1"));
	EXPECT_TRUE(one(&self->held, "pasids", "process=%lld first=900 last=900",
			value_of(&self->held, "process", "comm=gone", "id")));
	EXPECT_TRUE(one(&self->held, "container", "process=%lld",
			value_of(&self->held, "process", "comm=gone", "id")));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* The same process with another program: what it had was the old one's. */
static void hold_and_exec(int socket, void *arg)
{
	hold_a_container(socket, arg);
	/* The group stays open, although it is closed on exec: it was passed on. */
	execl("/bin/busybox", "busybox", "sleep", "1000", NULL);
}

TEST_F(held, a_process_with_another_program_is_another)
{
	struct peer peer;
	char path[32], exe[64];
	int fds[3];

	ASSERT_EQ(0, peer_start(&peer, hold_and_exec, "before"));
	ASSERT_EQ(0, hear(peer.socket));
	ASSERT_EQ(0, receive_fds(peer.socket, fds, 3));
	say(peer.socket, 0);
	snprintf(path, sizeof(path), "/proc/%d/exe", peer.pid);
	for (int i = 0; i < 200; i++) {
		ssize_t size = readlink(path, exe, sizeof(exe) - 1);

		if (size > 0 && memmem(exe, size, "busybox", 7))
			break;
		usleep(50000);
	}
	READ();
	EXPECT_TRUE(one(&self->held, "process", "comm=before pid=-"));
	peer_kill(&peer);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* Reads in a pid namespace of its own: the sum of what is wrong. */
static long read_elsewhere(void *arg)
{
	struct held held;
	long wrong = 0;
	pid_t child;
	int status;

	(void)arg;
	if (unshare(CLONE_NEWPID))
		return -errno;
	child = fork();
	if (!child) {
		struct container container;

		wrong = 1000 * !!container_open(&container, device_index(20, 1));
		wrong += 100 * !!held_read(&held);
		/* This one, and the other, which cannot be seen from here. */
		wrong += 10 * (line_count(&held, "process", "pid=1") != 1);
		wrong += line_count(&held, "process", "pid=-") != 1;
		_exit(wrong ? 1 : 0);
	}
	waitpid(child, &status, 0);
	return status;
}

TEST_F(held, the_number_of_a_process_is_the_readers)
{
	READ();
	EXPECT_TRUE(one(&self->held, "process", "pid=%d", getpid()));
	EXPECT_EQ(0, in_child(read_elsewhere, NULL));
}

/* A process whose first thread has ended: another one holds the container. */
static void *hold_on(void *arg)
{
	hold_a_container(*(int *)arg, "led");
	_exit(0);
}

static void hold_without_a_leader(int socket, void *arg)
{
	pthread_t thread;
	static int copy;

	(void)arg;
	copy = socket;
	prctl(PR_SET_NAME, "led");
	pthread_create(&thread, NULL, hold_on, &copy);
	syscall(SYS_exit, 0);
}

TEST_F(held, a_process_may_have_lost_its_first_thread)
{
	struct peer peer;

	ASSERT_EQ(0, peer_start(&peer, hold_without_a_leader, NULL));
	ASSERT_EQ(0, hear(peer.socket));
	READ();
	EXPECT_TRUE(one(&self->held, "process", "pid=%d comm=led", peer.pid));
	peer_kill(&peer);
}

TEST_F(held, the_generation_moves_with_records_and_with_nothing_else)
{
	void *memory = new_pages(4);
	const u32 pasid = 51;
	long long before, now;

#define MOVES(expected, what) do {						\
	now = before;								\
	ASSERT_EQ(0, what);							\
	READ();									\
	now = generation_of(&self->held);					\
	ASSERT_LT(0, now);							\
	EXPECT_EQ(expected, now != before) {					\
		TH_LOG("%s: from %lld to %lld", #what, before, now);		\
	}									\
	before = now;								\
} while (0)

	ASSERT_NE(NULL, memory);
	READ();
	before = generation_of(&self->held);
	ASSERT_LT(0, before);
	MOVES(false, 0);
	MOVES(true, (pasid_alloc(self->fd, 50, 50) != 50));
	MOVES(true, pasid_free(self->fd, 50, 50));
	MOVES(true, (pasid_alloc(self->fd, pasid, pasid) != pasid));
	/* The number is held already, and stays: only the space comes and goes. */
	MOVES(true, aux_create_fixed(self->fd, pasid));
	MOVES(true, aux_attach(self->fd, pasid, self->group));
	MOVES(true, aux_detach(self->fd, pasid, self->group));
	MOVES(true, register_memory(self->fd, 0, memory, 4 * PAGE));
	MOVES(false, register_memory(self->fd, 0, memory, 4 * PAGE));
	MOVES(false, aux_map(self->fd, pasid, RW, memory, IOVA, PAGE));
	MOVES(false, (aux_unmap(self->fd, pasid, IOVA, PAGE) != PAGE));
	MOVES(false, map_dma(self->fd, memory, IOVA, PAGE));
	MOVES(false, unregister_memory(self->fd, memory, 4 * PAGE));
	MOVES(true, unregister_memory(self->fd, memory, 4 * PAGE));
	MOVES(true, aux_destroy(self->fd, pasid));
	MOVES(true, close(self->container.device));
	self->container.device = device_of(self->container.group, device_index(20, 0));
	MOVES(true, (self->container.device < 0));
	MOVES(false, (aux_attach(self->fd, 77, self->group) != -ENOENT));
}

/* In a container of its own, as one that must not be stopped. */
TEST_F(held, ten_thousand_spaces_in_pages)
{
	const char *number = getenv("VFIO_PASID_SPACES");
	int many = number ? atoi(number) : 10000;
	char *seen = calloc(1, PASID_LAST + 1);
	const char *line;
	int count = 0;
	u64 start;

	ASSERT_NE(NULL, seen);
	for (int i = 0; i < many; i++)
		ASSERT_LT(0, aux_create(self->fd));
	start = nanoseconds();
	free(self->held.text);
	ASSERT_EQ(0, held_read_chunks(&self->held, 1 << 20));
	printf("# note: %d spaces: %zu bytes by %d reads in %llu ms\n", many, self->held.size,
	       self->held.reads, (nanoseconds() - start) / 1000000);
	EXPECT_GE(2 * PAGE, self->held.largest);
	EXPECT_LT(many / 100, self->held.reads);
	EXPECT_LT(0, generation_of(&self->held));
	line = self->held.text;
	while ((line = line_find(line, "space", "kind=aux"))) {
		long long pasid = line_value(line, "pasid");

		ASSERT_EQ(0, seen[pasid]);
		seen[pasid] = 1;
		count++;
		line = strchr(line, '\n') + 1;
	}
	EXPECT_EQ(many, count);
	/* All numbers are one range, which is cut at 64 times 64. */
	EXPECT_EQ(many / 4096 + 1, line_count(&self->held, "pasids", ""));

	/* A byte at a time, and from the start again. */
	for (int i = 0; i < 3; i++) {
		char head[30], again[30];
		int fd = held_open();

		for (int at = 0; at < 30; at++)
			ASSERT_EQ(1, read(fd, head + at, 1));
		ASSERT_EQ(0, memcmp(head, self->held.text, 30));
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		ASSERT_EQ(30, read(fd, again, 30));
		ASSERT_EQ(0, memcmp(head, again, 30));
		ASSERT_EQ(30, pread(fd, again, 30, 20000));
		EXPECT_EQ(0, memcmp(self->held.text + 20000, again, 30));
		close(fd);
	}
	free(seen);
}

/* Threads that make things come and go. */
struct churn {
	pthread_t thread;
	int container;
	int group_index;
	u32 first;
	void *memory;
	atomic_bool *stop;
	long rounds;
	long error;
};

static void *churn_inside(void *arg)
{
	struct churn *churn = arg;
	u32 group = group_number(churn->group_index);

	while (!*churn->stop && !churn->error) {
		long pasid = aux_create(churn->container);

		churn->error = pasid < 0 ? pasid : aux_attach(churn->container, pasid, group);
		if (!churn->error)
			churn->error = register_memory(churn->container, 0, churn->memory, PAGE);
		if (!churn->error)
			churn->error = aux_map(churn->container, pasid, RW, churn->memory, IOVA,
					       PAGE);
		if (!churn->error)
			churn->error = aux_destroy(churn->container, pasid);
		if (!churn->error)
			churn->error = unregister_memory(churn->container, churn->memory, PAGE);
		churn->rounds++;
	}
	return NULL;
}

static void *churn_numbers(void *arg)
{
	struct churn *churn = arg;

	while (!*churn->stop && !churn->error) {
		for (u32 i = 0; i < 70; i++)
			if (pasid_alloc(churn->container, churn->first + i, churn->first + i) < 0)
				churn->error = -1;
		churn->error |= pasid_free(churn->container, churn->first, churn->first + 69);
		churn->rounds++;
	}
	return NULL;
}

static void *churn_containers(void *arg)
{
	struct churn *churn = arg;

	while (!*churn->stop && !churn->error) {
		struct container container;

		churn->error = container_open_device(&container, churn->group_index);
		if (!churn->error && aux_create(container.fd) < 0)
			churn->error = -EIO;
		container_close(&container);
		churn->rounds++;
	}
	return NULL;
}

/* Whether each record is whole, and what belongs together goes together. */
static bool is_sound(const struct held *held)
{
	static const char *const kinds[][6] = {
		{ "vfio_pasid", "format" },
		{ "process", "id", "pid", "quota", "used", "mappings" },
		{ "pasids", "process", "first", "last" },
		{ "memory", "process", "vaddr", "size", "pages", "holders" },
		{ "container", "id", "process" },
		{ "group", "container", "group" },
		{ "device", "container", "group", "width" },
		{ "space", "container", "pasid", "mappings", "bytes" },
		{ "attachment", "container", "pasid", "group" },
		{ "registered", "container", "vaddr", "size", "references", "mapped" },
		{ "end" },
	};
	bool together = generation_of(held) > 0;
	char words[64];

	for (const char *line = held->text; *line; line = strchr(line, '\n') + 1) {
		long long mappings = line_value(line, "mappings");
		long long bytes = line_value(line, "bytes");
		bool known = false;

		if (!strchr(line, '\n'))
			return false;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			size_t size = strlen(kinds[i][0]);

			if (strncmp(line, kinds[i][0], size) || line[size] != ' ')
				continue;
			known = true;
			for (int j = 1; j < 6 && kinds[i][j]; j++)
				known &= line_value(line, kinds[i][j]) != -ENOENT;
		}
		if (!known || line_value(line, "gen") == -ENOENT) {
			printf("# not a record: %.*s\n", (int)strcspn(line, "\n"), line);
			return false;
		}
		/* Here each mapping has a page. */
		if (line_has(line, "kind=aux") && bytes != mappings * PAGE) {
			printf("# not one moment: %.*s\n", (int)strcspn(line, "\n"), line);
			return false;
		}
		if (!together || strncmp(line, "attachment", 10))
			continue;
		snprintf(words, sizeof(words), "container=%lld pasid=%lld",
			 line_value(line, "container"), line_value(line, "pasid"));
		if (line_count(held, "space", words) != 1) {
			printf("# attached is what is not there: %.*s\n",
			       (int)strcspn(line, "\n"), line);
			return false;
		}
	}
	if (together) {
		long long used = 0, listed = 0;
		const char *line = held->text;

		for (; (line = line_find(line, "process", "")); line = strchr(line, '\n') + 1)
			used += line_value(line, "used");
		line = held->text;
		for (; (line = line_find(line, "pasids", "")); line = strchr(line, '\n') + 1)
			listed += line_value(line, "last") - line_value(line, "first") + 1;
		if (used != listed) {
			printf("# %lld used, %lld listed\n", used, listed);
			return false;
		}
	}
	return true;
}

TEST_F(held, reads_while_everything_comes_and_goes)
{
	atomic_bool stop = false;
	struct churn churn[] = {
		{ .container = self->fd, .group_index = device_index(20, 0), },
		{ .container = self->fd, .first = 1000, },
		{ .group_index = device_index(20, 1), },
	};
	static void *(*const bodies[])(void *) = {
		churn_inside, churn_numbers, churn_containers,
	};
	const char *seconds = getenv("VFIO_PASID_SECONDS");
	u64 end = nanoseconds() + (seconds ? atoi(seconds) : 3) * 1000000000ull;
	int reads = 0, together = 0;

	for (int i = 0; i < 3; i++) {
		churn[i].memory = new_pages(1);
		churn[i].stop = &stop;
		ASSERT_EQ(0, pthread_create(&churn[i].thread, NULL, bodies[i], &churn[i]));
	}
	while (nanoseconds() < end) {
		free(self->held.text);
		self->held.text = NULL;
		EXPECT_EQ(0, held_read_chunks(&self->held, reads % 2 ? 1 << 16 : 97));
		EXPECT_TRUE(is_sound(&self->held)) {
			break;
		}
		together += generation_of(&self->held) > 0;
		reads++;
	}
	stop = true;
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(churn[i].thread, NULL));
		EXPECT_EQ(0, churn[i].error);
		EXPECT_LT(0, churn[i].rounds);
	}
	printf("# note: %d reads, %d of one moment, beside %ld, %ld and %ld rounds\n", reads,
	       together, churn[0].rounds, churn[1].rounds, churn[2].rounds);
	wait_for_closing();
	READ();
	EXPECT_TRUE(is_sound(&self->held));
	EXPECT_LT(0, generation_of(&self->held));
}

/* Takes and gives back a number, once in a while. */
struct beat {
	pthread_t thread;
	int container;
	u64 pause;		/* in nanoseconds */
	atomic_bool *stop;
	long error;
};

static void *beat(void *arg)
{
	struct beat *beat = arg;

	while (!*beat->stop && !beat->error) {
		u64 next = nanoseconds() + beat->pause;

		if (pasid_alloc(beat->container, 50, 50) != 50)
			beat->error = -EIO;
		else
			beat->error = pasid_free(beat->container, 50, 50);
		/* Too short to sleep. */
		while (nanoseconds() < next)
			;
	}
	return NULL;
}

/*
 * Something comes or goes for one record in ten or so, which is told as `-` only if
 * that happens at each of several tries.
 */
TEST_F(held, a_record_that_meets_a_change_is_looked_up_again)
{
	enum { RANGES = 200, WANTED = 30 };
	atomic_bool stop = false;
	struct beat other = { .container = self->fd, .stop = &stop };
	int changed = 0, unknown = 0;
	u64 start;

	for (u32 i = 0; i < RANGES; i++)
		ASSERT_EQ(1000 + 2 * i, pasid_alloc(self->fd, 1000 + 2 * i, 1000 + 2 * i));
	READ();
	start = nanoseconds();
	READ();
	other.pause = 20 * (nanoseconds() - start) / RANGES;
	ASSERT_EQ(0, pthread_create(&other.thread, NULL, beat, &other));
	/* The others had nothing to be looked up again. */
	while (changed < WANTED) {
		long long first;

		free(self->held.text);
		self->held.text = NULL;
		EXPECT_EQ(0, held_read(&self->held));
		first = line_value(self->held.text, "gen");
		for (const char *line = self->held.text; *line; line = strchr(line, '\n') + 1)
			unknown += line_value(line, "gen") == -EAGAIN;
		changed += first != value_of(&self->held, "end", "", "gen");
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(other.thread, NULL));
	EXPECT_EQ(0, other.error);
	EXPECT_EQ(0, unknown);
}

/* The messages about limits. */

FIXTURE(limits) {
	struct container container;
	u32 group;
	int fd;
	int log;
	char who[64];
};

FIXTURE_SETUP(limits)
{
	const struct limits limits = {
		.quota = 3, .min = 1, .max = PASID_LAST, .regions = 2, .mappings = 2,
		.attachments = 1,
	};
	int index;

	ASSERT_EQ(0, use_modules(&limits));
	index = device_index(20, 0);
	ASSERT_EQ(0, container_open_device(&self->container, index));
	self->fd = self->container.fd;
	self->group = group_number(index);
	snprintf(self->who, sizeof(self->who), "vfio_pasid: held[%d]: ", getpid());
	self->log = kernel_log_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(limits)
{
	close(self->log);
	container_close(&self->container);
}

#define SAYS(text)	kernel_log_has(self->log, self->who, text)

TEST_F(limits, of_pasids)
{
	for (int i = 0; i < 3; i++)
		ASSERT_LT(0, pasid_alloc(self->fd, 1, PASID_LAST));
	EXPECT_FALSE(SAYS("pasid_quota"));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1, PASID_LAST));
	EXPECT_TRUE(SAYS(": pasid_quota=3 is used up\n"));
	ASSERT_EQ(-ENOSPC, aux_create(self->fd));
	EXPECT_TRUE(SAYS(": pasid_quota=3 is used up\n"));
	ASSERT_EQ(0, pasid_free(self->fd, 1, PASID_LAST));
	/* Of the range, not of the quota. */
	ASSERT_EQ(5, pasid_alloc(self->fd, 5, 5));
	ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 5, 5));
	EXPECT_FALSE(SAYS("is used up"));
	/* And not all of them, if there are many. */
	ASSERT_EQ(0, pasid_free(self->fd, 1, PASID_LAST));
}

TEST_F(limits, are_told_now_and_then_only)
{
	int log = kernel_log_open(), count = 0;
	char record[1024];

	for (int i = 0; i < 3; i++)
		ASSERT_LT(0, pasid_alloc(self->fd, 1, PASID_LAST));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(-ENOSPC, pasid_alloc(self->fd, 1, PASID_LAST));
	while (read(log, record, sizeof(record)) > 0)
		count += !!strstr(record, "pasid_quota");
	close(log);
	EXPECT_LT(0, count);
	EXPECT_GT(100, count);
}

TEST_F(limits, of_attachments)
{
	const char *name = group_device(device_index(20, 0));
	char text[128];
	long pasids[2];

	for (int i = 0; i < 2; i++) {
		pasids[i] = aux_create(self->fd);
		ASSERT_LT(0, pasids[i]);
	}
	ASSERT_EQ(0, aux_attach(self->fd, pasids[0], self->group));
	ASSERT_EQ(-ENOSPC, aux_attach(self->fd, pasids[1], self->group));
	snprintf(text, sizeof(text), ": attachment_limit=1 is used up, wanted for %s\n", name);
	EXPECT_TRUE(SAYS(text));
}

TEST_F(limits, of_memory)
{
	void *memory = new_pages(8);

	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 0, 1));
	ASSERT_EQ(0, register_pages(self->fd, 0, memory, 2, 1));
	ASSERT_EQ(-ENOSPC, register_pages(self->fd, 0, memory, 4, 1));
	EXPECT_TRUE(SAYS(": region_limit=2 is used up\n"));
	ASSERT_EQ(0, aux_map(self->fd, 0, RW, memory, IOVA, PAGE));
	ASSERT_EQ(0, aux_map(self->fd, 0, RW, memory, IOVA + PAGE, PAGE));
	ASSERT_EQ(-ENOSPC, aux_map(self->fd, 0, RW, memory, IOVA + 2 * PAGE, PAGE));
	EXPECT_TRUE(SAYS(": mapping_limit=2 is used up\n"));
}

TEST_F(limits, of_locked_memory)
{
	struct rlimit before, limit = { .rlim_cur = 16 * PAGE, .rlim_max = RLIM_INFINITY };
	void *memory = new_pages(32);

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &before));
	limit.rlim_max = before.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	set_ipc_lock(false);
	EXPECT_EQ(-ENOMEM, register_pages(self->fd, 0, memory, 0, 17));
	EXPECT_TRUE(SAYS(": RLIMIT_MEMLOCK=65536 is used up\n"));
	EXPECT_EQ(0, register_pages(self->fd, 0, memory, 0, 16));
	EXPECT_FALSE(SAYS("RLIMIT_MEMLOCK"));
	set_ipc_lock(true);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &before));
}

TEST_HARNESS_MAIN
