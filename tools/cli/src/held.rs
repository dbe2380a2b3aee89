// SPDX-License-Identifier: GPL-2.0-only

//! Who holds what: `/sys/kernel/debug/vfio_pasid/held`, format 1, as `Documentation/user-guide.rst`
//! describes it.

use std::{collections::BTreeMap, io};

use anyhow::{ensure, Context, Result};
use schemars::JsonSchema;
use serde::Serialize;

use crate::system::{parse_number, System};

/// The file.
pub const FILE: &str = "/sys/kernel/debug/vfio_pasid/held";

/// How often it is read again until all of it is of one moment.
const TRIES: usize = 10;

/// All that is held.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Held {
    /// Version of this answer; a field that goes, or changes its meaning, makes it one more.
    pub version: u32,
    /// Whether all of it was so at one moment. If not, things come and go too fast.
    pub one_moment: bool,
    /// The processes.
    pub processes: Vec<Process>,
}

/// A process, and what it holds.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Process {
    /// A number that no other process has, or had.
    pub id: u64,
    /// Its number; none if it has ended, has another program by now, or is not to be seen from here.
    pub pid: Option<u32>,
    /// What it was called when it opened its first container.
    pub comm: String,
    /// How many PASIDs it may hold.
    pub quota: u64,
    /// How many it holds.
    pub used: u64,
    /// How many mappings of registered memory it has.
    pub mappings: u64,
    /// Its PASIDs.
    pub pasids: Vec<Pasids>,
    /// The memory that it has registered.
    pub memory: Vec<Memory>,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// PASIDs that follow each other.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pasids {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
    /// `user`, or `driver` for a kernel driver.
    pub holder: String,
}

/// A range of registered memory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Memory {
    /// Where it begins.
    pub vaddr: u64,
    /// How many bytes it has.
    pub size: u64,
    /// Whether devices may write to it.
    pub writable: bool,
    /// How many containers hold it.
    pub holders: u64,
    /// How many mappings of it there are.
    pub mapped: u64,
    /// `pinned`, or `changing` while it is being pinned or unpinned.
    pub state: String,
}

/// A container.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Container {
    /// A number that no other container has, or had.
    pub id: u64,
    /// Its groups.
    pub groups: Vec<Group>,
    /// Its spaces, its own first.
    pub spaces: Vec<Space>,
}

/// An IOMMU group in a container.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group {
    /// The N of `/dev/vfio/N`.
    pub number: u64,
    /// The devices that are open.
    pub open: Vec<Device>,
}

/// A device that is open.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Device {
    /// Its address.
    pub name: String,
    /// How many bits its PASIDs may have; 0 if it has none.
    pub width: u64,
}

/// An address space.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Space {
    /// The PASID that names it; 0 for the container's own.
    pub pasid: u64,
    /// `aux`, `own`, or `process`: the process itself.
    pub kind: String,
    /// The first and the last address; none of a process, and while stock type1 is busy with it.
    pub window: Option<(u64, u64)>,
    /// How many mappings it has; none as above.
    pub mappings: Option<u64>,
    /// How many bytes they have; none as above.
    pub bytes: Option<u64>,
    /// The groups that it is attached to.
    pub attached: Vec<u64>,
}

/// A line.
struct Record<'a> {
    kind: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Record<'a> {
    fn new(line: &'a str) -> Self {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let values = words.filter_map(|word| word.split_once('=')).collect();
        Self { kind, values }
    }

    fn text(&self, key: &str) -> Result<&'a str> {
        let value = self.values.get(key).copied();
        value.with_context(|| format!("{FILE}: a record {} without {key}", self.kind))
    }

    fn maybe(&self, key: &str) -> Result<Option<u64>> {
        Ok(parse_number(self.text(key)?))
    }

    fn number(&self, key: &str) -> Result<u64> {
        let value = self.maybe(key)?;
        value.with_context(|| format!("{FILE}: {key} of a record {} is no number", self.kind))
    }
}

