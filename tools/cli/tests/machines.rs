// SPDX-License-Identifier: GPL-2.0-only

//! Machines that nobody here has, as folders with the files that theirs would have.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use vfio_pasid_cli::{
    doctor::{Diagnosis, Verdict},
    iommu::Mode,
    module::Loaded,
    reason::Reason,
    status::Status,
    system::System,
};

const RELEASE: &str = "7.3.4-test";
const CAP: &str = "d2008c40660462";
/// With scalable mode, PASIDs and first-stage tables; and without.
const SCALABLE: &str = "890000f010da";
const LEGACY: &str = "f020df";
/// Which can walk the tables of processes, of 4 levels and of 5.
const WALKS: &str = "1890000f010da";
const CAP_WALKS: &str = "1ed008c40660462";
const CAP_WALKS_5: &str = "11ed008c40660462";

/// A machine, which is gone with its test.
struct Machine(PathBuf);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a function is to be like.
#[derive(Clone, Copy)]
struct Function {
    bridge: bool,
    /// PASIDs: the capability, and whether it is enabled.
    pasids: Option<bool>,
    prefix: bool,
    acs: bool,
    /// ATS and PRI: the capability, and whether it is enabled.
    ats: Option<bool>,
    pri: Option<bool>,
    multifunction: bool,
    /// How much of its configuration space can be read.
    seen: usize,
}

const ENDPOINT: Function = Function {
    bridge: false,
    pasids: Some(true),
    prefix: true,
    acs: false,
    ats: Some(true),
    pri: None,
    multifunction: false,
    seen: 4096,
};

const ROOT_PORT: Function = Function {
    bridge: true,
    pasids: None,
    prefix: true,
    acs: true,
    ats: None,
    pri: None,
    multifunction: false,
    seen: 4096,
};

impl Function {
    fn config(&self) -> Vec<u8> {
        let mut space = vec![0; 4096];
        space[0x0e] = u8::from(self.bridge) | if self.multifunction { 0x80 } else { 0 };
        space[0x34] = 0x40;
        // Power management, and then PCI Express.
        space[0x40] = 0x01;
        space[0x41] = 0x60;
        space[0x60] = 0x10;
        space[0x62] = 2 | if self.bridge { 4 << 4 } else { 0 };
        space[0x60 + 0x24 + 2] = if self.prefix { 1 << 5 } else { 0 };
        let mut last: Option<usize> = None;
        let mut add = |space: &mut Vec<u8>, id: u8, at: usize| {
            if let Some(last) = last {
                space[last + 2] |= (at << 4) as u8;
                space[last + 3] = (at >> 4) as u8;
            }
            space[at] = id;
            space[at + 2] = 1;
            last = Some(at);
        };
        // Something else comes first, as a list begins at 0x100.
        add(&mut space, 0x01, 0x100);
        if self.acs {
            add(&mut space, 0x0d, 0x140);
            space[0x146] = 0x1f;
        }
        if let Some(enabled) = self.pasids {
            add(&mut space, 0x1b, 0x180);
            space[0x185] = 20;
            space[0x186] = u8::from(enabled);
        }
        if let Some(enabled) = self.ats {
            add(&mut space, 0x0f, 0x1a0);
            space[0x1a7] = u8::from(enabled) << 7;
        }
        if let Some(enabled) = self.pri {
            add(&mut space, 0x13, 0x1c0);
            space[0x1c4] = u8::from(enabled);
        }
        space.truncate(self.seen);
        space
    }
}

