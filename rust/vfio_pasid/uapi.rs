// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: decoded, dispatched, encoded. `include/uapi/linux/vfio_pasid.h` documents them.
//!
//! User memory may take for ever to be read or written: it can be a page of a file system that
//! never serves it. So it is touched here and nowhere else, and what is done in between
//! (`calls/`) is a plain function of what was read.

use core::mem::{size_of, size_of_val};

use kernel::{
    prelude::*,
    uaccess::{UserPtr, UserSlice}, //
};

use crate::{
    calls::{self, aux_info::Report},
    container::{Caller, Container},
    kernel::{abi::*, stock::StockOps}, //
};

/// The features that VFIO_CHECK_EXTENSION reports.
const FEATURES: u32 = VFIO_PASID_FEATURE_PASID
    | VFIO_PASID_FEATURE_AUX
    | VFIO_PASID_FEATURE_MEMORY
    | VFIO_PASID_FEATURE_WINDOW
    | VFIO_PASID_FEATURE_HOT_RESET
    | VFIO_PASID_FEATURE_OWN_SPACE
    | VFIO_PASID_FEATURE_PROCESS;

/// An ioctl on a container that has no IOMMU type yet. VFIO asks for extensions so; anything else
/// met the release of the container.
pub(crate) fn ioctl_without_container(cmd: u32, arg: usize, ops: &StockOps) -> Result<isize> {
    match (cmd, arg) {
        (VFIO_CHECK_EXTENSION, VFIO_PASID_EXTENSION) => Ok(FEATURES as isize),
        (VFIO_CHECK_EXTENSION, _) => Ok(ops.ioctl_without_container(cmd, arg)),
        _ => Err(ENODEV),
    }
}

/// An ioctl on `container`.
pub(crate) fn ioctl(container: &Container, cmd: u32, arg: usize) -> Result<isize> {
    match cmd {
        VFIO_CHECK_EXTENSION if arg == VFIO_PASID_EXTENSION => Ok(FEATURES as isize),
        VFIO_IOMMU_PASID_REQUEST | VFIO_IOMMU_PASID_INFO..=VFIO_IOMMU_HOT_RESET_INFO => {
            ioctl_of_ours(container, cmd, arg)
        }
        _ => container.stock_ioctl(cmd, arg),
    }
}

/// Beside [`ioctl`], so that a stock ioctl does not save registers for all of this.
#[inline(never)]
fn ioctl_of_ours(container: &Container, cmd: u32, arg: usize) -> Result<isize> {
    let call = Call {
        container,
        arg: UserPtr::from_addr(arg),
    };
    match cmd {
        VFIO_IOMMU_PASID_REQUEST => call.take(
            VFIO_IOMMU_FLAG_ALLOC_PASID | VFIO_IOMMU_FLAG_FREE_PASID,
            calls::pasid_request,
        ),
        VFIO_IOMMU_PASID_INFO => call.ask(0, calls::pasid_info),
        VFIO_IOMMU_REGISTER_MEMORY => call.take(VFIO_MEMORY_READ_ONLY, calls::register_memory),
        VFIO_IOMMU_UNREGISTER_MEMORY => call.take(0, calls::unregister_memory),
        VFIO_IOMMU_AUX_CREATE => call.aux_create(),
        VFIO_IOMMU_AUX_DESTROY => call.take(0, calls::aux_destroy),
        VFIO_IOMMU_AUX_ATTACH => call.take(0, calls::aux_attach),
        VFIO_IOMMU_AUX_DETACH => call.take(0, calls::aux_detach),
        VFIO_IOMMU_AUX_MAP => call.take(VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE, calls::aux_map),
        VFIO_IOMMU_AUX_UNMAP => call.change(VFIO_AUX_UNMAP_ALL, calls::aux_unmap),
        VFIO_IOMMU_AUX_INFO => call.aux_info(),
        VFIO_IOMMU_SETUP => call.change(0, calls::setup),
        VFIO_IOMMU_HOT_RESET_INFO => call.hot_reset_info(),
        _ => Err(ENOTTY),
    }
}

/// An ioctl of ours under way. What is done in the middle is a function pointer, which can reach
/// nothing of this but what it is given.
struct Call<'a> {
    container: &'a Container,
    arg: UserPtr,
}