/// Takes `\xHH` back.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.strip_prefix(b"x").and_then(|hex| hex.get(..2));
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (byte, code) {
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = behind.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Held {
    /// Reads it, until all of it is of one moment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, which `io::Error` in the chain tells, or is not of format 1.
    pub fn read(system: &System) -> Result<Self> {
        let mut held = Self::default();
        for _ in 0..TRIES {
            let text = std::fs::read_to_string(system.path(FILE))?;
            held = Self::parse(&text)?;
            if held.one_moment {
                break;
            }
        }
        Ok(held)
    }

    fn process(&mut self, id: u64) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.id == id)
    }

    fn container(&mut self, id: u64) -> Option<&mut Container> {
        let all = self
            .processes
            .iter_mut()
            .flat_map(|process| &mut process.containers);
        all.into_iter().find(|container| container.id == id)
    }

    /// What a text of that format says. What belongs to something that has gone meanwhile is left
    /// out.
    ///
    /// # Errors
    ///
    /// If it is another format, or has been cut.
    pub fn parse(text: &str) -> Result<Self> {
        let mut held = Self {
            version: 1,
            one_moment: true,
            ..Self::default()
        };
        let first = Record::new(text.lines().next().unwrap_or_default());
        ensure!(
            first.kind == "vfio_pasid" && first.text("format")? == "1",
            "{FILE} is not of format 1: this vfio-pasid does not fit the module"
        );
        let generation = first.text("gen")?;
        let mut mapped: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut whole = false;
        for line in text.lines() {
            let record = Record::new(line);
            held.one_moment &= record.text("gen")? == generation;
            match record.kind {
                "process" => held.processes.push(Process {
                    id: record.number("id")?,
                    pid: record.maybe("pid")?.and_then(|pid| pid.try_into().ok()),
                    comm: unescape(record.text("comm")?),
                    quota: record.number("quota")?,
                    used: record.number("used")?,
                    mappings: record.number("mappings")?,
                    ..Process::default()
                }),
                "pasids" => {
                    let pasids = Pasids {
                        first: record.number("first")?,
                        last: record.number("last")?,
                        holder: record.text("holder")?.to_owned(),
                    };
                    if let Some(process) = held.process(record.number("process")?) {
                        process.add_pasids(pasids);
                    }
                }
                "memory" => {
                    let memory = Memory {
                        vaddr: record.number("vaddr")?,
                        size: record.number("size")?,
                        writable: record.number("writable")? != 0,
                        holders: record.number("holders")?,
                        mapped: 0,
                        state: record.text("state")?.to_owned(),
                    };
                    if let Some(process) = held.process(record.number("process")?) {
                        process.memory.push(memory);
                    }
                }
                "container" => {
                    let container = Container {
                        id: record.number("id")?,
                        ..Container::default()
                    };
                    if let Some(process) = held.process(record.number("process")?) {
                        process.containers.push(container);
                    }
                }
                "group" => {
                    let group = Group {
                        number: record.number("group")?,
                        open: Vec::new(),
                    };
                    if let Some(container) = held.container(record.number("container")?) {
                        container.groups.push(group);
                    }
                }
                "device" => {
                    let number = record.number("group")?;
                    let device = Device {
                        name: unescape(record.text("device")?),
                        width: record.number("width")?,
                    };
                    let container = held.container(record.number("container")?);
                    let group = container.and_then(|container| {
                        let mut groups = container.groups.iter_mut();
                        groups.find(|group| group.number == number)
                    });
                    if let Some(group) = group {
                        group.open.push(device);
                    }
                }
                "space" => {
                    let window = record.text("window")?.split_once('-');
                    let space = Space {
                        pasid: record.number("pasid")?,
                        kind: record.text("kind")?.to_owned(),
                        window: window.and_then(|(first, last)| {
                            Some((parse_number(first)?, parse_number(last)?))
                        }),
                        mappings: record.maybe("mappings")?,
                        bytes: record.maybe("bytes")?,
                        attached: Vec::new(),
                    };
                    if let Some(container) = held.container(record.number("container")?) {
                        container.spaces.push(space);
                    }
                }
                "attachment" => {
                    let (pasid, group) = (record.number("pasid")?, record.number("group")?);
                    let container = held.container(record.number("container")?);
                    let space = container.and_then(|container| {
                        let mut spaces = container.spaces.iter_mut();
                        spaces.find(|space| space.pasid == pasid)
                    });
                    if let Some(space) = space {
                        space.attached.push(group);
                    }
                }
                "registered" => {
                    let container = record.number("container")?;
                    let process = held.processes.iter().find(|process| {
                        let mut containers = process.containers.iter();
                        containers.any(|own| own.id == container)
                    });
                    if let Some(process) = process {
                        let place = (process.id, record.number("vaddr")?);
                        *mapped.entry(place).or_default() += record.number("mapped")?;
                    }
                }
                "end" => whole = true,
                _ => {}
            }
        }
        ensure!(whole, "{FILE} has been cut");
        for process in &mut held.processes {
            for memory in &mut process.memory {
                memory.mapped = mapped
                    .get(&(process.id, memory.vaddr))
                    .copied()
                    .unwrap_or_default();
            }
            process.containers.sort_by_key(|container| container.id);
        }
        held.processes.sort_by_key(|process| process.id);
        Ok(held)
    }
}

