// SPDX-License-Identifier: GPL-2.0-only

//! The machine as its files tell of it. The root is another folder in tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The files of a machine.
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine, if `root` is `/`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether it is this machine, so that commands can be asked.
    pub fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where the file of that absolute path is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether it is there.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Its text without blanks around it; `None` if it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// Its bytes.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }

    /// The number that it is, decimal or with 0x.
    pub fn number(&self, path: &str) -> Option<u64> {
        parse_number(&self.text(path)?)
    }

    /// The last component of what a link points to.
    pub fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The names of what is in a folder, in order; none if there is no such folder.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }

    /// The release of the kernel that runs.
    pub fn release(&self) -> String {
        self.text("/proc/sys/kernel/osrelease").unwrap_or_default()
    }

    /// What a command prints of this machine, if it is there and succeeds.
    pub fn ask(&self, command: &str, arguments: &[&str]) -> Option<String> {
        let arguments: Vec<_> = arguments.iter().map(Path::new).collect();
        self.is_this().then(|| answer(command, &arguments))?
    }

    /// What a command prints of a file, if both are there and it succeeds.
    pub fn ask_of(&self, command: &str, file: &str) -> Option<String> {
        answer(command, &[&self.path(file)])
    }
}

fn answer(command: &str, arguments: &[&Path]) -> Option<String> {
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A number, decimal or with 0x.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
