//! The YAML room against the real kustomize, and against hostile input.
//!
//! Enters: the tables in `tables/`; texts made here. Leaves: nothing but failures.
//! Never: an expectation that was written by hand where the real kustomize can be asked.

mod hostile;
mod places;
mod random;
mod tables;

use serde_json::Value;

/// Numbers are equal when they are the same number, as far as the reader of the table can tell.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let close = |left: f64, right: f64| (left - right).abs() <= left.abs() * 1e-15;
            left == right
                || left
                    .as_f64()
                    .zip(right.as_f64())
                    .is_some_and(|(left, right)| close(left, right))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