impl Process {
    /// A long range comes in pieces.
    fn add_pasids(&mut self, pasids: Pasids) {
        match self.pasids.last_mut() {
            Some(last) if last.last + 1 == pasids.first && last.holder == pasids.holder => {
                last.last = pasids.last;
            }
            _ => self.pasids.push(pasids),
        }
    }
}

/// Whether an error is that of a file that is not there, or may not be read.
pub fn io_kind(error: &anyhow::Error) -> Option<io::ErrorKind> {
    Some(error.downcast_ref::<io::Error>()?.kind())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that cannot go on has failed"
    )]
    use super::*;

    const TEXT: &str = "\
vfio_pasid gen=131 format=1
process gen=131 id=97 pid=1042 comm=a\\x20b\\x5cc quota=1000 used=4098 containers=1 regions=1 mappings=3
pasids gen=131 process=97 first=10 last=4095 holder=user
pasids gen=131 process=97 first=4096 last=4106 holder=user
pasids gen=131 process=97 first=4107 last=4107 holder=driver
memory gen=131 process=97 vaddr=0x7f65e5200000 size=0x200000 pages=512 writable=1 holders=1 state=pinned
process gen=131 id=99 pid=- comm=gone quota=1000 used=0 containers=1 regions=0 mappings=0
container gen=131 id=12 process=97
group gen=131 container=12 group=26
device gen=131 container=12 group=26 device=0000:00:12.0 width=20
space gen=131 container=12 pasid=0 kind=own window=- mappings=- bytes=-
space gen=131 container=12 pasid=17 kind=process window=- mappings=- bytes=-
space gen=131 container=12 pasid=4106 kind=aux window=0x0-0x7fffffffffff mappings=3 bytes=12288 new=key
attachment gen=131 container=12 pasid=4106 group=26
registered gen=131 container=12 vaddr=0x7f65e5200000 size=0x200000 references=1 mapped=3
novelty gen=131 container=12
container gen=131 id=13 process=99
end gen=131
";

    #[test]
    fn a_text_is_what_it_says() {
        let held = Held::parse(TEXT).unwrap();
        assert!(held.one_moment);
        assert_eq!(held.processes.len(), 2);
        let process = &held.processes[0];
        assert_eq!(process.pid, Some(1042));
        assert_eq!(process.comm, "a b\\c");
        let ranges: Vec<_> = process.pasids.iter().map(|p| (p.first, p.last)).collect();
        assert_eq!(ranges, [(10, 4106), (4107, 4107)]);
        assert_eq!(process.memory[0].mapped, 3);
        let container = &process.containers[0];
        assert_eq!(container.groups[0].open[0].name, "0000:00:12.0");
        assert_eq!(container.spaces[0].mappings, None);
        assert_eq!(container.spaces[1].kind, "process");
        assert_eq!(container.spaces[1].window, None);
        assert_eq!(container.spaces[2].window, Some((0, 0x7fff_ffff_ffff)));
        assert_eq!(container.spaces[2].attached, [26]);
        assert_eq!(held.processes[1].pid, None);
    }

    #[test]
    fn what_is_not_of_one_moment_is_told() {
        let text = TEXT.replace("attachment gen=131", "attachment gen=132");
        assert!(!Held::parse(&text).unwrap().one_moment);
    }

    #[test]
    fn another_format_and_a_cut_text_are_errors() {
        assert!(Held::parse(&TEXT.replace("format=1", "format=2")).is_err());
        assert!(Held::parse(TEXT.trim_end_matches("end gen=131\n")).is_err());
        assert!(Held::parse("").is_err());
    }

    #[test]
    fn odd_escapes_stay() {
        assert_eq!(unescape("a\\"), "a\\");
        assert_eq!(unescape("\\xzz\\x4"), "\\xzz\\x4");
        assert_eq!(unescape("\\x41\\x0a"), "A\n");
    }
}
