// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Configuration space as a PCI driver sees it.

use pasid_device::config::{ConfigSpace, Model, BAR0_SIZE, SIZE};
use proptest::prelude::*;

const FULL: Model = Model {
    pasid_width: Some(20),
    tlp_prefix: true,
    ats: true,
    pri: true,
};

fn read<const N: usize>(config: &ConfigSpace, offset: u64) -> [u8; N] {
    let mut data = [0; N];
    assert!(config.read(offset, &mut data));
    data
}

fn byte(config: &ConfigSpace, offset: u64) -> u8 {
    read::<1>(config, offset)[0]
}

fn word(config: &ConfigSpace, offset: u64) -> u16 {
    u16::from_le_bytes(read(config, offset))
}

fn long(config: &ConfigSpace, offset: u64) -> u32 {
    u32::from_le_bytes(read(config, offset))
}

/// Offset of a capability, found as a driver finds it.
fn capability(config: &ConfigSpace, id: u8) -> Option<u64> {
    let mut at = byte(config, 0x34);
    while at != 0 {
        if byte(config, at.into()) == id {
            return Some(at.into());
        }
        at = byte(config, u64::from(at) + 1);
    }
    None
}

fn extended(config: &ConfigSpace, id: u16) -> Option<u64> {
    let mut at = 0x100;
    while at != 0 {
        let header = long(config, at);
        if header as u16 == id && (header >> 16) & 0xf == 1 {
            return Some(at);
        }
        at = (header >> 20).into();
    }
    None
}

#[test]
fn has_the_capabilities_of_its_model() {
    for pasid_width in [None, Some(8), Some(16), Some(20)] {
        for tlp_prefix in [false, true] {
            for ats in [false, true] {
                let config = ConfigSpace::new(Model {
                    pasid_width,
                    tlp_prefix,
                    ats,
                    pri: ats,
                });
                assert!(capability(&config, 0x01).is_some(), "PM");
                assert!(capability(&config, 0x05).is_some(), "MSI");
                let pcie = capability(&config, 0x10).unwrap();
                assert_eq!(word(&config, pcie + 2), 2, "version 2, endpoint");
                assert_ne!(long(&config, pcie + 4) & (1 << 28), 0, "FLR");
                let prefixes = if tlp_prefix { 0x0070_0000 } else { 0 };
                assert_eq!(long(&config, pcie + 0x24), prefixes);
                assert_eq!(extended(&config, 0x000f).is_some(), ats);
                assert_eq!(extended(&config, 0x0013).is_some(), ats);
                let width = extended(&config, 0x001b).map(|at| word(&config, at + 4));
                let expected = pasid_width.map(|width| (u16::from(width) << 8) | 6);
                assert_eq!(width, expected);
            }
        }
    }
}

#[test]
fn bar_tells_its_size() {
    let mut config = ConfigSpace::new(FULL);
    config.write(0x10, &[0xff; 4]);
    assert_eq!(!long(&config, 0x10) + 1, BAR0_SIZE);
    for bar in 1..6 {
        config.write(0x10 + bar * 4, &[0xff; 4]);
        assert_eq!(long(&config, 0x10 + bar * 4), 0);
    }
}

#[test]
fn bus_master_needs_the_bit_and_d0() {
    let mut config = ConfigSpace::new(FULL);
    let pmcsr = capability(&config, 0x01).unwrap() + 4;
    assert!(!config.bus_master());
    config.write(0x04, &[4, 0]);
    assert!(config.bus_master());
    config.write(pmcsr, &[3, 0]);
    assert!(!config.bus_master());
    config.write(pmcsr, &[0, 0]);
    assert!(config.bus_master());
}

#[test]
fn pasids_are_enabled_by_the_control_register() {
    let mut config = ConfigSpace::new(FULL);
    let control = extended(&config, 0x001b).unwrap() + 6;
    assert!(!config.pasid_enabled());
    config.write(control, &[0xfe, 0xff]);
    assert!(!config.pasid_enabled());
    assert_eq!(word(&config, control), 6);
    config.write(control, &[1]);
    assert!(config.pasid_enabled());
}

#[test]
fn reset_restores_everything() {
    let mut config = ConfigSpace::new(FULL);
    let initial: [u8; SIZE] = read(&config, 0);
    config.write(0, &[0x7f; SIZE]);
    assert_ne!(read::<SIZE>(&config, 0), initial);
    config.reset();
    assert_eq!(read::<SIZE>(&config, 0), initial);
}

#[test]
fn only_the_flr_bit_starts_a_reset() {
    let mut config = ConfigSpace::new(FULL);
    let devctl = capability(&config, 0x10).unwrap() + 8;
    assert!(!config.write(devctl, &0x7fffu16.to_le_bytes()));
    assert!(config.write(devctl, &0x8000u16.to_le_bytes()));
    assert!(config.write(devctl + 1, &[0x80]));
    assert_eq!(word(&config, devctl) & 0x8000, 0, "reads as 0");
}

proptest! {
    /// Any access is survived, and changes neither identity nor capabilities.
    #[test]
    fn any_access(
        accesses in prop::collection::vec(
            (prop_oneof![0..0x120u64, any::<u64>()], prop::collection::vec(any::<u8>(), 0..600)),
            1..30,
        ),
    ) {
        let mut config = ConfigSpace::new(FULL);
        let chain = |config: &ConfigSpace| {
            let caps = [1, 5, 0x10].map(|id| capability(config, id));
            let extended = [0xf, 0x1b].map(|id| extended(config, id));
            (long(config, 0), long(config, 8), caps, extended)
        };
        let before = chain(&config);
        for (offset, data) in accesses {
            config.write(offset, &data);
            let within = offset.checked_add(data.len() as u64).is_some_and(|end| end <= SIZE as u64);
            prop_assert_eq!(config.read(offset, &mut vec![0; data.len()]), within);
        }
        prop_assert_eq!(chain(&config), before);
    }
}
