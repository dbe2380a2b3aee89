// SPDX-License-Identifier: GPL-2.0-only

//! Which type1 is loaded, which one would be, and what it allows.

use anyhow::{bail, Result};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{reason::Reason, system::System};

/// Which type1 is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loaded {
    /// That of vfio-pasid.
    Ours,
    /// The kernel's own.
    Stock,
    /// None.
    None,
}

/// Asks the kernel.
pub fn loaded(system: &System) -> Loaded {
    if system.has("/sys/module/vfio_pasid/holders/vfio_iommu_type1") {
        Loaded::Ours
    } else if system.has("/sys/module/vfio_iommu_type1") {
        Loaded::Stock
    } else {
        Loaded::None
    }
}

/// Why that is not ours.
pub fn missing(loaded: Loaded) -> Option<Reason> {
    match loaded {
        Loaded::Ours => None,
        Loaded::Stock => Some(Reason::Stock),
        Loaded::None => Some(Reason::NotLoaded),
    }
}

/// Whether ours is loaded.
///
/// # Errors
///
/// If not, with the reason and its remedy.
pub fn require_ours(system: &System) -> Result<()> {
    if let Some(reason) = missing(loaded(system)) {
        bail!("{}: {}", reason.what(), reason.remedy());
    }
    Ok(())
}

/// What a module is called by: a hash of its source.
pub fn srcversion(system: &System, module: &str) -> Option<String> {
    system.text(&format!("/sys/module/{module}/srcversion"))
}

/// A module that is installed.
pub struct Installed {
    /// Below the folder of the kernel's modules.
    pub path: String,
    /// Whether it needs vfio_pasid: then it is ours.
    pub ours: bool,
    /// Its hash, if the file can be read.
    pub srcversion: Option<String>,
    /// The kernel that it was built for, if the file can be read.
    pub vermagic: Option<String>,
    /// Whether it has a signature, if the file can be read.
    pub signed: Option<bool>,
}

fn folder(system: &System) -> String {
    format!("/lib/modules/{}", system.release())
}

/// The type1 that modprobe would load: what depmod has found.
pub fn installed(system: &System) -> Option<Installed> {
    let folder = folder(system);
    let lists = system.text(&format!("{folder}/modules.dep"))?;
    let (path, needs) = lists.lines().find_map(|line| {
        let (path, needs) = line.split_once(':')?;
        let name = path.rsplit('/').next()?;
        name.starts_with("vfio_iommu_type1.ko")
            .then_some((path, needs))
    })?;
    let file = format!("{folder}/{path}");
    let bytes = system.bytes(&file).filter(|_| path.ends_with(".ko"));
    Some(Installed {
        path: path.to_owned(),
        ours: needs.contains("vfio_pasid.ko"),
        srcversion: match &bytes {
            Some(bytes) => field(bytes, "srcversion"),
            None => system
                .ask(
                    "modinfo",
                    &[
                        "-F",
                        "srcversion",
                        &system.path(&file).display().to_string(),
                    ],
                )
                .map(|text| text.trim().to_owned()),
        },
        vermagic: bytes.as_ref().and_then(|bytes| field(bytes, "vermagic")),
        signed: bytes.map(|bytes| bytes.ends_with(b"~Module signature appended~\n")),
    })
}

/// A field of `.modinfo`: `name=value`, between zeros.
fn field(bytes: &[u8], name: &str) -> Option<String> {
    let mut fields = bytes.split(|&byte| byte == 0);
    let value = fields.find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The kernels, but the one that runs, that vfio-pasid is installed for.
pub fn other_kernels(system: &System) -> Vec<String> {
    let running = system.release();
    let names = system.names("/lib/modules");
    names
        .into_iter()
        .filter(|name| *name != running)
        .filter(|name| {
            let lists = system.text(&format!("/lib/modules/{name}/modules.dep"));
            lists.is_some_and(|lists| lists.contains("/vfio_pasid.ko"))
        })
        .collect()
}

/// A parameter of vfio_pasid that is a limit.
pub const LIMITS: [&str; 4] = [
    "pasid_quota",
    "region_limit",
    "mapping_limit",
    "attachment_limit",
];

/// The value of a parameter of the loaded vfio_pasid.
pub fn parameter(system: &System, name: &str) -> Option<u64> {
    system.number(&format!("/sys/module/vfio_pasid/parameters/{name}"))
}

/// A parameter of the loaded vfio_pasid that is on or off; `None` also if it has none of that name.
pub fn switch(system: &System, name: &str) -> Option<bool> {
    let text = system.text(&format!("/sys/module/vfio_pasid/parameters/{name}"))?;
    Some(text == "Y")
}

/// What `/sys/kernel/debug/vfio_pasid/in_use` counts of a kind.
pub fn in_use(system: &System, kind: &str) -> Option<u64> {
    let text = system.text("/sys/kernel/debug/vfio_pasid/in_use")?;
    text.lines()
        .find_map(|line| line.strip_prefix(kind)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_modinfo() {
        let bytes = b"..\0license=GPL\0srcversion=ABCDEF\0depends=\0vermagic=7.3.4 SMP \0";
        assert_eq!(field(bytes, "srcversion").as_deref(), Some("ABCDEF"));
        assert_eq!(field(bytes, "vermagic").as_deref(), Some("7.3.4 SMP "));
        assert_eq!(field(bytes, "depends").as_deref(), Some(""));
        assert_eq!(field(bytes, "version"), None);
        assert_eq!(field(b"license=GPL\0", "license").as_deref(), Some("GPL"));
    }
}
