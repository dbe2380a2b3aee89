// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device sees of aux spaces: its requests, with and without PASID, and
 * the exact reason why each one failed.
 */
#include <kselftest_harness.h>

#include "pasid_device.h"

#define IOVA	0x40000000

FIXTURE(aux_dma) {
	struct container container;
	struct pasid_device device;
	int index;
	u32 group;
	int fd;
};

FIXTURE_SETUP(aux_dma)
{
	self->container = NO_CONTAINER;
	self->device = NO_DEVICE;
	ASSERT_EQ(0, use_modules(&DEFAULT_LIMITS));
	self->index = device_index(20, 0);
	ASSERT_EQ(0, container_start(&self->container, &self->device,
				     self->index));
	self->fd = self->container.fd;
	self->group = group_number(self->index);
}

FIXTURE_TEARDOWN(aux_dma)
{
	container_stop(&self->container, &self->device);
}

#define TOUCH(pasid, iova)	device_touch(&self->device, pasid, iova)

/* Which of the two depends on what was attached near it since the boot. */
#define ASSERT_NEVER_ATTACHED(pasid) do {				\
	long status = TOUCH(pasid, IOVA);				\
									\
	ASSERT_TRUE(status == NO_PASID_ENTRY || status == NO_PASID_DIRECTORY) \
		TH_LOG("status %#lx", status);				\
} while (0)

TEST_F(aux_dma, a_space_is_seen_from_attach_to_detach)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_NEVER_ATTACHED(pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA));
	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));
}

/* That the hardware does what AUX_CREATE and VFIO's promise to KVM say. */
TEST_F(aux_dma, an_empty_space_is_empty_and_enforces_coherency)
{
	static const enum command commands[] = { DMA_READ, DMA_WRITE };
	struct vfio_iommu_aux_create create;
	u64 end;

	ASSERT_EQ(0, aux_create_window(self->fd, 0, 0, &create));
	ASSERT_EQ(0, aux_attach(self->fd, create.pasid, self->group));
	end = create.iova_start + create.iova_size;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const u64 iovas[] = {
			create.iova_start, create.iova_start + 4 * PAGE + 8,
			IOVA, end - PAGE, end - 8,
		};

		for (size_t j = 0; j < ARRAY_SIZE(iovas); j++) {
			struct outcome outcome;

			ASSERT_EQ(0, device_dma(&self->device, commands[i],
						create.pasid, iovas[j], 8,
						&outcome));
			ASSERT_EQ(no_page(), outcome.status);
			ASSERT_EQ(0, outcome.transferred);
			ASSERT_EQ(iovas[j], outcome.fault_address);
			ASSERT_EQ(0, outcome.page_size_log2);
			ASSERT_EQ(first_stage() ? 1 : 2,
				  outcome.translation_type);
			/* Second-stage tables say it in each page. */
			if (first_stage())
				ASSERT_EQ(snoop_control(), outcome.snoop);
		}
	}
	/* The first address that is none. */
	ASSERT_EQ(first_stage() ? NOT_CANONICAL : ADDRESS_TOO_WIDE,
		  TOUCH(create.pasid, end));
}

TEST_F(aux_dma, other_pasids_see_nothing)
{
	long pasid;

	ASSERT_EQ(1000, pasid_alloc(self->fd, 1000, 1000));
	ASSERT_EQ(0, aux_create_fixed(self->fd, 1000));
	ASSERT_EQ(0, aux_attach(self->fd, 1000, self->group));
	ASSERT_EQ(no_page(), TOUCH(1000, IOVA));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1001, IOVA));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(999, IOVA));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(1000 ^ 1, IOVA));
	ASSERT_NEVER_ATTACHED(1000 + (1 << 16));
	ASSERT_NEVER_ATTACHED(PASID_LAST);

	/* Created, not attached. */
	pasid = aux_create(self->fd);
	ASSERT_LT(0, pasid);
	ASSERT_NEVER_ATTACHED(pasid);
}

TEST_F(aux_dma, spaces_come_and_go_each_by_itself)
{
	enum { SPACES = 64 };
	long pasids[SPACES];

	for (int i = 0; i < SPACES; i++) {
		pasids[i] = aux_create(self->fd);
		ASSERT_LT(0, pasids[i]);
		ASSERT_EQ(0, aux_attach(self->fd, pasids[i], self->group));
	}
	for (int i = 0; i < SPACES; i++)
		ASSERT_EQ(no_page(), TOUCH(pasids[i], IOVA));
	for (int i = 0; i < SPACES; i += 2)
		ASSERT_EQ(0, aux_detach(self->fd, pasids[i], self->group));
	for (int i = 0; i < SPACES; i++)
		ASSERT_EQ(i % 2 ? no_page() : NO_PASID_ENTRY,
			  TOUCH(pasids[i], IOVA));
}

