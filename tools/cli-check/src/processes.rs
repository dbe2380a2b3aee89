// SPDX-License-Identifier: GPL-2.0-only

//! The devices of `boots/cli-sva.boot`: a process can be attached to the first one, and the second one
//! has no ATS.

use std::env;

use anyhow::{ensure, Result};
use serde_json::Value;
use vfio_pasid::Errno;

use crate::{
    cases, hold,
    holder::Holder,
    situation::{answer, at, checks, expect_at, find, nothing_is_held, say, use_type1, Type1},
    tap::Case,
};

const CAN: &str = "0000:01:00.0";
const WITHOUT_ATS: &str = "0000:02:00.0";

pub const CASES: &[Case] = cases!(
    "cli",
    "processes",
    status,
    status_where_they_are_off,
    doctor,
    doctor_where_they_are_off,
    list,
    demo,
    demo_without_ats,
    demo_where_they_are_off,
    what_the_client_drops_is_destroyed,
);

fn status() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/iommus/0/process_space", Value::Null)?;
    expect_at(&status, "/process_space", true)?;
    expect_at(&status, "/process_space_pri", false)?;
    let devices = at(&status, "/devices")?;
    let process_space = |address| at(find(devices, "address", address)?, "/process_space");
    ensure!(*process_space(CAN)? == Value::Null);
    ensure!(*process_space(WITHOUT_ATS)? == "no-ats");
    say(&["status"])?.expect(
        0,
        &[
            "process_space     on\nprocess_space_pri off",
            "\t20 bits\tyes\n",
            "\t8 bits\tno\n",
            "  0000:02:00.0: the device has no ATS\n    none: ",
        ],
    )
}

fn status_where_they_are_off() -> Result<()> {
    use_type1(Type1::Ours)?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    expect_at(&status, "/process_space", false)?;
    let device = find(at(&status, "/devices")?, "address", CAN)?;
    expect_at(device, "/process_space", "process-space-off")?;
    say(&["status"])?.expect(
        0,
        &[
            "process_space     off",
            "  0000:01:00.0: process_space is off\n",
            "process_space=1 of vfio_pasid",
        ],
    )
}

fn doctor() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    let checks = checks(&say(&["doctor", "--json"])?, 0)?;
    let check = find(&checks, "name", "process space")?;
    expect_at(check, "/verdict", "ok")?;
    say(&["doctor"])?.expect(
        0,
        &["ok    process space a process can be attached to 0000:01:00.0\n"],
    )
}

fn doctor_where_they_are_off() -> Result<()> {
    use_type1(Type1::Ours)?;
    let off = "ok    process space not allowed, which is the default\n";
    say(&["doctor"])?.expect(0, &[off])
}

fn list() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    let holder = Holder::start(env::current_exe()?, &["hold-process", CAN])?;
    ensure!(holder.said() == "held", "it could not hold one");
    let held = answer(&say(&["list", "--json"])?, "list")?;
    let spaces = at(&held, "/processes/0/containers/0/spaces")?;
    let space = find(spaces, "kind", "process")?;
    for nothing in ["/window", "/mappings", "/bytes"] {
        expect_at(space, nothing, Value::Null)?;
    }
    expect_at(&held, "/processes/0/used", 1)?;
    let words = [
        "PASIDs 1 (its own)\n",
        "PASID 1: the process itself, attached to nothing\n",
    ];
    say(&["list"])?.expect(0, &words)?;
    holder.end()?;
    nothing_is_held()
}

fn demo() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    // The first number of the kernel's own.
    let steps = [
        "the process as a space              PASID 1: nothing is registered",
        "the device reads the stack          \"it\", and a pointer\n",
        "the device reads the heap           \"follows\", and a pointer\n",
        "the device reads the program        \"pointers\", and no pointer\n",
        "it reads what nobody touched        fault 0x71: no page\n",
        "the process writes there            it reads \"now there is one\"\n",
        "detach it                           fault 0x59: no PASID entry\n",
        "free the PASID                      done",
    ];
    say(&["demo", CAN])?.expect(0, &steps)?;
    nothing_is_held()
}

fn demo_without_ats() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    say(&["demo", WITHOUT_ATS])?.expect(0, &["not here: the device has no ATS"])?;
    nothing_is_held()
}

fn demo_where_they_are_off() -> Result<()> {
    use_type1(Type1::Ours)?;
    let off = "not here: vfio_pasid is loaded without process_space=1\n";
    say(&["demo", CAN])?.expect(0, &[off])?;
    nothing_is_held()
}

/// A container has one process space at most.
fn what_the_client_drops_is_destroyed() -> Result<()> {
    use_type1(Type1::OursWithProcesses)?;
    let (container, group, device) = hold::open(CAN)?;
    let info = container.pasid_info(Some(group.number()))?;
    ensure!(info.process_space() == Ok(()), "{info:?}");
    let space = container.process_space()?;
    ensure!(space.groups()?.is_empty(), "it is attached");
    let second = container.process_space().map(drop);
    ensure!(second.is_err_and(|error| error.errno() == Errno::EBUSY));
    drop(space);
    container.process_space()?.destroy()?;
    drop((group, device));
    nothing_is_held()
}
