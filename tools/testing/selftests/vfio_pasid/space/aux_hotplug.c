// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is pulled out while a space with a mapping is attached to it, and
 * another one that is put in its place. QEMU does so at the test's request, through the
 * guest's own monitor; scripts/guest has started a server for the second device
 * (--pasid-spare id=spare).
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "pasid_device.h"

#define IOVA		0x40000000
#define MAPPED		(IOVA + PAGE)
#define PASID		777
#define MONITOR		"/dev/virtio-ports/qmp"
#define FIRST		"hot"		/* ids of the devices in QEMU */
#define SECOND		"spare"
#define SLOT		"rp0"		/* and of the root port */
#define SOCKET		"/share/" SECOND ".sock"

/* Unplugging takes its time: the guest is asked, and the tests hold it up. */
#define PATIENCE	120

/* QMP, just as much as is needed: one line is one message. */

static int monitor = -1;

/* Reads lines until one has @text, or until one is an error. */
static int expect_line(const char *text)
{
	char line[4096];
	size_t length = 0;

	for (;;) {
		struct pollfd poll_ = { .fd = monitor, .events = POLLIN };

		if (poll(&poll_, 1, PATIENCE * 1000) != 1)
			return -ETIMEDOUT;
		if (read(monitor, line + length, 1) != 1)
			return -EIO;
		if (line[length] != '\n') {
			length += length < sizeof(line) - 2;
			continue;
		}
		line[length] = '\0';
		if (strstr(line, text))
			return 0;
		if (strstr(line, "\"error\"")) {
			printf("# QMP: %s\n", line);
			return -EPROTO;
		}
		length = 0;
	}
}

/* @arguments is JSON, as is the answer that is not looked at. */
static int qmp(const char *command, const char *arguments)
{
	char line[512];
	int length = snprintf(line, sizeof(line),
			      "{\"execute\":\"%s\",\"id\":\"now\",%s}\n",
			      command, arguments);

	if (write(monitor, line, length) != length)
		return -EIO;
	return expect_line("\"now\"");
}

static int monitor_open(void)
{
	monitor = open(MONITOR, O_RDWR | O_CLOEXEC);
	if (monitor < 0)
		return -errno;
	return qmp("qmp_capabilities", "\"arguments\":{}");
}

static int pull_out(void)
{
	return qmp("device_del", "\"arguments\":{\"id\":\"" FIRST "\"}");
}

static int put_in(void)
{
	static const char format[] =
		"\"arguments\":{\"driver\":\"vfio-user-pci\",\"id\":\"" SECOND
		"\",\"bus\":\"" SLOT
		"\",\"socket\":{\"type\":\"unix\",\"path\":\"%s\"}}";
	char arguments[400], socket[256];
	ssize_t length = readlink(SOCKET, socket, sizeof(socket) - 1);

	if (length < 0)
		return -errno;
	socket[length] = '\0';
	snprintf(arguments, sizeof(arguments), format, socket);
	return qmp("device_add", arguments);
}

/* The kernel's side. */

static bool wait_for(const char *path, bool there)
{
	for (int i = 0; i < PATIENCE * 10; i++) {
		if (!access(path, F_OK) == there)
			return true;
		usleep(100 * 1000);
	}
	return false;
}

/* A new device is there before drivers may bind to it. */
static int give_to_vfio(const char *address)
{
	char override[128], bound[128];
	int ret;

	snprintf(override, sizeof(override),
		 "/sys/bus/pci/devices/%s/driver_override", address);
	snprintf(bound, sizeof(bound), "/sys/bus/pci/drivers/vfio-pci/%s",
		 address);
	ret = write_file(override, "vfio-pci");
	for (int i = 0; !ret && i < PATIENCE * 10; i++) {
		if (!access(bound, F_OK)) {
			find_groups();
			return 0;
		}
		ret = write_file("/sys/bus/pci/drivers_probe", address);
		usleep(100 * 1000);
	}
	return ret ? ret : -ETIMEDOUT;
}

/* The 20-bit device that is not on the root bus. */
static int behind_the_port(void)
{
	for (int nth = 0; nth < 2; nth++) {
		int index = device_index(20, nth);

		if (index >= 0 &&
		    strncmp(group_device(index), "0000:00:", 8))
			return index;
	}
	return -ENXIO;
}

