// SPDX-License-Identifier: GPL-2.0-only

//! Two aux spaces: at the same address a device finds different memory, and none once it is pulled.

use std::sync::Arc;

use anyhow::{bail, ensure, Context, Result};
use pasid_demo::device::{Answer, Fault, Message, TestDevice};
use vfio_pasid::{
    vm_memory::{Bytes, MmapRegion, VolatileMemory},
    Access, AuxOptions, AuxSpace, Container, Errno, Iovas, Mapping, Pasid, PciFunction,
    RegisteredMemory,
};

use crate::{
    machine::{counted, locked_memory, nothing_counted},
    owner::OpenContainer,
    story::{chapter, line},
};

/// A page of memory.
const PAGE: u64 = 0x1000;
/// The address that the story is about; what is where matters more than which it is.
const IOVA: u64 = 0x10_0000;
/// The window that the second space requests.
const WINDOW: Iovas = Iovas {
    start: IOVA,
    size: 0x10_0000,
};
/// What is registered: more than is mapped.
const MEMORY: u64 = 2 << 20;

/// What the memory says, and what the device writes there.
const FIRST: &Message = b"the first answer";
const OTHER: &Message = b"the other answer";
const WRITTEN: &Message = b"the device wrote";

/// Tells it of `function`, a test device that can use PASIDs.
pub fn run(function: PciFunction) -> Result<()> {
    let locked = locked_memory()?;
    chapter(format!("Two more address spaces for {function}"));
    let OpenContainer {
        container,
        device,
        group,
    } = OpenContainer::new(function)?;
    let number = group.number();
    capabilities(&container, number)?;
    let memory = register(&container, locked)?;
    let (_first, first) = create(&container, number, 17, None)?;
    let (_other, other) = create(&container, number, 18, Some(WINDOW))?;

    let test = TestDevice::new(&device)?;
    let spaces = [&first, &other];
    let [_mapping, goes] = same_address(&test, spaces, &memory)?;
    refused(&test, spaces, &memory)?;
    pulled(&test, spaces, goes, number)?;

    chapter("Device and group are closed, although 17 is attached and maps memory");
    let pages = MEMORY / PAGE;
    counted([
        ("spaces", 2),
        ("attachments", 1),
        ("mappings", 1),
        ("pinned_pages", pages),
    ])?;
    drop((device, group));
    line("close", "done");
    nothing_counted()?;
    let now = locked_memory()?;
    ensure!(now == locked, "VmLck is {now} kB, and was {locked} kB");
    line("VmLck", format!("{now} kB, as before"));
    Ok(())
}

/// Tells what the device of the group can do with PASIDs.
fn capabilities(container: &Container, group: u32) -> Result<()> {
    let info = container.pasid_info(Some(group))?;
    ensure!(info.width > 0, "group {group} cannot use PASIDs: {info:?}");
    let names: Vec<_> = info.caps.iter_names().map(|(name, _)| name).collect();
    line(
        format!("PASID_INFO of group {group}"),
        format!("PASIDs of {} bits, {}", info.width, names.join(" and ")),
    );
    Ok(())
}

/// Registers memory, whose first two pages have something to say.
fn register(container: &Container, locked: u64) -> Result<RegisteredMemory> {
    let memory = MmapRegion::<()>::new(MEMORY as usize)?;
    memory.as_volatile_slice().write_slice(FIRST, 0)?;
    memory
        .as_volatile_slice()
        .write_slice(OTHER, PAGE as usize)?;
    let registered = container.register_memory(Arc::new(memory))?;
    let charged = locked_memory()?.checked_sub(locked);
    ensure!(
        charged == Some(MEMORY >> 10),
        "VmLck rose by {charged:?} kB, not {}",
        MEMORY >> 10
    );
    line(
        format!("register {} MiB of memory", MEMORY >> 20),
        format!("pinned, and charged: VmLck {} kB more", MEMORY >> 10),
    );
    Ok(registered)
}

/// Creates an aux space named `number`, attaches it, and tells its window.
fn create(
    container: &Container,
    group: u32,
    number: u32,
    window: Option<Iovas>,
) -> Result<(Pasid, AuxSpace)> {
    let pasid = container.alloc_pasid(number..=number)?;
    let space = container.create_aux_space(AuxOptions {
        pasid: Some(number),
        window,
    })?;
    let granted = space.window();
    ensure!(
        window.is_none_or(|request| request == granted),
        "requested {window:x?}, got {granted:x?}"
    );
    space.attach(group)?;
    attached_to(&space, &[group])?;
    let last = granted.start.checked_add(granted.size.saturating_sub(1));
    line(
        format!("aux space with PASID {number}"),
        format!(
            "attached to group {group}, serves {:#x} to {:#x}{}",
            granted.start,
            last.context("the window wraps around")?,
            window.map_or("", |_| ", as requested")
        ),
    );
    Ok((pasid, space))
}

