// SPDX-License-Identifier: GPL-2.0-only

//! Who holds what, for `/sys/kernel/debug/vfio_pasid/held`: one record a line.
//!
//! Each record is looked up by where the one before it was, with short locks that are given up
//! before it is written. So nobody waits for a reader, what comes and goes meanwhile does no harm,
//! and the generation tells whether any did. The format is in `Documentation/user-guide.rst`.

use core::fmt::{self, Write};

use kernel::{page::PAGE_SHIFT, prelude::*, sync::Arc};

use crate::{
    container::{Container, State, HANDLES},
    generation,
    handle::{Handle, Position},
    interval::Interval,
    kernel::{
        abi::VFIO_AUX_OWN_SPACE,
        device::DeviceName,
        maker::Comm,
        sched::{cond_resched, fatal_signal_pending},
        vfio::Identity, //
    },
    memory::{of_container::Share, of_process::Region},
    pasid::{in_use::HasPasids, range::PasidRange, set::Holder},
    space::{attachment::AttachmentKey, mapping::Totals, Space},
    vfio_mm::{VfioMm, REGISTRY}, //
};

/// What the file's first record says. A key that goes, or changes its meaning, makes it one more; a
/// new key or record does not.
const FORMAT: u32 = 1;

/// How often a record is looked up again that came or went meanwhile.
const TRIES: usize = 8;

/// What a record tells.
#[derive(Clone, Copy)]
enum What {
    Begin,
    Process {
        id: u64,
        pid: Option<u32>,
        comm: Comm,
        quota: u32,
        used: u32,
        containers: usize,
        regions: u32,
        mappings: u32,
    },
    Pasids {
        process: u64,
        range: PasidRange,
        holder: Holder,
    },
    Memory {
        process: u64,
        region: Region,
    },
    Container {
        id: Handle,
        process: u64,
    },
    Group {
        container: Handle,
        group: u32,
    },
    Device {
        container: Handle,
        group: u32,
        name: DeviceName,
        width: u32,
    },
    Space {
        container: Handle,
        pasid: u32,
        kind: &'static str,
        window: Option<Interval>,
        totals: Option<Totals>,
    },
    Attachment {
        container: Handle,
        key: AttachmentKey,
    },
    Registered {
        container: Handle,
        share: Share,
    },
    End,
}

/// A line of the file.
pub(crate) struct Record {
    /// How often records had come and gone; `None` if they did all the time.
    generation: Option<u64>,
    what: What,
}

/// Bytes of any kind, in what is neither blank nor a backslash: others as `\xHH`.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            if byte.is_ascii_graphic() && byte != b'\\' {
                out.write_char(byte.into())?;
            } else {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A value, or `-` if there is none.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("-"),
        }
    }
}

/// The first and the last address.
struct Bounds(Interval);

impl fmt::Display for Bounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#x}-{:#x}", self.0.start(), self.0.last())
    }
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Begin => "vfio_pasid",
            Self::Process { .. } => "process",
            Self::Pasids { .. } => "pasids",
            Self::Memory { .. } => "memory",
            Self::Container { .. } => "container",
            Self::Group { .. } => "group",
            Self::Device { .. } => "device",
            Self::Space { .. } => "space",
            Self::Attachment { .. } => "attachment",
            Self::Registered { .. } => "registered",
            Self::End => "end",
        }
    }
}

impl kernel::fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} gen={}",
            self.what.name(),
            Maybe(self.generation.as_ref())
        )?;
        match &self.what {
            What::Begin => write!(out, " format={FORMAT}"),
            What::Process {
                id,
                pid,
                comm,
                quota,
                used,
                containers,
                regions,
                mappings,
            } => write!(
                out,
                " id={id} pid={} comm={} quota={quota} used={used} containers={containers} \
                 regions={regions} mappings={mappings}",
                Maybe(*pid),
                Escaped(comm.bytes()),
            ),
            What::Pasids {
                process,
                range,
                holder,
            } => write!(
                out,
                " process={process} first={} last={} holder={}",
                range.min(),
                range.max(),
                match holder {
                    Holder::User => "user",
                    Holder::Driver => "driver",
                },
            ),
            What::Memory { process, region } => write!(
                out,
                " process={process} vaddr={:#x} size={:#x} pages={} writable={} holders={} state={}",
                region.range.start(),
                region.range.size(),
                region.range.size() >> PAGE_SHIFT,
                u32::from(region.writable),
                region.holders,
                if region.settled { "pinned" } else { "changing" },
            ),
            What::Container { id, process } => write!(out, " id={id} process={process}"),
            What::Group { container, group } => {
                write!(out, " container={container} group={group}")
            }
            What::Device {
                container,
                group,
                name,
                width,
            } => write!(
                out,
                " container={container} group={group} device={} width={width}",
                Escaped(name.bytes()),
            ),
            What::Space {
                container,
                pasid,
                kind,
                window,
                totals,
            } => write!(
                out,
                " container={container} pasid={pasid} kind={kind} window={} mappings={} bytes={}",
                Maybe(window.map(Bounds)),
                Maybe(totals.map(|totals| totals.mappings)),
                Maybe(totals.map(|totals| totals.bytes)),
            ),
            What::Attachment {
                container,
                key: (group, pasid),
            } => write!(out, " container={container} pasid={pasid} group={group}"),
            What::Registered { container, share } => write!(
                out,
                " container={container} vaddr={:#x} size={:#x} references={} mapped={}",
                share.range.start(),
                share.range.size(),
                share.references,
                share.mapped,
            ),
            What::End => Ok(()),
        }?;
        out.write_char('\n')
    }
}

