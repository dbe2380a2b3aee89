// SPDX-License-Identifier: GPL-2.0-only

//! The kernel uses no IOMMU; vfio-pasid is loaded.

use anyhow::Result;

use crate::{
    cases,
    situation::{answer, at, checks, expect_at, find, say, use_type1, Type1, WIDE},
    tap::Case,
};

pub const CASES: &[Case] = cases!("cli", "no_iommu", status, list, doctor, trace, demo);

const REMEDY: &str = "intel_iommu=on";

fn status() -> Result<()> {
    use_type1(Type1::Ours)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/iommus", Vec::<&str>::new())?;
    let device = find(at(&status, "/devices")?, "address", WIDE)?;
    expect_at(device, "/reasons", vec!["no-iommu"])?;
    say(&["status"])?.expect(0, &["the kernel uses no IOMMU", REMEDY])
}

fn list() -> Result<()> {
    use_type1(Type1::Ours)?;
    say(&["list"])?.expect(0, &["nobody holds anything"])
}

fn doctor() -> Result<()> {
    use_type1(Type1::Ours)?;
    let checks = checks(&say(&["doctor", "--json"])?, 4)?;
    let iommu = find(&checks, "name", "IOMMU")?;
    expect_at(iommu, "/reason", "no-iommu")?;
    say(&["doctor"])?.expect(4, &["bad   IOMMU", REMEDY])
}

/// It works, as there is nothing to see; it ends when it is told to.
fn trace() -> Result<()> {
    use_type1(Type1::Stock)?;
    say(&["trace"])?.expect(1, &["the kernel's own vfio_iommu_type1 is loaded"])
}

fn demo() -> Result<()> {
    use_type1(Type1::Ours)?;
    say(&["demo", WIDE])?.expect(1, &["not bound", "driverctl"])
}
