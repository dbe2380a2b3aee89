// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that use type1 and that nobody here wrote: DPDK's testpmd, and the
 * kernel's own tests of VFIO. Each runs under the kernel's type1 and under ours,
 * and all that it says about success must be the same.
 *
 * $VFIO_SELFTESTS_BDF is the network adapter that the kernel's tests use. Two
 * that are wired to each other, on vfio-pci, are for testpmd, and a pasid-device
 * for what happens beside it.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "pasid_device.h"

#define FORWARD_SECONDS	3
/* Packets that each port must have received; an idle machine does 100,000. */
#define FEW_PACKETS	1000
#define IOVA		0x100000000
#define SPACES		2

enum program_index {
	TESTPMD,
	VFIO_DMA_MAPPING_TEST,
	VFIO_DMA_MAPPING_MMIO_TEST,
	VFIO_PCI_DEVICE_TEST,
};

/* A program under way, and all it has said. */
struct client {
	pid_t pid;
	int in;
	int out;
	size_t size;
	char said[256 * 1024];
};

static void become(char *const *argv, int in, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv(argv[0], argv);
	printf("%s: %s\n", argv[0], strerror(errno));
	fflush(stdout);
	_exit(127);
}

static struct client *client_start(char *const *argv)
{
	struct client *client = calloc(1, sizeof(*client));
	int in[2], out[2];

