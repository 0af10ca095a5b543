//! Records for the verbs: from the cluster page by page, or from files line by line.
//!
//! Enters: which records, and where they are.
//! Leaves: each in turn; a verdict on all.
//! Never: all of them in memory at once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::{
    Exit, Failure,
    args::{ConnectArgs, KeyArgs, RecordsArgs},
    input::{self, Connected},
};
use crate::{
    api::{RecordHead, SyncRecord},
    clock,
    history::{
        ChainId, Expectations, Fault, Filter, PublicKey, Told, Verdict, Verifier, read_record,
    },
    model::text,
};

/// Longest line that is taken: as the sinks write them.
const LONGEST: u64 = 32 << 20;

/// One line, and what stood beside it in the cluster.
pub(super) struct Item {
    pub(super) text: String,
    pub(super) beside: Option<SyncRecord>,
}

/// Where records come from.
pub(super) enum Store {
    /// Files.
    Files(Vec<PathBuf>),
    /// The cluster.
    Cluster(Box<Connected>, bool),
}

impl Store {
    pub(super) async fn open(
        from: &[PathBuf],
        connect: &ConnectArgs,
        all_namespaces: bool,
    ) -> Result<Self, Failure> {
        if from.is_empty() {
            let connected = input::connect(connect).await?;
            return Ok(Self::Cluster(Box::new(connected), all_namespaces));
        }
        let mut files = Vec::new();
        for path in from {
            files.extend(files_of(path)?);
        }
        Ok(Self::Files(files))
    }

    /// Returns the namespace that is meant; None for all.
    pub(super) fn namespace(&self, connect: &ConnectArgs) -> Option<String> {
        match self {
            Self::Files(_) => connect.namespace.clone(),
            Self::Cluster(_, true) => None,
            Self::Cluster(connected, false) => Some(connected.namespace.clone()),
        }
    }

    /// Hands every line on, in the order in which they are kept.
    pub(super) async fn each(
        &self,
        application: Option<&str>,
        mut take: impl FnMut(Item) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Files(files) => {
                for file in files {
                    lines(file, |text| take(Item { text, beside: None }))?;
                }
            }
            Self::Cluster(connected, all_namespaces) => {
                let mut next = String::new();
                loop {
                    let (records, after) = connected
                        .records(*all_namespaces, application, &next)
                        .await?;
                    for record in records {
                        take(Item {
                            text: record.spec.record.clone(),
                            beside: Some(record),
                        })?;
                    }
                    next = after;
                    if next.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands on every record that is meant.
    pub(super) async fn each_meant(
        &self,
        filter: &Filter,
        mut take: impl FnMut(Told, String) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let application = filter.application.as_deref();
        self.each(application, |item| match read_record(&item.text) {
            Ok(told) if filter.matches(&told.value) => take(told, item.text),
            // Checkpoints and headers; what cannot be read is for --verify to say.
            Ok(_) | Err(_) => Ok(()),
        })
        .await
    }
}

/// Returns the files of a sink's directory in order, or the file itself.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error: std::io::Error| {
        Failure::new(Exit::NotFound, format!("read {}: {error}", path.display()))
    };
    if !std::fs::metadata(path).map_err(failure)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("read {}: no file in it ends with .jsonl", path.display()),
        ));
    }
    Ok(files)
}

fn lines(path: &Path, mut take: impl FnMut(String) -> Result<(), Failure>) -> Result<(), Failure> {
    let failure = |error: std::io::Error| {
        Failure::new(Exit::NotFound, format!("read {}: {error}", path.display()))
    };
    let mut reader = BufReader::new(File::open(path).map_err(failure)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LONGEST)
            .read_until(b'\n', &mut line)
            .map_err(failure)?;
        if read == 0 {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        take(String::from_utf8_lossy(text).into_owned())?;
    }
}

/// Returns which records are meant.
pub(super) fn filter(args: &RecordsArgs, store: &Store) -> Result<Filter, Failure> {
    Ok(Filter {
        namespace: store.namespace(&args.connect),
        application: args.application.clone(),
        since: args.since.as_deref().map(when).transpose()?,
        until: args.until.as_deref().map(when).transpose()?,
        result: args.result.clone(),
        actor: args.actor.clone(),
        revision: args.revision.clone(),
    })
}

