// SPDX-License-Identifier: GPL-2.0-only

//! A device that follows pointers: a list wherever the process has its nodes, and nothing of it
//! registered.
#![allow(unsafe_code)]

use std::{hint::black_box, ptr};

use anyhow::{bail, ensure, Result};
use vfio_pasid::{
    vm_memory::{Bytes, MmapRegion, VolatileMemory},
    Container, PasidCaps,
};

use crate::device::{Answer, Fault, Message, TestDevice};

/// A node, as large as what the device reads at a time. It does not cross a page.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Node {
    /// The address of the next one, or 0.
    next: u64,
    word: [u8; 8],
}

impl Node {
    fn before(next: &Node, word: &[u8; 8]) -> Self {
        Self {
            next: ptr::from_ref(next) as u64,
            word: *word,
        }
    }

    /// What the device read.
    fn from_message(message: Message) -> Self {
        let [next, word] = [0, 8].map(|at| {
            let mut half = [0; 8];
            half.iter_mut()
                .zip(message.iter().skip(at))
                .for_each(|(to, from)| *to = *from);
            half
        });
        Self {
            next: u64::from_ne_bytes(next),
            word,
        }
    }
}

/// In the file that the program is.
static LAST: Node = Node {
    next: 0,
    word: *b"pointers",
};

/// How often a page that is not there is touched. It may go away again before the device looks.
const TOUCHES: usize = 100;

/// Lets the test device, of the group, follow a list in the memory of this process, and tells each
/// step: what was done, and what came of it. Where a process cannot be attached, that is the only
/// step.
///
/// # Errors
///
/// What did not come as it should.
pub fn show(
    device: &TestDevice<'_>,
    container: &Container,
    group: u32,
    mut step: impl FnMut(&str, String),
) -> Result<()> {
    let info = container.pasid_info(Some(group))?;
    if let Err(reason) = info.process_space() {
        step("the process as a space", format!("not here: {reason}"));
        return Ok(());
    }
    let on_heap = Box::new(Node::before(&LAST, b"follows "));
    let on_stack = Node::before(&on_heap, b"it      ");
    let untouched: MmapRegion = MmapRegion::new(4096)?;
    let list = [
        ("the device reads the stack", &on_stack),
        ("the device reads the heap", &on_heap),
        ("the device reads the program", &LAST),
    ];

    let space = container.process_space()?;
    let pasid = space.pasid();
    step(
        "the process as a space",
        format!("PASID {pasid}: nothing is registered or mapped"),
    );
    // SAFETY: The device is told to read, and only what is below: nodes that nobody changes, and a page
    // that nobody has references into. All live until it is detached.
    unsafe { space.attach(group)? };
    let told = follow(device, pasid, &list, &mut step).and_then(|()| {
        let pri = info.caps.contains(PasidCaps::PRI);
        touch(device, pasid, &untouched, pri, &mut step)
    });
    space.detach(group)?;
    told?;
    match read(device, pasid, &on_stack)? {
        Err(fault) if fault == Fault::NO_PASID_ENTRY => step("detach it", fault.to_string()),
        answer => bail!("detached, the device reads the stack: {:?}", answer.err()),
    }
    space.destroy()?;
    Ok(())
}

fn read<T>(device: &TestDevice<'_>, pasid: u32, at: *const T) -> Result<Answer<Message>> {
    device.read_memory(Some(pasid), at as u64)
}

/// The device begins at the first node, and goes where each says.
fn follow(
    device: &TestDevice<'_>,
    pasid: u32,
    list: &[(&str, &Node)],
    step: &mut impl FnMut(&str, String),
) -> Result<()> {
    let mut next = list
        .first()
        .map_or(0, |(_, node)| ptr::from_ref(*node) as u64);
    for (what, node) in list {
        ensure!(
            next == ptr::from_ref(*node) as u64,
            "{what}: it is elsewhere"
        );
        let mut answer = device.read_memory(Some(pasid), next)?;
        for _ in 0..TOUCHES {
            if answer != Err(Fault::NO_PAGE) {
                break;
            }
            black_box(**node);
            answer = device.read_memory(Some(pasid), next)?;
        }
        let seen = match answer {
            Ok(message) => Node::from_message(message),
            Err(fault) => bail!("{what}: {fault}"),
        };
        ensure!(seen.word == node.word, "{what}: {:x?}", seen.word);
        next = seen.next;
        let word = String::from_utf8_lossy(&seen.word).trim_end().to_owned();
        let end = if next == 0 { "no pointer" } else { "a pointer" };
        step(what, format!("\"{word}\", and {end}"));
    }
    ensure!(next == 0, "the list goes on at {next:#x}");
    Ok(())
}

/// Memory that nobody has touched has no page yet.
fn touch(
    device: &TestDevice<'_>,
    pasid: u32,
    memory: &MmapRegion,
    pri: bool,
    step: &mut impl FnMut(&str, String),
) -> Result<()> {
    let what = "it reads what nobody touched";
    match read(device, pasid, memory.as_ptr())? {
        Err(fault) if fault == Fault::NO_PAGE => step(what, fault.to_string()),
        Ok(_) if pri => step(what, "the kernel brought a page".to_owned()),
        answer => bail!("{what}: {:?}", answer.err()),
    }
    let message: &Message = b"now there is one";
    memory.as_volatile_slice().write_slice(message, 0)?;
    let seen = read(device, pasid, memory.as_ptr())?;
    ensure!(seen == Ok(*message), "after a write it reads {seen:x?}");
    step(
        "the process writes there",
        format!("it reads \"{}\"", String::from_utf8_lossy(message)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_reads_a_node_as_it_is() {
        let node = Node::before(&LAST, b"the word");
        let mut message = Message::default();
        message[..8].copy_from_slice(&node.next.to_ne_bytes());
        message[8..].copy_from_slice(&node.word);
        let seen = Node::from_message(message);
        assert_eq!((seen.next, seen.word), (node.next, node.word));
        assert_eq!(size_of::<Node>(), size_of::<Message>());
        assert_eq!(ptr::from_ref(&LAST) as u64 % 16, 0);
    }
}
