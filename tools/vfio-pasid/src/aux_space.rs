// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Aux spaces: further IO address spaces of a container, each under its own PASID.

use std::os::fd::AsFd;

use vm_memory::bitmap::Bitmap;

use crate::{
    container::Container,
    error::Result,
    mapping::{Access, Mapping},
    memory::RegisteredMemory,
    space::Space,
    sys, uapi,
};

/// An interval of IO addresses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iovas {
    /// The first address.
    pub start: u64,
    /// How many; all 2^64 count as one less.
    pub size: u64,
}

impl Iovas {
    /// As a request for a window: all there is.
    pub(crate) const ALL: Self = Self { start: 0, size: 0 };
}

/// What an aux space should be: by default one with a new PASID and all addresses there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuxOptions {
    /// A number that this process holds and that shall name the space. While it does, the number
    /// cannot be freed: destroy the space before you drop its [`crate::Pasid`].
    pub pasid: Option<u32>,
    /// The requested window: the part of the IO address space that will be used.
    pub window: Option<Iovas>,
}

/// An aux space: an IO address space of a container besides its own. A device that it is attached
/// to addresses it with requests that carry its PASID.
///
/// It is empty and attached to nothing when new, and destroyed when dropped.
#[derive(Debug)]
#[must_use = "dropping an aux space destroys it"]
pub struct AuxSpace {
    space: Space,
    window: Iovas,
    page_sizes: u64,
}

impl AuxSpace {
    pub(crate) fn new(container: Container, options: AuxOptions) -> Result<Self> {
        let window = options.window.unwrap_or(Iovas::ALL);
        let mut create = uapi::AuxCreate {
            iova_start: window.start,
            iova_size: window.size,
            ..uapi::AuxCreate::default()
        };
        if let Some(pasid) = options.pasid {
            create.flags = uapi::VFIO_AUX_FIXED_PASID;
            create.pasid = pasid;
        }
        let space = Space::new(container, &mut create)?;
        Ok(Self {
            space,
            window: Iovas {
                start: create.iova_start,
                size: create.iova_size,
            },
            page_sizes: create.pgsize_bitmap,
        })
    }

    /// The PASID that names the space.
    pub fn pasid(&self) -> u32 {
        self.space.pasid()
    }

    /// The window that was granted: the largest page-aligned part of the request that the IOMMU can
    /// serve.
    pub fn window(&self) -> Iovas {
        self.window
    }

    /// The page sizes that the space can map, a bit for each.
    pub fn page_sizes(&self) -> u64 {
        self.page_sizes
    }