impl Machine {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("machine-{name}"));
        let _ = fs::remove_dir_all(&root);
        let machine = Self(root);
        machine.write("/proc/sys/kernel/osrelease", RELEASE);
        machine.write("/proc/cmdline", "intel_iommu=on");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn with_intel(self, ecap: &str) -> Self {
        let folder = "/sys/class/iommu/dmar0/intel-iommu";
        self.write(&format!("{folder}/cap"), CAP);
        self.write(&format!("{folder}/ecap"), ecap);
        self
    }

    /// A function below the bridges of `way`, `/`-separated; in a group, if it has one.
    fn with(self, way: &str, function: Function, group: Option<u32>, driver: &str) -> Self {
        let address = way.rsplit('/').next().unwrap();
        let folder = format!("/sys/devices/pci0000:00/{way}");
        self.write(&format!("{folder}/config"), function.config());
        self.write(&format!("{folder}/vendor"), "0x1234");
        self.write(&format!("{folder}/device"), "0x5041");
        if let Some(group) = group {
            self.link(
                &format!("{folder}/iommu_group"),
                &format!("../groups/{group}"),
            );
        }
        if !driver.is_empty() {
            self.link(&format!("{folder}/driver"), &format!("../drivers/{driver}"));
        }
        self.link(&format!("{folder}/iommu"), "../iommu/dmar0");
        self.link(
            &format!("/sys/bus/pci/devices/{address}"),
            &format!("../../../devices/pci0000:00/{way}"),
        );
        self
    }

    fn status(&self) -> Status {
        Status::look(&System::new(&self.0))
    }

    fn diagnosis(&self) -> Diagnosis {
        Diagnosis::look(&System::new(&self.0), &self.status())
    }
}

/// The only device's width and reasons.
fn pasids(machine: &Machine) -> (Option<u32>, Vec<Reason>) {
    let devices = machine.status().devices;
    assert_eq!(devices.len(), 1, "{devices:?}");
    (devices[0].width, devices[0].reasons.clone())
}

fn behind_a_port(name: &str, port: Function, function: Function) -> Machine {
    Machine::new(name)
        .with_intel(SCALABLE)
        .with("0000:00:01.0", port, Some(1), "pcieport")
        .with("0000:00:01.0/0000:01:00.0", function, Some(2), "vfio-pci")
}

#[test]
fn a_device_that_can_has_its_width() {
    let machine = behind_a_port("good", ROOT_PORT, ENDPOINT);
    assert_eq!(pasids(&machine), (Some(20), vec![]));
    let iommu = &machine.status().iommus[0];
    assert_eq!(iommu.mode, Some(Mode::Scalable));
    assert_eq!(iommu.tables, ["first-stage"]);
}

#[test]
fn what_lacks_something_says_so() {
    for (name, port, function, reason) in [
        (
            "capability",
            ROOT_PORT,
            Function {
                pasids: None,
                ..ENDPOINT
            },
            Reason::NoCapability,
        ),
        (
            "enabled",
            ROOT_PORT,
            Function {
                pasids: Some(false),
                ..ENDPOINT
            },
            Reason::NotEnabled,
        ),
        (
            "prefix",
            ROOT_PORT,
            Function {
                prefix: false,
                ..ENDPOINT
            },
            Reason::NoPrefix,
        ),
        (
            "prefix-of-the-port",
            Function {
                prefix: false,
                ..ROOT_PORT
            },
            ENDPOINT,
            Reason::NoPrefix,
        ),
        (
            "acs-of-the-port",
            Function {
                acs: false,
                ..ROOT_PORT
            },
            ENDPOINT,
            Reason::NoAcs,
        ),
        (
            "acs-of-several-functions",
            ROOT_PORT,
            Function {
                multifunction: true,
                ..ENDPOINT
            },
            Reason::NoAcs,
        ),
        (
            "root",
            ROOT_PORT,
            Function {
                seen: 64,
                ..ENDPOINT
            },
            Reason::NeedsRoot,
        ),
    ] {
        let machine = behind_a_port(name, port, function);
        assert_eq!(pasids(&machine), (None, vec![reason]), "{name}");
    }
}

