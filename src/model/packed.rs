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
    fn what_is_packed_comes_back_and_is_not_printed() {
        let value = json!({"data": {"a": "canary"}, "n": 9_007_199_254_740_993_u64, "f": 0.1});
        let packed = Packed::of(&value);
        assert_eq!(packed.value(), Some(value));
        assert!(packed.bytes() > 0);
        assert!(!format!("{packed:?}").contains("canary"));
    }
}
