//! What a sink lacks, looked up: from what was just written, else from the cluster.
//!
//! Enters: how far a sink has come, how far the chains have.
//! Leaves: the next lines, in order; chains that do not fit.
//! Never: a line that does not follow what the sink has, unless what lies between is nowhere any more.

use std::collections::BTreeMap;

use super::{Error, heads::Heads, keeping::Inner};
use crate::{
    api::RecordHead,
    cluster::Keeper,
    history::{ChainId, Told, read_record, record_name},
    model::ApplicationKey,
};

/// Lines of one batch, and bytes: one sync of the disk for all of them.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// What to append next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<String>,
    /// Chains that cannot go on, and why.
    pub(super) refused: BTreeMap<ChainId, Error>,
}

/// Collects the next lines for a sink that has come so far; chains that were refused are left out.
pub(super) async fn batch(
    inner: &Inner,
    keeper: &Keeper,
    heads: &Heads,
    refused: &BTreeMap<ChainId, String>,
) -> Result<Batch, Error> {
    let known = inner.known();
    let mut batch = Batch::default();
    let mut bytes = 0;
    for (chain, newest) in known {
        if refused.contains_key(&chain) {
            continue;
        }
        let mut has = heads.chains.get(&chain).cloned();
        if let Some(has) = &has
            && (has.sequence > newest.sequence
                || (has.sequence == newest.sequence && has.hash != newest.hash))
        {
            let error = other(&chain, newest.sequence, has);
            batch.refused.insert(chain, error);
            continue;
        }
        while has.as_ref().map_or(0, |has| has.sequence) < newest.sequence {
            if batch.lines.len() >= BATCH || bytes >= BATCH_BYTES {
                return Ok(batch);
            }
            let next = has.as_ref().map_or(1, |has| has.sequence + 1);
            let Some((told, text, gap)) = find(inner, keeper, &chain, next, &newest).await? else {
                // All that is left of it is gone; it is no reason to hold up the others.
                let error = other(&chain, next, &newest);
                batch.refused.insert(chain.clone(), error);
                break;
            };
            let follows = gap || told.previous.as_ref() == has.as_ref().map(|has| &has.hash);
            if !follows {
                let has = has.unwrap_or_else(|| newest.clone());
                let error = other(&chain, told.sequence, &has);
                batch.refused.insert(chain.clone(), error);
                break;
            }
            bytes += text.len();
            has = Some(RecordHead {
                sequence: told.sequence,
                hash: told.hash,
            });
            batch.lines.push(text);
        }
    }
    Ok(batch)
}

fn other(chain: &ChainId, sequence: u64, has: &RecordHead) -> Error {
    Error::OtherHistory {
        chain: chain.clone(),
        sequence,
        has: has.sequence,
    }
}

/// Finds a record, or the next that is still there; says whether some in between are not.
async fn find(
    inner: &Inner,
    keeper: &Keeper,
    chain: &ChainId,
    sequence: u64,
    newest: &RecordHead,
) -> Result<Option<(Told, String, bool)>, Error> {
    if let Some(text) = inner.recent(chain, sequence) {
        return Ok(read_record(&text).ok().map(|told| (told, text, false)));
    }
    if let Some(found) = read(keeper, chain, sequence).await? {
        return Ok(Some((found.0, found.1, false)));
    }
    let key = ApplicationKey {
        namespace: chain.namespace.clone(),
        name: chain.name.clone(),
    };
    let short: String = chain.uid.chars().take(8).collect();
    let next = keeper
        .record_names(Some(&key))
        .await?
        .into_iter()
        .filter(|name| name.uid == short && name.sequence > sequence)
        .map(|name| name.sequence)
        .filter(|next| *next <= newest.sequence)
        .min();
    let Some(next) = next else { return Ok(None) };
    tracing::error!(chain = %chain, from = sequence, to = next - 1, "records are neither in the sink nor in the cluster; the sink has a gap");
    Ok(read(keeper, chain, next)
        .await?
        .map(|(told, text)| (told, text, true)))
}

async fn read(
    keeper: &Keeper,
    chain: &ChainId,
    sequence: u64,
) -> Result<Option<(Told, String)>, Error> {
    let name = record_name(&chain.name, &chain.uid, sequence);
    let found = keeper.get_record(&chain.namespace, &name).await?;
    Ok(found.and_then(|found| {
        let told = read_record(&found.spec.record).ok()?;
        let ours = told.chain == *chain && told.sequence == sequence;
        ours.then_some((told, found.spec.record))
    }))
}
