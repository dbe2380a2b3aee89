// SPDX-License-Identifier: GPL-2.0-only

#include "vfio_pasid_utils.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#define MAX_GROUPS	64

/* Truncated as by a shell's `>`: that is what empties the kernel's trace. */
int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Modules */

static void module_file(char *path, size_t size, const char *name)
{
	const char *dir = getenv("VFIO_PASID_MODULES");
	struct utsname system;

	uname(&system);
	if (dir)
		snprintf(path, size, "%s/%s.ko", dir, name);
	else
		snprintf(path, size, "/lib/modules/%s/updates/%s.ko",
			 system.release, name);
}

static void stock_file(char *path, size_t size)
{
	const char *file = getenv("VFIO_PASID_STOCK_TYPE1");
	struct utsname system;

	uname(&system);
	if (file)
		snprintf(path, size, "%s", file);
	else
		snprintf(path, size,
			 "/lib/modules/%s/kernel/drivers/vfio/vfio_iommu_type1.ko",
			 system.release);
}

static int read_whole_file(const char *path, void **content, size_t *size)
{
	struct stat stat;
	ssize_t got;
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat)) {
		ret = -errno;
		printf("# %s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	*size = stat.st_size;
	*content = malloc(*size);
	if (!*content) {
		close(fd);
		return -ENOMEM;
	}
	for (size_t done = 0; done < *size; done += got) {
		got = read(fd, (char *)*content + done, *size - done);
		if (got <= 0) {
			ret = got ? -errno : -EIO;
			free(*content);
			*content = NULL;
			break;
		}
	}
	close(fd);
	return ret;
}

static int load_file(const char *path, const char *parameters)
{
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		printf("# %s: %s\n", path, strerror(errno));
		return ret;
	}
	if (syscall(SYS_finit_module, fd, parameters, 0))
		ret = -errno;
	close(fd);
	return ret;
}

int load_module(const char *name, const char *parameters)
{
	char path[512];

	module_file(path, sizeof(path), name);
	return load_file(path, parameters);
}

int load_stock_module(const char *path)
{
	struct utsname system;
	char file[512];
	int ret;

	uname(&system);
	snprintf(file, sizeof(file), "/lib/modules/%s/kernel/%s.ko",
		 system.release, path);
	ret = load_file(file, "");
	return ret == -EEXIST ? 0 : ret;
}

int load_image(const void *image, size_t size, const char *parameters)
{
	return syscall(SYS_init_module, image, size, parameters) ? -errno : 0;
}

int read_module(const char *name, void **image, size_t *size)
{
	char path[512];

	module_file(path, sizeof(path), name);
	return read_whole_file(path, image, size);
}

int pretend_to_walk_processes(void)
{
	return module_loaded("vfio_pasid_sva") ? 0 :
	       load_module("vfio_pasid_sva", "");
}

int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

static int read_number(const char *path, unsigned int *value)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	if (!file)
		return -errno;
	if (fscanf(file, "%u", value) != 1)
		ret = -EINVAL;
	fclose(file);
	return ret;
}

/* Built-in code with parameters has a folder too, but no initstate. */
bool module_loaded(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	return !access(path, F_OK);
}

int module_users(const char *name)
{
	char path[128];
	unsigned int users;
	int ret;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	ret = read_number(path, &users);
	return ret ? ret : (int)users;
}

int module_parameter(const char *name, unsigned int *value, mode_t *mode)
{
	char path[128];
	struct stat stat_;

	snprintf(path, sizeof(path), "/sys/module/vfio_pasid/parameters/%s",
		 name);
	if (stat(path, &stat_))
		return -errno;
	if (mode)
		*mode = stat_.st_mode & 07777;
	return read_number(path, value);
}

/* Of a parameter that is a bool; -ENOENT. */
int module_flag(const char *name)
{
	char path[128], value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/vfio_pasid/parameters/%s",
		 name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	value = fgetc(file);
	fclose(file);
	return value == 'Y';
}

