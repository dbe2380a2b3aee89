// SPDX-License-Identifier: GPL-2.0-only
/*
 * That the IOMMU is told: each attach and each detach, on whatever way, is
 * followed by an invalidation of the PASID cache for that very PASID before the
 * call returns, and a detach by one of the IOTLB as well. The pasid-device has
 * no caches and would not notice, so QEMU's trace is read: scripts/guest with
 * --trace 'vtd_inv_desc*'.
 */
#include <kselftest_harness.h>

#include <fcntl.h>

#include "pasid_device.h"

#define TRACE	"/share/trace.log"

FIXTURE(aux_invalidate) {
	struct container container;
	int trace;
	int index;
	u32 group;
	int fd;
};

FIXTURE_SETUP(aux_invalidate)
{
	self->container = NO_CONTAINER;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->trace = open(TRACE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->trace);
	/* What came before is of no interest, and much. */
	ASSERT_LE(0, lseek(self->trace, 0, SEEK_END));
	self->index = device_index(20, 0);
	ASSERT_LE(0, self->index);
	ASSERT_EQ(0, container_open_device(&self->container, self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
}

FIXTURE_TEARDOWN(aux_invalidate)
{
	container_close(&self->container);
	close(self->trace);
}

/* What the trace has of one PASID. */
struct seen {
	int pasid_cache;
	int iotlb;		/* after one of the PASID cache */
};

static bool number_after(const char *line, const char *text, u64 *number)
{
	const char *at = strstr(line, text);

	if (at)
		*number = strtoull(at + strlen(text), NULL, 16);
	return at;
}

/*
 * The IOTLB is invalidated by PASID (bits 32 to 51 of the descriptor's lower
 * half), or for second-stage tables by the domain that the PASID had.
 */
static bool is_iotlb_of(const char *line, u32 pasid, u64 domain)
{
	u64 number;

	if (strstr(line, "type p-iotlb") && number_after(line, "low 0x", &number))
		return (number >> 32 & PASID_LAST) == pasid;
	return strstr(line, "vtd_inv_desc_iotlb_domain") &&
	       number_after(line, "domain 0x", &number) && number == domain;
}

/* Since it was asked for last: the position in the file is kept. */
static struct seen look(int trace, u32 pasid)
{
	struct seen seen = { 0, 0 };
	FILE *file = fdopen(dup(trace), "r");
	u64 domain = 0, number;
	char line[512];

	while (fgets(line, sizeof(line), file)) {
		if (strstr(line, "vtd_inv_desc_pasid_cache_psi") &&
		    number_after(line, "pasid 0x", &number) &&
		    number == pasid) {
			seen.pasid_cache++;
			number_after(line, "domain 0x", &domain);
		} else if (seen.pasid_cache &&
			   is_iotlb_of(line, pasid, domain)) {
			seen.iotlb++;
		}
	}
	fclose(file);
	return seen;
}

/* The call before has done it, and not another one. */
#define ASSERT_ATTACHED(pasid)						\
	ASSERT_EQ(1, look(self->trace, pasid).pasid_cache)

#define ASSERT_DETACHED(pasid) do {					\
	struct seen seen = look(self->trace, pasid);			\
									\
	ASSERT_EQ(1, seen.pasid_cache);					\
	ASSERT_LE(1, seen.iotlb);					\
} while (0)

#define ASSERT_NOTHING(pasid)						\
	ASSERT_EQ(0, look(self->trace, pasid).pasid_cache)

TEST_F(aux_invalidate, attach_and_detach)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	look(self->trace, pasid);
	for (int round = 0; round < 3; round++) {
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
		ASSERT_ATTACHED(pasid);
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(-EEXIST, aux_attach(self->fd, pasid, self->group));
		ASSERT_NOTHING(pasid);
		ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
		ASSERT_DETACHED(pasid);
		ASSERT_EQ(-ENOENT, aux_detach(self->fd, pasid, self->group));
	}
}

TEST_F(aux_invalidate, each_pasid_by_itself)
{
	long first = aux_create(self->fd), second = aux_create(self->fd);

	ASSERT_LT(0, first);
	ASSERT_LT(0, second);
	look(self->trace, first);
	ASSERT_EQ(0, aux_attach(self->fd, first, self->group));
	ASSERT_NOTHING(second);
	ASSERT_EQ(0, aux_attach(self->fd, second, self->group));
	ASSERT_NOTHING(first);
	ASSERT_EQ(0, aux_detach(self->fd, first, self->group));
	ASSERT_NOTHING(second);
	ASSERT_EQ(0, aux_detach(self->fd, second, self->group));
	ASSERT_NOTHING(first);
}

TEST_F(aux_invalidate, destroy)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, last_close_of_the_device)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	close(self->container.device);
	self->container.device = -1;
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, close_of_everything)
{
	long pasid = aux_create(self->fd);

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	look(self->trace, pasid);
	container_close(&self->container);
	ASSERT_DETACHED(pasid);
}

TEST_F(aux_invalidate, both_devices_of_a_space)
{
	int index = device_index(20, 1), group = group_node(index), device;
	long pasid = aux_create(self->fd);

	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, self->fd));
	device = device_of(group, index);
	ASSERT_LE(0, device);
	look(self->trace, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_ATTACHED(pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, group_number(index)));
	ASSERT_ATTACHED(pasid);
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_DETACHED(pasid);
	ASSERT_EQ(0, aux_detach(self->fd, pasid, group_number(index)));
	ASSERT_DETACHED(pasid);
	close(device);
	close(group);
}

static void attach_and_wait(int socket, void *arg)
{
	struct container container;
	long pasid;

	if (container_open_device(&container, *(int *)arg)) {
		say(socket, -ENXIO);
		return;
	}
	pasid = aux_create(container.fd);
	say(socket, aux_attach(container.fd, pasid, group_number(*(int *)arg)));
	say(socket, pasid);
	hear(socket);
}

TEST_F(aux_invalidate, kill)
{
	struct seen seen = { 0, 0 };
	struct peer peer;
	long pasid;

	container_close(&self->container);
	ASSERT_EQ(0, peer_start(&peer, attach_and_wait, &self->index));
	ASSERT_EQ(0, hear(peer.socket));
	pasid = hear(peer.socket);
	ASSERT_LT(0, pasid);
	look(self->trace, pasid);
	peer_kill(&peer);
	/* It closes its files a little later. */
	for (int i = 0; i < 500 && !seen.iotlb; i++) {
		struct seen now = look(self->trace, pasid);

		seen.pasid_cache += now.pasid_cache;
		seen.iotlb += now.iotlb;
		usleep(10 * 1000);
	}
	ASSERT_EQ(1, seen.pasid_cache);
	ASSERT_LE(1, seen.iotlb);
}

TEST_HARNESS_MAIN