/// Where to look for the next record, or for the first that is not before.
#[derive(Clone, Copy)]
enum Stage {
    Begin,
    Process,
    Pasids(u32),
    Memory(u64),
    Container,
    Group(u32),
    Device(Identity),
    OwnSpace,
    Space(u32),
    Attachment(AttachmentKey),
    Registered(u64),
    End,
    Over,
}

/// A reading of the file. It keeps nothing but where it is.
pub(crate) struct Reader {
    stage: Stage,
    /// The process whose records these are: its key in the registry, and its id.
    process: (usize, u64),
    /// The container whose records these are.
    container: Position,
    /// How many records there have been, and the last of them; `None` at the end.
    count: u64,
    record: Option<Record>,
}

impl Reader {
    /// Before the first record.
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Begin,
            process: (0, 0),
            container: Position::START,
            count: 0,
            record: None,
        }
    }

    /// The record at `index`: the first, the last one again, or the one behind that; `None` at the
    /// end.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn find(&mut self, index: u64) -> Result<Option<&Record>> {
        if index == 0 {
            *self = Self::new();
        }
        while self.count <= index {
            self.record = self.next()?;
            self.count += 1;
        }
        Ok(self.record.as_ref())
    }

    /// The last record.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
            if let Stage::Over = self.stage {
                return Ok(None);
            }
            let before = (self.stage, self.process, self.container);
            for again in (0..TRIES).rev() {
                // What has changed is counted with the same locks that it is looked at with.
                let generation = generation::now();
                (self.stage, self.process, self.container) = before;
                let (what, next) = self.look()?;
                let same = generation == generation::now();
                if !same && again > 0 {
                    continue;
                }
                self.stage = next;
                if let Some(what) = what {
                    return Ok(Some(Record {
                        generation: same.then_some(generation),
                        what,
                    }));
                }
                break;
            }
        }
    }

    /// What is here, if anything, and where to look next.
    fn look(&mut self) -> Result<(Option<What>, Stage)> {
        Ok(match self.stage {
            Stage::Begin => (Some(What::Begin), Stage::Process),
            Stage::Process => match self.next_process() {
                Some(what) => (Some(what), Stage::Pasids(0)),
                None => (None, Stage::Container),
            },
            Stage::Pasids(from) => {
                let process = self.process.1;
                let found = self.process().and_then(|vmm| vmm.pasids().range_from(from));
                match found {
                    Some((range, holder)) => (
                        Some(What::Pasids {
                            process,
                            range,
                            holder,
                        }),
                        Stage::Pasids(range.max() + 1),
                    ),
                    None => (None, Stage::Memory(0)),
                }
            }
            Stage::Memory(from) => {
                let process = self.process.1;
                let found = self
                    .process()
                    .and_then(|vmm| vmm.memory().region_from(from));
                match found {
                    Some(region) => (
                        Some(What::Memory { process, region }),
                        behind(region.range).map_or(Stage::Process, Stage::Memory),
                    ),
                    None => (None, Stage::Process),
                }
            }
            Stage::Container => match self.next_container() {
                Some(what) => (Some(what), Stage::Group(0)),
                None => (None, Stage::End),
            },
            Stage::Group(from) => {
                let container = self.container.handle();
                match self.in_container(|state| state.group_from(from))? {
                    Some(group) => (
                        Some(What::Group { container, group }),
                        Stage::Group(group + 1),
                    ),
                    None => (None, Stage::Device(Identity::FIRST)),
                }
            }
            Stage::Device(from) => self.device(from)?,
            Stage::OwnSpace => (self.own_space()?, Stage::Space(0)),
            Stage::Space(from) => {
                let container = self.container.handle();
                let found = self.in_container(|state| {
                    state.space_from(from, |space| {
                        let (kind, aux) = match space {
                            Space::Aux(space) => ("aux", Some(space)),
                            Space::Process(_) => ("process", None),
                        };
                        What::Space {
                            container,
                            pasid: space.pasid(),
                            kind,
                            window: aux.map(|space| space.window().interval()),
                            totals: aux.map(|space| space.totals()),
                        }
                    })
                })?;
                match found {
                    Some(What::Space { pasid, .. }) => (found, Stage::Space(pasid + 1)),
                    _ => (None, Stage::Attachment((0, 0))),
                }
            }
            Stage::Attachment(from) => {
                let container = self.container.handle();
                match self.in_container(|state| state.attachment_from(from))? {
                    Some(key @ (group, pasid)) => (
                        Some(What::Attachment { container, key }),
                        Stage::Attachment((group, pasid + 1)),
                    ),
                    None => (None, Stage::Registered(0)),
                }
            }
            Stage::Registered(from) => {
                let container = self.container.handle();
                match self.in_container(|state| state.share_from(from))? {
                    Some(share) => (
                        Some(What::Registered { container, share }),
                        behind(share.range).map_or(Stage::Container, Stage::Registered),
                    ),
                    None => (None, Stage::Container),
                }
            }
            Stage::End => (Some(What::End), Stage::Over),
            Stage::Over => (None, Stage::Over),
        })
    }

    fn next_process(&mut self) -> Option<What> {
        let (key, vmm, containers) = REGISTRY.get().lock().next(self.process.0)?;
        self.process = (key, vmm.id());
        let (regions, mappings) = vmm.memory().counts();
        Some(What::Process {
            id: vmm.id(),
            pid: vmm.pid(),
            comm: vmm.comm(),
            quota: vmm.pasids().quota(),
            used: vmm.pasids().held(),
            containers,
            regions,
            mappings,
        })
    }

    /// The process whose records these are, unless it has gone.
    fn process(&self) -> Option<Arc<VfioMm>> {
        let (key, id) = self.process;
        let vmm = REGISTRY.get().lock().at(key);
        vmm.filter(|vmm| vmm.id() == id)
    }

    fn next_container(&mut self) -> Option<What> {
        let (position, container) = HANDLES.get().next(self.container)?;
        self.container = position;
        Some(What::Container {
            id: position.handle(),
            process: container.vmm().id(),
        })
    }

    /// What `look` sees in the container whose records these are; `None` if it has gone.
    fn in_container<T>(&self, look: impl FnOnce(&State) -> Option<T>) -> Result<Option<T>> {
        let Ok(container) = Container::find(self.container.handle()) else {
            return Ok(None);
        };
        match container.look(look) {
            Err(error) if error == ENODEV => Ok(None),
            found => found,
        }
    }

    fn device(&self, from: Identity) -> Result<(Option<What>, Stage)> {
        let container = self.container.handle();
        let found = self.in_container(|state| {
            state.device_from(from, |device| What::Device {
                container,
                group: device.group().number(),
                name: device.name(),
                width: device.pasid_support().map_or(0, |support| support.width),
            })
        })?;
        Ok(match found {
            Some((identity, what)) => (
                Some(what),
                identity.next().map_or(Stage::OwnSpace, Stage::Device),
            ),
            None => (None, Stage::OwnSpace),
        })
    }

    /// What stock code has in the container's own space. It is not waited for, as it may pin memory
    /// for ever: then there are no sums.
    fn own_space(&self) -> Result<Option<What>> {
        let Ok(container) = Container::find(self.container.handle()) else {
            return Ok(None);
        };
        if container.look(|_| ()).is_err() {
            return Ok(None);
        }
        let sum = container.stock().own_sum()?;
        Ok(Some(What::Space {
            container: self.container.handle(),
            pasid: VFIO_AUX_OWN_SPACE,
            kind: "own",
            window: sum.as_ref().map(|sum| sum.aperture),
            totals: sum.map(|sum| Totals {
                mappings: sum.mappings,
                bytes: sum.bytes,
            }),
        }))
    }
}

/// The address behind a range, if there is one.
fn behind(range: Interval) -> Option<u64> {
    range.last().checked_add(1)
}