static bool is_shim(void)
{
	return !access("/sys/module/vfio_pasid/holders/vfio_iommu_type1", F_OK);
}

static bool loaded_with(const struct limits *limits)
{
	struct limits now;

	return !module_parameter("pasid_quota", &now.quota, NULL) &&
	       !module_parameter("pasid_min", &now.min, NULL) &&
	       !module_parameter("pasid_max", &now.max, NULL) &&
	       !module_parameter("region_limit", &now.regions, NULL) &&
	       !module_parameter("mapping_limit", &now.mappings, NULL) &&
	       !module_parameter("attachment_limit", &now.attachments, NULL) &&
	       now.quota == limits->quota && now.min == limits->min &&
	       now.max == limits->max && now.regions == limits->regions &&
	       now.mappings == limits->mappings &&
	       now.attachments == limits->attachments &&
	       module_flag("process_space") == limits->process_space &&
	       module_flag("process_space_pri") == limits->process_space_pri;
}

/* A process that has just died may still be closing its descriptors. */
static int unload_patiently(const char *name)
{
	int ret = 0;

	if (!module_loaded(name))
		return 0;
	for (int i = 0; i < 100; i++) {
		ret = unload_module(name);
		if (ret != -EWOULDBLOCK)
			break;
		usleep(20 * 1000);
	}
	if (ret)
		printf("# cannot unload %s: %s\n", name, strerror(-ret));
	return ret;
}

int unload_all(void)
{
	int ret;

	ret = unload_patiently("vfio_pasid_test");
	if (!ret)
		ret = unload_patiently("vfio_pasid_emulated");
	if (!ret)
		ret = unload_patiently("vfio_iommu_type1");
	if (!ret)
		ret = unload_patiently("vfio_pasid");
	return ret;
}

/* Those that modprobe would take from the kernel's command line: there is one. */
static const char *type1_parameters(void)
{
	static const char parameter[] = "allow_unsafe_interrupts=1";
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");
	bool found = file && fgets(line, sizeof(line), file) &&
		     strstr(line, "vfio_iommu_type1.allow_unsafe_interrupts=1");

	if (file)
		fclose(file);
	return found ? parameter : "";
}

int use_modules(const struct limits *limits)
{
	char parameters[256];
	int ret;

	if (module_loaded("vfio_iommu_type1") && is_shim() &&
	    loaded_with(limits))
		return 0;
	ret = unload_all();
	if (ret)
		return ret;
	snprintf(parameters, sizeof(parameters),
		 "pasid_quota=%u pasid_min=%u pasid_max=%u region_limit=%u mapping_limit=%u attachment_limit=%u process_space=%d process_space_pri=%d",
		 limits->quota, limits->min, limits->max, limits->regions,
		 limits->mappings, limits->attachments, limits->process_space,
		 limits->process_space_pri);
	ret = load_module("vfio_pasid", parameters);
	if (!ret)
		ret = load_module("vfio_iommu_type1", type1_parameters());
	return ret;
}

int use_test_module(const struct limits *limits)
{
	int ret = use_modules(limits);

	if (!ret && !module_loaded("vfio_pasid_test"))
		ret = load_module("vfio_pasid_test", "");
	return ret;
}

int use_type1(enum type1 which)
{
	char path[512];
	int ret;

	if (which == TYPE1_SHIM)
		return use_modules(&DEFAULT_LIMITS);
	if (module_loaded("vfio_iommu_type1") && !is_shim())
		return 0;
	ret = unload_all();
	if (ret)
		return ret;
	stock_file(path, sizeof(path));
	return load_file(path, type1_parameters());
}

int kernel_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

