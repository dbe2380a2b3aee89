// SPDX-License-Identifier: GPL-2.0-only

//! What all cases share: modules as they are wanted, the program, and what it answers.

use std::{
    fs,
    io::Read,
    os::{
        fd::AsFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{ensure, Context, Result};
use nix::pty::openpty;
use serde_json::Value;

/// The devices of `boots/cli.boot`.
pub const WIDE: &str = "0000:00:10.0";
pub const NARROW: &str = "0000:00:11.0";
pub const WITHOUT_PASIDS: &str = "0000:00:12.0";
pub const UNBOUND: &str = "0000:00:13.0";

/// Who has no rights.
const NOBODY: u32 = 65534;

/// Which type1 there is to be.
#[derive(Clone, Copy, PartialEq)]
pub enum Type1 {
    Ours,
    /// With process_space=1, and an IOMMU that can walk the tables of processes.
    OursWithProcesses,
    Stock,
    None,
}

/// Of the kernel that runs.
pub fn release() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?
        .trim()
        .to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn loaded(module: &str) -> bool {
    Path::new(&format!("/sys/module/{module}/initstate")).exists()
}

/// Loads and unloads what it takes.
pub fn use_type1(which: Type1) -> Result<()> {
    for module in ["vfio_iommu_type1", "vfio_pasid"] {
        // What was closed is taken down a little later.
        for _ in 0..100 {
            if loaded(module) {
                let _ = run(Command::new("rmmod").arg(module));
                sleep(Duration::from_millis(20));
            }
        }
        ensure!(!loaded(module), "{module} cannot be unloaded");
    }
    let folder = format!("/lib/modules/{}", release()?);
    let insert = |file: &str, parameters: &[&str]| {
        let file = format!("{folder}/{file}");
        run(Command::new("insmod").arg(file).args(parameters))
    };
    match which {
        Type1::Ours => {
            insert("updates/vfio_pasid.ko", &[])?;
            insert("updates/vfio_iommu_type1.ko", &[])
        }
        Type1::OursWithProcesses => {
            if !loaded("vfio_pasid_sva") {
                insert("updates/vfio_pasid_sva.ko", &[])?;
            }
            insert("updates/vfio_pasid.ko", &["process_space=1"])?;
            insert("updates/vfio_iommu_type1.ko", &[])
        }
        Type1::Stock => insert("kernel/drivers/vfio/vfio_iommu_type1.ko", &[]),
        Type1::None => Ok(()),
    }
}

/// The program, with arguments.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new("/selftests/vfio-pasid");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What it said.
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn new(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Whether it ended so, and said all of `words`, on whichever stream.
    pub fn expect(&self, status: i32, words: &[&str]) -> Result<()> {
        let all = format!("{}{}", self.out, self.err);
        for word in words {
            ensure!(
                all.contains(word),
                "it does not say \"{word}\", but:\n{all}"
            );
        }
        ensure!(
            self.status == status,
            "exit status {}, not {status}:\n{all}",
            self.status
        );
        ensure!(
            !all.contains('\x1b'),
            "colours, and there is no terminal:\n{all}"
        );
        Ok(())
    }
}

/// Runs it to its end.
pub fn say(arguments: &[&str]) -> Result<Said> {
    Ok(Said::new(program(arguments).output()?))
}

/// The same as somebody without rights.
pub fn say_as_nobody(arguments: &[&str]) -> Result<Said> {
    let output = program(arguments).uid(NOBODY).gid(NOBODY).output()?;
    Ok(Said::new(output))
}

/// The owner of a file becomes the one without rights, or root again.
pub fn give(file: &str, to_nobody: bool) -> Result<()> {
    let owner = if to_nobody { NOBODY } else { 0 };
    std::os::unix::fs::chown(file, Some(owner), Some(owner))?;
    Ok(())
}

/// What a command says to a terminal.
pub fn on_a_terminal(command: &mut Command) -> Result<String> {
    let terminal = openpty(None, None)?;
    let child = command
        .stdout(Stdio::from(terminal.slave.as_fd().try_clone_to_owned()?))
        .env("TERM", "xterm")
        .spawn();
    drop(terminal.slave);
    // It has a copy of the other side.
    command.stdout(Stdio::null());
    let mut child = child?;
    let mut text = Vec::new();
    // It ends with EIO, when nobody has the other side any more.
    let _ = fs::File::from(terminal.master).read_to_end(&mut text);
    child.wait()?;
    Ok(String::from_utf8_lossy(&text).replace('\r', ""))
}

/// A file has another mode.
pub fn give_mode(file: &str, mode: u32) -> Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// What `command --json` answers, which its schema describes.
pub fn answer(said: &Said, command: &str) -> Result<Value> {
    let schema: Value = serde_json::from_str(&say(&["schema", command])?.out)?;
    let value: Value =
        serde_json::from_str(&said.out).with_context(|| format!("no JSON: {}", said.out))?;
    ensure!(
        said.out.trim_end().lines().count() == 1,
        "more than one line"
    );
    let validator = jsonschema::validator_for(&schema)?;
    let errors: Vec<_> = validator
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    ensure!(errors.is_empty(), "not as its schema says: {errors:?}");
    // A schema that takes anything says nothing.
    ensure!(
        !validator.is_valid(&Value::Bool(true)),
        "the schema takes everything"
    );
    Ok(value)
}

/// The checks of `doctor --json`, which ended with `status`.
pub fn checks(said: &Said, status: i32) -> Result<Value> {
    let diagnosis = answer(said, "doctor")?;
    ensure!(said.status == status, "exit status {}", said.status);
    Ok(at(&diagnosis, "/checks")?.clone())
}

/// The one of `list` whose `key` is `text`.
pub fn find<'a>(list: &'a Value, key: &str, text: &str) -> Result<&'a Value> {
    let all = list.as_array().into_iter().flatten();
    all.into_iter()
        .find(|item| item.get(key).and_then(Value::as_str) == Some(text))
        .with_context(|| format!("no {key} {text} in {list}"))
}

/// What is behind a path such as `/limits/0/name`.
pub fn at<'a>(value: &'a Value, path: &str) -> Result<&'a Value> {
    value
        .pointer(path)
        .with_context(|| format!("no {path} in {value}"))
}

/// Whether it is that.
pub fn expect_at(value: &Value, path: &str, expected: impl Into<Value>) -> Result<()> {
    let (seen, expected) = (at(value, path)?, expected.into());
    ensure!(*seen == expected, "{path} is {seen}, not {expected}");
    Ok(())
}

/// Whether nothing is held any more; waits a little for that.
pub fn nothing_is_held() -> Result<()> {
    let mut text = String::new();
    for _ in 0..200 {
        text = fs::read_to_string("/sys/kernel/debug/vfio_pasid/in_use")?;
        let mut lines = text.lines().filter(|line| !line.is_empty());
        if lines.all(|line| line.ends_with(" 0")) {
            return Ok(());
        }
        sleep(Duration::from_millis(20));
    }
    ensure!(false, "something is held still:\n{text}");
    Ok(())
}
