//! Heads: how far a sink has come with each chain.
//!
//! Enters: lines, as they are read or appended.
//! Leaves: whether the next record follows.
//! Never: a step over a record that is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api::RecordHead,
    history::{ChainId, Line, Signed, Told, read_line},
};

/// How far a sink has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) chains: BTreeMap<ChainId, RecordHead>,
    /// Newest checkpoint.
    pub(super) checkpoint: Option<Signed>,
}

impl Heads {
    /// Takes a line that stands in the sink.
    pub(super) fn read(&mut self, line: &str) -> Result<(), String> {
        match read_line(line).map_err(|why| why.to_string())? {
            Line::Record(told) => self.set(&told),
            Line::Checkpoint(signed) => self.checkpoint = Some(signed),
            Line::Header => self.restore(line),
        }
        Ok(())
    }

    /// Takes a record that was appended.
    pub(super) fn set(&mut self, told: &Told) {
        self.chains.insert(
            told.chain.clone(),
            RecordHead {
                sequence: told.sequence,
                hash: told.hash.clone(),
            },
        );
    }

    /// Returns the heads as they stand in the header of a file.
    pub(super) fn to_value(&self) -> Value {
        let heads: Vec<Value> = self
            .chains
            .iter()
            .map(|(chain, head)| {
                json!({
                    "namespace": chain.namespace, "name": chain.name, "uid": chain.uid,
                    "sequence": head.sequence, "hash": head.hash.as_str()
                })
            })
            .collect();
        json!({"heads": heads, "checkpoint": self.checkpoint.as_ref().map(Signed::to_line)})
    }

    fn restore(&mut self, line: &str) {
        let value: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        let heads = value.pointer("/sink/heads").and_then(Value::as_array);
        for head in heads.into_iter().flatten() {
            let text = |key: &str| head.get(key)?.as_str().map(str::to_owned);
            let read = || {
                let chain = ChainId {
                    namespace: text("namespace")?,
                    name: text("name")?,
                    uid: text("uid")?,
                };
                let head = RecordHead {
                    sequence: head.get("sequence")?.as_u64()?,
                    hash: text("hash")?.parse().ok()?,
                };
                Some((chain, head))
            };
            if let Some((chain, head)) = read() {
                self.chains.insert(chain, head);
            }
        }
        if let Some(Ok(Line::Checkpoint(signed))) = value
            .pointer("/sink/checkpoint")
            .and_then(Value::as_str)
            .map(read_line)
        {
            self.checkpoint = Some(signed);
        }
    }
}
