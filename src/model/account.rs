//! Who acts and for what: service account names and Application keys.
//!
//! Enters: namespace and name.
//! Leaves: `AccountName`, never empty, and `ApplicationKey`.
//! Never: an identity that could be empty, which would mean the controller's own rights.

use std::fmt;

/// The namespaced name of an Application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationKey {
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub name: String,
}

impl fmt::Display for ApplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A service account, by namespace and name; neither is ever empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName {
    namespace: String,
    name: String,
}

impl AccountName {
    /// Returns the account, or None where a part is empty: no identity means refused.
    pub fn new(namespace: &str, name: &str) -> Option<Self> {
        (!namespace.is_empty() && !name.is_empty()).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Returns the user name by which the API server knows the account.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// Returns the account's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the account's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_identity_cannot_be_built() {
        assert!(AccountName::new("shop", "").is_none());
        assert!(AccountName::new("", "deployer").is_none());
        let account = AccountName::new("shop", "deployer").unwrap();
        assert_eq!(account.user(), "system:serviceaccount:shop:deployer");
    }
}
