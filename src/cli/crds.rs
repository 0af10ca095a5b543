//! `plimsoll crds`.
//!
//! Enters: nothing, or a directory.
//! Leaves: the definitions on standard output, or one file each.
//! Never: a definition that the library does not carry.

use super::{Exit, Failure, args::CrdsArgs, input, output};
use crate::{api, model::text};

pub(super) fn run(args: &CrdsArgs) -> Result<Exit, Failure> {
    let definitions = api::crds().map_err(|error| Failure::new(Exit::Bug, text::chain(&error)))?;
    match &args.directory {
        Some(directory) => {
            for (name, definition) in definitions {
                let yaml = input::value_to_yaml(definition);
                input::write(&directory.join(name), yaml.as_bytes())?;
            }
        }
        None => {
            let all: Vec<String> = definitions
                .into_iter()
                .map(|(_, definition)| input::value_to_yaml(definition))
                .collect();
            output::text(&all.join("---\n"))?;
        }
    }
    Ok(Exit::Ok)
}
