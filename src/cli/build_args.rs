//! Arguments of `build`: upstream's, and hosts that may be asked.
//!
//! Enters: what was typed.
//! Leaves: a struct.
//! Never: a flag that upstream reads otherwise.

use std::ffi::OsString;

use clap::{ArgAction, Args, Parser, ValueEnum};

/// The verb by itself. To put together the arguments of every verb takes longer than to build a small tree.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll build",
    bin_name = "plimsoll build",
    about = "Build a kustomization as `kustomize build` does",
    max_term_width = 100
)]
struct BuildCli {
    #[command(flatten)]
    args: BuildArgs,
}

/// Order of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReorderArg {
    /// Namespaces and definitions first, webhooks last
    Legacy,
    /// As the files came
    None,
}

/// Which files a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LoadRestrictorArg {
    /// Those below its own directory
    #[default]
    #[value(name = "LoadRestrictionsRootOnly", alias = "")]
    RootOnly,
    /// Any
    #[value(name = "LoadRestrictionsNone")]
    None,
}

/// Arguments of `build`: upstream's, which may be repeated, and switches may be given a value.
#[derive(Args, Debug, Default)]
#[command(args_override_self = true)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "upstream's flags are switches"
)]
pub struct BuildArgs {
    /// Directory with a kustomization, or URL of a git repository
    #[arg(value_name = "DIR", num_args = 0.., default_value = ".")]
    pub directory: Vec<String>,
    /// File, or existing directory for one file an object
    #[arg(long, short, value_name = "PATH", allow_hyphen_values = true)]
    pub output: Option<OsString>,
    /// Order of the objects
    #[arg(long, value_enum, hide = true)]
    pub reorder: Option<ReorderArg>,
    /// Which files a kustomization may read
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    pub load_restrictor: LoadRestrictorArg,
    /// Mark every object as managed by kustomize
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub enable_managedby_label: bool,
    /// Accepted; only an external plugin is refused
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    pub enable_alpha_plugins: bool,
    /// Print the causes of an error one a line
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set, hide_default_value = true, value_name = "BOOL")]
    pub stack_trace: bool,
    /// Refused: charts are not rendered yet
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub enable_helm: bool,
    /// Refused: charts are not rendered yet
    #[arg(long, hide = true, value_name = "PATH")]
    pub helm_command: Option<String>,
    /// Refused: charts are not rendered yet
    #[arg(long, hide = true, value_name = "VERSION")]
    pub helm_api_versions: Vec<String>,
    /// Refused: charts are not rendered yet
    #[arg(long, hide = true, value_name = "VERSION")]
    pub helm_kube_version: Option<String>,
    /// Refused: charts are not rendered yet
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub helm_debug: bool,
    /// Refused: nothing is executed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub enable_exec: bool,
    /// Refused: nothing is executed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub network: bool,
    /// Refused: nothing is executed
    #[arg(long, hide = true, value_name = "NAME")]
    pub network_name: Option<String>,
    /// Refused: nothing is executed
    #[arg(long, hide = true, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Refused: nothing is executed
    #[arg(long, short, hide = true, value_name = "VARIABLE")]
    pub env: Vec<String>,
    /// Refused: nothing is executed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub as_current_user: bool,
    /// Host from which remote resources may come; repeat for more
    #[arg(long, value_name = "HOST")]
    pub allow_remote: Vec<String>,
}

impl BuildArgs {
    /// Reads what stands behind the name of the program, the verb first.
    ///
    /// # Errors
    /// When a flag is unknown or its value no good, and when help is asked for.
    pub(super) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        match arguments.get(1..).and_then(Self::of_directory) {
            Some(args) => Ok(args),
            None => BuildCli::try_parse_from(arguments).map(|cli| cli.args),
        }
    }

    /// Returns the arguments of `build DIR`, or `None` where more is said. To put together what a parser knows of twenty
    /// flags and then to meet none is a tenth of all instructions of a small build.
    fn of_directory(arguments: &[OsString]) -> Option<Self> {
        let [directory] = arguments else {
            return None;
        };
        let directory = directory.to_str().filter(|text| !text.starts_with('-'))?;
        Some(Self {
            directory: vec![directory.to_owned()],
            ..Self::default()
        })
    }
}

/// A switch may be given a value, as upstream's may: `--stack-trace=false`.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_is_read_without_the_parser_as_by_it() {
        for directory in [
            ".",
            "overlays/prod",
            "a b",
            "",
            "https://git.example.org/shop",
        ] {
            let fast = BuildArgs::of_directory(&[directory.into()]).unwrap();
            let parsed = BuildCli::try_parse_from(["build", directory]).unwrap().args;
            assert_eq!(format!("{fast:?}"), format!("{parsed:?}"), "{directory:?}");
        }
        for arguments in [
            vec![],
            vec!["--help"],
            vec!["-"],
            vec!["a", "b"],
            vec!["a", "-o"],
        ] {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert!(
                BuildArgs::of_directory(&arguments).is_none(),
                "{arguments:?}"
            );
        }
    }
}
