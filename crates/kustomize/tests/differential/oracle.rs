//! The real kustomize, answering many trees in one process.
//!
//! Enters: trees. Leaves: answers in their order. Never: a test that passes because the real kustomize is missing.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::tree::Tree;

/// What the real kustomize says.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) output: String,
    pub(crate) error: Option<String>,
    /// Whether it crashed, which is no verdict on the tree.
    pub(crate) panic: bool,
}

pub(crate) struct Oracle {
    binary: PathBuf,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    /// Builds the real kustomize where that is needed, and starts it.
    pub(crate) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oracle/build.sh");
        let built = Command::new(script).stderr(Stdio::inherit()).output();
        let built = built.unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
        assert!(
            built.status.success(),
            "the real kustomize is missing: {script} builds it and needs Go"
        );
        let binary = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
        let (process, input, output) = spawn(&binary);
        Self {
            binary,
            process,
            input: Some(input),
            output,
        }
    }

    /// Asks about trees.
    pub(crate) fn ask(&mut self, trees: &[Tree]) -> Vec<Answer> {
        // One at a time: an answer is read before the next question is written, so that neither pipe can fill up.
        trees.iter().map(|tree| self.ask_one(tree)).collect()
    }

    fn ask_one(&mut self, tree: &Tree) -> Answer {
        let files: serde_json::Map<String, Value> = tree
            .rendered()
            .into_iter()
            .map(|(path, content)| (path, Value::String(content)))
            .collect();
        let bytes: serde_json::Map<String, Value> = tree
            .bytes()
            .into_iter()
            .map(|(path, content)| (path.clone(), Value::String(STANDARD.encode(content))))
            .collect();
        let job =
            json!({"dir": tree.directory, "flags": tree.flags, "files": files, "base64": bytes});
        let mut line = String::new();
        let written = self.input.as_mut().map(|input| writeln!(input, "{job}"));
        if written.is_some_and(|written| written.is_ok()) {
            self.output.read_line(&mut line).unwrap();
        }
        if line.is_empty() {
            // A stack overflow ends the process; the next question gets a new one.
            self.stop();
            let (process, input, output) = spawn(&self.binary);
            (self.process, self.input, self.output) = (process, Some(input), output);
            return Answer {
                output: String::new(),
                error: Some("the process ended".to_owned()),
                panic: true,
            };
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        Answer {
            output: text("output").unwrap_or_default(),
            error: text("error"),
            panic: answer.get("panic") == Some(&Value::Bool(true)),
        }
    }

    fn stop(&mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(binary: &PathBuf) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut process = Command::new(binary)
        .arg("batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
    let input = process.stdin.take().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    (process, input, output)
}
