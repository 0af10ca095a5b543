//! Sets survive being stored; damaged and hostile bytes do not pass.

use jiff::Timestamp;

use super::*;
use crate::model::AttemptKind;

fn head() -> Head {
    Head {
        application_uid: "u".to_owned(),
        attempt: 3,
        kind: AttemptKind::Sync,
        digest: Digest::of(b"set"),
        revision: format!("main@sha1:{}", "a".repeat(40)).parse().unwrap(),
        set_attempt: 3,
        holder: "me".to_owned(),
        began: Timestamp::UNIX_EPOCH,
        asked: None,
        creates: Vec::new(),
        forces: Vec::new(),
        deletes: Vec::new(),
        carried: Vec::new(),
        carried_from: Vec::new(),
        yields: Vec::new(),
        recreates: Vec::new(),
    }
}

fn set(count: usize, filler: impl Fn(usize) -> String) -> StoredSet {
    let objects = (0..count)
        .map(|index| {
            Object::new(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c-{index}"), "namespace": "shop"}, "data": {"k": filler(index), "n": "9007199254740993"}, "count": 9_007_199_254_740_993_u64}),
                (index % 2 == 0).then(|| Location::line("base/c.yaml", 7)),
            )
            .unwrap()
        })
        .collect();
    StoredSet {
        digest: Digest::of(b"set"),
        objects,
    }
}

fn owned(data: &BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    data.iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

async fn round_trip(set: &StoredSet) -> (usize, StoredSet) {
    let packed = pack("store", &head(), Some(set)).await.unwrap();
    let data = owned(&packed.head);
    assert_eq!(unpack_head("read", &data).unwrap(), head());
    let (layout, mut bytes) = unpack_layout("read", &data).unwrap();
    assert_eq!(layout.chunks, packed.chunks.len());
    for chunk in &packed.chunks {
        assert!(BASE64.decode(chunk).unwrap().len() <= CHUNK_BYTES);
        let data = BTreeMap::from([("chunk".to_owned(), chunk.clone())]);
        bytes.extend(unpack_chunk("read", &data).unwrap());
    }
    let found = unpack_set("read", &layout, &bytes, &set.digest)
        .await
        .unwrap();
    (packed.chunks.len(), found)
}

#[tokio::test]
async fn a_small_set_travels_in_its_head() {
    let set = set(4, |_| "v".to_owned());
    let (chunks, found) = round_trip(&set).await;
    assert_eq!(chunks, 0);
    assert_eq!(found.objects, set.objects);
    assert_eq!(found.objects[0].location(), set.objects[0].location());
}

#[tokio::test]
async fn a_large_set_travels_in_chunks() {
    // Hashes do not compress.
    let set = set(10_000, |index| {
        let hash = |text: String| Digest::of(text.as_bytes()).hex().to_owned();
        hash(format!("a{index}")) + &hash(format!("b{index}"))
    });
    let (chunks, found) = round_trip(&set).await;
    assert!(chunks > 1, "{chunks}");
    assert_eq!(found.objects, set.objects);
}

#[tokio::test]
async fn packing_is_deterministic() {
    let set = set(300, |index| index.to_string());
    let first = pack("store", &head(), Some(&set)).await.unwrap();
    let second = pack("store", &head(), Some(&set)).await.unwrap();
    assert_eq!(first.head, second.head);
    assert_eq!(first.chunks, second.chunks);
}

#[tokio::test]
async fn damaged_bytes_do_not_pass() {
    let set = set(4, |_| "v".to_owned());
    let packed = pack("store", &head(), Some(&set)).await.unwrap();
    let data = owned(&packed.head);
    let (layout, bytes) = unpack_layout("read", &data).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for bytes in [&flipped[..], &bytes[..bytes.len() - 1], b""] {
        let error = unpack_set("read", &layout, bytes, &set.digest)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
    let short = Layout {
        objects: 5,
        ..layout
    };
    assert!(
        unpack_set("read", &short, &bytes, &set.digest)
            .await
            .is_err()
    );
    for (field, value) in [("head", "!"), ("head", "AAAA"), ("layout", "e30=")] {
        let mut data = data.clone();
        data.insert(field.to_owned(), value.to_owned());
        assert!(unpack_head("read", &data).is_err() || unpack_layout("read", &data).is_err());
    }
}

#[tokio::test]
async fn a_bomb_is_not_unpacked() {
    let zeros = vec![b'0'; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..200 {
        encoder.write_all(&zeros).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    let layout = Layout {
        format: FORMAT,
        chunks: 0,
        objects: 1,
        hash: Digest::of(&bytes),
    };
    assert!(
        unpack_set("read", &layout, &bytes, &Digest::of(b""))
            .await
            .is_err()
    );
}
