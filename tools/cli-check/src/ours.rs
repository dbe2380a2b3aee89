// SPDX-License-Identifier: GPL-2.0-only

//! vfio-pasid is loaded, and root asks.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure, Result};
use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};

use crate::{
    cases,
    situation::{
        answer, at, expect_at, find, nothing_is_held, on_a_terminal, program, say, use_type1,
        Type1, NARROW, UNBOUND, WIDE, WITHOUT_PASIDS,
    },
    tap::Case,
};

pub const CASES: &[Case] = cases!(
    "cli",
    "ours",
    status,
    status_on_a_terminal,
    list,
    list_watches,
    doctor,
    doctor_is_quiet,
    report,
    trace,
    demo,
    demo_of_a_device_without_pasids,
    demo_of_a_device_that_is_not_bound,
    wrong_usage,
);

fn status() -> Result<()> {
    use_type1(Type1::Ours)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/type1", "ours")?;
    expect_at(&status, "/reason", serde_json::Value::Null)?;
    expect_at(&status, "/iommus/0/kind", "intel")?;
    expect_at(&status, "/iommus/0/mode", "scalable")?;
    expect_at(&status, "/iommus/0/tables", vec!["first-stage"])?;
    let quota = find(at(&status, "/limits")?, "name", "pasid_quota")?;
    expect_at(quota, "/limit", 1000)?;
    expect_at(quota, "/used", 0)?;
    let devices = at(&status, "/devices")?;
    for (address, width) in [(WIDE, 20), (NARROW, 8)] {
        let device = find(devices, "address", address)?;
        expect_at(device, "/width", width)?;
        expect_at(device, "/driver", "vfio-pci")?;
        expect_at(device, "/reasons", Vec::<&str>::new())?;
        expect_at(device, "/process_space", "no-process-tables")?;
    }
    let without = find(devices, "address", WITHOUT_PASIDS)?;
    expect_at(without, "/width", serde_json::Value::Null)?;
    expect_at(without, "/reasons", vec!["no-capability"])?;
    let unbound = find(devices, "address", UNBOUND)?;
    expect_at(unbound, "/reasons", vec!["not-bound"])?;
    expect_at(unbound, "/width", 20)?;
    say(&["status"])?.expect(
        0,
        &[
            "vfio-pasid",
            "VT-d, scalable mode",
            "\t20 bits",
            "\t8 bits",
            "pasid_quota       0 of 1000",
            "process_space     off",
            "\t20 bits\tno\n",
            "0000:00:10.0, 0000:00:11.0, 0000:00:13.0: the IOMMU cannot walk the tables of processes\n",
            "no PASID capability",
            "driverctl",
        ],
    )
}

/// Colours and columns are for people.
fn status_on_a_terminal() -> Result<()> {
    use_type1(Type1::Ours)?;
    let text = on_a_terminal(program(&["status"]).env_remove("NO_COLOR"))?;
    ensure!(text.contains("\x1b[32m"), "no colour: {text}");
    ensure!(!text.contains('\t'), "tabs: {text}");
    let text = on_a_terminal(program(&["status"]).env("NO_COLOR", "1"))?;
    ensure!(!text.contains('\x1b'), "colours: {text}");
    Ok(())
}

fn list() -> Result<()> {
    use_type1(Type1::Ours)?;
    let held = answer(&say(&["list", "--json"])?, "list")?;
    expect_at(&held, "/processes", Vec::<&str>::new())?;
    expect_at(&held, "/one_moment", true)?;
    say(&["list"])?.expect(0, &["nobody holds anything"])
}

fn list_watches() -> Result<()> {
    use_type1(Type1::Ours)?;
    let mut child = program(&["list", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()?;
    sleep(Duration::from_millis(3500));
    child.kill()?;
    let output = child.wait_with_output()?;
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    // On a busy machine it may be less.
    ensure!((2..=5).contains(&lines), "{lines} lines in 3.5 seconds");
    Ok(())
}

fn doctor() -> Result<()> {
    use_type1(Type1::Ours)?;
    let said = say(&["doctor", "--json"])?;
    let diagnosis = answer(&said, "doctor")?;
    // The modules were loaded by hand, and one device has no PASIDs.
    ensure!(said.status == 3, "exit status {}", said.status);
    expect_at(&diagnosis, "/worst", "warning")?;
    let checks = at(&diagnosis, "/checks")?;
    for name in ["kernel", "loaded", "IOMMU", WIDE, "container", "debugfs"] {
        expect_at(find(checks, "name", name)?, "/verdict", "ok")?;
    }
    let without = find(checks, "name", WITHOUT_PASIDS)?;
    expect_at(without, "/reason", "no-capability")?;
    expect_at(without, "/verdict", "warning")?;
    say(&["doctor"])?.expect(
        3,
        &[
            "ok    loaded",
            "PASIDs of 20 bits",
            "ok    process space not allowed, which is the default",
            "fair",
            "do: none: the device cannot",
        ],
    )
}

/// Of what doctor says, it is what is not ok, each with what to do; and the same exit status.
fn doctor_is_quiet() -> Result<()> {
    use_type1(Type1::Ours)?;
    let (all, quiet) = (say(&["doctor"])?, say(&["doctor", "--quiet"])?);
    let lines: Vec<_> = all.out.lines().collect();
    let is_bad = |line: &str| line.starts_with("fair") || line.starts_with("bad");
    let expected: Vec<_> = lines
        .iter()
        .zip(lines.iter().skip(1))
        .filter(|(line, _)| is_bad(line))
        .flat_map(|(line, remedy)| [*line, *remedy])
        .collect();
    ensure!(
        expected.len() >= 2 && expected.len() < lines.len(),
        "{lines:?}"
    );
    ensure!(
        quiet.out.lines().eq(expected),
        "quiet it says:\n{}",
        quiet.out
    );
    quiet.expect(all.status, &[])?;
    say(&["doctor", "--quiet", "--json"])?.expect(2, &["cannot be used with"])
}

fn report() -> Result<()> {
    use_type1(Type1::Ours)?;
    let file = "/tmp/report";
    say(&["doctor", "--report", file])?.expect(3, &[])?;
    let text = fs::read_to_string(file)?;
    fs::remove_file(file)?;
    for part in [
        "=== uname\nLinux",
        "=== command line\n",
        "\"type1\": \"ours\"",
        "\"worst\": \"warning\"",
        "=== in use\ncontainers 0",
        "=== held\nvfio_pasid gen=",
        "=== kernel log\n",
        "vfio_pasid: loading out-of-tree module",
    ] {
        ensure!(text.contains(part), "no \"{part}\" in:\n{text}");
    }
    say(&["doctor", "--report", "/nowhere/report"])?.expect(1, &["cannot write /nowhere/report"])
}

/// How many traces there are besides the kernel's own; or how many are on.
fn traces(only_on: bool) -> Result<usize> {
    let on = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("events/vfio_pasid/enable"));
        text.is_ok_and(|text| text.starts_with('1'))
    };
    let instances = fs::read_dir("/sys/kernel/tracing/instances")?;
    let folders = instances.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(folders
        .filter(|folder| !only_on || on(folder.clone()))
        .count())
}

