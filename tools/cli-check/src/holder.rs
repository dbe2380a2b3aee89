// SPDX-License-Identifier: GPL-2.0-only

//! A program that holds something while others look.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{ensure, Context, Result};

/// It says so in a line, and ends when its stdin does. It is killed when this is dropped.
pub struct Holder {
    child: Child,
    said: String,
}

impl Holder {
    /// Starts it, and waits for its line.
    pub fn start(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut holder = Self {
            child,
            said: String::new(),
        };
        let out = holder.child.stdout.take().context("its stdout")?;
        BufReader::new(out).read_line(&mut holder.said)?;
        Ok(holder)
    }

    /// Its line.
    pub fn said(&self) -> &str {
        self.said.trim()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end, which is to be without an error.
    pub fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "the other program failed");
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
