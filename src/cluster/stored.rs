//! How a set travels through Secrets: canonical JSON lines, gzip, chunks.
//!
//! Enters: a head, the objects of a set; or the bytes that were stored.
//! Leaves: the data of Secrets; or what was stored, checked against its hash and bounded.
//! Never: more memory than the limits say, whatever the bytes are.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::Error;
use crate::model::{Digest, Head, Location, Object, StoredSet, canonical_json};

/// Bytes of one chunk; a Secret holds at most 1 MiB.
const CHUNK_BYTES: usize = 512 << 10;
/// Bytes up to which a set travels in its head, beside the head's own.
const INLINE_BYTES: usize = 256 << 10;
/// Bytes of the head itself, compressed: 20,000 ids and UIDs fit.
const HEAD_BYTES: usize = 640 << 10;
/// Most chunks of one set: 32 MiB compressed.
const CHUNKS: usize = 64;
/// Bytes of a set or a head when it is unpacked.
const UNPACKED_BYTES: usize = 192 << 20;
/// Objects between two breaks: packing 10,000 objects must not hold up everybody else.
const BREAK_EVERY: usize = 200;

/// How the stored set is laid out; travels in the head beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layout {
    /// Version of this form.
    format: u32,
    /// Chunks; 0 where the set travels in the head.
    pub(super) chunks: usize,
    /// Objects of the set.
    objects: usize,
    /// Hash of the compressed bytes.
    hash: Digest,
}

const FORMAT: u32 = 1;

/// A head and its set, ready to be stored.
pub(super) struct Packed {
    /// Data of the head's Secret, in base64.
    pub(super) head: BTreeMap<&'static str, String>,
    /// Data of each chunk, in base64, in order.
    pub(super) chunks: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    object: Value,
}

/// Packs a head, and the set that it brings.
pub(super) async fn pack(act: &str, head: &Head, set: Option<&StoredSet>) -> Result<Packed, Error> {
    let head_bytes = compress(act, &serde_json::to_vec(head).map_err(decode_error(act))?)?;
    limit(act, head_bytes.len(), HEAD_BYTES, "bytes")?;
    let mut packed = Packed {
        head: BTreeMap::from([("head", BASE64.encode(head_bytes))]),
        chunks: Vec::new(),
    };
    if let Some(set) = set {
        let bytes = pack_objects(act, set).await?;
        let layout = |chunks| Layout {
            format: FORMAT,
            chunks,
            objects: set.objects.len(),
            hash: Digest::of(&bytes),
        };
        let layout = if bytes.len() <= INLINE_BYTES {
            packed.head.insert("set", BASE64.encode(&bytes));
            layout(0)
        } else {
            packed.chunks = bytes
                .chunks(CHUNK_BYTES)
                .map(|chunk| BASE64.encode(chunk))
                .collect();
            limit(act, packed.chunks.len(), CHUNKS, "chunks")?;
            layout(packed.chunks.len())
        };
        let layout = serde_json::to_vec(&layout).map_err(decode_error(act))?;
        packed.head.insert("layout", BASE64.encode(layout));
    }
    Ok(packed)
}

async fn pack_objects(act: &str, set: &StoredSet) -> Result<Vec<u8>, Error> {
    // Fast: the next level saves a fifth of the bytes and costs twice the time.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for (index, object) in set.objects.iter().enumerate() {
        if index % BREAK_EVERY == BREAK_EVERY - 1 {
            tokio::task::yield_now().await;
        }
        let line = json!({"location": object.location(), "object": object.value()});
        let mut text = canonical_json(&line);
        text.push('\n');
        encoder.write_all(text.as_bytes()).map_err(io_error(act))?;
    }
    encoder.finish().map_err(io_error(act))
}

/// Reads the head out of the data of its Secret.
pub(super) fn unpack_head(act: &str, data: &BTreeMap<String, String>) -> Result<Head, Error> {
    let bytes = field(act, data, "head")?;
    let mut text = Vec::new();
    GzDecoder::new(bytes.as_slice())
        .take(UNPACKED_BYTES as u64)
        .read_to_end(&mut text)
        .map_err(io_error(act))?;
    read_json(act, &text)
}

