// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The uapi header, and a C compiler.

use std::{env, fs, path::PathBuf, process::Command};

/// Where `linux/vfio_pasid.h` is.
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/uapi");

/// The text of the header.
pub fn header() -> String {
    fs::read_to_string(format!("{INCLUDE}/linux/vfio_pasid.h")).expect("the uapi header")
}

/// The names that the header defines with a value.
pub fn defined_names() -> Vec<String> {
    header()
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .map(|line| line.split_whitespace())
        .filter_map(|mut words| Some((words.next()?, words.next()?)))
        .map(|(name, _value)| name.to_owned())
        .collect()
}

/// Compiles a C program, which must not cause a warning.
pub fn compile(name: &str, source: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = dir.join(name).with_extension("c");
    let program = dir.join(name);
    fs::write(&file, source).expect("a C file");

    let compiler = env::var("CC").unwrap_or("cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-I", INCLUDE, "-o"])
        .args([&program, &file])
        .status()
        .expect("a C compiler: set CC");
    assert!(status.success(), "{compiler} {}", file.display());
    program
}
