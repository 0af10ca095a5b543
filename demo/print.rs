//! What the reader sees.
//!
//! Enters: steps and their times.
//! Leaves: short lines on standard output; a table at the end.
//! Never: colour without a terminal, or against NO_COLOR.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a demo is there to be read"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "an example reads NO_COLOR itself; it is no part of the product"
)]
#![expect(clippy::unused_self, reason = "the printer is the one who speaks")]

use std::{
    cell::RefCell,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::NOTHING};

/// Prints the story and remembers it for the summary.
pub(crate) struct Printer {
    colour: bool,
    steps: RefCell<Vec<[String; 3]>>,
    started: Instant,
}

impl Printer {
    pub(crate) fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            steps: RefCell::default(),
            started: Instant::now(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn act(&self, title: &str) {
        println!("\n{}", self.paint("1", title));
    }

    pub(crate) fn say(&self, text: &str) {
        println!("  {text}");
    }

    pub(crate) fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("  {} {line}", self.paint("2", "│"));
        }
    }

    pub(crate) fn done(&self, step: &str, what: &str, took: Duration) {
        println!(
            "  {} {step}: {what} ({})",
            self.paint("32", "✔ ok"),
            seconds(took)
        );
        self.steps
            .borrow_mut()
            .push([step.to_owned(), what.to_owned(), seconds(took)]);
    }

    pub(crate) fn fail(&self, text: &str) {
        eprintln!("\n{} {text}", self.paint("31", "✘ failed"));
    }

    pub(crate) fn summary(&self) {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(vec!["STEP", "WHAT HAPPENED", "TIME"]);
        for step in self.steps.borrow().iter() {
            table.add_row(step.to_vec());
        }
        println!("\n{}", self.paint("1", "Summary"));
        for line in table.lines() {
            println!(" {}", line.trim_end());
        }
        println!("\n  The whole took {}.", seconds(self.started.elapsed()));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