/* The container's own space. */

TEST_F(aux_dma, the_containers_own_space_stays_as_it_is)
{
	long pasid = aux_create(self->fd);
	u64 *page = new_pages(1);

	ASSERT_LT(0, pasid);
	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, map_dma(self->fd, page, IOVA, PAGE));
	ASSERT_TRUE(device_reaches(&self->device, NO_PASID_TAG, IOVA, page));

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_TRUE(device_reaches(&self->device, NO_PASID_TAG, IOVA, page));
	/* The same address, another space. */
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA));
	ASSERT_EQ(no_page(), TOUCH(NO_PASID_TAG, IOVA + PAGE));

	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_TRUE(device_reaches(&self->device, NO_PASID_TAG, IOVA, page));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));
}

TEST_F(aux_dma, without_bus_master_there_are_no_requests)
{
	long pasid = aux_create(self->fd);

	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_EQ(0, device_set_bus_master(&self->device, false));
	ASSERT_EQ(BUS_MASTER_OFF, TOUCH(pasid, IOVA));
	ASSERT_EQ(0, device_set_bus_master(&self->device, true));
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA));
}

/* Other devices. */

TEST_F(aux_dma, one_space_on_two_devices)
{
	int index = device_index(20, 1), group, fd;
	long pasid = aux_create(self->fd);
	struct pasid_device second;

	ASSERT_LE(0, index);
	ASSERT_LT(0, pasid);
	group = group_node(index);
	ASSERT_LE(0, group);
	ASSERT_EQ(0, set_container(group, self->fd));
	fd = device_of(group, index);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, device_start(&second, fd));

	ASSERT_EQ(0, aux_attach(self->fd, pasid, self->group));
	ASSERT_NEVER_ATTACHED(pasid ^ 1);
	ASSERT_EQ(0, aux_attach(self->fd, pasid, group_number(index)));
	ASSERT_EQ(no_page(), TOUCH(pasid, IOVA));
	ASSERT_EQ(no_page(), device_touch(&second, pasid, IOVA));

	ASSERT_EQ(0, aux_detach(self->fd, pasid, self->group));
	ASSERT_EQ(NO_PASID_ENTRY, TOUCH(pasid, IOVA));
	ASSERT_EQ(no_page(), device_touch(&second, pasid, IOVA));
	ASSERT_EQ(0, aux_destroy(self->fd, pasid));
	ASSERT_EQ(NO_PASID_ENTRY, device_touch(&second, pasid, IOVA));

	device_stop(&second);
	close(fd);
	close(group);
}

TEST_F(aux_dma, a_narrow_device_has_narrow_pasids)
{
	struct container container;
	struct pasid_device device;
	int index = device_index(8, 0);
	u32 group = group_number(index);
	long pasid;

	ASSERT_LE(0, index);
	ASSERT_EQ(0, container_open_device(&container, index));
	ASSERT_EQ(0, device_start(&device, container.device));
	pasid = aux_create(container.fd);
	ASSERT_EQ(255, pasid);
	ASSERT_EQ(0, aux_attach(container.fd, pasid, group));
	ASSERT_EQ(no_page(), device_touch(&device, pasid, IOVA));
	ASSERT_EQ(PASID_TOO_WIDE, device_touch(&device, pasid + 1, IOVA));
	ASSERT_EQ(NO_PASID_ENTRY, device_touch(&device, pasid - 1, IOVA));
	ASSERT_EQ(0, aux_detach(container.fd, pasid, group));
	ASSERT_EQ(NO_PASID_ENTRY, device_touch(&device, pasid, IOVA));
	device_stop(&device);
	container_close(&container);
}

/* Nor would the core have said so: it attaches, and the device can do nothing. */
TEST_F(aux_dma, a_device_without_pasids_sends_none)
{
	struct container container;
	struct pasid_device device;
	int index = device_index(0, 0);

	ASSERT_LE(0, index);
	ASSERT_EQ(0, container_open_device(&container, index));
	ASSERT_EQ(0, device_start(&device, container.device));
	ASSERT_EQ(-EOPNOTSUPP, aux_create(container.fd));
	ASSERT_EQ(lacks_tlp_prefix(index) ? NO_TLP_PREFIX : NO_PASID_CAPABILITY,
		  device_touch(&device, 1, IOVA));
	/* The device is alive, and its own space is just empty. */
	ASSERT_EQ(no_page(), device_touch(&device, NO_PASID_TAG, IOVA));
	device_stop(&device);
	container_close(&container);
}

TEST_HARNESS_MAIN
