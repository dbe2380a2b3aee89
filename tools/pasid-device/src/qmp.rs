// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A client for QEMU's monitor protocol.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{json, Value};

/// How long QEMU may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and leaves the negotiation mode.
    pub fn connect(path: &Path) -> Result<Self, String> {
        let open = || -> std::io::Result<UnixStream> {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = open().map_err(|error| {
            format!(
                "cannot connect to QEMU's monitor {}: {error}",
                path.display()
            )
        })?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.receive()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let message = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{message}").map_err(failed)?;
        loop {
            let mut answer = self.receive()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("QEMU refuses {message}: {error}"));
            }
            // Anything else is an event.
        }
    }

    /// Runs a command of the human monitor and returns what it prints.
    pub fn human(&mut self, command: &str) -> Result<String, String> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": command }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Reads a property of an object.
    pub fn property(&mut self, path: &str, property: &str) -> Result<Value, String> {
        self.execute("qom-get", json!({ "path": path, "property": property }))
    }

    fn receive(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).map_err(failed)? {
            0 => Err("QEMU closed its monitor".to_owned()),
            _ => serde_json::from_str(&line)
                .map_err(|error| format!("QEMU's monitor says {line:?}: {error}")),
        }
    }
}

fn failed(error: std::io::Error) -> String {
    format!("QEMU's monitor does not answer: {error}")
}
