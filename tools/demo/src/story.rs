// SPDX-License-Identifier: GPL-2.0-only

//! How the story is told: chapters, and lines of two columns.

use std::{fmt::Display, ops::RangeInclusive};

use anyhow::{bail, ensure, Context, Result};
use vfio_pasid::{Container, Errno, Pasid};

/// Prints the title.
pub fn title() {
    println!("PASIDs for VFIO containers, on the distribution's own kernel");
}

/// Starts a chapter.
pub fn chapter(text: impl Display) {
    println!("\n{text}");
}

/// One step: what was done, and what came back.
pub fn line(done: impl Display, came_back: impl Display) {
    println!("  {:<30} {came_back}", done.to_string());
}

/// Takes a PASID that must be in `range`, and tells it.
pub fn alloc(container: &Container, range: RangeInclusive<u32>, note: &str) -> Result<Pasid> {
    let pasid = container
        .alloc_pasid(range.clone())
        .with_context(|| alloc_text(&range))?;
    let number = pasid.number();
    ensure!(
        range.contains(&number),
        "{}: got {number}",
        alloc_text(&range)
    );
    line(alloc_text(&range), format!("{number}{note}"));
    Ok(pasid)
}

/// Asks for a PASID that must be refused with `ENOSPC`, and tells it.
pub fn alloc_refused(
    container: &Container,
    range: RangeInclusive<u32>,
    reason: &str,
) -> Result<()> {
    match container.alloc_pasid(range.clone()) {
        Ok(pasid) => bail!(
            "{}: got {}, but there should be none: {reason}",
            alloc_text(&range),
            pasid.number()
        ),
        Err(error) if error.errno() == Errno::ENOSPC => {
            line(alloc_text(&range), format!("ENOSPC: {reason}"));
            Ok(())
        }
        Err(error) => Err(error).context("wanted ENOSPC"),
    }
}

fn alloc_text(range: &RangeInclusive<u32>) -> String {
    if *range == vfio_pasid::ANY_PASID {
        "allocate any".to_owned()
    } else {
        format!("allocate in {}", show(range))
    }
}

/// A range as the story writes it.
pub fn show(range: &RangeInclusive<u32>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}..{}", range.start(), range.end())
    }
}

/// Asks how many PASIDs the process holds, which must be `used` of `quota`, and tells it.
pub fn holds(container: &Container, used: u32, quota: u32) -> Result<()> {
    let info = container.pasid_info(None)?;
    ensure!(
        (info.used, info.quota) == (used, quota),
        "PASID_INFO says {} of {}, not {used} of {quota}",
        info.used,
        info.quota
    );
    line(
        "VFIO_IOMMU_PASID_INFO",
        format!("holds {} of {}", info.used, info.quota),
    );
    Ok(())
}
