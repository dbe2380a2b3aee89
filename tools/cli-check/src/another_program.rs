// SPDX-License-Identifier: GPL-2.0-only

//! Another program holds 1,000 PASIDs and 100 spaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
};

use anyhow::{ensure, Context, Result};
use serde_json::Value;
use vfio_pasid::PciFunction;

use crate::{
    cases,
    hold::{PASIDS, SPACES},
    holder::Holder,
    situation::{
        answer, at, expect_at, find, nothing_is_held, say, use_type1, Type1, NARROW, WIDE,
    },
    tap::Case,
};

pub const CASES: &[Case] = cases!(
    "cli",
    "another_program",
    status,
    list,
    doctor,
    trace_and_demo_beside_it
);

/// The other program, which ends when this is dropped.
struct Other {
    holder: Holder,
    held: Value,
}

impl Other {
    fn new() -> Result<Self> {
        use_type1(Type1::Ours)?;
        let group = WIDE.parse::<PciFunction>()?.iommu_group()?;
        let holder = Holder::start(env::current_exe()?, &["hold", &group.to_string(), WIDE])?;
        let held =
            serde_json::from_str(holder.said()).context("it does not hold what it should")?;
        Ok(Self { holder, held })
    }

    fn end(self) -> Result<()> {
        self.holder.end()?;
        nothing_is_held()
    }
}

fn numbers(list: &Value) -> BTreeSet<u64> {
    let numbers = list.as_array().into_iter().flatten();
    numbers.filter_map(Value::as_u64).collect()
}

fn status() -> Result<()> {
    let other = Other::new()?;
    let status = answer(&say(&["status", "--json"])?, "status")?;
    let limits = at(&status, "/limits")?;
    let quota = find(limits, "name", "pasid_quota")?;
    expect_at(quota, "/used", PASIDS)?;
    let attachments = find(limits, "name", "attachment_limit")?;
    expect_at(attachments, "/used", SPACES)?;
    say(&["status"])?.expect(0, &["1000 of 1000", "100 of 16384"])?;
    other.end()
}

/// What it says is what the program says of itself.
fn list() -> Result<()> {
    let other = Other::new()?;
    let held = answer(&say(&["list", "--json"])?, "list")?;
    expect_at(&held, "/one_moment", true)?;
    ensure!(
        at(&held, "/processes")?.as_array().map(Vec::len) == Some(1),
        "not one process: {held}"
    );
    let process = at(&held, "/processes/0")?;
    expect_at(process, "/pid", other.holder.id())?;
    expect_at(process, "/comm", "cli")?;
    expect_at(process, "/used", PASIDS)?;
    expect_at(process, "/mappings", SPACES)?;
    let ranges = at(process, "/pasids")?.as_array().into_iter().flatten();
    let mut listed = BTreeSet::new();
    for range in ranges {
        let first = at(range, "/first")?.as_u64().context("first")?;
        let last = at(range, "/last")?.as_u64().context("last")?;
        listed.extend(first..=last);
    }
    ensure!(
        listed == numbers(at(&other.held, "/pasids")?),
        "other PASIDs are listed: {listed:?}"
    );
    expect_at(process, "/memory/0/size", 1 << 20)?;
    expect_at(process, "/memory/0/mapped", SPACES)?;
    let container = at(process, "/containers/0")?;
    let group = at(&other.held, "/group")?;
    ensure!(at(container, "/groups/0/number")? == group, "{container}");
    expect_at(container, "/groups/0/open/0/name", WIDE)?;

    let bytes = |list: &Value| -> BTreeMap<u64, u64> {
        let spaces = list.as_array().into_iter().flatten();
        spaces
            .filter_map(|space| {
                Some((space.get("pasid")?.as_u64()?, space.get("bytes")?.as_u64()?))
            })
            .filter(|&(pasid, _)| pasid != 0)
            .collect()
    };
    let (seen, known) = (
        bytes(at(container, "/spaces")?),
        bytes(at(&other.held, "/spaces")?),
    );
    ensure!(
        seen == known,
        "{seen:?} are listed, and there are {known:?}"
    );
    ensure!(seen.len() == SPACES, "{} spaces", seen.len());
    for space in at(container, "/spaces")?.as_array().into_iter().flatten() {
        let attached = at(space, "/attached")?.as_array().map(Vec::len);
        let own = at(space, "/pasid")?.as_u64() == Some(0);
        ensure!(attached == Some(usize::from(!own)), "{space}");
    }

    // For people, the long ones are cut, unless they want all.
    say(&["list"])?.expect(
        0,
        &[
            "cli (",
            "1000 of 1000 PASIDs",
            "992 ranges more",
            "85 more: --all",
        ],
    )?;
    let all = say(&["list", "--all"])?;
    all.expect(
        0,
        &[
            "12997",
            "PASID 10297: 1 mapping, 400 KiB, attached to group",
        ],
    )?;
    ensure!(all.out.lines().count() == 1 + 3 + 101, "{}", all.out);
    other.end()
}

fn doctor() -> Result<()> {
    let other = Other::new()?;
    let said = say(&["doctor", "--json"])?;
    let diagnosis = answer(&said, "doctor")?;
    let limits = find(at(&diagnosis, "/checks")?, "name", "limits")?;
    expect_at(limits, "/verdict", "warning")?;
    expect_at(limits, "/reason", "limit-reached")?;
    other.end()
}

fn trace_and_demo_beside_it() -> Result<()> {
    let other = Other::new()?;
    say(&["demo", NARROW])?.expect(0, &["\"the device wrote\""])?;
    // Its device is taken.
    say(&["demo", WIDE])?.expect(1, &["another program has the group", "EBUSY"])?;
    other.end()
}
