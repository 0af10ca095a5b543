//! Checkpoints: the heads of all chains at one moment, signed.
//!
//! Enters: heads, the checkpoint before, a key.
//! Leaves: `Signed`: canonical text and an Ed25519 signature over it.
//! Never: a checkpoint that could stand for another: each is numbered and names the hash of the one before.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};

use super::line::ChainId;
use crate::{
    api::RecordHead,
    model::{Digest, canonical_json},
};

/// Version of the checkpoint's own format.
const FORMAT: u64 = 1;
/// What stands before an Ed25519 public key in its `SubjectPublicKeyInfo` (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file is no PEM of this kind.
    #[error("read the key: no PEM block {0}")]
    Pem(&'static str),
    /// The key is of another kind.
    #[error("read the key: it is no Ed25519 key ({0})")]
    Kind(String),
}

/// The key that signs. It never leaves: it has no `Debug` that shows it.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Reads a PKCS #8 key, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// It is no PEM, or no Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = block(pem, "PRIVATE KEY")?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map(Self)
            .map_err(|rejected| KeyError::Kind(rejected.to_string()))
    }

    /// Returns the key that verifies.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }

    fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()).as_ref())
    }
}

/// The key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a public key, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// It is no PEM, or no Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = block(pem, "PUBLIC KEY")?;
        match der.strip_prefix(&PUBLIC_PREFIX[..]) {
            Some(key) if key.len() == 32 => Ok(Self(key.to_vec())),
            Some(_) | None => Err(KeyError::Kind("another algorithm".to_owned())),
        }
    }

    /// Returns it as PEM.
    pub fn to_pem(&self) -> String {
        let mut der = PUBLIC_PREFIX.to_vec();
        der.extend_from_slice(&self.0);
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }

    /// Returns the name of the key: the digest of its bytes.
    pub fn id(&self) -> Digest {
        Digest::of(&self.0)
    }

    fn verifies(&self, text: &str, signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.0)
                .verify(text.as_bytes(), &signature)
                .is_ok()
        })
    }
}

fn block(pem: &str, kind: &'static str) -> Result<Vec<u8>, KeyError> {
    let between = pem
        .split_once(&format!("-----BEGIN {kind}-----"))
        .and_then(|(_, rest)| rest.split_once(&format!("-----END {kind}-----")));
    let text: String = between
        .ok_or(KeyError::Pem(kind))?
        .0
        .split_whitespace()
        .collect();
    STANDARD.decode(text).or(Err(KeyError::Pem(kind)))
}

/// A checkpoint with its signature, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Canonical text that the signature covers.
    pub text: String,
    /// Ed25519 signature in base64.
    pub signature: String,
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub number: u64,
    /// Hash of the text of the one before; None for the first.
    pub previous: Option<Digest>,
    /// UID of the cluster.
    pub cluster: String,
    /// When.
    pub at: Timestamp,
    /// Heads of chains that changed since the one before, or of all.
    pub heads: BTreeMap<ChainId, RecordHead>,
    /// Whether the heads are those of all chains that the controller knew.
    pub all: bool,
    /// Identity of the controller.
    pub controller: String,
}

/// Why a checkpoint does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// The text says nothing of a known form.
    #[error("cannot be read")]
    Unreadable,
    /// The signature is not that of this key over this text.
    #[error("is not signed by this key: it was forged, changed, or signed by another")]
    Signature,
}

impl Checkpoint {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Signed {
        let heads: Vec<Value> = self
            .heads
            .iter()
            .map(|(chain, head)| {
                json!({
                    "namespace": chain.namespace, "name": chain.name, "uid": chain.uid,
                    "sequence": head.sequence, "hash": head.hash.as_str()
                })
            })
            .collect();
        let mut value = json!({
            "format": FORMAT, "number": self.number, "cluster": self.cluster, "at": self.at.to_string(),
            "heads": heads, "all": self.all, "key": key.public().id().as_str(),
            "controller": {"identity": self.controller, "version": env!("CARGO_PKG_VERSION")}
        });
        if let (Some(map), Some(previous)) = (value.as_object_mut(), &self.previous) {
            map.insert("previous".to_owned(), previous.as_str().into());
        }
        let text = canonical_json(&value);
        Signed {
            signature: key.sign(&text),
            text,
        }
    }
}

impl Signed {
    /// Returns the hash that the next checkpoint names.
    pub fn hash(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// Reads it, and where a key is given checks that the key signed it.
    ///
    /// # Errors
    /// It cannot be read, or the signature does not fit.
    pub fn open(&self, key: Option<&PublicKey>) -> Result<Checkpoint, BadCheckpoint> {
        if key.is_some_and(|key| !key.verifies(&self.text, &self.signature)) {
            return Err(BadCheckpoint::Signature);
        }
        self.read().ok_or(BadCheckpoint::Unreadable)
    }

    fn read(&self) -> Option<Checkpoint> {
        let value: Value = serde_json::from_str(&self.text).ok()?;
        if value.get("format")?.as_u64()? != FORMAT || canonical_json(&value) != self.text {
            return None;
        }
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        let mut heads = BTreeMap::new();
        for head in value.get("heads")?.as_array()? {
            heads.insert(
                ChainId {
                    namespace: text(head, "namespace")?,
                    name: text(head, "name")?,
                    uid: text(head, "uid")?,
                },
                RecordHead {
                    sequence: head.get("sequence")?.as_u64()?,
                    hash: head.get("hash")?.as_str()?.parse().ok()?,
                },
            );
        }
        Some(Checkpoint {
            number: value.get("number")?.as_u64()?,
            previous: match value.get("previous") {
                Some(previous) => Some(previous.as_str()?.parse().ok()?),
                None => None,
            },
            cluster: text(&value, "cluster")?,
            at: value.get("at")?.as_str()?.parse().ok()?,
            heads,
            all: value.get("all")?.as_bool()?,
            controller: value.pointer("/controller/identity")?.as_str()?.to_owned(),
        })
    }
}
