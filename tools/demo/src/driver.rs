// SPDX-License-Identifier: GPL-2.0-only

//! Giving devices to vfio-pci, and back. On a real machine driverctl does that.

use std::{fs, path::PathBuf};

use anyhow::{ensure, Context, Result};
use vfio_pasid::PciFunction;

/// Takes `device` from its driver, if it has one, and gives it to vfio-pci.
pub fn bind_to_vfio(device: PciFunction) -> Result<()> {
    write(attribute(device, "driver_override"), "vfio-pci")?;
    rebind(device)?;
    ensure!(
        device.driver()?.as_deref() == Some("vfio-pci"),
        "vfio-pci does not take {device}: the kernel's log says why"
    );
    Ok(())
}

/// Takes it from vfio-pci and gives it to the driver that the kernel would choose, if any. Waits
/// until nobody has it open any more.
pub fn release_from_vfio(device: PciFunction) -> Result<()> {
    write(attribute(device, "driver_override"), "\n")?;
    rebind(device)
}

fn rebind(device: PciFunction) -> Result<()> {
    let address = device.to_string();
    if device.driver()?.is_some() {
        write(attribute(device, "driver/unbind"), &address)?;
    }
    write("/sys/bus/pci/drivers_probe".into(), &address)
}

fn attribute(device: PciFunction, name: &str) -> PathBuf {
    format!("/sys/bus/pci/devices/{device}/{name}").into()
}

fn write(path: PathBuf, text: &str) -> Result<()> {
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
