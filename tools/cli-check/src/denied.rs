// SPDX-License-Identifier: GPL-2.0-only

//! vfio-pasid is loaded, and somebody asks who is not root.

use anyhow::Result;
use serde_json::Value;
use vfio_pasid::PciFunction;

use crate::{
    cases,
    situation::{
        answer, at, checks, expect_at, find, give, give_mode, nothing_is_held, say_as_nobody,
        use_type1, Type1, WIDE,
    },
    tap::Case,
};

pub const CASES: &[Case] = cases!(
    "cli",
    "denied",
    status,
    list,
    doctor,
    trace,
    demo,
    demo_by_who_was_given_the_group
);

fn status() -> Result<()> {
    use_type1(Type1::Ours)?;
    let status = answer(&say_as_nobody(&["status", "--json"])?, "status")?;
    expect_at(&status, "/type1", "ours")?;
    let quota = find(at(&status, "/limits")?, "name", "pasid_quota")?;
    expect_at(quota, "/limit", 1000)?;
    expect_at(quota, "/used", Value::Null)?;
    let device = find(at(&status, "/devices")?, "address", WIDE)?;
    expect_at(device, "/reasons", vec!["needs-root"])?;
    say_as_nobody(&["status"])?.expect(0, &["only root can see it", "sudo"])
}

fn list() -> Result<()> {
    use_type1(Type1::Ours)?;
    say_as_nobody(&["list"])?.expect(1, &["only root can see it: run it with sudo"])
}

fn doctor() -> Result<()> {
    use_type1(Type1::Ours)?;
    let checks = checks(&say_as_nobody(&["doctor", "--json"])?, 3)?;
    expect_at(find(&checks, "name", "debugfs")?, "/reason", "needs-root")?;
    expect_at(find(&checks, "name", "loaded")?, "/verdict", "ok")?;
    expect_at(find(&checks, "name", "memory")?, "/reason", "low-memlock")?;
    let words = ["fair  0000:00:10.0", "udev rule", "LimitMEMLOCK"];
    say_as_nobody(&["doctor"])?.expect(3, &words)?;
    // The kernel lets everybody in, unless root has closed it.
    give_mode("/dev/vfio/vfio", 0o600)?;
    let said = say_as_nobody(&["doctor"]);
    let demo = say_as_nobody(&["demo", WIDE]);
    give_mode("/dev/vfio/vfio", 0o666)?;
    let words = [
        "bad   container",
        "you may not open /dev/vfio/vfio",
        "chmod 666",
    ];
    said?.expect(4, &words)?;
    demo?.expect(1, &["open /dev/vfio/vfio: EACCES", "chmod 666"])
}

fn trace() -> Result<()> {
    use_type1(Type1::Ours)?;
    say_as_nobody(&["trace"])?.expect(1, &["only root can see it: run it with sudo"])
}

fn demo() -> Result<()> {
    use_type1(Type1::Ours)?;
    let words = ["udev rule", "open /dev/vfio/", "EACCES"];
    say_as_nobody(&["demo", WIDE])?.expect(1, &words)
}

/// As a udev rule does it: then no root is needed.
fn demo_by_who_was_given_the_group() -> Result<()> {
    use_type1(Type1::Ours)?;
    let group = WIDE.parse::<PciFunction>()?.iommu_group()?;
    let group = format!("/dev/vfio/{group}");
    give(&group, true)?;
    let with = say_as_nobody(&["demo", WIDE]);
    let doctor = say_as_nobody(&["doctor"]);
    give(&group, false)?;
    with?.expect(0, &["\"the device wrote\"", "free the PASID"])?;
    doctor?.expect(3, &["ok    container", &format!("you may open {group}")])?;
    nothing_is_held()
}