bool kernel_log_has(int fd, const char *first, const char *second)
{
	char record[8192];
	bool found = false;
	ssize_t size;

	/* One read() is one record; EPIPE says that older ones were lost. */
	while ((size = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (size < 0 && errno == EPIPE)) {
		record[size < 0 ? 0 : size] = '\0';
		if (strstr(record, first) && strstr(record, second))
			found = true;
	}
	return found;
}

/* Containers */

static struct {
	int number;
	char device[16];
} groups[MAX_GROUPS];
static int groups_known = -1;

/* The number of the IOMMU group of what has the folder @path in sysfs. */
static int group_of(const char *path)
{
	char link[512], target[512];
	ssize_t size;

	snprintf(link, sizeof(link), "%s/iommu_group", path);
	size = readlink(link, target, sizeof(target) - 1);
	if (size < 0)
		return -errno;
	target[size] = '\0';
	return atoi(strrchr(target, '/') + 1);
}

static int by_address(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_address(const struct dirent *entry)
{
	return strlen(entry->d_name) == strlen("0000:00:00.0") &&
	       entry->d_name[4] == ':';
}

/* Every group once, in the order of its devices' addresses. */
void find_groups(void)
{
	struct dirent **entries;
	int count;

	groups_known = 0;
	count = scandir("/sys/bus/pci/drivers/vfio-pci", &entries, is_address,
			by_address);
	for (int i = 0; i < count; i++) {
		char path[512];
		int number, known;

		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/vfio-pci/%s",
			 entries[i]->d_name);
		number = group_of(path);
		for (known = 0; known < groups_known; known++)
			if (groups[known].number == number)
				break;
		if (number >= 0 && known == groups_known && known < MAX_GROUPS) {
			groups[known].number = number;
			snprintf(groups[known].device,
				 sizeof(groups[known].device), "%.12s",
				 entries[i]->d_name);
			groups_known++;
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int group_count(void)
{
	if (groups_known < 0)
		find_groups();
	return groups_known;
}

int group_number(int index)
{
	if (index >= group_count()) {
		printf("# needs %d IOMMU groups with a device bound to vfio-pci, there are %d\n",
		       index + 1, group_count());
		return -ENXIO;
	}
	return groups[index].number;
}

const char *group_device(int index)
{
	return group_number(index) < 0 ? NULL : groups[index].device;
}

int container_node(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_group(int number)
{
	char path[64];
	int fd;

	if (number < 0)
		return number;
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int group_node(int index)
{
	return open_group(group_number(index));
}

int emulated_group_node(void)
{
	int ret = 0;

	if (!module_loaded("vfio_pasid_emulated"))
		ret = load_module("vfio_pasid_emulated", "");
	return ret ? ret : open_group(group_of("/sys/devices/vfio_pasid_emulated"));
}

long call(int fd, unsigned long request, void *arg)
{
	long ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int set_container(int group, int container)
{
	return call(group, VFIO_GROUP_SET_CONTAINER, &container);
}

int unset_container(int group)
{
	return call(group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

int set_iommu(int container, unsigned long type)
{
	return call(container, VFIO_SET_IOMMU, (void *)type);
}

int device_of(int group, int index)
{
	int number = group_number(index);

	if (number < 0)
		return number;
	return call(group, VFIO_GROUP_GET_DEVICE_FD, groups[index].device);
}

int container_open(struct container *container, int index)
{
	int ret;

	*container = NO_CONTAINER;
	container->fd = container_node();
	if (container->fd < 0)
		return container->fd;
	container->group = group_node(index);
	ret = container->group;
	if (ret >= 0)
		ret = set_container(container->group, container->fd);
	if (!ret)
		ret = set_iommu(container->fd, VFIO_TYPE1v2_IOMMU);
	if (ret < 0)
		container_close(container);
	return ret;
}

int container_open_device(struct container *container, int index)
{
	int ret = container_open(container, index);

	if (ret)
		return ret;
	container->device = device_of(container->group, index);
	if (container->device < 0) {
		ret = container->device;
		container_close(container);
	}
	return ret;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void container_close(struct container *container)
{
	close_fd(&container->device);
	close_fd(&container->group);
	close_fd(&container->fd);
}

const char close_orders[6][4] = { "cgd", "cdg", "gcd", "gdc", "dcg", "dgc" };

void container_close_one(struct container *container, char which)
{
	close_fd(which == 'c' ? &container->fd :
		 which == 'g' ? &container->group : &container->device);
}

/* PCI functions */

#define PCI_FUNCTIONS	"/sys/bus/pci/devices"

int function_find(struct function *function, const char *pattern)
{
	unsigned int segment, bus, slot, number;
	char path[512];
	glob_t found;
	int ret = -ENODEV;

	snprintf(path, sizeof(path), "/sys/devices/pci0000:00/%s", pattern);
	if (!glob(path, 0, NULL, &found) && found.gl_pathc == 1 &&
	    sscanf(strrchr(found.gl_pathv[0], '/'), "/%x:%x:%x.%x", &segment,
		   &bus, &slot, &number) == 4) {
		*function = (struct function) {
			.segment = segment,
			.bus = bus,
			.devfn = slot << 3 | number,
		};
		snprintf(function->address, sizeof(function->address),
			 "%04x:%02x:%02x.%x", segment, bus, slot, number);
		function->group = group_of(found.gl_pathv[0]);
		ret = function->group < 0 ? function->group : 0;
	}
	globfree(&found);
	return ret;
}

int function_write(const struct function *function, const char *file,
		   const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), PCI_FUNCTIONS "/%s/%s", function->address,
		 file);
	return write_file(path, text);
}

bool function_is_bound(const struct function *function, const char *driver)
{
	char path[512];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", driver,
		 function->address);
	return !access(path, F_OK);
}

int function_bind(const struct function *function, const char *driver)
{
	int ret;

	if (driver && function_is_bound(function, driver))
		return 0;
	ret = function_write(function, "driver/unbind", function->address);
	if (ret && ret != -ENOENT)
		return ret;
	/* An empty line takes an override back. */
	ret = function_write(function, "driver_override", driver ?: "\n");
	if (ret || !driver)
		return ret;
	ret = write_file("/sys/bus/pci/drivers_probe", function->address);
	if (ret)
		return ret;
	return function_is_bound(function, driver) ? 0 : -ENODEV;
}

/* Reads lines until one that has @text; what it says comes back in @line. */
static int qmp_hear(int fd, const char *text, char *line, size_t size)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t used = 0;

	/* QEMU answers at once, but the guest's clock may run much faster. */
	while (poll(&readable, 1, 30 * 1000) == 1) {
		if (read(fd, line + used, 1) != 1)
			return -errno;
		if (line[used] == '\n') {
			line[used] = '\0';
			if (strstr(line, text))
				return 0;
			used = 0;
		} else if (used < size - 2) {
			used++;
		}
	}
	return -ETIMEDOUT;
}

int qmp_execute(const char *command, const char *arguments)
{
	/* It is an error from the second time on, which does no harm. */
	static const char negotiate[] = "{\"execute\": \"qmp_capabilities\"}\n";
	static unsigned int last;
	char line[4096], id[64];
	int fd, ret;

	fd = open("/dev/virtio-ports/qmp", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dprintf(fd, "%s", negotiate);
	snprintf(id, sizeof(id), "\"id\": \"%d-%u\"", getpid(), ++last);
	dprintf(fd, "{\"execute\": \"%s\", \"arguments\": %s, %s}\n", command,
		arguments, id);
	ret = qmp_hear(fd, id, line, sizeof(line));
	close(fd);
	if (!ret && !strstr(line, "\"return\"")) {
		printf("# QEMU says to %s: %s\n", command, line);
		ret = -EREMOTEIO;
	}
	return ret;
}

static long pasid_request(int container, u32 flags, u32 min,
			  u32 max)
{
	struct vfio_iommu_type1_pasid_request request = {
		.argsz = sizeof(request),
		.flags = flags,
		.range = { .min = min, .max = max },
	};

	return call(container, VFIO_IOMMU_PASID_REQUEST, &request);
}

long pasid_alloc(int container, u32 min, u32 max)
{
	return pasid_request(container, VFIO_IOMMU_FLAG_ALLOC_PASID, min, max);
}

long pasid_free(int container, u32 min, u32 max)
{
	return pasid_request(container, VFIO_IOMMU_FLAG_FREE_PASID, min, max);
}

long pasid_info(int container, u32 group,
		struct vfio_iommu_pasid_info *info)
{
	*info = (struct vfio_iommu_pasid_info) {
		.argsz = sizeof(*info),
		.group = group,
	};
	return call(container, VFIO_IOMMU_PASID_INFO, info);
}

long pasid_used(int container)
{
	struct vfio_iommu_pasid_info info;
	long ret = pasid_info(container, VFIO_PASID_NO_GROUP, &info);

	return ret ? ret : info.used;
}

long pasid_quota(int container)
{
	struct vfio_iommu_pasid_info info;
	long ret = pasid_info(container, VFIO_PASID_NO_GROUP, &info);

	return ret ? ret : info.quota;
}

bool pasid_is_free(int container, u32 pasid)
{
	if (pasid_alloc(container, pasid, pasid) != pasid)
		return false;
	pasid_free(container, pasid, pasid);
	return true;
}

int map_dma(int container, const void *memory, u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return call(container, VFIO_IOMMU_MAP_DMA, &map);
}

long unmap_dma(int container, u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	long ret = call(container, VFIO_IOMMU_UNMAP_DMA, &unmap);

	return ret ? ret : (long)unmap.size;
}

int track_dirty(int container, u32 flags)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = flags,
	};

	return call(container, VFIO_IOMMU_DIRTY_PAGES, &dirty);
}

int get_dirty(int container, u64 iova, u64 *bits)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} dirty = {
		.head.argsz = sizeof(dirty),
		.head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = 64 * PAGE,
		.get.bitmap.pgsize = PAGE,
		.get.bitmap.size = sizeof(*bits),
		.get.bitmap.data = (void *)bits,
	};

	*bits = 0;
	return call(container, VFIO_IOMMU_DIRTY_PAGES, &dirty);
}

static long create(int container, u32 flags, u32 pasid)
{
	struct vfio_iommu_aux_create create = {
		.argsz = sizeof(create),
		.flags = flags,
		.pasid = pasid,
	};
	long ret = call(container, VFIO_IOMMU_AUX_CREATE, &create);

	return ret ? ret : (long)create.pasid;
}

long aux_create(int container)
{
	return create(container, 0, 0);
}

long aux_create_process(int container)
{
	struct vfio_iommu_aux_create create = {
		.argsz = sizeof(create),
		.flags = VFIO_AUX_PROCESS,
	};
	long ret = call(container, VFIO_IOMMU_AUX_CREATE, &create);

	return ret ? ret : create.pasid;
}

int aux_create_fixed(int container, u32 pasid)
{
	long ret = create(container, VFIO_AUX_FIXED_PASID, pasid);

	return ret == pasid ? 0 : ret < 0 ? ret : -EPROTO;
}

int aux_create_window(int container, u64 start, u64 size,
		      struct vfio_iommu_aux_create *create)
{
	*create = (struct vfio_iommu_aux_create) {
		.argsz = sizeof(*create),
		.iova_start = start,
		.iova_size = size,
	};
	return call(container, VFIO_IOMMU_AUX_CREATE, create);
}

int aux_destroy(int container, u32 pasid)
{
	struct vfio_iommu_aux_destroy destroy = {
		.argsz = sizeof(destroy),
		.pasid = pasid,
	};

	return call(container, VFIO_IOMMU_AUX_DESTROY, &destroy);
}

static int change(int container, unsigned long request, u32 pasid, u32 group)
{
	struct vfio_iommu_aux_attach attach = {
		.argsz = sizeof(attach),
		.pasid = pasid,
		.group = group,
	};

	return call(container, request, &attach);
}

int aux_attach(int container, u32 pasid, u32 group)
{
	return change(container, VFIO_IOMMU_AUX_ATTACH, pasid, group);
}

int aux_detach(int container, u32 pasid, u32 group)
{
	return change(container, VFIO_IOMMU_AUX_DETACH, pasid, group);
}

int aux_info(int container, u32 pasid, int room, struct aux_info *info)
{
	info->head.argsz = sizeof(info->head) + room * sizeof(info->entries[0]);
	info->head.flags = 0;
	info->head.pasid = pasid;
	return call(container, VFIO_IOMMU_AUX_INFO, info);
}

int aux_is_attached(int container, u32 pasid, u32 group)
{
	struct aux_info info = { .head.cursor = 0 };
	int ret = aux_info(container, pasid, AUX_ENTRIES, &info);

	if (ret)
		return ret;
	for (u32 i = 0; i < info.head.count; i++)
		if (info.entries[i].type == VFIO_AUX_ENTRY_GROUP &&
		    info.entries[i].data == group)
			return 1;
	return 0;
}

static int change_memory(int container, unsigned long request, u32 flags,
			 const void *memory, u64 size)
{
	struct vfio_iommu_register_memory change = {
		.argsz = sizeof(change),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.size = size,
	};

	return call(container, request, &change);
}

int register_memory(int container, u32 flags, const void *memory, u64 size)
{
	return change_memory(container, VFIO_IOMMU_REGISTER_MEMORY, flags,
			     memory, size);
}

int unregister_memory(int container, const void *memory, u64 size)
{
	return change_memory(container, VFIO_IOMMU_UNREGISTER_MEMORY, 0, memory,
			     size);
}

int register_pages(int container, u32 flags, void *memory, int first,
		   int count)
{
	return register_memory(container, flags, (char *)memory + first * PAGE,
			       (u64)count * PAGE);
}

int unregister_pages(int container, void *memory, int first, int count)
{
	return unregister_memory(container, (char *)memory + first * PAGE,
				 (u64)count * PAGE);
}

int aux_map(int container, u32 pasid, u32 flags, const void *memory, u64 iova,
	    u64 size)
{
	struct vfio_iommu_aux_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.pasid = pasid,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return call(container, VFIO_IOMMU_AUX_MAP, &map);
}

static long unmap(int container, u32 flags, u32 pasid, u64 iova, u64 size)
{
	struct vfio_iommu_aux_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.pasid = pasid,
		.iova = iova,
		.size = size,
	};
	long ret = call(container, VFIO_IOMMU_AUX_UNMAP, &unmap);

	return ret ? ret : (long)unmap.size;
}

long aux_unmap(int container, u32 pasid, u64 iova, u64 size)
{
	return unmap(container, 0, pasid, iova, size);
}

long aux_unmap_all(int container, u32 pasid)
{
	return unmap(container, VFIO_AUX_UNMAP_ALL, pasid, 0, 0);
}

/* What there is */

long number_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	char line[256];
	long value = -ENOENT;

	if (!file)
		return -errno;
	while (value == -ENOENT && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), "%*[: \t]%ld", &value) != 1)
			value = -ENOENT;
	fclose(file);
	return value;
}