    /// Attaches the space to the PASID-capable device of `group`, a group of the container (the N
    /// of `/dev/vfio/N`). The device must be open; its last close detaches, a reset does not.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the group is not in the container; `EOPNOTSUPP` if it has no PASID-capable
    /// device, or several; `ENODEV` if that device is not open through the container; `ERANGE` if
    /// the PASID is wider than it can use; `EEXIST` if the space is attached to it already;
    /// `EBUSY` if another user has the PASID on that group, or the device is being reset;
    /// `EINVAL` if it cannot serve the space; `ENOSPC` if the process or the system has as many
    /// attachments as it may; `ENOMEM`; and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn attach(&self, group: u32) -> Result<()> {
        self.space.attach(group)
    }

    /// Detaches the space from `group`. Once this returns, the device can no longer address the
    /// space.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the group is not in the container or the space is not attached to it, and what
    /// every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn detach(&self, group: u32) -> Result<()> {
        self.space.detach(group)
    }

    /// Maps `iovas` to `memory` from `offset` bytes on. All three are multiples of the smallest
    /// page of [`AuxSpace::page_sizes`] and of the system's page size. Larger pages are used where
    /// the memory is contiguous and all addresses are aligned to them.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `access` or `iovas` is empty or something is not aligned; `ENOENT` if `memory`
    /// has not so much, or is not registered with this container; `ERANGE` if it is outside the
    /// window or in a hole, or if the IOMMU cannot address the memory; `EEXIST` if something is
    /// mapped there; `EACCES` for [`Access::WRITE`] of memory that is registered read-only;
    /// `ENOSPC` if the process has as many mappings as `mapping_limit` allows; `ENOMEM`; and what
    /// every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn map<'a, B: Bitmap>(
        &'a self,
        memory: &'a RegisteredMemory<B>,
        offset: u64,
        iovas: Iovas,
        access: Access,
    ) -> Result<Mapping<'a, B>> {
        let (container, pasid) = (self.space.container(), self.pasid());
        Mapping::new(container, pasid, memory, offset, iovas, access)
    }

    /// Unmaps what is mapped in `iovas`, which need not be anything, and returns how many bytes it
    /// was. Once this returns, devices cannot reach the memory through it any more.
    ///
    /// It is meant for what [`Mapping::into_iovas`] left. A [`Mapping`] in there still unmaps its
    /// addresses when it is dropped, even if something else is mapped there by then.
    ///
    /// # Errors
    ///
    /// `EINVAL`, and nothing is unmapped, if only a part of a mapping is in `iovas`, or if that is
    /// empty or not aligned; `ENOENT` if the space went with its container; and what every ioctl
    /// may return (see [`Container::alloc_pasid`]).
    pub fn unmap(&self, iovas: Iovas) -> Result<u64> {
        sys::aux_unmap(self.space.container().as_fd(), self.pasid(), Some(iovas))
    }

    /// Unmaps everything, as [`AuxSpace::unmap`].
    ///
    /// # Errors
    ///
    /// `ENOENT` if the space went with its container, and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn unmap_all(&self) -> Result<u64> {
        sys::aux_unmap(self.space.container().as_fd(), self.pasid(), None)
    }

    /// What the space is, what it is attached to, and what it maps. What changes meanwhile may be
    /// missed.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the space went with its container, `ENOMEM`, and what every ioctl may return
    /// (see [`Container::alloc_pasid`]).
    pub fn info(&self) -> Result<AuxInfo> {
        self.space.info()
    }

    /// Destroys the space, and says if that failed, which dropping cannot: detaches it from every
    /// group, unmaps everything, and frees its PASID unless that came from [`AuxOptions::pasid`].
    ///
    /// # Errors
    ///
    /// `ENOENT` if the space went with its container, and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn destroy(self) -> Result<()> {
        self.space.destroy()
    }
}

/// A mapping, as [`AuxSpace::info`] tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingInfo {
    /// The IO addresses.
    pub iovas: Iovas,
    /// Where in the memory of the process the first of them was mapped to.
    pub vaddr: u64,
    /// What devices may do.
    pub access: Access,
}

/// The answer of [`AuxSpace::info`] and [`OwnSpace::info`](crate::OwnSpace::info).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuxInfo {
    /// The window.
    pub window: Iovas,
    /// The page sizes that the space can map, a bit for each.
    pub page_sizes: u64,
    /// Where in the window nothing can be mapped, in ascending order.
    pub holes: Vec<Iovas>,
    /// The groups that the space is attached to, in ascending order of their numbers.
    pub groups: Vec<u32>,
    /// The mappings, in ascending order of their addresses.
    pub mappings: Vec<MappingInfo>,
}

impl AuxInfo {
    /// Asks about the space that `pasid` names.
    pub(crate) fn ask(container: &Container, pasid: u32) -> Result<Self> {
        Self::collect(|cursor| {
            let answer = sys::aux_info(container.as_fd(), pasid, cursor)?;
            Ok((*answer.info(), answer.entries().copied().collect()))
        })
    }

