// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid doctor`: what to change.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use nix::{
    sys::resource::{getrlimit, Resource},
    unistd::{access, AccessFlags},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    device::Device,
    held::{self, Held},
    iommu,
    module::{self, Installed, Loaded},
    output::{bytes, line, styled, BAD, DIM, FAIR, GOOD},
    reason::Reason,
    status::Status,
    system::System,
};

/// Locked memory that is low: the default of most systems.
const LOW_MEMLOCK: u64 = 8 << 20;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// It could be better, or cannot be seen.
    Warning,
    /// PASIDs cannot be used.
    Error,
}

/// A line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub text: String,
    /// What is the matter, if anything.
    pub reason: Option<Reason>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What to change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Version of this answer; a field that goes, or changes its meaning, makes it one more.
    pub version: u32,
    /// The worst of the checks.
    pub worst: Verdict,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Check {
    fn ok(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict: Verdict::Ok,
            text: text.into(),
            reason: None,
            remedy: None,
        }
    }

    fn bad(name: impl Into<String>, verdict: Verdict, reason: Reason) -> Self {
        Self {
            name: name.into(),
            verdict,
            text: reason.what().to_owned(),
            reason: Some(reason),
            remedy: Some(reason.remedy().to_owned()),
        }
    }

    fn of(name: &str, reason: Option<Reason>, well: impl Into<String>) -> Self {
        match reason {
            None => Self::ok(name, well),
            Some(reason) => Self::bad(name, Verdict::Error, reason),
        }
    }

    /// With something that only this machine has.
    fn with(mut self, what: &str, value: &str) -> Self {
        self.remedy = self.remedy.map(|remedy| remedy.replace(what, value));
        self
    }

    fn print(&self) {
        let mark = match self.verdict {
            Verdict::Ok => styled(GOOD, "ok  "),
            Verdict::Warning => styled(FAIR, "fair"),
            Verdict::Error => styled(BAD, "bad "),
        };
        line(format!("{mark}  {:<14}{}", self.name, self.text));
        if let Some(remedy) = &self.remedy {
            line(format!("{:20}{}", "", styled(DIM, format!("do: {remedy}"))));
        }
    }
}

impl Diagnosis {
    /// Looks at the machine.
    pub fn look(system: &System, status: &Status) -> Self {
        let mut checks = kernel(system);
        checks.extend(modules(system, status));
        checks.push(signature(system));
        checks.extend(iommus(status));
        checks.extend(devices(system, status));
        checks.extend(process_space(status));
        checks.extend(permissions(system));
        checks.push(memlock());
        checks.extend(limits(system, status));
        let worst = checks.iter().map(|check| check.verdict).max();
        Self {
            version: 1,
            worst: worst.unwrap_or(Verdict::Ok),
            checks,
        }
    }

    /// Prints it for people; or of it what is not well only.
    pub fn print(&self, only_bad: bool) {
        for check in &self.checks {
            if !only_bad || check.verdict != Verdict::Ok {
                check.print();
            }
        }
    }

    /// The exit status.
    pub fn exit(&self) -> u8 {
        match self.worst {
            Verdict::Ok => 0,
            Verdict::Warning => 3,
            Verdict::Error => 4,
        }
    }
}

fn kernel(system: &System) -> Vec<Check> {
    let release = system.release();
    let mut checks = Vec::new();
    for (symbol, reason) in [
        ("RUST", Reason::NoRust),
        ("VFIO_CONTAINER", Reason::NoContainer),
    ] {
        let name = "kernel";
        checks.push(match iommu::config(system, symbol).as_deref() {
            Some("n") => Check::bad(name, Verdict::Error, reason),
            Some(_) => Check::ok(name, format!("{release} has CONFIG_{symbol}")),
            // What runs has it, whatever its configuration says.
            None if module::loaded(system) == Loaded::Ours => {
                Check::ok(name, format!("{release} has CONFIG_{symbol}: it is in use"))
            }
            None => Check {
                text: format!("the configuration of {release} is not there to read"),
                ..Check::bad(name, Verdict::Warning, Reason::Unknown)
            },
        });
    }
    checks
}

