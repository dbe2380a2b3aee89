/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drives a pasid-device, which Documentation/device.rst describes, through
 * vfio-pci: a request with or without PASID, and what became of it.
 *
 * A device whose server has died reads all ones, which no function here takes
 * for an answer: they return -EIO.
 */
#ifndef PASID_DEVICE_H
#define PASID_DEVICE_H

#include "vfio_pasid_utils.h"

/* STATUS. */
#define DMA_DONE		0x002
#define NO_PASID_DIRECTORY	0x051	/* no PASID entry, nor near it ever one */
#define NO_PASID_ENTRY		0x059
#define NO_PAGE_FIRST_STAGE	0x071
#define NO_PAGE_SECOND_STAGE	0x079
#define NOT_CANONICAL		0x080
#define SUPERVISOR		0x081
#define ADDRESS_TOO_WIDE	0x083
#define NO_WRITE		0x085
#define NO_READ			0x086
#define INTERRUPT_INPUT		0x103	/* without PASID only */
#define BUS_MASTER_OFF		0x200
#define NO_PASID_CAPABILITY	0x204
#define NO_TLP_PREFIX		0x205
#define PASID_TOO_WIDE		0x207
#define QUEUE_FULL		0x20a

#define NO_PASID_TAG		0xffffffffu

enum command {
	DMA_READ = 1,		/* memory into the device */
	DMA_WRITE = 2,
	FILL_QUEUE = 3,		/* page requests that nobody is told of */
};

/* The machine, as the kernel shows it in sysfs. */

/* First-stage tables (intel-iommu,fsts=on), or else second-stage. */
bool first_stage(void);
bool snoop_control(void);
/*
 * The modules with these limits, and a VT-d that can walk the tables of
 * processes (module/vfio_pasid_sva.c).
 */
int use_processes(const struct limits *limits);
/* What an aux space without a page answers. */
u32 no_page(void);

/*
 * The index of the @nth pasid-device with PASIDs of @width bits, for the
 * functions of vfio_pasid_utils.h; -ENXIO. Width 0: no PASIDs, for one reason
 * or another.
 */
int device_index(unsigned int width, int nth);
/* Whether it lacks PASIDs because it takes no TLP prefixes. */
bool lacks_tlp_prefix(int index);
/* What its PASID capability offers, as VFIO_PASID_CAP_*. */
u32 device_caps(int index);

/* One device. */

struct pasid_device {
	int fd;
	u64 config;		/* offset of configuration space in @fd */
	void *bar;
};

#define NO_DEVICE	((struct pasid_device) { .fd = -1 })

/* @fd is from VFIO_GROUP_GET_DEVICE_FD, and stays the caller's. */
int device_open(struct pasid_device *device, int fd);	/* also one of another kind */
int device_start(struct pasid_device *device, int fd);
void device_stop(struct pasid_device *device);
/* A container with the @index-th group, whose device is open, and started. */
int container_start(struct container *container, struct pasid_device *device,
		    int index);
void container_stop(struct container *container, struct pasid_device *device);
/*
 * With process spaces allowed (PROCESS_LIMITS(@pri)): the first device of that
 * width, started, and this process attached to it. The PASID, or an error.
 */
long process_start(struct container *container, struct pasid_device *device,
		   unsigned int width, bool pri);

/* How many resets it has seen. */
long device_resets(struct pasid_device *device);
/* How many page requests it has sent. */
long device_page_requests(struct pasid_device *device);
int device_set_bus_master(struct pasid_device *device, bool on);

/* What became of a request. */
struct outcome {
	u32 status;
	u32 transferred;
	u64 fault_address;
	u32 page_size_log2;
	bool snoop;
	bool kept;		/* the device used a translation that it had */
	u32 translation_type;	/* 0: no PASID table entry */
};

/* Transfers @length bytes; 0 or an error: of the device, not of the request. */
int device_dma(struct pasid_device *device, enum command command, u32 pasid,
	       u64 iova, u32 length, struct outcome *outcome);
/* Writes 8 bytes; the STATUS, or an error. */
long device_touch(struct pasid_device *device, u32 pasid, u64 iova);
/*
 * The same through a new container with the @index-th group, which finds what
 * the last one has left in the hardware: NO_PASID_ENTRY if that is nothing.
 */
long device_touch_anew(int index, u32 pasid, u64 iova);
/* Reads 8 bytes; the STATUS, or an error. */
long device_peek(struct pasid_device *device, u32 pasid, u64 iova);
/*
 * Whether the device finds at @iova, 8-byte aligned, what this process has at
 * @memory: each sees 8 bytes that the other one has written.
 */
bool device_reaches(struct pasid_device *device, u32 pasid, u64 iova,
		    void *memory);
/* The same, at the address that this process has it at. */
bool device_shares(struct pasid_device *device, u32 pasid, void *memory);

void device_set_data(struct pasid_device *device, const void *from, u32 size);
void device_get_data(struct pasid_device *device, void *to, u32 size);

#endif /* PASID_DEVICE_H */
