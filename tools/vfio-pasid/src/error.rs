// SPDX-License-Identifier: GPL-2.0-only

//! What can go wrong: a call, and its errno.

use std::{borrow::Cow, fs, io, path::Path};

use nix::errno::Errno;

/// A system call that failed.
///
/// Shows as `VFIO_IOMMU_PASID_REQUEST: ENOSPC: No space left on device`.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {errno}")]
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

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::on_path("write", path, &error))
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