    /// Asks, from cursor 0 on, until nothing is left. Entries of a type that is not known here
    /// are skipped.
    fn collect(
        mut ask: impl FnMut(u64) -> Result<(uapi::AuxInfo, Vec<uapi::AuxEntry>)>,
    ) -> Result<Self> {
        let (mut holes, mut groups, mut mappings) = (Vec::new(), Vec::new(), Vec::new());
        let mut cursor = 0;
        loop {
            let (info, entries) = ask(cursor)?;
            for entry in entries {
                let iovas = Iovas {
                    start: entry.iova,
                    size: entry.size,
                };
                match entry.entry_type {
                    uapi::VFIO_AUX_ENTRY_HOLE => holes.push(iovas),
                    uapi::VFIO_AUX_ENTRY_GROUP => groups.push(entry.data),
                    uapi::VFIO_AUX_ENTRY_MAPPING => mappings.push(MappingInfo {
                        iovas,
                        vaddr: entry.vaddr,
                        access: Access::from_bits_retain(entry.data),
                    }),
                    _ => {}
                }
            }
            cursor = info.cursor;
            if cursor == 0 {
                return Ok(Self {
                    window: Iovas {
                        start: info.iova_start,
                        size: info.iova_size,
                    },
                    page_sizes: info.pgsize_bitmap,
                    holes,
                    groups,
                    mappings,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use nix::errno::Errno;

    fn hole(iova: u64) -> uapi::AuxEntry {
        uapi::AuxEntry {
            entry_type: uapi::VFIO_AUX_ENTRY_HOLE,
            iova,
            size: 0x1000,
            ..uapi::AuxEntry::default()
        }
    }

    fn group(data: u32) -> uapi::AuxEntry {
        uapi::AuxEntry {
            entry_type: uapi::VFIO_AUX_ENTRY_GROUP,
            data,
            ..uapi::AuxEntry::default()
        }
    }

    fn mapping(iova: u64) -> uapi::AuxEntry {
        uapi::AuxEntry {
            entry_type: uapi::VFIO_AUX_ENTRY_MAPPING,
            data: uapi::VFIO_AUX_MAP_WRITE,
            iova,
            size: 0x2000,
            vaddr: 0x7000_0000,
        }
    }

    /// Answers as the kernel does, two entries a call; the cursor is where to go on.
    fn kernel(entries: &[uapi::AuxEntry], cursor: u64) -> (uapi::AuxInfo, Vec<uapi::AuxEntry>) {
        let rest: Vec<_> = entries.iter().skip(cursor as usize).copied().collect();
        let info = uapi::AuxInfo {
            iova_size: 1 << 48,
            pgsize_bitmap: 0x4020_1000,
            cursor: if rest.len() > 2 { cursor + 2 } else { 0 },
            ..uapi::AuxInfo::default()
        };
        (info, rest.into_iter().take(2).collect())
    }

    #[test]
    fn info_follows_the_cursor_to_the_end() {
        let unknown = uapi::AuxEntry {
            entry_type: 77,
            ..uapi::AuxEntry::default()
        };
        let all = [
            hole(0),
            hole(0x8000),
            group(3),
            group(7),
            mapping(0x1_0000),
            unknown,
        ];
        for count in 0..=all.len() {
            let mut calls = 0;
            let info = AuxInfo::collect(|cursor| {
                calls += 1;
                Ok(kernel(&all[..count], cursor))
            });
            let info = info.expect("an answer");
            assert_eq!(calls, count.div_ceil(2).max(1));
            assert_eq!(info.window.size, 1 << 48);
            assert_eq!(info.page_sizes, 0x4020_1000);
            let starts: Vec<_> = info.holes.iter().map(|hole| hole.start).collect();
            assert_eq!(starts, [0, 0x8000][..count.min(2)]);
            assert_eq!(info.groups, [3, 7][..count.saturating_sub(2).min(2)]);
            let mapped = MappingInfo {
                iovas: Iovas {
                    start: 0x1_0000,
                    size: 0x2000,
                },
                vaddr: 0x7000_0000,
                access: Access::WRITE,
            };
            assert_eq!(info.mappings, [mapped][..count.saturating_sub(4).min(1)]);
        }
    }

    #[test]
    fn info_ends_at_the_first_error() {
        let error = AuxInfo::collect(|cursor| match cursor {
            0 => Ok(kernel(&[hole(0), hole(1), hole(2)], 0)),
            _ => Err(Error::new("VFIO_IOMMU_AUX_INFO", Errno::ENOENT)),
        });
        assert_eq!(error.expect_err("the second call").errno(), Errno::ENOENT);
    }
}