/// Reads how the set is laid out, and the set itself where it travels in the head.
pub(super) fn unpack_layout(
    act: &str,
    data: &BTreeMap<String, String>,
) -> Result<(Layout, Vec<u8>), Error> {
    let layout: Layout = read_json(act, &field(act, data, "layout")?)?;
    if layout.format != FORMAT {
        return Err(damaged(
            act,
            "it was stored in a form that this version does not read",
        ));
    }
    limit(act, layout.chunks, CHUNKS, "chunks")?;
    let bytes = if layout.chunks == 0 {
        field(act, data, "set")?
    } else {
        Vec::new()
    };
    Ok((layout, bytes))
}

/// Says whether a head is all that is stored of its attempt: it has no set, or the set travels in it.
pub(super) fn is_whole(act: &str, data: &BTreeMap<String, String>) -> bool {
    !data.contains_key("layout")
        || unpack_layout(act, data).is_ok_and(|(layout, _)| layout.chunks == 0)
}

/// Reads one chunk out of the data of its Secret.
pub(super) fn unpack_chunk(act: &str, data: &BTreeMap<String, String>) -> Result<Vec<u8>, Error> {
    field(act, data, "chunk")
}

/// Returns the holder as it travels beside a chunk.
pub(super) fn pack_holder(holder: &str) -> String {
    BASE64.encode(holder)
}

/// Reads the holder of a chunk.
pub(super) fn unpack_holder(act: &str, data: &BTreeMap<String, String>) -> Result<String, Error> {
    String::from_utf8(field(act, data, "holder")?)
        .map_err(|_no_text| damaged(act, "its holder is no text"))
}

/// Reads the set out of its compressed bytes.
pub(super) async fn unpack_set(
    act: &str,
    layout: &Layout,
    bytes: &[u8],
    digest: &Digest,
) -> Result<StoredSet, Error> {
    if Digest::of(bytes) != layout.hash {
        return Err(damaged(act, "its bytes are not those that were stored"));
    }
    let mut objects = Vec::new();
    let mut reader = BufReader::new(GzDecoder::new(bytes).take(UNPACKED_BYTES as u64));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(io_error(act))?;
        if read == 0 {
            break;
        }
        if objects.len() % BREAK_EVERY == BREAK_EVERY - 1 {
            tokio::task::yield_now().await;
        }
        let Line { location, object } = read_json(act, &line)?;
        let object = Object::new(object, location)
            .map_err(|_nameless| damaged(act, "an object of it has no identity"))?;
        objects.push(object);
    }
    if objects.len() != layout.objects {
        return Err(damaged(act, "objects of it are missing"));
    }
    Ok(StoredSet {
        digest: digest.clone(),
        objects,
    })
}

fn compress(act: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).map_err(io_error(act))?;
    encoder.finish().map_err(io_error(act))
}

fn field(act: &str, data: &BTreeMap<String, String>, name: &str) -> Result<Vec<u8>, Error> {
    let text = data
        .get(name)
        .ok_or_else(|| damaged(act, "a part of it is missing"))?;
    BASE64
        .decode(text)
        .map_err(|_no_base64| damaged(act, "it is not base64"))
}

fn read_json<T: DeserializeOwned>(act: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|_no_json| damaged(act, "it is not the JSON that was stored"))
}

fn damaged(act: &str, what: &'static str) -> Error {
    Error::Damaged {
        act: act.to_owned(),
        what,
    }
}

fn limit(act: &str, found: usize, limit: usize, unit: &'static str) -> Result<(), Error> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        act: act.to_owned(),
        limit,
        unit,
    })
}

fn decode_error(act: &str) -> impl Fn(serde_json::Error) -> Error {
    move |source| Error::Decode {
        act: act.to_owned(),
        source,
    }
}

/// Reading and writing memory fails only where the bytes are no gzip.
fn io_error(act: &str) -> impl Fn(std::io::Error) -> Error {
    move |_no_gzip| damaged(act, "it is not the gzip that was stored")
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
