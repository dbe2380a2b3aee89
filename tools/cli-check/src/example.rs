// SPDX-License-Identifier: GPL-2.0-only

//! The whole programs that the pages show.

use std::process::Command;

use anyhow::Result;
use vfio_pasid::PciFunction;

use crate::{
    cases,
    situation::{nothing_is_held, use_type1, Said, Type1, WIDE, WITHOUT_PASIDS},
    tap::Case,
};

pub const CASES: &[Case] = cases!(
    "example",
    "first_dma",
    in_c,
    in_rust,
    with_vfio_ioctls,
    with_dpdk
);

fn run(program: &str, arguments: &[&str]) -> Result<Said> {
    let path = format!("/selftests/{program}");
    Ok(Said::new(Command::new(path).args(arguments).output()?))
}

const STEPS: [&str; 3] = [
    "PASID 1048575: STATUS 2, the memory has \"the first DMA\"",
    "PASID 1048575, behind it: STATUS 0x71",
    "PASID 1048574: STATUS 0x59",
];

fn in_c() -> Result<()> {
    let group = WIDE.parse::<PciFunction>()?.iommu_group()?.to_string();
    use_type1(Type1::Stock)?;
    let stock = run("first_dma", &[&group, WIDE])?;
    stock.expect(1, &["load vfio_iommu_type1 of vfio-pasid"])?;
    use_type1(Type1::Ours)?;
    run("first_dma", &[&group, WIDE])?.expect(0, &STEPS)?;
    nothing_is_held()?;
    let group = WITHOUT_PASIDS.parse::<PciFunction>()?.iommu_group()?;
    let without = run("first_dma", &[&group.to_string(), WITHOUT_PASIDS])?;
    without.expect(1, &["VFIO_IOMMU_AUX_CREATE: Operation not supported"])?;
    nothing_is_held()
}

fn in_rust() -> Result<()> {
    use_type1(Type1::Stock)?;
    let stock = run("first_dma_rs", &[WIDE])?;
    stock.expect(
        1,
        &["VFIO_IOMMU_AUX_CREATE: ENOTTY", "load vfio_iommu_type1"],
    )?;
    use_type1(Type1::Ours)?;
    run("first_dma_rs", &[WIDE])?.expect(0, &STEPS)?;
    nothing_is_held()?;
    let without = run("first_dma_rs", &[WITHOUT_PASIDS])?;
    without.expect(1, &["no device here can use PASIDs"])?;
    nothing_is_held()
}

fn with_dpdk() -> Result<()> {
    use_type1(Type1::Ours)?;
    let options = [
        "--no-huge",
        "-m",
        "32",
        "--no-pci",
        "--no-shconf",
        "--lcores=0",
    ];
    let arguments = [&[WIDE], &options[..]].concat();
    run("with_dpdk", &arguments)?.expect(
        0,
        &[
            "the default container is another",
            "PASID 1048575: STATUS 2, the memory has \"a DMA beside DPDK\"",
        ],
    )?;
    nothing_is_held()
}

fn with_vfio_ioctls() -> Result<()> {
    use_type1(Type1::Ours)?;
    run("with_vfio_ioctls", &[WIDE])?.expect(
        0,
        &[
            "no PASID: STATUS 2, the guest has \"without a PASID\"",
            "PASID 1048575: STATUS 2, the guest has \"under a PASID\"",
            "no PASID, there: STATUS 0x71",
        ],
    )?;
    nothing_is_held()
}