#[test]
fn several_in_a_group_and_none_bound() {
    let machine = Machine::new("several")
        .with_intel(SCALABLE)
        .with("0000:00:02.0", ENDPOINT, Some(3), "vfio-pci")
        .with("0000:00:03.0", ENDPOINT, Some(3), "vfio-pci")
        .with("0000:00:04.0", ENDPOINT, Some(4), "nvme");
    let devices = machine.status().devices;
    assert_eq!(devices[0].reasons, [Reason::SeveralInGroup]);
    assert_eq!(devices[1].width, None);
    assert_eq!(devices[2].reasons, [Reason::NotBound]);
    assert_eq!(devices[2].width, Some(20));
}

#[test]
fn an_iommu_that_cannot_says_why() {
    let one = |name| Machine::new(name).with("0000:00:02.0", ENDPOINT, Some(3), "vfio-pci");
    let legacy = one("legacy").with_intel(LEGACY);
    assert_eq!(pasids(&legacy).1, [Reason::NoScalableMode]);
    let off = one("sm_off").with_intel(SCALABLE);
    off.write("/proc/cmdline", "quiet intel_iommu=on,sm_off");
    assert_eq!(pasids(&off).1, [Reason::LegacyMode]);
    // The kernel's own default, and the command line's word against it.
    off.write("/proc/cmdline", "intel_iommu=on");
    off.write(&format!("/boot/config-{RELEASE}"), "CONFIG_RUST=y\n");
    assert_eq!(pasids(&off).1, [Reason::LegacyMode]);
    off.write("/proc/cmdline", "intel_iommu=on,sm_on");
    assert_eq!(pasids(&off), (Some(20), vec![]));
    let amd = one("amd");
    amd.write("/sys/class/iommu/ivhd0/amd-iommu/cap", "0");
    assert_eq!(pasids(&amd).1, [Reason::Amd]);
    let other = one("other");
    other.write("/sys/class/iommu/smmu3.0x1/uevent", "");
    assert_eq!(pasids(&other).1, [Reason::OtherIommu]);
    assert_eq!(pasids(&one("none")).1, [Reason::NoIommu]);
    let no_group =
        Machine::new("no-group")
            .with_intel(SCALABLE)
            .with("0000:00:02.0", ENDPOINT, None, "nvme");
    assert_eq!(
        pasids(&no_group).1,
        [Reason::NoGroup, Reason::NotBound][..1]
    );
}

/// A machine with vfio-pasid where a process can be attached to the only device.
fn with_processes(name: &str, function: Function) -> Machine {
    let machine =
        Machine::new(name)
            .with_intel(WALKS)
            .with("0000:00:02.0", function, Some(3), "vfio-pci");
    machine.write("/sys/class/iommu/dmar0/intel-iommu/cap", CAP_WALKS);
    let module = "/sys/module/vfio_pasid";
    machine.write(&format!("{module}/holders/vfio_iommu_type1"), "");
    machine.write(&format!("{module}/parameters/process_space"), "Y\n");
    machine.write(&format!("{module}/parameters/process_space_pri"), "N\n");
    machine.write("/proc/cpuinfo", "processor: 0\nflags: fpu pdpe1gb sse\n");
    machine
}

fn process_space(machine: &Machine) -> Option<Reason> {
    machine.status().devices[0].process_space
}

#[test]
fn a_process_space_says_what_it_lacks() {
    let function = |ats, pri| Function {
        ats,
        pri,
        ..ENDPOINT
    };
    for (name, function, reason) in [
        ("process", ENDPOINT, None),
        ("process-no-ats", function(None, None), Some(Reason::NoAts)),
        (
            "process-ats-off",
            function(Some(false), None),
            Some(Reason::AtsOff),
        ),
        (
            "process-pri-off",
            function(Some(true), Some(false)),
            Some(Reason::PriOff),
        ),
        (
            "process-pri",
            function(Some(true), Some(true)),
            Some(Reason::ProcessSpacePriOff),
        ),
    ] {
        let machine = with_processes(name, function);
        assert_eq!(process_space(&machine), reason, "{name}");
        let verdict = match reason {
            None => Verdict::Ok,
            Some(_) => Verdict::Warning,
        };
        assert_eq!(said(&machine, "process space"), (verdict, reason), "{name}");
    }
    // Doctor says so about the device.
    let machine = with_processes(
        "process-pasid",
        Function {
            pasids: None,
            ..ENDPOINT
        },
    );
    assert_eq!(process_space(&machine), Some(Reason::NoCapability));
    let checks = machine.diagnosis().checks;
    assert!(checks.iter().all(|check| check.name != "process space"));
}