/// Reads a moment: `2026-01-02T03:04:05Z`, `2026-01-02` (its begin, UTC), or an age as `90d`, `12h`, `30m`.
pub(super) fn when(text: &str) -> Result<Timestamp, Failure> {
    let age = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
        let seconds = match unit {
            "w" => 7 * 86_400,
            "d" => 86_400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        let age = SignedDuration::from_secs(number.checked_mul(seconds)?);
        clock::now().wall.checked_sub(age).ok()
    };
    let date = || {
        let date: Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse::<Timestamp>()
        .ok()
        .or_else(date)
        .or_else(age)
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("read {text:?}: neither a time, a date, nor an age such as 90d"),
            )
        })
}

/// Verifies every record of the store, and the checkpoints that belong to it.
pub(super) async fn verdict(
    store: &Store,
    args: &RecordsArgs,
    key: &KeyArgs,
) -> Result<Verdict, Failure> {
    let public = match &key.key {
        Some(path) => Some(PublicKey::from_pem(&input::read(path)?).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("{}: {}", path.display(), text::chain(&error)),
            )
        })?),
        None => None,
    };
    let online = matches!(store, Store::Cluster(..));
    let mut verifier = Verifier::new(Expectations {
        key: public,
        partial: key.partial || online,
        namespace: store.namespace(&args.connect),
        application: args.application.clone(),
        heads: match store {
            Store::Cluster(connected, all) => heads(connected, *all, args).await?,
            Store::Files(_) => BTreeMap::new(),
        },
    });
    let mut kept = Vec::new();
    for path in &key.checkpoints {
        lines(path, |line| {
            kept.push(line);
            Ok(())
        })?;
    }
    if let Store::Cluster(connected, _) = store
        && let Some(lines) = connected.checkpoints(&key.controller_namespace).await?
    {
        kept.extend(lines.lines().map(str::to_owned));
    }
    let meant = Filter {
        namespace: store.namespace(&args.connect),
        application: args.application.clone(),
        ..Filter::default()
    };
    store
        .each(args.application.as_deref(), |item| {
            // Of a file, only the chains that are meant; what cannot be read is always meant.
            if let (None, Ok(told)) = (&item.beside, read_record(&item.text))
                && !meant.matches(&told.value)
            {
                return Ok(());
            }
            verifier.line(&item.text);
            if let Some(beside) = &item.beside {
                for fault in columns(beside) {
                    verifier.fault(fault);
                }
            }
            Ok(())
        })
        .await?;
    for line in kept {
        verifier.line(&line);
    }
    Ok(verifier.finish())
}

/// Returns the newest record of each Application, as its status says.
async fn heads(
    connected: &Connected,
    all_namespaces: bool,
    args: &RecordsArgs,
) -> Result<BTreeMap<ChainId, RecordHead>, Failure> {
    let mut heads = BTreeMap::new();
    for application in connected.applications(all_namespaces).await? {
        let metadata = application.metadata;
        let name = metadata.name.unwrap_or_default();
        if args
            .application
            .as_ref()
            .is_some_and(|wanted| *wanted != name)
        {
            continue;
        }
        if let Some(head) = application.status.and_then(|status| status.record) {
            let chain = ChainId {
                namespace: metadata.namespace.unwrap_or_default(),
                name,
                uid: metadata.uid.unwrap_or_default(),
            };
            heads.insert(chain, head);
        }
    }
    Ok(heads)
}

/// Compares the columns of a SyncRecord with its text.
fn columns(record: &SyncRecord) -> Vec<Fault> {
    let Ok(told) = read_record(&record.spec.record) else {
        return Vec::new();
    };
    let spec = &record.spec;
    let word = |pointer| crate::history::word(&told.value, pointer);
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    let name = crate::history::record_name(&told.chain.name, &told.chain.uid, told.sequence);
    let checks = [
        ("namespace", namespace == told.chain.namespace),
        (
            "name",
            record.metadata.name.as_deref() == Some(name.as_str()),
        ),
        ("Application", spec.application == told.chain.name),
        ("sequence", spec.sequence == told.sequence),
        ("hash", spec.hash == told.hash.as_str()),
        ("action", spec.action == word("/action")),
        ("result", spec.result == word("/result")),
        ("revision", spec.revision == word("/source/revision")),
    ];
    checks
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| Fault::Column {
            chain: told.chain.clone(),
            sequence: told.sequence,
            what,
        })
        .collect()
}