const char *const counted_kinds[8] = {
	"containers", "pasids", "spaces", "attachments", "mappings",
	"registrations", "pinned_pages", "closing",
};

#define IN_USE "/sys/kernel/debug/vfio_pasid/in_use"

void wait_for_closing(void)
{
	for (int i = 0; i < 10000 && number_in(IN_USE, "closing") > 0; i++)
		usleep(1000);
}

static int read_held(void)
{
	int fd = open("/sys/kernel/debug/vfio_pasid/held", O_RDONLY | O_CLOEXEC);
	char text[PAGE];
	ssize_t size;

	if (fd < 0)
		return -errno;
	while ((size = read(fd, text, sizeof(text))) > 0)
		;
	if (size)
		size = -errno;
	close(fd);
	return size;
}

void *watch_held(void *stop)
{
	long reads = 0, ret = 0;

	while (!ret && !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
		ret = read_held();
		reads++;
		usleep(100000);
	}
	return (void *)(ret ?: reads);
}

long count_of(const char *kind)
{
	wait_for_closing();
	return number_in(IN_USE, kind);
}

long vm_locked(void)
{
	long kilobytes;

	wait_for_closing();
	kilobytes = number_in("/proc/self/status", "VmLck");
	return kilobytes < 0 ? kilobytes : kilobytes * 1024;
}