/// Maps the two pages at the same address of the two spaces: two answers.
fn same_address<'a>(
    device: &TestDevice<'_>,
    [first, other]: [&'a AuxSpace; 2],
    memory: &'a RegisteredMemory,
) -> Result<[Mapping<'a>; 2]> {
    chapter(format!("The same address, {IOVA:#x}: two answers"));
    let both = Access::READ | Access::WRITE;
    let mappings = [
        map(first, memory, (0, FIRST), Access::READ)?,
        map(other, memory, (1, OTHER), both)?,
    ];
    reads(device, Some(first), Ok(FIRST))?;
    reads(device, Some(other), Ok(OTHER))?;
    writes(device, other, Ok(()))?;
    let mut page = Message::default();
    let slice = memory.memory().as_volatile_slice();
    slice.read_slice(&mut page, PAGE as usize)?;
    ensure!(page == *WRITTEN, "page 1 says {}", quoted(&page));
    line("the process reads page 1", quoted(&page));
    reads(device, Some(first), Ok(FIRST))?;
    Ok(mappings)
}

/// What the mappings and the window do not allow.
fn refused(
    device: &TestDevice<'_>,
    [first, other]: [&AuxSpace; 2],
    memory: &RegisteredMemory,
) -> Result<()> {
    chapter("And nothing else");
    writes(device, first, Err(Fault::NO_WRITE))?;
    reads(device, None, Err(Fault::NO_PAGE))?;
    let outside = Iovas {
        start: IOVA + WINDOW.size,
        size: PAGE,
    };
    let done = format!("map {:#x} of {}", outside.start, other.pasid());
    match other.map(memory, 0, outside, Access::READ) {
        Ok(_) => bail!("{done}: it is outside the window, and was mapped"),
        Err(error) if error.errno() == Errno::ERANGE => {
            line(done, "ERANGE: outside its window");
            Ok(())
        }
        Err(error) => Err(error).context("wanted ERANGE"),
    }
}

/// Unmaps and then detaches the second space; the first one stays as it is.
fn pulled(
    device: &TestDevice<'_>,
    [first, other]: [&AuxSpace; 2],
    mapping: Mapping<'_>,
    group: u32,
) -> Result<()> {
    let pasid = other.pasid();
    chapter(format!(
        "The mapping of {pasid} is pulled, and then its space"
    ));
    mapping.unmap()?;
    ensure!(other.info()?.mappings.is_empty(), "it is still mapped");
    line(format!("unmap {IOVA:#x} of {pasid}"), "done");
    reads(device, Some(other), Err(Fault::NO_PAGE))?;
    other.detach(group)?;
    attached_to(other, &[])?;
    line(format!("detach {pasid}"), "AUX_INFO: attached to nothing");
    reads(device, Some(other), Err(Fault::NO_PASID_ENTRY))?;
    reads(device, Some(first), Ok(FIRST))
}

/// Maps a page of the memory, and what it says, at the address that the story is about.
fn map<'a>(
    space: &'a AuxSpace,
    memory: &'a RegisteredMemory,
    (page, says): (u64, &Message),
    access: Access,
) -> Result<Mapping<'a>> {
    let iovas = Iovas {
        start: IOVA,
        size: PAGE,
    };
    let mapping = space.map(memory, page * PAGE, iovas, access)?;
    let mapped = space.info()?.mappings;
    ensure!(
        matches!(mapped[..], [one] if one.iovas == iovas && one.access == access),
        "AUX_INFO says {mapped:x?}"
    );
    let names: Vec<_> = access.iter_names().map(|(name, _)| name).collect();
    line(
        format!("map {IOVA:#x} of {}", space.pasid()),
        format!(
            "page {page}, which says {}; {}",
            quoted(says),
            names.join(" and ")
        ),
    );
    Ok(mapping)
}

/// Lets the device read under the PASID of `space`, or without one, which must end as `wanted`.
fn reads(
    device: &TestDevice<'_>,
    space: Option<&AuxSpace>,
    wanted: Answer<&Message>,
) -> Result<()> {
    let pasid = space.map(AuxSpace::pasid);
    let answer = device.read_memory(pasid, IOVA)?;
    let (answer, wanted) = (answer.map(|read| quoted(&read)), wanted.map(quoted));
    tell("reads", pasid, answer, wanted)
}

/// As [`reads`], for writing.
fn writes(device: &TestDevice<'_>, space: &AuxSpace, wanted: Answer<()>) -> Result<()> {
    let pasid = Some(space.pasid());
    let answer = device.write_memory(pasid, IOVA, WRITTEN)?;
    let done = |()| format!("{}: done", quoted(WRITTEN));
    tell("writes", pasid, answer.map(done), wanted.map(done))
}

fn tell(
    verb: &str,
    pasid: Option<u32>,
    answer: Answer<String>,
    wanted: Answer<String>,
) -> Result<()> {
    let under = pasid.map_or("without PASID".to_owned(), |pasid| format!("under {pasid}"));
    let done = format!("the device {verb} {under}");
    let show = |answer: Answer<String>| answer.unwrap_or_else(|fault| fault.to_string());
    let (answer, wanted) = (show(answer), show(wanted));
    ensure!(answer == wanted, "{done}: {answer}, not {wanted}");
    line(done, answer);
    Ok(())
}

fn quoted(message: &Message) -> String {
    format!("\"{}\"", String::from_utf8_lossy(message))
}

/// The space must be attached to just these groups.
fn attached_to(space: &AuxSpace, wanted: &[u32]) -> Result<()> {
    let info = space.info()?;
    ensure!(
        info.groups == wanted,
        "AUX_INFO says groups {:?}, not {wanted:?}",
        info.groups
    );
    Ok(())
}
