// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What can go wrong: a call, and its errno.

use std::{
    borrow::Cow,
    fmt, fs, io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

use nix::errno::Errno;

/// A system call that failed.
///
/// Shows as `VFIO_IOMMU_UNREGISTER_MEMORY: EBUSY: Device or resource busy (it is mapped: unmap it
/// first)`. What is in brackets comes where the errno alone does not say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {errno}{}", Advice(advice(call, *.errno)))]
pub struct Error {
    call: Cow<'static, str>,
    errno: Errno,
}

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(call: impl Into<Cow<'static, str>>, errno: Errno) -> Self {
        Self {
            call: call.into(),
            errno,
        }
    }

    fn on_path(call: &str, path: &Path, error: &io::Error) -> Self {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        Self::new(format!("{call} {}", path.display()), errno)
    }

    /// Which call failed: the ioctl's name, or what was done to which file.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// Why: `Documentation/uapi.rst` has a table of causes for each ioctl.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

/// In brackets, if there is any.
struct Advice(Option<&'static str>);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

/// What to do about an errno of an ioctl that does not say it by itself.
fn advice(call: &str, errno: Errno) -> Option<&'static str> {
    Some(match (call.strip_prefix("VFIO_IOMMU_")?, errno) {
        (_, Errno::ENOTTY) => {
            "the kernel's own type1 is loaded: load vfio_iommu_type1 of vfio-pasid"
        }
        (_, Errno::EPERM) => "only the process that called VFIO_SET_IOMMU may do this",
        ("PASID_REQUEST", Errno::ENOSPC) => {
            "the quota or the range is used up: VFIO_IOMMU_PASID_INFO tells the quota"
        }
        ("PASID_REQUEST", Errno::EBUSY) => "a number has an aux space: destroy that first",
        ("REGISTER_MEMORY", Errno::EEXIST) => {
            "it overlaps registered memory that is not the same, or that has other flags or pages"
        }
        ("REGISTER_MEMORY", Errno::EFAULT) => {
            "not mapped, not writable, or of a kind that cannot be pinned: use anonymous memory, \
             memfd or hugetlb"
        }
        ("REGISTER_MEMORY", Errno::ENOMEM) => {
            "above RLIMIT_MEMLOCK, or no memory: raise `ulimit -l`, or register less"
        }
        ("REGISTER_MEMORY", Errno::ENOSPC) => {
            "the module's region_limit is reached: register fewer, larger ranges"
        }
        ("UNREGISTER_MEMORY", Errno::EBUSY) => "it is mapped: unmap it first",
        ("AUX_ATTACH", Errno::ENODEV) => "the device is not open: open it first",
        ("AUX_CREATE" | "AUX_ATTACH", Errno::EOPNOTSUPP) => {
            "no device here can use PASIDs, or have a process space: VFIO_IOMMU_PASID_INFO tells \
             the width, and what is missing"
        }
        ("AUX_MAP", Errno::ENOENT) => {
            "no such space, or the memory is not in one range that this container has registered"
        }
        ("AUX_MAP", Errno::ERANGE) => {
            "outside the window or in a hole: VFIO_IOMMU_AUX_INFO tells both"
        }
        ("AUX_MAP", Errno::EEXIST) => "something is mapped there: unmap it first",
        ("AUX_MAP", Errno::EACCES) => "the memory is registered read-only",
        ("AUX_MAP", Errno::ENOSPC) => {
            "the module's mapping_limit is reached: map fewer, larger ranges"
        }
        ("AUX_UNMAP", Errno::EINVAL) => {
            "not aligned, or only a part of a mapping: mappings go as a whole"
        }
        ("SETUP", Errno::EBUSY) => "something outside of the window is mapped: unmap it first",
        _ => return None,
    })
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(Self::from(error.errno).kind(), error)
    }
}

pub(crate) fn open(path: &Path) -> Result<fs::File> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Error::on_path("open", path, &error))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::on_path("read", path, &error))
}

pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        Error::new("fcntl F_DUPFD_CLOEXEC", errno)
    })
}

/// The last component of what a symbolic link points to, or nothing if there is no such link.
pub(crate) fn link_name(path: &Path) -> Result<Option<String>> {
    match fs::read_link(path) {
        Ok(target) => Ok(target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::on_path("read link", path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let error = |call: &'static str, errno| Error::new(call, errno).to_string();
        assert_eq!(
            error("VFIO_IOMMU_UNREGISTER_MEMORY", Errno::EBUSY),
            "VFIO_IOMMU_UNREGISTER_MEMORY: EBUSY: Device or resource busy \
             (it is mapped: unmap it first)"
        );
        assert_eq!(
            error("VFIO_IOMMU_AUX_MAP", Errno::ENOMEM),
            "VFIO_IOMMU_AUX_MAP: ENOMEM: Out of memory"
        );
    }
}