int free_caches(void)
{
	return write_file("/proc/sys/vm/drop_caches", "3");
}

/* Each processor adds its share once in a while, or on this demand. */
long pinned_pages(void)
{
	long acquired, released;
	int ret;

	wait_for_closing();
	ret = write_file("/proc/sys/vm/stat_refresh", "1");
	if (ret)
		return ret;
	acquired = number_in("/proc/vmstat", "nr_foll_pin_acquired");
	released = number_in("/proc/vmstat", "nr_foll_pin_released");
	return acquired < 0 ? acquired : acquired - released;
}

u64 nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

bool is_value(const char *what, long seen, long expected)
{
	if (seen != expected)
		printf("# %s: %ld instead of %ld\n", what, seen, expected);
	return seen == expected;
}

struct before look_before(void)
{
	return (struct before) {
		.locked = vm_locked(),
		.pinned = pinned_pages(),
	};
}

static bool others_hold(const struct before *before, long registrations,
			long pages)
{
	return is_value("registrations", count_of("registrations"), registrations) &
	       is_value("pages that vfio_pasid pinned", count_of("pinned_pages"),
			pages) &
	       is_value("pinned pages", pinned_pages() - before->pinned, pages);
}

bool holds(const struct before *before, long registrations, long pages)
{
	return is_value("locked memory", vm_locked() - before->locked, pages * PAGE) &
	       others_hold(before, registrations, pages);
}

