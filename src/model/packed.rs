//! A value that is kept for long and looked at rarely.
//!
//! Enters: JSON.
//! Leaves: the same JSON; between, its bytes.
//! Never: a tree of maps for every object that nothing happens to: its bytes take a tenth of that.

use std::sync::Arc;

use serde_json::Value;

/// JSON as bytes. A clone shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    /// Packs a value.
    pub fn of(value: &Value) -> Self {
        Self(Arc::from(value.to_string().into_bytes()))
    }

    /// Packs values as one list, without a copy of their trees.
    pub fn of_all<'a>(values: impl Iterator<Item = &'a Value>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            bytes.push(if bytes.is_empty() { b'[' } else { b',' });
            bytes.extend_from_slice(value.to_string().as_bytes());
        }
        if bytes.is_empty() {
            bytes.push(b'[');
        }
        bytes.push(b']');
        Self(Arc::from(bytes))
    }

    /// Returns the value; None where it is nested deeper than JSON is read, which no answer of an API server is.
    pub fn value(&self) -> Option<Value> {
        serde_json::from_slice(&self.0).ok()
    }

    /// Returns how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// The size only: values can be a Secret's.
impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_packed_as_one_list() {
        let values = [json!({"a": 1}), json!("b")];
        assert_eq!(
            Packed::of_all(values.iter()).value(),
            Some(json!([{"a": 1}, "b"]))
        );
        assert_eq!(Packed::of_all([].iter()).value(), Some(json!([])));
    }

    #[test]
    fn what_is_packed_comes_back_and_is_not_printed() {
        let value = json!({"data": {"a": "canary"}, "n": 9_007_199_254_740_993_u64, "f": 0.1});
        let packed = Packed::of(&value);
        assert_eq!(packed.value(), Some(value));
        assert!(packed.bytes() > 0);
        assert!(!format!("{packed:?}").contains("canary"));
    }
}
