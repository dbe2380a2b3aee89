// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A client for QEMU's qtest protocol, by which a remapping unit's registers can be written, and an
//! interrupt sent, from outside the machine (`docs/devel/testing/qtest.rst` of QEMU).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::page_request::Unit;

/// A connection, and where the unit's registers are.
#[derive(Debug)]
pub struct Qtest {
    stream: BufReader<UnixStream>,
    registers: u64,
}

impl Qtest {
    /// Connects to the socket of a QEMU whose unit has its registers at `registers`.
    pub fn connect(path: &Path, registers: u64) -> Result<Self, String> {
        let stream = UnixStream::connect(path)
            .map_err(|error| format!("cannot connect to qtest {}: {error}", path.display()))?;
        Ok(Self {
            stream: BufReader::new(stream),
            registers,
        })
    }

    /// Does a command, and returns what follows OK.
    fn execute(&mut self, command: &str) -> Result<String, String> {
        let failed = |error| format!("qtest does not answer: {error}");
        writeln!(self.stream.get_mut(), "{command}").map_err(failed)?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(failed)? == 0 {
                return Err("QEMU closed qtest".to_owned());
            }
            match line.trim().split_once(' ') {
                _ if line.trim() == "OK" => return Ok(String::new()),
                Some(("OK", value)) => return Ok(value.to_owned()),
                // An interrupt that was watched.
                Some(("IRQ", _)) => {}
                _ => return Err(format!("qtest refuses {command:?}: {line:?}")),
            }
        }
    }
}

impl Unit for Qtest {
    fn read(&mut self, offset: u64) -> Result<u64, String> {
        let text = self.execute(&format!("readq {:#x}", self.registers + offset))?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16)
            .map_err(|error| format!("qtest says {text:?}: {error}"))
    }

    fn write(&mut self, offset: u64, value: u64) -> Result<(), String> {
        let at = self.registers + offset;
        self.execute(&format!("writeq {at:#x} {value:#x}"))?;
        Ok(())
    }

    fn interrupt(&mut self, address: u64, data: u32) -> Result<(), String> {
        self.execute(&format!("writel {address:#x} {data:#x}"))?;
        Ok(())
    }
}