bool all_hold(const struct before *before, long registrations, long pages)
{
	for (int i = 0; i < 500; i++) {
		if (count_of("registrations") == registrations &&
		    count_of("pinned_pages") == pages)
			break;
		usleep(10 * 1000);
	}
	return others_hold(before, registrations, pages);
}

void set_ipc_lock(bool on)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		abort();
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	if (on)
		data[0].effective |= 1u << CAP_IPC_LOCK;
	if (syscall(SYS_capset, &header, data))
		abort();
}

/* Other processes */

int peer_start(struct peer *peer, void (*body)(int socket, void *arg),
	       void *arg)
{
	pid_t parent = getpid();
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	fflush(stdout);
	peer->pid = fork();
	if (peer->pid < 0) {
		close(sockets[0]);
		close(sockets[1]);
		return -errno;
	}
	if (!peer->pid) {
		close(sockets[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			body(sockets[1], arg);
		_exit(0);
	}
	close(sockets[1]);
	peer->socket = sockets[0];
	return 0;
}

int peer_wait(struct peer *peer)
{
	int status = 0;

	close_fd(&peer->socket);
	if (waitpid(peer->pid, &status, 0) != peer->pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	peer_wait(peer);
}

void say(int socket, long value)
{
	if (send(socket, &value, sizeof(value), MSG_NOSIGNAL) != sizeof(value))
		_exit(1);
}

long hear(int socket)
{
	long value;

	if (recv(socket, &value, sizeof(value), 0) != sizeof(value))
		return -EPIPE;
	return value;
}

int send_fds(int socket, const int *fds, int count)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 }, byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int receive_fds(int socket, int *fds, int count)
{
	char control[CMSG_SPACE(8 * sizeof(int))], byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len != CMSG_LEN(count * sizeof(int)))
		return -EPROTO;
	memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	return 0;
}

struct child_call {
	long (*body)(void *arg);
	void *arg;
};

static void say_result(int socket, void *arg)
{
	struct child_call *child = arg;

	say(socket, child->body(child->arg));
}

long in_child(long (*body)(void *arg), void *arg)
{
	struct child_call child = { body, arg };
	struct peer peer;
	long ret;

	ret = peer_start(&peer, say_result, &child);
	if (ret)
		return ret;
	ret = hear(peer.socket);
	peer_wait(&peer);
	return ret;
}

/* Memory */

void *new_pages(long count)
{
	void *memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void *pages(int count, int protection)
{
	void *memory = mmap(NULL, count * PAGE, protection,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

void *before_hole(size_t size)
{
	char *memory = pages(2, PROT_READ | PROT_WRITE);

	if (mprotect(memory + PAGE, PAGE, PROT_NONE))
		abort();
	return memory + PAGE - size;
}

void *read_only_copy(const void *from, size_t size)
{
	void *memory = pages(1, PROT_READ | PROT_WRITE);

	memcpy(memory, from, size);
	if (mprotect(memory, PAGE, PROT_READ))
		abort();
	return memory;
}

void *unmapped(void)
{
	void *memory = pages(1, PROT_READ);

	munmap(memory, PAGE);
	return memory;
}

static u64 u64_at(const char *path, u64 index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	u64 value;

	if (fd < 0 || pread(fd, &value, sizeof(value),
			    index * sizeof(value)) != sizeof(value))
		abort();
	close(fd);
	return value;
}

u64 page_frame(const void *address)
{
	/* The bits above are flags: Documentation/admin-guide/mm/pagemap.rst */
	return u64_at("/proc/self/pagemap", (uintptr_t)address / PAGE) &
	       ((1ull << 55) - 1);
}

u64 page_flags(const void *address)
{
	return u64_at("/proc/kpageflags", page_frame(address));
}

/* The linear congruential generator of Knuth's MMIX, its upper half. */
u32 next_random(struct sequence *sequence, u32 limit)
{
	sequence->state = sequence->state * 6364136223846793005ull +
			  1442695040888963407ull;
	return (sequence->state >> 32) % limit;
}

void spin_barrier_wait(struct spin_barrier *barrier)
{
	unsigned int round = __atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&barrier->waiting, 1, __ATOMIC_ACQ_REL) ==
	    barrier->threads) {
		__atomic_store_n(&barrier->waiting, 0, __ATOMIC_RELAXED);
		__atomic_add_fetch(&barrier->round, 1, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) == round)
		sched_yield();
}

static void *compete(void *arg)
{
	struct contest *contest = arg;

	for (int round = 0; round < contest->rounds; round++) {
		long ret;

		spin_barrier_wait(&contest->barrier);
		ret = contest->step(contest->arg);
		if (ret == contest->winner)
			__atomic_add_fetch(&contest->wins, 1, __ATOMIC_SEQ_CST);
		else if (ret != contest->loser)
			__atomic_store_n(&contest->other, ret, __ATOMIC_SEQ_CST);
		spin_barrier_wait(&contest->barrier);
	}
	return NULL;
}

int run_contest(struct contest *contest)
{
	enum { THREADS = 3 };
	pthread_t threads[THREADS];
	int ret = 0;

	contest->barrier.threads = THREADS + 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, compete, contest))
			return -EAGAIN;
	for (int round = 0; round < contest->rounds; round++) {
		spin_barrier_wait(&contest->barrier);
		spin_barrier_wait(&contest->barrier);
		if (!(is_value("winners", contest->wins, 1) &
		      is_value("the next round", contest->again(contest->arg), 0)))
			ret = -EPROTO;
		contest->wins = 0;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return is_value("neither winner nor loser", contest->other, 0) ? ret : -EPROTO;
}
