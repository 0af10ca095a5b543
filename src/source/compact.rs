//! Many packs into few.
//!
//! Enters: a store with many packs.
//! Leaves: another store with the same objects in two packs.
//! Never: a change to the first one, which may be read meanwhile; a second copy of its largest pack.

use std::{collections::BTreeSet, fs, io, sync::Arc};

use git2::Oid;

use super::{
    Error,
    cache::{CacheDirectory, Key},
    connect::Net,
    outgoing::Outgoing,
    store::Store,
};

/// Makes a store with the first pack of `store`, and one more with everything that leads to `tips` besides.
///
/// What leads to no tip any more is not taken along.
///
/// # Errors
/// When it cannot be made, or `store` is damaged.
pub(super) fn compact(
    net: &Net,
    store: &Store,
    cache: &Arc<CacheDirectory>,
    key: &Key,
    tips: &BTreeSet<Oid>,
) -> Result<Arc<Store>, Error> {
    let compacted = Store::create(store.url(), cache, key)?;
    if let Some(base) = store.base() {
        let link = |extension: &str| -> io::Result<()> {
            let mut name = base.name.clone();
            name.push(extension);
            fs::hard_link(store.packs().join(&name), compacted.packs().join(&name))
        };
        // Without its index a pack does not count.
        link(".pack")
            .and_then(|()| link(".idx"))
            .map_err(|source| Error::Damaged {
                url: store.url().clone(),
                source: Arc::new(source),
            })?;
        compacted.set_base(base.clone());
    }
    let haves = store
        .base()
        .map(|base| base.commits.as_slice())
        .unwrap_or_default();
    store.with(|repository| {
        let outgoing = Outgoing::collect(repository, tips.iter().copied(), haves)?;
        if outgoing.is_empty() {
            return Ok(compacted.measure().map(|_packs| ()));
        }
        let mut read = Ok(());
        let written = compacted.write_pack(net, |sink| {
            match outgoing.send(|piece| sink.write_all(piece)) {
                Ok(sent) => sent.map_err(|error| Error::from_io(store.url(), "copy", error)),
                Err(error) => {
                    read = Err(error);
                    Ok(())
                }
            }
        });
        read.map(|()| written)
    })??;
    Ok(compacted)
}
