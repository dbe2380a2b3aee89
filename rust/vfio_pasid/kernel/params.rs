// SPDX-License-Identifier: GPL-2.0-only

//! The module parameters.
//!
//! They are declared in `symbols.c`: a parameter of the `module!` macro does not show in
//! `/sys/module`.

use kernel::{ffi::c_uint, prelude::*};

use super::global::Global;
use crate::pasid::range::{PasidRange, PASID_FIRST, PASID_LAST};

extern "C" {
    static vfio_pasid_param_quota: c_uint;
    static vfio_pasid_param_min: c_uint;
    static vfio_pasid_param_max: c_uint;
    static vfio_pasid_param_regions: c_uint;
    static vfio_pasid_param_mappings: c_uint;
    static vfio_pasid_param_attachments: c_uint;
    static vfio_pasid_param_process_space: bool;
    static vfio_pasid_param_process_space_pri: bool;
}

/// The most mappings that one process may ever have: each takes another pin of its pages, which is
/// `GUP_PIN_COUNTING_BIAS` references to a small page, and half of an `int` has no room for more.
const MOST_MAPPINGS: u32 = (1 << 30) / 1024 - 1;

/// The parameters of this load of the module.
pub(crate) struct Parameters {
    /// How many PASIDs one process may hold; 0 means none.
    pub(crate) quota: u32,
    /// The numbers that users may get.
    pub(crate) range: PasidRange,
    /// How many ranges of memory one process may have registered.
    pub(crate) region_limit: u32,
    /// How many mappings of registered memory one process may have.
    pub(crate) mapping_limit: u32,
    /// How many attachments all processes may have together.
    pub(crate) attachment_limit: u32,
    /// Whether there may be process spaces.
    pub(crate) process_space: bool,
    /// Whether devices that may ask for pages can have them as well.
    pub(crate) process_space_pri: bool,
}

/// Those of the loaded module.
pub(crate) static PARAMETERS: Global<Parameters> = Global::new();

impl Parameters {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    ///
    /// `EINVAL`, after a message that says which parameter is wrong, and why.
    pub(crate) fn read() -> Result<Self> {
        // SAFETY: Set by the module loader before the module's init runs, and never after,
        // because their permissions are 0444.
        let (quota, min, max, region_limit, mapping_limit, attachment_limit, spaces, pri) = unsafe {
            (
                vfio_pasid_param_quota,
                vfio_pasid_param_min,
                vfio_pasid_param_max,
                vfio_pasid_param_regions,
                vfio_pasid_param_mappings,
                vfio_pasid_param_attachments,
                vfio_pasid_param_process_space,
                vfio_pasid_param_process_space_pri,
            )
        };

        if quota > PASID_LAST {
            pr_err!("pasid_quota={} is more than {}\n", quota, PASID_LAST);
            return Err(EINVAL);
        }
        if !(PASID_FIRST..=PASID_LAST).contains(&min) {
            pr_err!(
                "pasid_min={} is not in [{}, {}]\n",
                min,
                PASID_FIRST,
                PASID_LAST
            );
            return Err(EINVAL);
        }
        if !(min..=PASID_LAST).contains(&max) {
            pr_err!(
                "pasid_max={} is not in [pasid_min={}, {}]\n",
                max,
                min,
                PASID_LAST
            );
            return Err(EINVAL);
        }
        Ok(Self {
            quota,
            range: PasidRange::new(min, max)?,
            region_limit,
            mapping_limit: mapping_limit.min(MOST_MAPPINGS),
            attachment_limit,
            process_space: spaces,
            process_space_pri: pri,
        })
    }
}