#[test]
fn a_process_space_wants_the_parameters() {
    let pri = Function {
        pri: Some(true),
        ..ENDPOINT
    };
    let machine = with_processes("parameters", pri);
    let parameter = |name: &str| format!("/sys/module/vfio_pasid/parameters/{name}");
    machine.write(&parameter("process_space_pri"), "Y\n");
    assert_eq!(process_space(&machine), None);
    assert_eq!(said(&machine, "process space"), (Verdict::Ok, None));
    machine.write(&parameter("process_space"), "N\n");
    assert_eq!(process_space(&machine), Some(Reason::ProcessSpaceOff));
    let status = machine.status();
    let seen = (status.process_space, status.process_space_pri);
    assert_eq!(seen, (Some(false), Some(true)));
    // It is the default.
    assert_eq!(said(&machine, "process space"), (Verdict::Ok, None));

    // A module that has not heard of it, and none.
    fs::remove_file(machine.path(&parameter("process_space"))).unwrap();
    assert_eq!(process_space(&machine), Some(Reason::ProcessSpaceOff));
    fs::remove_dir_all(machine.path("/sys/module/vfio_pasid")).unwrap();
    assert_eq!(process_space(&machine), Some(Reason::NotLoaded));
    assert_eq!(machine.status().process_space, None);
}

#[test]
fn a_process_space_wants_an_iommu_that_walks_its_tables() {
    let machine = with_processes("walks", ENDPOINT);
    let register = |name: &str| format!("/sys/class/iommu/dmar0/intel-iommu/{name}");
    let flags = |flags: &str| machine.write("/proc/cpuinfo", format!("flags : {flags}\n"));
    machine.write(&register("ecap"), SCALABLE);
    assert_eq!(process_space(&machine), Some(Reason::NoProcessTables));
    machine.write(&register("ecap"), WALKS);
    flags("fpu la57");
    assert_eq!(process_space(&machine), Some(Reason::FiveLevels));
    machine.write(&register("cap"), CAP_WALKS_5);
    assert_eq!(process_space(&machine), None);
    // Flushes of 2^35 pages at most, which do for 4 levels.
    machine.write(&register("cap"), "11e3008c40660462");
    assert_eq!(process_space(&machine), Some(Reason::SmallFlushes));
    flags("fpu");
    assert_eq!(process_space(&machine), None);
    machine.write(&register("cap"), "11e2008c40660462");
    assert_eq!(process_space(&machine), Some(Reason::SmallFlushes));
    // No first-stage pages of 1 GiB.
    flags("fpu pdpe1gb");
    machine.write(&register("cap"), "ed008c40660462");
    assert_eq!(process_space(&machine), Some(Reason::NoProcessTables));
    flags("fpu");
    assert_eq!(process_space(&machine), None);
    machine.write(&format!("/boot/config-{RELEASE}"), "CONFIG_RUST=y\n");
    machine.write("/proc/cmdline", "intel_iommu=on,sm_on");
    assert_eq!(process_space(&machine), Some(Reason::NoSva));
    machine.write("/proc/cmdline", "intel_iommu=on,sm_off");
    assert_eq!(process_space(&machine), Some(Reason::LegacyMode));

    let amd = with_processes("amd-process", ENDPOINT);
    fs::remove_dir_all(amd.path("/sys/class/iommu")).unwrap();
    amd.write("/sys/class/iommu/ivhd0/amd-iommu/cap", "0");
    assert_eq!(process_space(&amd), Some(Reason::AmdTables));
    amd.write("/proc/cmdline", "amd_iommu=force_isolation,pgtbl_v2");
    assert_eq!(process_space(&amd), Some(Reason::OtherIommu));
}

