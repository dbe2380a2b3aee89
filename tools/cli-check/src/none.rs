// SPDX-License-Identifier: GPL-2.0-only

//! No type1 is loaded.

use anyhow::Result;

use crate::{
    cases,
    situation::{answer, checks, expect_at, find, say, use_type1, Type1, WIDE},
    tap::Case,
};

pub const CASES: &[Case] = cases!("cli", "no_module", status, list, doctor, trace, demo);

const NOT_LOADED: &str = "vfio_iommu_type1 is not loaded";
const REMEDY: &str = "sudo modprobe vfio_iommu_type1";

fn status() -> Result<()> {
    use_type1(Type1::None)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/type1", "none")?;
    expect_at(&status, "/reason", "not-loaded")?;
    say(&["status"])?.expect(0, &["not loaded", REMEDY])
}

fn list() -> Result<()> {
    use_type1(Type1::None)?;
    say(&["list"])?.expect(1, &[NOT_LOADED, REMEDY])
}

fn doctor() -> Result<()> {
    use_type1(Type1::None)?;
    let checks = checks(&say(&["doctor", "--json"])?, 4)?;
    expect_at(find(&checks, "name", "loaded")?, "/reason", "not-loaded")?;
    say(&["doctor"])?.expect(4, &["bad   loaded", NOT_LOADED, REMEDY])
}

fn trace() -> Result<()> {
    use_type1(Type1::None)?;
    say(&["trace"])?.expect(1, &[NOT_LOADED, REMEDY])
}

fn demo() -> Result<()> {
    use_type1(Type1::None)?;
    say(&["demo", WIDE])?.expect(1, &[NOT_LOADED, REMEDY])
}