fn modules(system: &System, status: &Status) -> Vec<Check> {
    let installed = module::installed(system);
    let mut checks = vec![Check::of(
        "loaded",
        status.reason,
        "vfio-pasid's vfio_iommu_type1",
    )];
    checks.push(next(system, installed.as_ref()));
    let loaded = module::srcversion(system, "vfio_iommu_type1");
    let other = installed.as_ref().and_then(|installed| {
        let same = installed.srcversion.as_ref()? == loaded.as_ref()?;
        (!same && status.type1 == Loaded::Ours).then_some(Reason::OtherBuild)
    });
    if let Some(reason) = other {
        checks.push(Check::bad("loaded", Verdict::Warning, reason));
    }
    checks.extend(initramfs(system));
    checks
}

/// What modprobe would load. The Debian package knows why it built nothing, and what to do.
fn next(system: &System, installed: Option<&Installed>) -> Check {
    let check = next_by_the_files(system, installed);
    if check.verdict == Verdict::Ok {
        return check;
    }
    let said = system.ask("/usr/lib/vfio-pasid/kernel", &["reason"]);
    match said
        .as_deref()
        .map(str::trim)
        .and_then(|said| said.split_once('\n'))
    {
        Some((why, what)) => Check {
            text: format!("{}: {why}", check.text),
            remedy: Some(what.to_owned()),
            ..check
        },
        None => check,
    }
}

fn next_by_the_files(system: &System, installed: Option<&Installed>) -> Check {
    let name = "installed";
    let others = module::other_kernels(system);
    match installed {
        Some(installed) if installed.ours => {
            let fits = installed.vermagic.as_ref().is_none_or(|magic| {
                let release = magic.split(' ').next();
                release == Some(&system.release())
            });
            if fits {
                Check::ok(name, installed.path.clone())
            } else {
                Check::bad(name, Verdict::Error, Reason::StaleBuild)
            }
        }
        _ if !others.is_empty() => Check {
            text: format!("{}: {}", Reason::StaleBuild.what(), others.join(", ")),
            ..Check::bad(name, Verdict::Error, Reason::StaleBuild)
        },
        // It may have been loaded by hand.
        _ if module::loaded(system) == Loaded::Ours => {
            Check::bad(name, Verdict::Warning, Reason::StockNext)
        }
        _ => Check::bad(name, Verdict::Error, Reason::StockNext),
    }
}

/// Whether the initramfs would load another type1.
fn initramfs(system: &System) -> Option<Check> {
    let file = format!("/boot/initrd.img-{}", system.release());
    if !system.has(&file) {
        return None;
    }
    let list = system
        .ask_of("lsinitramfs", &file)
        .or_else(|| system.ask_of("lsinitrd", &file))?;
    let has = |name: &str| list.contains(&format!("/{name}.ko"));
    let name = "initramfs";
    Some(if has("vfio_iommu_type1") && !has("vfio_pasid") {
        Check::bad(name, Verdict::Warning, Reason::InitramfsStock)
    } else {
        Check::ok(name, "has no other vfio_iommu_type1")
    })
}

fn signature(system: &System) -> Check {
    let name = "signature";
    let lockdown = system
        .text("/sys/kernel/security/lockdown")
        .unwrap_or_default();
    let locked = lockdown.contains("[integrity]") || lockdown.contains("[confidentiality]");
    let enforced = system
        .text("/sys/module/module/parameters/sig_enforce")
        .is_some_and(|text| text == "Y");
    let signed = module::installed(system)
        .filter(|installed| installed.ours)
        .and_then(|installed| installed.signed);
    match (locked || enforced, signed) {
        (true, Some(false)) => Check::bad(name, Verdict::Error, Reason::Unsigned),
        (true, _) => Check::ok(name, "the kernel takes signed modules only"),
        (false, _) => Check::ok(name, "the kernel takes modules without"),
    }
}

