// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's own type1 is loaded.

use anyhow::Result;

use crate::{
    cases,
    situation::{answer, at, checks, expect_at, find, say, use_type1, Type1, WIDE},
    tap::Case,
};

pub const CASES: &[Case] = cases!("cli", "stock", status, list, doctor, trace, demo);

const STOCK: &str = "the kernel's own vfio_iommu_type1 is loaded";
const REMEDY: &str = "sudo modprobe -r vfio_iommu_type1";

fn status() -> Result<()> {
    use_type1(Type1::Stock)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/type1", "stock")?;
    expect_at(&status, "/reason", "stock")?;
    expect_at(&status, "/limits", Vec::<&str>::new())?;
    // The device can, all the same.
    let device = find(at(&status, "/devices")?, "address", WIDE)?;
    expect_at(device, "/width", 20)?;
    say(&["status"])?.expect(0, &["the kernel's own", REMEDY])
}

fn list() -> Result<()> {
    use_type1(Type1::Stock)?;
    say(&["list"])?.expect(1, &[STOCK, REMEDY])
}

fn doctor() -> Result<()> {
    use_type1(Type1::Stock)?;
    let checks = checks(&say(&["doctor", "--json"])?, 4)?;
    let loaded = find(&checks, "name", "loaded")?;
    expect_at(loaded, "/verdict", "error")?;
    expect_at(loaded, "/reason", "stock")?;
    say(&["doctor"])?.expect(4, &["bad   loaded", STOCK, REMEDY])
}

fn trace() -> Result<()> {
    use_type1(Type1::Stock)?;
    say(&["trace"])?.expect(1, &[STOCK, REMEDY])
}

fn demo() -> Result<()> {
    use_type1(Type1::Stock)?;
    say(&["demo", WIDE])?.expect(1, &[STOCK, REMEDY])
}
