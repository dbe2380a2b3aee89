// SPDX-License-Identifier: GPL-2.0-only

//! The IOMMUs of the machine, and how the kernel uses them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{reason::Reason, system::System};

/// Bits of VT-d's capability register (Intel VT-d specification 4.1, 11.4.2).
const CAP_FIRST_STAGE_1G: u64 = 1 << 56;
const CAP_FIRST_STAGE_5_LEVELS: u64 = 1 << 60;
const CAP_MAMV_SHIFT: u32 = 48;
const CAP_MAMV_MASK: u64 = 0x3f;
const CAP_SECOND_STAGE_2M: u64 = 1 << 34;
const CAP_SECOND_STAGE_1G: u64 = 1 << 35;
/// Bits of its extended capability register (11.4.3).
const ECAP_PASID: u64 = 1 << 40;
const ECAP_SCALABLE: u64 = 1 << 43;
const ECAP_SECOND_STAGE: u64 = 1 << 46;
const ECAP_FIRST_STAGE: u64 = 1 << 47;
const ECAP_WALK_COHERENCY: u64 = 1 << 48;

/// An IOMMU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Iommu {
    /// What the kernel calls it.
    pub name: String,
    /// `intel`, `amd` or `other`.
    pub kind: Kind,
    /// `scalable` or `legacy`, of VT-d.
    pub mode: Option<Mode>,
    /// The kinds of tables that it has in scalable mode.
    pub tables: Vec<&'static str>,
    /// The sizes of pages that aux spaces can have, in bytes.
    pub page_sizes: Vec<u64>,
    /// Why no aux space can be attached behind it.
    pub reason: Option<Reason>,
    /// Why no process can be.
    pub process_space: Option<Reason>,
}

/// Whose IOMMU it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// VT-d.
    Intel,
    /// AMD's.
    Amd,
    /// Another.
    Other,
}

/// How the kernel uses a VT-d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// With PASID tables.
    Scalable,
    /// Without.
    Legacy,
}

/// All IOMMUs that the kernel uses; none without `intel_iommu=on` and the like.
pub fn all(system: &System) -> Vec<Iommu> {
    let names = system.names("/sys/class/iommu");
    names
        .into_iter()
        .map(|name| look(system, name))
        .collect::<Vec<_>>()
}

fn look(system: &System, name: String) -> Iommu {
    let folder = format!("/sys/class/iommu/{name}");
    if system.has(&format!("{folder}/intel-iommu")) {
        return intel(system, name, &format!("{folder}/intel-iommu"));
    }
    let amd = system.has(&format!("{folder}/amd-iommu"));
    let v2 = options(system, "amd_iommu").contains(&"pgtbl_v2".to_owned());
    Iommu {
        name,
        kind: if amd { Kind::Amd } else { Kind::Other },
        mode: None,
        tables: Vec::new(),
        page_sizes: Vec::new(),
        reason: Some(if amd { Reason::Amd } else { Reason::OtherIommu }),
        process_space: Some(if amd && !v2 {
            Reason::AmdTables
        } else {
            Reason::OtherIommu
        }),
    }
}

fn intel(system: &System, name: String, folder: &str) -> Iommu {
    let register = |file: &str| {
        let text = system.text(&format!("{folder}/{file}"));
        text.and_then(|text| u64::from_str_radix(&text, 16).ok())
            .unwrap_or_default()
    };
    let (cap, ecap) = (register("cap"), register("ecap"));
    let capable = ecap & ECAP_SCALABLE != 0 && ecap & ECAP_PASID != 0;
    let scalable = capable && scalable_mode(system);
    let first = ecap & ECAP_FIRST_STAGE != 0;
    let second = ecap & ECAP_SECOND_STAGE != 0;
    let mut tables = Vec::new();
    let mut page_sizes = vec![1 << 12];
    if scalable {
        tables.extend(first.then_some("first-stage"));
        tables.extend(second.then_some("second-stage"));
        // The kernel prefers first-stage tables.
        let (large, huge) = if first {
            (true, cap & CAP_FIRST_STAGE_1G != 0)
        } else {
            (
                cap & CAP_SECOND_STAGE_2M != 0,
                cap & CAP_SECOND_STAGE_1G != 0,
            )
        };
        page_sizes.extend(large.then_some(1 << 21));
        page_sizes.extend(huge.then_some(1 << 30));
    }
    let reason = match (scalable, capable) {
        (true, _) => None,
        (false, true) => Some(Reason::LegacyMode),
        (false, false) => Some(Reason::NoScalableMode),
    };
    Iommu {
        name,
        kind: Kind::Intel,
        mode: Some(if scalable {
            Mode::Scalable
        } else {
            Mode::Legacy
        }),
        tables,
        page_sizes,
        reason,
        process_space: reason.or_else(|| walks_processes(system, cap, ecap).err()),
    }
}

/// As the driver of VT-d asks it (`intel_svm_check()`): the tables of a process are those that the
/// processor uses. And vfio-pasid asks for flushes of any range.
fn walks_processes(system: &System, cap: u64, ecap: u64) -> Result<(), Reason> {
    let cpuinfo = system.text("/proc/cpuinfo").unwrap_or_default();
    let processor_has = |flag| {
        let mut lines = cpuinfo.lines();
        let flags = lines.find(|line| line.starts_with("flags"));
        flags.is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
    };
    let huge = cap & CAP_FIRST_STAGE_1G != 0 || !processor_has("pdpe1gb");
    if ecap & ECAP_WALK_COHERENCY == 0 || !huge {
        return Err(Reason::NoProcessTables);
    }
    if cap & CAP_FIRST_STAGE_5_LEVELS == 0 && processor_has("la57") {
        return Err(Reason::FiveLevels);
    }
    let address_bits = if processor_has("la57") { 56 } else { 47 };
    if (cap >> CAP_MAMV_SHIFT) & CAP_MAMV_MASK < address_bits - 12 {
        return Err(Reason::SmallFlushes);
    }
    if config(system, "IOMMU_SVA").as_deref() == Some("n") {
        return Err(Reason::NoSva);
    }
    Ok(())
}

/// What the command line of the kernel says behind `name=`.
fn options(system: &System, name: &str) -> Vec<String> {
    let line = system.text("/proc/cmdline").unwrap_or_default();
    line.split_whitespace()
        .filter_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .flat_map(|options| options.split(','))
        .map(str::to_owned)
        .collect()
}

/// Whether the kernel was asked for it, or does so by itself. Where its configuration cannot be
/// read, it is taken for one that does, as Debian's.
fn scalable_mode(system: &System) -> bool {
    let mut scalable =
        config(system, "INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON").is_none_or(|value| value == "y");
    for option in options(system, "intel_iommu") {
        match option.as_str() {
            "sm_on" => scalable = true,
            "sm_off" => scalable = false,
            _ => {}
        }
    }
    scalable
}

/// The value of a symbol of the kernel's configuration, `n` if it is not set; `None` if the
/// configuration cannot be read.
pub fn config(system: &System, symbol: &str) -> Option<String> {
    let release = system.release();
    let text = [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/lib/modules/{release}/build/.config"),
    ]
    .iter()
    .find_map(|file| system.text(file))
    .or_else(|| system.ask("zcat", &["/proc/config.gz"]))?;
    let prefix = format!("CONFIG_{symbol}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    Some(value.unwrap_or("n").to_owned())
}