fn iommus(status: &Status) -> Vec<Check> {
    if status.iommus.is_empty() {
        return vec![Check::bad("IOMMU", Verdict::Error, Reason::NoIommu)];
    }
    status
        .iommus
        .iter()
        .map(|iommu| {
            let well = format!("{} has PASID tables", iommu.name);
            Check::of("IOMMU", iommu.reason, well)
        })
        .collect()
}

/// Devices that a VFIO driver has; and whether there is any that could.
fn devices(system: &System, status: &Status) -> Vec<Check> {
    let mut checks: Vec<_> = status
        .devices
        .iter()
        .filter(|device| device.is_bound())
        .flat_map(|device| [Some(pasids(device)), group(system, device)])
        .flatten()
        .collect();
    let capable: Vec<_> = status
        .devices
        .iter()
        .filter(|device| device.width.is_some())
        .collect();
    if let (true, Some(device)) = (checks.is_empty(), capable.first()) {
        let check = Check::bad("devices", Verdict::Warning, Reason::NotBound);
        checks.push(check.with("ADDRESS", &device.address));
    } else if checks.is_empty() && !status.iommus.is_empty() {
        let reasons = status.devices.iter().flat_map(|device| &device.reasons);
        let needs_root = reasons
            .into_iter()
            .any(|&reason| reason == Reason::NeedsRoot);
        let reason = if needs_root {
            Reason::NeedsRoot
        } else {
            Reason::NoCapability
        };
        checks.push(Check {
            text: "no device with PASIDs is seen".to_owned(),
            ..Check::bad("devices", Verdict::Warning, reason)
        });
    }
    checks
}

fn pasids(device: &Device) -> Check {
    match (device.width, device.reasons.first()) {
        (Some(width), _) => Check::ok(
            &device.address,
            format!("PASIDs of {width} bits, bound to vfio-pci"),
        ),
        (None, reason) => {
            let reason = reason.copied().unwrap_or(Reason::Unknown);
            Check::bad(&device.address, Verdict::Warning, reason)
        }
    }
}

/// If root allows process spaces, whether there is a device that can have one.
fn process_space(status: &Status) -> Option<Check> {
    let name = "process space";
    if !status.process_space? {
        return Some(Check::ok(name, "not allowed, which is the default"));
    }
    let bound = || status.devices.iter().filter(|device| device.is_bound());
    let can: Vec<_> = bound()
        .filter(|device| device.process_space.is_none())
        .map(|device| &*device.address)
        .collect();
    if !can.is_empty() {
        let text = format!("a process can be attached to {}", can.join(", "));
        return Some(Check::ok(name, text));
    }
    // Of the others, doctor says that they have no PASIDs.
    let reason = bound().find_map(|device| device.width.and(device.process_space));
    Some(Check::bad(name, Verdict::Warning, reason?))
}

/// Whether the caller may open the group; root may.
fn group(system: &System, device: &Device) -> Option<Check> {
    let file = format!("/dev/vfio/{}", device.group?);
    let path = system.path(&file);
    if may_open(&path) {
        return Some(Check::ok(&device.address, format!("you may open {file}")));
    }
    let check = Check::bad(&device.address, Verdict::Warning, Reason::GroupDenied);
    Some(check.with("GROUP", &device.group?.to_string()))
}

fn may_open(path: &Path) -> bool {
    access(path, AccessFlags::R_OK | AccessFlags::W_OK).is_ok()
}

