// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a Rust module cannot say itself: its version, parameters that show in
 * /sys/module/vfio_pasid/parameters, and EXPORT_SYMBOL_GPL.
 */
#include <linux/export.h>
#include <linux/module.h>
#include <linux/vfio_pasid.h>

#include "container.h"

MODULE_VERSION(VFIO_PASID_VERSION);

/*
 * What kernel/stock.rs declares anew, and asserts to be laid out the same. Both
 * sides change together.
 */
static_assert(sizeof(struct vfio_pasid_own_space) == 24);
static_assert(offsetof(struct vfio_pasid_own_space, iova_last) == 8);
static_assert(offsetof(struct vfio_pasid_own_space, pgsize_bitmap) == 16);
static_assert(sizeof(struct vfio_pasid_own_map) == 56);
static_assert(offsetof(struct vfio_pasid_own_map, size) == 8);
static_assert(offsetof(struct vfio_pasid_own_map, vaddr) == 16);
static_assert(offsetof(struct vfio_pasid_own_map, own) == 24);
static_assert(offsetof(struct vfio_pasid_own_map, commit) == 32);
static_assert(offsetof(struct vfio_pasid_own_map, context) == 40);
static_assert(offsetof(struct vfio_pasid_own_map, prot) == 48);
static_assert(sizeof(struct vfio_pasid_own_sum) == 48);
static_assert(offsetof(struct vfio_pasid_own_sum, mappings) == 24);
static_assert(offsetof(struct vfio_pasid_own_sum, bytes) == 32);
static_assert(offsetof(struct vfio_pasid_own_sum, next) == 40);
static_assert(sizeof(struct vfio_pasid_stock_ops) == 104);
static_assert(offsetof(struct vfio_pasid_stock_ops, open) == 8);
static_assert(offsetof(struct vfio_pasid_stock_ops, release) == 16);
static_assert(offsetof(struct vfio_pasid_stock_ops, ioctl) == 24);
static_assert(offsetof(struct vfio_pasid_stock_ops, attach_group) == 32);
static_assert(offsetof(struct vfio_pasid_stock_ops, detach_group) == 40);
static_assert(offsetof(struct vfio_pasid_stock_ops, register_device) == 48);
static_assert(offsetof(struct vfio_pasid_stock_ops, unregister_device) == 56);
static_assert(offsetof(struct vfio_pasid_stock_ops, setup) == 64);
static_assert(offsetof(struct vfio_pasid_stock_ops, own_map) == 72);
static_assert(offsetof(struct vfio_pasid_stock_ops, own_unmap) == 80);
static_assert(offsetof(struct vfio_pasid_stock_ops, own_look) == 88);
static_assert(offsetof(struct vfio_pasid_stock_ops, own_sum) == 96);

/* Checked by Parameters::read() in kernel/params.rs. */
unsigned int vfio_pasid_param_quota = 1000;
module_param_named(pasid_quota, vfio_pasid_param_quota, uint, 0444);
MODULE_PARM_DESC(pasid_quota,
		 "PASIDs that one process may hold, 0 to 1048575 (default 1000)");

unsigned int vfio_pasid_param_min = 1;
module_param_named(pasid_min, vfio_pasid_param_min, uint, 0444);
MODULE_PARM_DESC(pasid_min,
		 "Lowest PASID given to users, 1 to 1048575 (default 1)");

unsigned int vfio_pasid_param_max = 1048575;
module_param_named(pasid_max, vfio_pasid_param_max, uint, 0444);
MODULE_PARM_DESC(pasid_max,
		 "Highest PASID given to users, pasid_min to 1048575 (default 1048575)");

unsigned int vfio_pasid_param_regions = 65535;
module_param_named(region_limit, vfio_pasid_param_regions, uint, 0444);
MODULE_PARM_DESC(region_limit,
		 "Ranges of memory that one process may have registered (default 65535)");

unsigned int vfio_pasid_param_mappings = 65535;
module_param_named(mapping_limit, vfio_pasid_param_mappings, uint, 0444);
MODULE_PARM_DESC(mapping_limit,
		 "Mappings that the aux spaces of one process may have (default 65535)");

unsigned int vfio_pasid_param_attachments = 16384;
module_param_named(attachment_limit, vfio_pasid_param_attachments, uint, 0444);
MODULE_PARM_DESC(attachment_limit,
		 "Attachments that all processes may have together (default 16384)");

bool vfio_pasid_param_process_space;
module_param_named(process_space, vfio_pasid_param_process_space, bool, 0444);
MODULE_PARM_DESC(process_space,
		 "Let users attach their whole process to a device (default N)");

bool vfio_pasid_param_process_space_pri;
module_param_named(process_space_pri, vfio_pasid_param_process_space_pri, bool,
		   0444);
MODULE_PARM_DESC(process_space_pri,
		 "With process_space: also to devices with page requests (default N)");

/* The functions are in exports.rs. */
#define EXPORT_RUST(name) EXPORT_SYMBOL_GPL(name)

/* include/linux/vfio_pasid.h: for any module */
EXPORT_RUST(vfio_mm_get_from_task);
EXPORT_RUST(vfio_mm_put);
EXPORT_RUST(vfio_pasid_alloc);
EXPORT_RUST(vfio_pasid_free_range);
EXPORT_RUST(vfio_aux_attach_device);
EXPORT_RUST(vfio_aux_detach_device);
EXPORT_RUST(vfio_aux_get_pasid);

/* container.h: for the shim */
EXPORT_RUST(vfio_pasid_container_open);
EXPORT_RUST(vfio_pasid_container_release);
EXPORT_RUST(vfio_pasid_container_ioctl);
EXPORT_RUST(vfio_pasid_container_attach_group);
EXPORT_RUST(vfio_pasid_container_detach_group);
EXPORT_RUST(vfio_pasid_container_register_device);
EXPORT_RUST(vfio_pasid_container_unregister_device);
EXPORT_RUST(vfio_pasid_container_stock);
EXPORT_RUST(vfio_pasid_own_pin);
EXPORT_RUST(vfio_pasid_iotlb_sync);
EXPORT_RUST(vfio_pasid_own_unmapped);
