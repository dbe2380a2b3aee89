// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid status`: what is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    device::{self, Device},
    held::Held,
    iommu::{self, Iommu, Mode},
    module::{self, Loaded},
    output::{self, bytes, line, styled, BAD, DIM, FAIR, GOOD, HEAD},
    reason::Reason,
    system::System,
};

/// What is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Version of this answer; a field that goes, or changes its meaning, makes it one more.
    pub version: u32,
    /// Of this program.
    pub program: &'static str,
    /// The release of the kernel.
    pub kernel: String,
    /// Which type1 is loaded.
    pub type1: Loaded,
    /// The version of the module vfio_pasid, if it is loaded.
    pub module: Option<String>,
    /// The hash of its source.
    pub srcversion: Option<String>,
    /// Why PASIDs cannot be had from it.
    pub reason: Option<Reason>,
    /// The IOMMUs that the kernel uses.
    pub iommus: Vec<Iommu>,
    /// What the module allows, and how much of it is used.
    pub limits: Vec<Limit>,
    /// The parameter process_space: whether root allows process spaces. None if it is not there.
    pub process_space: Option<bool>,
    /// The parameter process_space_pri: whether also for devices that may request pages.
    pub process_space_pri: Option<bool>,
    /// The PCI functions that are no bridges.
    pub devices: Vec<Device>,
}

/// A limit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Limit {
    /// The parameter of vfio_pasid.
    pub name: &'static str,
    /// Its value.
    pub limit: u64,
    /// How much of it is used: of a limit of processes, by the one that uses most. None if only
    /// root can see it.
    pub used: Option<u64>,
}

impl Status {
    /// Looks at the machine.
    pub fn look(system: &System) -> Self {
        let iommus = iommu::all(system);
        let devices = device::all(system, &iommus);
        let type1 = module::loaded(system);
        Self {
            version: 1,
            program: env!("CARGO_PKG_VERSION"),
            kernel: system.release(),
            type1,
            module: system.text("/sys/module/vfio_pasid/version"),
            srcversion: module::srcversion(system, "vfio_pasid"),
            reason: module::missing(type1),
            iommus,
            limits: limits(system),
            process_space: module::switch(system, "process_space"),
            process_space_pri: module::switch(system, "process_space_pri"),
            devices,
        }
    }

    /// Prints it for people.
    pub fn print(&self) {
        let type1 = match self.type1 {
            Loaded::Ours => styled(GOOD, "vfio-pasid"),
            Loaded::Stock => styled(FAIR, "the kernel's own"),
            Loaded::None => styled(BAD, "not loaded"),
        };
        let version = self.module.as_ref();
        let version = version.map_or_else(String::new, |version| format!(" {version}"));
        line(format!(
            "{:<18}{} {}, kernel {}",
            "vfio-pasid", "program", self.program, self.kernel
        ));
        line(format!("{:<18}{type1}{version}", "type1"));
        if let Some(reason) = self.reason {
            line(format!("{:<18}{}", "", reason.remedy()));
        }
        if self.iommus.is_empty() {
            let reason = Reason::NoIommu;
            line(format!("{:<18}{}", "IOMMU", styled(BAD, reason.what())));
            line(format!("{:<18}{}", "", reason.remedy()));
        }
        for iommu in &self.iommus {
            line(format!("{:<18}{}", "IOMMU", describe(iommu)));
            if let Some(reason) = iommu.reason {
                line(format!("{:<18}{}", "", reason.remedy()));
            }
        }
        for limit in &self.limits {
            let used = match limit.used {
                Some(used) => format!("{used} of {}", limit.limit),
                None => format!("{}, used: {}", limit.limit, Reason::NeedsRoot.what()),
            };
            line(format!("{:<18}{used}", limit.name));
        }
        for (name, on) in [
            ("process_space", self.process_space),
            ("process_space_pri", self.process_space_pri),
        ] {
            if let Some(on) = on {
                line(format!("{name:<18}{}", if on { "on" } else { "off" }));
            }
        }
        line("");
        let rows = self.devices.iter().map(row).collect();
        output::table(
            &["device", "id", "group", "driver", "PASIDs", "process space"],
            rows,
        );
        self.print_remedies();
        self.print_process_spaces();
    }