/* VFIO's request that the device be closed. */
static int request_event(int device)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct {
		struct vfio_irq_set set;
		int event;
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_REQ_IRQ_INDEX,
			.count = 1,
		},
		.event = event,
	};
	int ret = call(device, VFIO_DEVICE_SET_IRQS, &request);

	return ret ? ret : event;
}

FIXTURE(aux_hotplug) {
	struct container container;
	struct pasid_device device;
};

FIXTURE_SETUP(aux_hotplug)
{
	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	ASSERT_EQ(0, monitor_open());
}

FIXTURE_TEARDOWN(aux_hotplug)
{
	device_stop(&self->device);
	container_close(&self->container);
	close(monitor);
}

TEST_F_TIMEOUT(aux_hotplug, pulled_out_while_attached, 3 * PATIENCE)
{
	int index = behind_the_port(), other = device_index(20, 0), second;
	struct container *container = &self->container;
	struct pollfd request;
	char path[128], address[16];
	u8 *memory;
	u32 group;

	if (other == index)
		other = device_index(20, 1);
	ASSERT_LE(0, index);
	ASSERT_LE(0, other);
	snprintf(address, sizeof(address), "%s", group_device(index));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
	group = group_number(index);

	/* A second group keeps the container when the first one goes. */
	ASSERT_EQ(0, container_open_device(container, index));
	second = group_node(other);
	ASSERT_LE(0, second);
	ASSERT_EQ(0, set_container(second, container->fd));
	ASSERT_EQ(0, device_start(&self->device, container->device));
	request = (struct pollfd) {
		.fd = request_event(container->device), .events = POLLIN,
	};
	ASSERT_LE(0, request.fd);
	ASSERT_EQ(PASID, pasid_alloc(container->fd, PASID, PASID));
	ASSERT_EQ(0, aux_create_fixed(container->fd, PASID));
	ASSERT_EQ(0, aux_attach(container->fd, PASID, group));
	ASSERT_EQ(no_page(), device_touch(&self->device, PASID, IOVA));
	memory = new_pages(1);
	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, register_memory(container->fd, 0, memory, PAGE));
	ASSERT_EQ(0, aux_map(container->fd, PASID,
			     VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE, memory,
			     MAPPED, PAGE));
	ASSERT_TRUE(device_reaches(&self->device, PASID, MAPPED, memory));

	/* VFIO waits for us: nothing is torn from under the attachment. */
	ASSERT_EQ(0, pull_out());
	ASSERT_EQ(1, poll(&request, 1, PATIENCE * 1000));
	ASSERT_EQ(1, aux_is_attached(container->fd, PASID, group));
	ASSERT_TRUE(device_reaches(&self->device, PASID, MAPPED, memory));
	ASSERT_EQ(0, access(path, F_OK));
	close(request.fd);
	device_stop(&self->device);
	close_fd(&container->device);
	close_fd(&container->group);
	ASSERT_TRUE(wait_for(path, false));
	ASSERT_EQ(0, expect_line("DEVICE_DELETED"));

	/* The space is there with what it maps, and not attached. */
	ASSERT_EQ(1, count_of("mappings"));
	ASSERT_EQ(0, aux_is_attached(container->fd, PASID, group));
	ASSERT_EQ(-ENOENT, aux_attach(container->fd, PASID, group));

	/* A new device in its place, for the same container. */
	ASSERT_EQ(0, put_in());
	ASSERT_TRUE(wait_for(path, true));
	ASSERT_EQ(0, give_to_vfio(address));
	index = behind_the_port();
	ASSERT_LE(0, index);
	ASSERT_EQ(0, strcmp(address, group_device(index)));
	group = group_number(index);
	container->group = group_node(index);
	ASSERT_LE(0, container->group);
	ASSERT_EQ(0, set_container(container->group, container->fd));
	container->device = device_of(container->group, index);
	ASSERT_LE(0, container->device);
	ASSERT_EQ(0, device_start(&self->device, container->device));
	ASSERT_EQ(0, aux_attach(container->fd, PASID, group));
	ASSERT_EQ(no_page(), device_touch(&self->device, PASID, IOVA));
	ASSERT_TRUE(device_reaches(&self->device, PASID, MAPPED, memory));
	ASSERT_EQ(0, aux_detach(container->fd, PASID, group));
	ASSERT_EQ(NO_PASID_ENTRY, device_touch(&self->device, PASID, IOVA));
	close(second);
}

TEST_HARNESS_MAIN
