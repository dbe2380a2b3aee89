// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A fixed number of inputs, and all that ever found something.
#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*};

/// Every file of `found/NAME`, which is not there if nothing was found.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("found")
        .join(name);
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        target(&fs::read(path).expect("an input"));
    }
}

#[test]
fn what_was_found_in_the_device() {
    replay("device", fuzz::device);
}

#[test]
fn what_was_found_in_the_witness() {
    replay("witness", fuzz::witness);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_for_the_device(data in vec(any::<u8>(), 0..2000)) {
        fuzz::device(&data);
    }

    #[test]
    fn any_bytes_for_the_witness(data in vec(any::<u8>(), 0..2000)) {
        fuzz::witness(&data);
    }
}