/// What doctor says under that name.
fn said(machine: &Machine, name: &str) -> (Verdict, Option<Reason>) {
    let diagnosis = machine.diagnosis();
    let check = diagnosis.checks.iter().find(|check| check.name == name);
    let check = check.unwrap();
    (check.verdict, check.reason)
}

fn module(srcversion: &str, release: &str) -> Vec<u8> {
    format!("ELF\0license=GPL\0srcversion={srcversion}\0vermagic={release} SMP \0").into_bytes()
}

#[test]
fn which_module_is_next() {
    let machine = Machine::new("modules").with_intel(SCALABLE);
    let folder = format!("/lib/modules/{RELEASE}");
    let stock = "kernel/drivers/vfio/vfio_iommu_type1.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n";
    machine.write(&format!("{folder}/modules.dep"), stock);
    let error = |reason| (Verdict::Error, Some(reason));
    assert_eq!(said(&machine, "installed"), error(Reason::StockNext));
    assert_eq!(said(&machine, "loaded"), error(Reason::NotLoaded));

    // After a kernel update.
    let ours = "updates/vfio_iommu_type1.ko: updates/vfio_pasid.ko\nupdates/vfio_pasid.ko:\n";
    machine.write("/lib/modules/7.3.3-test/modules.dep", ours);
    assert_eq!(said(&machine, "installed"), error(Reason::StaleBuild));

    machine.write(&format!("{folder}/modules.dep"), ours);
    let file = format!("{folder}/updates/vfio_iommu_type1.ko");
    machine.write(&file, module("AAAA", "7.3.3-test"));
    assert_eq!(said(&machine, "installed"), error(Reason::StaleBuild));
    machine.write(&file, module("AAAA", RELEASE));
    assert_eq!(said(&machine, "installed"), (Verdict::Ok, None));

    machine.write("/sys/module/vfio_iommu_type1/srcversion", "BBBB");
    assert_eq!(said(&machine, "loaded"), error(Reason::Stock));
    machine.write("/sys/module/vfio_pasid/holders/vfio_iommu_type1", "");
    assert_eq!(machine.status().type1, Loaded::Ours);
    let diagnosis = machine.diagnosis();
    let other = diagnosis
        .checks
        .iter()
        .any(|check| check.reason == Some(Reason::OtherBuild));
    assert!(other, "{diagnosis:?}");

    // Secure Boot.
    assert_eq!(said(&machine, "signature"), (Verdict::Ok, None));
    machine.write(
        "/sys/kernel/security/lockdown",
        "none [integrity] confidentiality",
    );
    assert_eq!(said(&machine, "signature"), error(Reason::Unsigned));
    let mut signed = module("AAAA", RELEASE);
    signed.extend(b"~Module signature appended~\n");
    machine.write(&file, signed);
    assert_eq!(said(&machine, "signature"), (Verdict::Ok, None));
}

#[test]
fn a_kernel_that_lacks_something() {
    let machine = Machine::new("config").with_intel(SCALABLE);
    let config = format!("/boot/config-{RELEASE}");
    machine.write(
        &config,
        "CONFIG_VFIO_CONTAINER=y\n# CONFIG_RUST is not set\n",
    );
    assert_eq!(
        said(&machine, "kernel"),
        (Verdict::Error, Some(Reason::NoRust))
    );
    machine.write(&config, "CONFIG_RUST=y\n");
    let diagnosis = machine.diagnosis();
    assert_eq!(diagnosis.checks[0].verdict, Verdict::Ok);
    assert_eq!(diagnosis.checks[1].reason, Some(Reason::NoContainer));
    assert_eq!(diagnosis.exit(), 4);
}
