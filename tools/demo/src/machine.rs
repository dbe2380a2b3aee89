// SPDX-License-Identifier: GPL-2.0-only

//! The machine around the story: modules, devices, and how both are left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure, Context, Result};
use vfio_pasid::PciFunction;

use crate::{
    driver::{bind_to_vfio, release_from_vfio},
    story::{chapter, line},
};

/// How many PASIDs a process may hold in the story.
pub const QUOTA: u32 = 4;

/// How long it may take until what was closed is unmapped and unpinned.
const CLOSING_TIME: Duration = Duration::from_secs(10);

/// Bits of /proc/sys/kernel/tainted that a sound kernel does not have: died, warned, locked up
/// (Documentation/admin-guide/tainted-kernels.rst of the kernel).
const UNSOUND: u32 = (1 << 7) | (1 << 9) | (1 << 14);

/// Modules and devices as the story wants them.
pub struct SetUp {
    devices: Vec<PciFunction>,
    taint: u32,
}

impl SetUp {
    /// Loads the modules of the folder `modules` and binds the devices to vfio-pci.
    pub fn new(modules: PathBuf, devices: Vec<PciFunction>) -> Result<Self> {
        chapter("The machine");
        line("kernel", kernel()?);
        let taint = read_number("/proc/sys/kernel/tainted")?;

        run(Command::new("modprobe").arg("vfio-pci"))?;
        for module in ["vfio_pasid", "vfio_iommu_type1"] {
            let rmmod = "rmmod vfio_iommu_type1 vfio_pasid";
            ensure!(
                !loaded(module),
                "{module} is loaded already; first: {rmmod}"
            );
        }
        let parameter = format!("pasid_quota={QUOTA}");
        insmod(&modules, "vfio_pasid", Some(&parameter))?;
        let quota = read_number("/sys/module/vfio_pasid/parameters/pasid_quota")?;
        ensure!(
            quota == QUOTA,
            "{parameter} was asked for, the module has {quota}"
        );
        line(
            "insmod vfio_pasid.ko",
            format!("pasid_quota={quota}: each process may hold {quota}"),
        );
        insmod(&modules, "vfio_iommu_type1", None)?;
        line(
            "insmod vfio_iommu_type1.ko",
            format!(
                "the stock type1, wrapped; in use by {}",
                users("vfio_iommu_type1")?
            ),
        );

        for device in &devices {
            bind_to_vfio(*device)?;
            line(
                format!("{device}, {}", device.id()?),
                format!("bound to vfio-pci, IOMMU group {}", device.iommu_group()?),
            );
        }
        Ok(Self { devices, taint })
    }

    /// Gives the devices back and unloads the modules, which must not be in use.
    pub fn undo(self) -> Result<()> {
        chapter("Everything is back as it was");
        line("drivers of the devices", self.release_devices()?.join(", "));
        nothing_counted()?;
        for module in ["vfio_iommu_type1", "vfio_pasid"] {
            let users = users(module)?;
            run(Command::new("rmmod").arg(module))?;
            ensure!(!loaded(module), "{module} is still loaded after rmmod");
            line(
                format!("rmmod {module}"),
                format!("was in use by {users}, is unloaded"),
            );
        }
        let taint = read_number("/proc/sys/kernel/tainted")?;
        let new = taint & !self.taint & UNSOUND;
        ensure!(new == 0, "the kernel complained (taint {new}): see dmesg");
        line("warnings of the kernel", "none");
        Ok(())
    }

    /// Takes the devices from vfio-pci, and returns which drivers they have now.
    fn release_devices(&self) -> Result<Vec<String>> {
        let mut drivers = Vec::new();
        for device in &self.devices {
            release_from_vfio(*device)?;
            let driver = device.driver()?;
            drivers.push(driver.unwrap_or_else(|| "none".to_owned()));
        }
        Ok(drivers)
    }
}

/// Release and version of the kernel.
fn kernel() -> Result<String> {
    let release = read("/proc/sys/kernel/osrelease")?;
    let version = read("/proc/sys/kernel/version")?;
    // Such as: #1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1 (2026-11-14)
    let package = version
        .find("Debian")
        .map_or("", |at| version.split_at(at).1);
    Ok(match package.split(" (").next() {
        Some("") | None => release,
        Some(package) => format!("{release}, {package}"),
    })
}

fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.trim().to_owned())
}

fn read_number(path: &str) -> Result<u32> {
    let text = read(path)?;
    text.parse()
        .with_context(|| format!("{path} says '{text}'"))
}

fn loaded(module: &str) -> bool {
    fs::exists(format!("/sys/module/{module}")).unwrap_or(false)
}

/// Locked memory (VmLck) of this process in kB.
pub fn locked_memory() -> Result<u64> {
    let status = read("/proc/self/status")?;
    let mut lines = status.lines();
    let locked = lines.find_map(|line| line.strip_prefix("VmLck:")?.strip_suffix("kB"));
    let locked = locked.context("/proc/self/status has no VmLck")?;
    Ok(locked.trim().parse()?)
}

/// How much of something vfio_pasid has, such as `("spaces", 2)`.
type Counter = (String, u64);

/// The counters of vfio_pasid.
fn counters() -> Result<Vec<Counter>> {
    let text = read("/sys/kernel/debug/vfio_pasid/in_use")?;
    text.lines()
        .map(|line| {
            let (name, number) = line.split_once(' ').context("a counter without a number")?;
            Ok((name.to_owned(), number.parse()?))
        })
        .collect()
}

/// The number of the counter `name`.
fn number_of(counters: &[Counter], name: &str) -> Result<u64> {
    let found = counters.iter().find(|counter| counter.0 == name);
    let counter = found.with_context(|| format!("there is no counter {name}"))?;
    Ok(counter.1)
}

/// Waits until nothing is left to be done of what was closed.
fn wait_for_closing() -> Result<()> {
    let end = Instant::now() + CLOSING_TIME;
    while number_of(&counters()?, "closing")? > 0 {
        ensure!(
            Instant::now() < end,
            "what was closed is not undone after {CLOSING_TIME:?}"
        );
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Tells four counters of vfio_pasid, which must be as `wanted`.
pub fn counted(wanted: [(&str, u64); 4]) -> Result<()> {
    let counters = counters()?;
    let mut told = Vec::new();
    for (name, wanted) in wanted {
        let number = number_of(&counters, name)?;
        ensure!(number == wanted, "{name} {number}, not {wanted}");
        told.push(format!("{name} {number}"));
    }
    line("counters in debugfs", told.join(", "));
    Ok(())
}

/// Tells that all counters of vfio_pasid are 0, as they must be soon after a close.
pub fn nothing_counted() -> Result<()> {
    wait_for_closing()?;
    let counters = counters()?;
    if let Some((name, number)) = counters.iter().find(|counter| counter.1 != 0) {
        bail!("still in use: {name} {number}");
    }
    line(
        "counters in debugfs",
        format!("all {} are 0", counters.len()),
    );
    Ok(())
}

/// How many use a module; modules that need it count.
fn users(module: &str) -> Result<u32> {
    read_number(&format!("/sys/module/{module}/refcnt"))
}

fn insmod(modules: &Path, module: &str, parameter: Option<&str>) -> Result<()> {
    let file = modules.join(module).with_extension("ko");
    run(Command::new("insmod").arg(file).args(parameter))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status}); dmesg may say why");
    }
    Ok(())
}