fn trace() -> Result<()> {
    use_type1(Type1::Ours)?;
    let mut words = program(&["trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut json = program(&["trace", "--json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let start = Instant::now();
    while traces(true)? < 2 {
        if start.elapsed() > Duration::from_secs(60) {
            bail!("it does not trace");
        }
        sleep(Duration::from_millis(50));
    }
    say(&["demo", WIDE])?.expect(0, &[])?;
    sleep(Duration::from_millis(1000));
    for child in [&mut words, &mut json] {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT)?;
    }
    let (words, json) = (words.wait_with_output()?, json.wait_with_output()?);
    ensure!(words.status.success() && json.status.success(), "it failed");
    ensure!(traces(false)? == 0, "its instance is left");
    let text = String::from_utf8_lossy(&words.stdout);
    let mut rest = &*text;
    for step in [
        "attached 0000:00:10.0 under PASID 1048575",
        "pinned 2 MiB",
        "registered 2 MiB",
        "mapped 2 MiB at 0x100000 of PASID 1048575, to read and write",
        "unmapped 2 MiB at 0x100000 of PASID 1048575",
        "unregistered 2 MiB",
        "unpinned 2 MiB",
        "detached 0000:00:10.0 from PASID 1048575",
    ] {
        let Some(place) = rest.find(step) else {
            bail!("no \"{step}\", or not in this order:\n{text}");
        };
        rest = rest.get(place..).unwrap_or_default();
    }
    let lines = String::from_utf8_lossy(&json.stdout).into_owned();
    let mut events = 0;
    for line in lines.lines() {
        let said = crate::situation::Said {
            status: 0,
            out: line.to_owned(),
            err: String::new(),
        };
        answer(&said, "trace")?;
        events += 1;
    }
    ensure!(events >= 8, "{events} events in JSON:\n{lines}");
    Ok(())
}

fn demo() -> Result<()> {
    use_type1(Type1::Ours)?;
    let steps = [
        "allocate a PASID                    1048575",
        "attach it                           to group",
        "the process reads                   \"the device wrote\"",
        "the device writes behind it         fault 0x71: no page",
        "the process as a space              not here: the IOMMU cannot walk",
        "free the PASID                      done",
    ];
    say(&["demo", WIDE])?.expect(0, &steps)?;
    nothing_is_held()?;
    // Of fewer bits than the highest number.
    say(&["demo", NARROW])?.expect(0, &["takes PASIDs of 8 bits", "\"the device wrote\""])?;
    nothing_is_held()
}

fn demo_of_a_device_without_pasids() -> Result<()> {
    use_type1(Type1::Ours)?;
    say(&["demo", WITHOUT_PASIDS])?.expect(0, &["no PASID capability: no space for it"])?;
    nothing_is_held()
}

fn demo_of_a_device_that_is_not_bound() -> Result<()> {
    use_type1(Type1::Ours)?;
    say(&["demo", UNBOUND])?.expect(1, &["not bound", "driverctl set-override 0000:00:13.0"])?;
    say(&["demo", "0000:00:1f.7"])?.expect(1, &["not bound"])
}

fn wrong_usage() -> Result<()> {
    say(&[])?.expect(2, &["Usage: vfio-pasid"])?;
    say(&["unknown"])?.expect(2, &["unrecognized subcommand"])?;
    say(&["demo", "nothing"])?.expect(2, &["no PCI address"])?;
    say(&["list", "--watch=0"])?.expect(2, &["--watch"])?;
    say(&["--help"])?.expect(0, &["Exit status:", "doctor", "driverctl"])
}