    /// Each remedy once, below the devices.
    fn print_remedies(&self) {
        let mut said = Vec::new();
        let reasons = self.devices.iter().flat_map(|device| &device.reasons);
        for &reason in reasons {
            if !said.contains(&reason) {
                said.push(reason);
            }
        }
        if !said.is_empty() {
            line("");
            line(styled(HEAD, "What to do"));
        }
        for reason in said {
            line(format!("  {}", reason.what()));
            line(format!("    {}", styled(DIM, reason.remedy())));
        }
    }

    /// Why devices with PASIDs have no process space, below the rest.
    fn print_process_spaces(&self) {
        let mut without: Vec<(Reason, Vec<&str>)> = Vec::new();
        for device in &self.devices {
            let own = |reason: &Reason| !device.reasons.contains(reason);
            let Some(reason) = device.process_space.filter(own) else {
                continue;
            };
            match without.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, devices)) => devices.push(&device.address),
                None => without.push((reason, vec![&device.address])),
            }
        }
        if !without.is_empty() {
            line("");
            line(styled(HEAD, "Why no process can be attached"));
        }
        for (reason, devices) in without {
            line(format!("  {}: {}", devices.join(", "), reason.what()));
            line(format!("    {}", styled(DIM, reason.remedy())));
        }
    }
}

fn describe(iommu: &Iommu) -> String {
    let mode = match iommu.mode {
        Some(Mode::Scalable) => styled(GOOD, "VT-d, scalable mode"),
        Some(Mode::Legacy) => styled(BAD, "VT-d, legacy mode"),
        None => styled(BAD, iommu.reason.map_or("", Reason::what)),
    };
    let mut text = format!("{}: {mode}", iommu.name);
    if !iommu.tables.is_empty() {
        text += &format!(", {} tables", iommu.tables.join(" and "));
    }
    if !iommu.page_sizes.is_empty() {
        let sizes: Vec<_> = iommu.page_sizes.iter().map(|&size| bytes(size)).collect();
        text += &format!(", pages of {}", sizes.join(", "));
    }
    text
}

fn row(device: &Device) -> Vec<String> {
    let none = || "-".to_owned();
    let reasons: Vec<_> = device.reasons.iter().map(|reason| reason.what()).collect();
    let pasids = match device.width {
        Some(width) => {
            let mut text = styled(GOOD, format!("{width} bits"));
            if !reasons.is_empty() {
                text += &format!("; {}", reasons.join("; "));
            }
            text
        }
        None => format!("none: {}", reasons.join("; ")),
    };
    vec![
        device.address.clone(),
        device.id.clone(),
        device.group.map_or_else(none, |group| group.to_string()),
        device.driver.clone().unwrap_or_else(none),
        pasids,
        match device.process_space {
            None => styled(GOOD, "yes"),
            Some(_) => "no".to_owned(),
        },
    ]
}

fn limits(system: &System) -> Vec<Limit> {
    let held = Held::read(system).ok();
    let most = |of: fn(&crate::held::Process) -> u64| {
        let held = held.as_ref()?;
        Some(held.processes.iter().map(of).max().unwrap_or_default())
    };
    module::LIMITS
        .into_iter()
        .filter_map(|name| {
            let used = match name {
                "pasid_quota" => most(|process| process.used),
                "region_limit" => most(|process| process.memory.len() as u64),
                "mapping_limit" => most(|process| process.mappings),
                _ => module::in_use(system, "attachments"),
            };
            Some(Limit {
                name,
                limit: module::parameter(system, name)?,
                used,
            })
        })
        .collect()
}
