// SPDX-License-Identifier: GPL-2.0-only

//! Whom a hot reset hits: the kernel must do what the answer says.

use anyhow::{bail, ensure, Context, Result};
use vfio_pasid::{Errno, Group, HotReset, Ownership, PciFunction};

use crate::{
    owner::OpenContainer,
    story::{chapter, line},
};

/// Tells it of `function`, whose slot it shares with `neighbour`.
pub fn run(function: PciFunction, neighbour: PciFunction) -> Result<()> {
    chapter(format!("Whom would a hot reset of {function} hit?"));
    let open = OpenContainer::new(function)?;
    let group = Group::open(neighbour.iommu_group()?)?;
    group.set_container(&open.container)?;
    let all = ask(&open, function)?;
    ensure!(
        all.owned && ownership(&all, neighbour)? == Ownership::Owned,
        "{neighbour} should be owned: {all:?}"
    );
    open.device
        .hot_reset(&[&open.group, &group])
        .context("all are owned")?;
    line("VFIO_DEVICE_PCI_HOT_RESET", "done");

    chapter(format!(
        "And if group {} is not in the container?",
        group.number()
    ));
    drop(group);
    let rest = ask(&open, function)?;
    ensure!(
        !rest.owned && ownership(&rest, neighbour)? == Ownership::NotOwned,
        "{neighbour} should not be owned: {rest:?}"
    );
    match open.device.hot_reset(&[&open.group]) {
        Ok(()) => bail!("the reset hit {neighbour}, which is not owned"),
        Err(error) if error.errno() == Errno::EINVAL => {
            line(
                "VFIO_DEVICE_PCI_HOT_RESET",
                "EINVAL: not without that group",
            );
            Ok(())
        }
        Err(error) => Err(error).context("wanted EINVAL"),
    }
}

/// Asks whom the reset hits, and tells it.
fn ask(open: &OpenContainer, function: PciFunction) -> Result<HotReset> {
    let answer = open.container.hot_reset_info(function)?;
    for device in &answer.devices {
        line(
            device.function,
            match device.ownership {
                Ownership::Open(number) => format!("yours: open, device {number}"),
                Ownership::Owned => "yours: not open, but its group is in the container".to_owned(),
                Ownership::NotOwned => "not yours".to_owned(),
            },
        );
    }
    line(
        "VFIO_IOMMU_HOT_RESET_INFO",
        format!(
            "it would hit these {}, {} yours",
            answer.devices.len(),
            if answer.owned { "all" } else { "not all" }
        ),
    );
    Ok(answer)
}

fn ownership(answer: &HotReset, function: PciFunction) -> Result<Ownership> {
    let mut devices = answer.devices.iter();
    let found = devices.find(|device| device.function == function);
    Ok(found.context("it is not hit")?.ownership)
}