fn permissions(system: &System) -> Vec<Check> {
    let container = system.path("/dev/vfio/vfio");
    let mut checks = vec![if !container.exists() {
        Check::bad("container", Verdict::Error, Reason::NoVfio)
    } else if may_open(&container) {
        Check::ok("container", "you may open /dev/vfio/vfio")
    } else {
        Check::bad("container", Verdict::Error, Reason::ContainerDenied)
    }];
    if module::loaded(system) == Loaded::Ours {
        checks.push(match Held::read(system) {
            Ok(_) => Check::ok("debugfs", "you may see who holds what"),
            Err(error)
                if held::io_kind(&error) == Some(std::io::ErrorKind::PermissionDenied)
                    || held::io_kind(&error) == Some(std::io::ErrorKind::NotFound) =>
            {
                Check {
                    text: format!("who holds what: {}", Reason::NeedsRoot.what()),
                    ..Check::bad("debugfs", Verdict::Warning, Reason::NeedsRoot)
                }
            }
            Err(error) => Check {
                text: error.to_string(),
                ..Check::bad("debugfs", Verdict::Warning, Reason::OtherBuild)
            },
        });
    }
    checks
}

fn memlock() -> Check {
    let name = "memory";
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _)) if soft == nix::libc::RLIM_INFINITY => {
            Check::ok(name, "no limit of locked memory")
        }
        Ok((soft, _)) if soft > LOW_MEMLOCK || nix::unistd::geteuid().is_root() => {
            Check::ok(name, format!("{} may be locked", bytes(soft)))
        }
        Ok((soft, _)) => Check {
            text: format!(
                "{} may be locked: {}",
                bytes(soft),
                Reason::LowMemlock.what()
            ),
            ..Check::bad(name, Verdict::Warning, Reason::LowMemlock)
        },
        Err(_) => Check::bad(name, Verdict::Warning, Reason::Unknown),
    }
}

fn limits(system: &System, status: &Status) -> Vec<Check> {
    if module::loaded(system) != Loaded::Ours {
        return Vec::new();
    }
    let reached = status
        .limits
        .iter()
        .filter(|limit| limit.used.is_some_and(|used| used >= limit.limit));
    let mut checks: Vec<_> = reached
        .map(|limit| Check {
            text: format!("{}: all {} are used by a process", limit.name, limit.limit),
            ..Check::bad("limits", Verdict::Warning, Reason::LimitReached)
        })
        .collect();
    if checks.is_empty() && status.limits.iter().any(|limit| limit.used.is_some()) {
        checks.push(Check::ok("limits", "none is reached"));
    }
    checks
}

/// Writes all that a bug report wants into one file.
///
/// # Errors
///
/// If the file cannot be written.
pub fn report(system: &System, status: &Status, diagnosis: &Diagnosis, file: &Path) -> Result<()> {
    let mut text = String::new();
    let mut part = |name: &str, content: &str| {
        let _ = writeln!(text, "=== {name}\n{}\n", content.trim_end());
    };
    part("vfio-pasid", env!("CARGO_PKG_VERSION"));
    part("uname", &system.ask("uname", &["-a"]).unwrap_or_default());
    part(
        "command line",
        &system.text("/proc/cmdline").unwrap_or_default(),
    );
    part("status", &serde_json::to_string_pretty(status)?);
    part("doctor", &serde_json::to_string_pretty(diagnosis)?);
    let seen = |file| {
        let text = system.text(file);
        text.unwrap_or_else(|| Reason::NeedsRoot.what().to_owned())
    };
    part("in use", &seen("/sys/kernel/debug/vfio_pasid/in_use"));
    part("held", &seen(held::FILE));
    let log = system.ask("dmesg", &[]);
    let log = log.map_or_else(
        || Reason::NeedsRoot.what().to_owned(),
        |log| {
            let words = ["vfio", "DMAR", "iommu", "pasid", "PASID"];
            let lines = log
                .lines()
                .filter(|line| words.iter().any(|word| line.contains(word)));
            lines.collect::<Vec<_>>().join("\n")
        },
    );
    part("kernel log", &log);
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