impl Call<'_> {
    /// Reads the structure and checks what all of them have in common.
    fn read<T: Argument>(&self, known_flags: u32) -> Result<T> {
        let value: T = self.slice(0, size_of::<T>()).reader().read()?;
        if (value.argsz() as usize) < size_of::<T>()
            || value.flags() & !known_flags != 0
            || value.reserved() != 0
        {
            return Err(EINVAL);
        }
        Ok(value)
    }

    /// Writes the results back to where [`Call::read`] found the structure.
    fn write<T: Argument>(&self, value: &T) -> Result {
        self.slice(0, size_of::<T>()).writer().write(value)
    }

    fn slice(&self, offset: usize, size: usize) -> UserSlice {
        UserSlice::new(self.arg.wrapping_byte_add(offset), size)
    }

    /// An ioctl whose result is its return value.
    fn take<T: Argument>(
        &self,
        known_flags: u32,
        call: fn(&Caller<'_>, &T) -> Result<isize>,
    ) -> Result<isize> {
        let caller = self.container.enter()?;
        let value = self.read(known_flags)?;
        caller.vmm().with_what_was_closed(|| call(&caller, &value))
    }

    /// An ioctl that only asks.
    fn ask<T: Argument>(
        &self,
        known_flags: u32,
        call: fn(&Caller<'_>, &mut T) -> Result,
    ) -> Result<isize> {
        let caller = self.container.enter()?;
        let mut value = self.read(known_flags)?;
        call(&caller, &mut value)?;
        self.write(&value)?;
        Ok(0)
    }

    /// An ioctl that cannot be undone: finds out first whether the result can be told, and what has
    /// been done then is no error, even if telling it fails after all.
    fn change<T: Argument>(
        &self,
        known_flags: u32,
        call: fn(&Caller<'_>, &mut T) -> Result,
    ) -> Result<isize> {
        let caller = self.container.enter()?;
        let mut value = self.read(known_flags)?;
        self.write(&value)?;
        call(&caller, &mut value)?;
        let _: Result = self.write(&value);
        Ok(0)
    }

    /// Nobody can name the space before the caller has been told its name: if that fails, dropping
    /// it undoes everything.
    fn aux_create(&self) -> Result<isize> {
        let caller = self.container.enter()?;
        let mut create = self.read(VFIO_AUX_FIXED_PASID | VFIO_AUX_PROCESS)?;
        let space = caller
            .vmm()
            .with_what_was_closed(|| calls::aux_create(&caller, &mut create))?;
        self.write(&create)?;
        calls::aux_publish(&caller, space)
    }

    /// Gathers and copies in turn, a batch at a time.
    fn aux_info(&self) -> Result<isize> {
        let caller = self.container.enter()?;
        let mut info: AuxInfo = self.read(VFIO_AUX_INFO_PROCESS)?;
        let room = (info.argsz as usize - size_of::<AuxInfo>()) / size_of::<AuxEntry>();
        let mut entries = self
            .slice(size_of::<AuxInfo>(), room * size_of::<AuxEntry>())
            .writer();
        let mut report = Report::new(room)?;
        info.count = 0;
        loop {
            report.gather(&caller, &mut info)?;
            for entry in report.batch() {
                entries.write(entry)?;
                info.count += 1;
            }
            if info.cursor == 0 || !report.has_room() {
                break;
            }
        }
        self.write(&info)?;
        Ok(0)
    }

    fn hot_reset_info(&self) -> Result<isize> {
        let caller = self.container.enter()?;
        let mut info: HotResetInfo = self.read(0)?;
        let affected = calls::hot_reset_info(&caller, &info)?;
        let room = (info.argsz as usize - size_of::<HotResetInfo>()) / size_of::<HotResetDevice>();
        let count = affected.devices().len();
        info.count = count as u32;
        if room < count {
            self.write(&info)?;
            return Err(ENOSPC);
        }
        info.flags = affected.flags();
        let mut devices = self
            .slice(size_of::<HotResetInfo>(), size_of_val(affected.devices()))
            .writer();
        for device in affected.devices() {
            devices.write(device)?;
        }
        self.write(&info)?;
        Ok(0)
    }
}
