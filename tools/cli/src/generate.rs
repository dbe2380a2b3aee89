// SPDX-License-Identifier: GPL-2.0-only

//! What is made from the definitions of the command line and of the answers: man page, completions,
//! schemas.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use schemars::{schema_for, Schema};

use crate::{
    args::{Answer, Args},
    doctor::Diagnosis,
    held::Held,
    status::Status,
    trace::Event,
};

const NAME: &str = "vfio-pasid";

/// The JSON schema of an answer.
pub fn schema(of: Answer) -> Schema {
    match of {
        Answer::Status => schema_for!(Status),
        Answer::List => schema_for!(Held),
        Answer::Doctor => schema_for!(Diagnosis),
        Answer::Trace => schema_for!(Event),
    }
}

/// Writes man pages and completions below `folder`.
///
/// # Errors
///
/// If a file cannot be written.
pub fn all(folder: &Path) -> Result<()> {
    let text = || format!("cannot write below {}", folder.display());
    fs::create_dir_all(folder).with_context(text)?;
    clap_mangen::generate_to(Args::command(), folder).with_context(text)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut Args::command(), NAME, folder).with_context(text)?;
    }
    Ok(())
}