	if (!client || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return NULL;
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN); /* it may end without having listened */
	client->pid = fork();
	if (!client->pid)
		become(argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	client->in = in[1];
	client->out = out[0];
	return client;
}

/* False: it has ended, or closed its output. What does not fit is lost. */
static bool client_read(struct client *client)
{
	char lost[4096], *to = client->said + client->size;
	size_t room = sizeof(client->said) - 1 - client->size;
	ssize_t got;

	if (!room) {
		to = lost;
		room = sizeof(lost);
	}
	got = read(client->out, to, room);
	if (got > 0 && to != lost)
		client->size += got;
	return got > 0;
}

static bool client_says(struct client *client, const char *what)
{
	while (!strstr(client->said, what))
		if (!client_read(client))
			return false;
	return true;
}

static void client_tell(struct client *client, const char *line)
{
	if (write(client->in, line, strlen(line)) < 0)
		ksft_print_msg("cannot say '%s'\n", line);
}

/* Its exit status, or 128 and the signal that ended it. */
static int client_end(struct client *client)
{
	int status;

	close(client->in);
	while (client_read(client))
		;
	close(client->out);
	waitpid(client->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* As comments, or the lines would pass for results of this program. */
static void print_said(const struct client *client)
{
	for (const char *line = client->said; *line;) {
		int length = strcspn(line, "\n");

		ksft_print_msg("  %.*s\n", length, line);
		line += length + !!line[length];
	}
}

/* What a program says about success: a line for each verdict. */
struct verdicts {
	unsigned int good;
	unsigned int bad;
	size_t size;
	char text[8192];
};

static void __printf(3, 4) verdict(struct verdicts *verdicts, bool good,
				   const char *format, ...)
{
	char *to = verdicts->text + verdicts->size;
	size_t room = sizeof(verdicts->text) - verdicts->size;
	va_list args;
	int size;

	va_start(args, format);
	size = snprintf(to, room, "%s ", good ? "ok" : "not ok");
	size += vsnprintf(to + size, room - size, format, args);
	size += snprintf(to + size, room - size, "\n");
	va_end(args);
	verdicts->size += size;
	if (good)
		verdicts->good++;
	else
		verdicts->bad++;
}

/* The kernel's tests. */

/* "ok 3 name", "not ok 4 name" or "ok 5 name # SKIP reason", which is not good. */
static void judge_tap(struct verdicts *verdicts, const char *line)
{
	bool good = !strncmp(line, "ok ", 3);
	char *name;
	int length;

	if (!good && strncmp(line, "not ok ", 7))
		return;
	strtoul(line + (good ? 3 : 7), &name, 10);
	length = strcspn(name, "\n");
	good &= !memmem(name, length, "# SKIP", 6);
	verdict(verdicts, good, "%.*s", length, name);
}

static void run_kernel_test(struct verdicts *verdicts, char *const *argv)
{
	struct client *client = client_start(argv);
	int status;

	if (!client)
		return;
	status = client_end(client);
	for (const char *line = client->said; line;) {
		judge_tap(verdicts, line);
		line = strchr(line, '\n');
		line += !!line;
	}
	verdict(verdicts, !status, "exit status %d", status);
	if (verdicts->bad)
		print_said(client);
	free(client);
}

/* testpmd. */

/* The number after @name in the final statistics of @port. */
static unsigned long counted(const struct client *client, int port,
			     const char *name)
{
	unsigned long value = 0;
	char head[64];
	const char *at;

	snprintf(head, sizeof(head), "Forward statistics for port %d ", port);
	at = strstr(client->said, head);
	if (at)
		at = strstr(at, name);
	if (!at || sscanf(at + strlen(name), " %lu", &value) != 1)
		ksft_print_msg("testpmd has no %s for port %d\n", name, port);
	return value;
}

static void judge_testpmd(struct verdicts *verdicts, const struct client *client,
			  int status)
{
	static const char *const faults[] = {
		"RX-dropped:", "Bad-ipcsum:", "Bad-l4csum:", "TX-dropped:",
	};

	verdict(verdicts, !!strstr(client->said, "Using IOMMU type 1 (Type 1)"),
		"uses type1");
	for (int port = 0; port < 2; port++) {
		unsigned long received = counted(client, port, "RX-packets:");
		unsigned long sent = counted(client, port, "TX-packets:");

		ksft_print_msg("port %d: %lu packets received, %lu sent\n",
			       port, received, sent);
		verdict(verdicts, received >= FEW_PACKETS, "port %d receives",
			port);
		verdict(verdicts, sent >= FEW_PACKETS, "port %d sends", port);
		for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
			verdict(verdicts, !counted(client, port, faults[i]),
				"port %d %s 0", port, faults[i]);
	}
	verdict(verdicts, !status, "exit status %d", status);
}

/* The first packets are its own; then each port sends what the other receives. */
static struct client *testpmd_start(char *const *argv)
{
	struct client *client = client_start(argv);

	if (client && client_says(client, "testpmd> "))
		client_tell(client, "start tx_first\n");
	return client;
}

static void testpmd_stop(struct verdicts *verdicts, struct client *client)
{
	int status;

	client_tell(client, "stop\nquit\n");
	status = client_end(client);
	judge_testpmd(verdicts, client, status);
	if (verdicts->bad)
		print_said(client);
	free(client);
}

static void run_testpmd(struct verdicts *verdicts, char *const *argv)
{
	struct client *client = testpmd_start(argv);

	if (!client)
		return;
	sleep(FORWARD_SECONDS);
	testpmd_stop(verdicts, client);
}

/* Each under both. */

#define TYPE1		"-v", "vfio_type1_iommu", "-v", "vfio_type1v2_iommu"

static const struct program {
	void (*run)(struct verdicts *verdicts, char *const *argv);
	unsigned int good;	/* verdicts that there must be */
	char *const argv[24];
} programs[] = {
	[TESTPMD] = {
		.run = run_testpmd,
		.good = 14,
		/*
		 * 2 MB pages that need no file system, as many as it needs and
		 * no more, mapped and unmapped as it goes. The checksums of each
		 * packet are looked at.
		 */
		.argv = {
			"/usr/bin/dpdk-testpmd", "-l", "0-1", "--in-memory",
			"--no-telemetry", "--", "--interactive",
			"--forward-mode=csum", "--enable-rx-cksum",
			"--total-num-mbufs=4096", "--rxd=256", "--txd=256",
		},
	},
	[VFIO_DMA_MAPPING_TEST] = {
		.run = run_kernel_test,
		.good = 11,
		.argv = {
			"./vfio_dma_mapping_test", TYPE1,
			"-v", "vfio_type1_iommu_anonymous",
			"-v", "vfio_type1v2_iommu_anonymous",
			"-v", "vfio_type1_iommu_anonymous_hugetlb_2mb",
			"-v", "vfio_type1v2_iommu_anonymous_hugetlb_2mb",
		},
	},
	[VFIO_DMA_MAPPING_MMIO_TEST] = {
		.run = run_kernel_test,
		.good = 7,
		.argv = { "./vfio_dma_mapping_mmio_test", TYPE1 },
	},
	[VFIO_PCI_DEVICE_TEST] = {
		.run = run_kernel_test,
		.good = 6,
		.argv = { "./vfio_pci_device_test" },
	},
};

/* Each case is a process of its own, so they share what they learn. */
static struct result {
	bool known;
	struct verdicts verdicts;
} (*results)[ARRAY_SIZE(programs)][2];

static void __attribute__((constructor)) share_results(void)
{
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		abort();
}

/* Runs the program, unless that is done. */
static const struct verdicts *verdicts_of(enum program_index index,
					  enum type1 which)
{
	struct result *result = &(*results)[index][which];

	if (result->known)
		return &result->verdicts;
	result->known = true;
	if (use_type1(which))
		verdict(&result->verdicts, false, "the modules cannot be loaded");
	else
		programs[index].run(&result->verdicts, programs[index].argv);
	return &result->verdicts;
}

FIXTURE(clients) {
};

FIXTURE_VARIANT(clients) {
	enum program_index program;
};

FIXTURE_VARIANT_ADD(clients, testpmd) {
	.program = TESTPMD,
};

FIXTURE_VARIANT_ADD(clients, vfio_dma_mapping_test) {
	.program = VFIO_DMA_MAPPING_TEST,
};

FIXTURE_VARIANT_ADD(clients, vfio_dma_mapping_mmio_test) {
	.program = VFIO_DMA_MAPPING_MMIO_TEST,
};

FIXTURE_VARIANT_ADD(clients, vfio_pci_device_test) {
	.program = VFIO_PCI_DEVICE_TEST,
};

FIXTURE_SETUP(clients)
{
}

FIXTURE_TEARDOWN(clients)
{
}

TEST_F(clients, stock)
{
	const struct verdicts *stock = verdicts_of(variant->program, TYPE1_STOCK);

	ASSERT_EQ(0, stock->bad) TH_LOG("%s", stock->text);
	ASSERT_EQ(programs[variant->program].good, stock->good);
}

TEST_F(clients, ours)
{
	const struct verdicts *ours = verdicts_of(variant->program, TYPE1_SHIM);

	ASSERT_EQ(0, ours->bad) TH_LOG("%s", ours->text);
	ASSERT_EQ(programs[variant->program].good, ours->good);
}

TEST_F(clients, same_verdicts)
{
	const struct verdicts *stock = verdicts_of(variant->program, TYPE1_STOCK);
	const struct verdicts *ours = verdicts_of(variant->program, TYPE1_SHIM);

	ASSERT_LT(0, stock->size);
	ASSERT_STREQ(stock->text, ours->text);
}

/* Beside testpmd: a device with two spaces, which differ at the same address. */

struct beside {
	struct container container;
	struct pasid_device device;
	u32 group;
	u32 pasids[SPACES];
	u64 *memory;		/* a page for each */
};

static u64 *page_of(struct beside *beside, int space)
{
	return beside->memory + space * PAGE / sizeof(*beside->memory);
}

/* Maps each page, lets the device write and read it, and unmaps it again. */
static void use_spaces(struct __test_metadata *_metadata,
		       struct beside *beside, u64 round)
{
	int fd = beside->container.fd;
	struct outcome outcome;

	for (int space = 0; space < SPACES; space++)
		ASSERT_EQ(0, aux_map(fd, beside->pasids[space],
				     VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE,
				     page_of(beside, space), IOVA, PAGE));
	for (int space = 0; space < SPACES; space++) {
		u64 data = round * SPACES + space;

		device_set_data(&beside->device, &data, sizeof(data));
		ASSERT_EQ(DMA_DONE, device_touch(&beside->device,
						 beside->pasids[space], IOVA));
	}
	for (int space = 0; space < SPACES; space++) {
		u64 data = 0;

		ASSERT_EQ(round * SPACES + space, *page_of(beside, space));
		ASSERT_EQ(0, device_dma(&beside->device, DMA_READ,
					beside->pasids[space], IOVA, sizeof(data),
					&outcome));
		ASSERT_EQ(DMA_DONE, outcome.status);
		device_get_data(&beside->device, &data, sizeof(data));
		ASSERT_EQ(round * SPACES + space, data);
		ASSERT_EQ(PAGE, aux_unmap(fd, beside->pasids[space], IOVA,
					  PAGE));
		ASSERT_EQ(no_page(), device_touch(&beside->device,
						  beside->pasids[space], IOVA));
	}
}

FIXTURE(beside_testpmd) {
	struct beside beside;
};

FIXTURE_SETUP(beside_testpmd)
{
	struct beside *beside = &self->beside;
	int index;

	beside->container = NO_CONTAINER;
	beside->device = NO_DEVICE;
	ASSERT_EQ(0, use_type1(TYPE1_SHIM));
	index = device_index(20, 0);
	ASSERT_LE(0, index);
	beside->group = group_number(index);
	ASSERT_EQ(0, container_open_device(&beside->container, index));
	ASSERT_EQ(0, device_start(&beside->device, beside->container.device));
	beside->memory = mmap(NULL, SPACES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, beside->memory);
}

FIXTURE_TEARDOWN(beside_testpmd)
{
	device_stop(&self->beside.device);
	container_close(&self->beside.container);
}

TEST_F(beside_testpmd, aux_spaces_are_used)
{
	struct beside *beside = &self->beside;
	struct verdicts verdicts = {};
	struct client *client;
	time_t end;
	u64 round;

	ASSERT_EQ(0, register_memory(beside->container.fd, 0, beside->memory,
				     SPACES * PAGE));
	for (int space = 0; space < SPACES; space++) {
		long pasid = aux_create(beside->container.fd);

		ASSERT_LT(0, pasid);
		beside->pasids[space] = pasid;
		ASSERT_EQ(0, aux_attach(beside->container.fd, pasid, beside->group));
	}
	client = testpmd_start(programs[TESTPMD].argv);
	ASSERT_NE(NULL, client);
	end = time(NULL) + FORWARD_SECONDS;
	for (round = 1; time(NULL) <= end; round++)
		use_spaces(_metadata, beside, round);
	testpmd_stop(&verdicts, client);
	ksft_print_msg("%llu rounds beside it\n", (unsigned long long)round);
	ASSERT_LT(10, round);
	ASSERT_EQ(0, verdicts.bad)
		TH_LOG("%s", verdicts.text);
	use_spaces(_metadata, beside, round);
}

TEST(killed_testpmd_leaves_nothing)
{
	struct client *client;

	ASSERT_EQ(0, use_type1(TYPE1_SHIM));
	client = testpmd_start(programs[TESTPMD].argv);
	ASSERT_NE(NULL, client);
	sleep(1);
	ASSERT_EQ(0, kill(client->pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, client_end(client));
	ASSERT_NE(NULL, strstr(client->said, "Using IOMMU type 1 (Type 1)"));
	free(client);
	ASSERT_EQ(0, unload_all());
}

TEST_HARNESS_MAIN
