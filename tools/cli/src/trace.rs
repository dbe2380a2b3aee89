// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid trace`: what happens, in words.

use std::{
    fs::{self, OpenOptions},
    io::Read,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    process,
};

use anyhow::{Context, Result};
use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    module,
    output::{self, bytes, line, styled, DIM},
    reason::Reason,
    system::{parse_number, System},
};

const TRACING: &str = "/sys/kernel/tracing";

/// Something that happened.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Seconds since the machine was booted.
    pub time: f64,
    /// The process.
    pub pid: u32,
    /// What it is called.
    pub comm: String,
    /// `attach`, `map`, `pin`, `register`, or its opposite.
    pub event: String,
    /// The fields of the tracepoint, as texts.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// A line of `trace_pipe`: `comm-pid [cpu] flags time: vfio_pasid_name: key=value...`.
    fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_once(": vfio_pasid_")?;
        let (event, fields) = rest.split_once(": ")?;
        let mut words = head.split_whitespace();
        let time = words.next_back()?.parse().ok()?;
        let task = head.trim_start().split(" [").next()?.trim_end();
        let (comm, pid) = task.rsplit_once('-')?;
        let fields = fields
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Some(Self {
            time,
            pid: pid.parse().ok()?,
            comm: comm.to_owned(),
            event: event.to_owned(),
            fields: fields.collect(),
        })
    }

    fn field(&self, key: &str) -> &str {
        let field = self.fields.iter().find(|(name, _)| name == key);
        field.map_or("?", |(_, value)| value)
    }

    fn range(&self, key: &str) -> String {
        let size = parse_number(self.field("size")).unwrap_or_default();
        format!("{} at {}", bytes(size), self.field(key))
    }

    /// What happened, in words.
    fn words(&self) -> String {
        let space = match self.field("pasid") {
            "0" => "the own space".to_owned(),
            pasid => format!("PASID {pasid}"),
        };
        let access = match (self.field("read"), self.field("write")) {
            ("1", "1") => "to read and write",
            ("1", _) => "to read",
            _ => "to write",
        };
        match self.event.as_str() {
            "attach" => format!("attached {} under {space}", self.field("dev")),
            "detach" => format!("detached {} from {space}", self.field("dev")),
            "map" => format!("mapped {} of {space}, {access}", self.range("iova")),
            "unmap" => format!("unmapped {} of {space}", self.range("iova")),
            "register" => format!("registered {}", self.range("vaddr")),
            "unregister" => format!("unregistered {}", self.range("vaddr")),
            "pin" => format!("pinned {}", self.range("vaddr")),
            "unpin" => format!("unpinned {}", self.range("vaddr")),
            other => {
                let fields = self.fields.iter();
                let fields: Vec<_> = fields
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("{other} {}", fields.join(" "))
            }
        }
    }

    fn print(&self) {
        let who = format!("{}[{}]", self.comm, self.pid);
        line(format!(
            "{} {who:<24} {}",
            styled(DIM, format!("{:>14.6}", self.time)),
            self.words()
        ));
    }
}

/// A trace of this program's own, beside whatever else is traced.
struct Instance(PathBuf);

impl Instance {
    fn new(system: &System) -> Result<Self> {
        let folder = system.path(&format!("{TRACING}/instances/vfio-pasid-{}", process::id()));
        fs::create_dir(&folder)?;
        let instance = Self(folder);
        fs::write(instance.0.join("events/vfio_pasid/enable"), "1")
            .context("the kernel has no tracepoints of vfio_pasid")?;
        Ok(instance)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It is gone when nobody reads it any more.
        let _ = fs::write(self.0.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

/// Prints what happens until Ctrl-C.
///
/// # Errors
///
/// With a reason and its remedy.
pub fn run(system: &System, json: bool) -> Result<()> {
    module::require_ours(system)?;
    // What ends it comes as something to read, so that the instance is taken away.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let instance = Instance::new(system).map_err(|error| {
        let reason = Reason::NeedsRoot;
        error.context(format!(
            "cannot trace: {}: {}",
            reason.what(),
            reason.remedy()
        ))
    })?;
    let mut pipe = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(instance.0.join("trace_pipe"))?;
    if !json {
        anstream::eprintln!("tracing; Ctrl-C ends it");
    }
    let mut text = Vec::new();
    loop {
        let mut polled = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut polled, PollTimeout::NONE)?;
        let ended = polled.first().and_then(PollFd::any) == Some(true);
        let mut part = [0; 4096];
        while let Ok(size @ 1..) = pipe.read(&mut part) {
            text.extend(part.iter().take(size));
        }
        print_lines(&mut text, json)?;
        if ended {
            return Ok(());
        }
    }
}

/// Prints the lines that are whole, and keeps the rest.
fn print_lines(text: &mut Vec<u8>, json: bool) -> Result<()> {
    while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
        let rest = text.split_off(end + 1);
        let whole = std::mem::replace(text, rest);
        let Some(event) = Event::parse(String::from_utf8_lossy(&whole).trim_end()) else {
            continue;
        };
        if json {
            output::json(&event)?;
        } else {
            event.print();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    #[test]
    fn a_line_is_what_it_says() {
        let text = "     a b-c-1042    [001] .....    12.345678: vfio_pasid_map: pasid=17 \
                    iova=0x100000 size=0x1000 read=1 write=0";
        let event = Event::parse(text).unwrap();
        assert_eq!(event.comm, "a b-c");
        assert_eq!(event.pid, 1042);
        assert_eq!(event.event, "map");
        assert_eq!(
            event.words(),
            "mapped 4 KiB at 0x100000 of PASID 17, to read"
        );
        assert_eq!(Event::parse("# tracer: nop"), None);
    }
}
