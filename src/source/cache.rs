//! The directory in which mirrors are kept.
//!
//! Enters: the path that an operator gave.
//! Leaves: a directory of this process, and names in it; a configuration of git for making packs.
//! Never: a name made from an address or a credential; a mirror of another process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::{Digest as _, Sha256};

use super::{Address, Error};
use crate::model::Credentials;

const LOCK: &str = "lock";
const PACKING: &str = "packing";
/// How packs are made of a repository on this machine. Files above 64 KiB are sent as they are: to look for differences
/// among 2 GiB of them takes more than ten minutes of a core (measured) before the first byte that a limit could count.
/// libgit2 1.9 reads this threshold from the key of the cache; the other key is git's own.
const PACKING_CONFIG: &str =
    "[core]\n\tbigFileThreshold = 65536\n[pack]\n\tdeltaCacheSize = 65536\n";

/// A directory of this process alone, removed with the last one who holds it.
pub(super) struct CacheDirectory {
    directory: PathBuf,
    /// Held for as long as the process lives; the system lets go of it whatever ends the process.
    _lock: File,
    salt: [u8; 32],
    next: AtomicU64,
}

/// Who shares a mirror: the digest of an address and of everything that opens it, with a salt of the process.
pub(super) type Key = [u8; 32];

impl CacheDirectory {
    /// Makes the directory of this process, and removes those of processes that are gone.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub(super) fn open(cache: &Path) -> Result<Arc<Self>, Error> {
        let failed = |act: &'static str| {
            move |source: io::Error| Error::Cache {
                act,
                source: Arc::new(source),
            }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(cache)
            .map_err(failed("make the directory"))?;
        sweep(cache).map_err(failed("remove what dead processes left"))?;
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|source| Error::Internal {
            act: "read random numbers",
            source: Arc::new(source),
        })?;
        let name = short(&salt);
        // The lock is taken under a name that nobody sweeps, so that the directory is never without it.
        let directory = cache.join(format!("mirrors-{}-{name}", std::process::id()));
        let claimed = (|| {
            let staged = cache.join(format!(".{name}"));
            fs::DirBuilder::new().mode(0o700).create(&staged)?;
            let lock = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(staged.join(LOCK))?;
            lock.lock()?;
            fs::write(staged.join(PACKING), PACKING_CONFIG)?;
            fs::rename(&staged, &directory)?;
            Ok(lock)
        })();
        Ok(Arc::new(Self {
            directory,
            _lock: claimed.map_err(failed("make the directory of this process"))?,
            salt,
            next: AtomicU64::new(0),
        }))
    }

    /// Returns the configuration of git for making packs.
    pub(super) fn packing(&self) -> Arc<Path> {
        self.directory.join(PACKING).into()
    }

    /// Returns the key of a mirror.
    pub(super) fn key(&self, address: &Address, credentials: &Credentials) -> Key {
        // Without `..`, so that a new field cannot be forgotten.
        let Credentials {
            username,
            password,
            identity,
            known_hosts,
            certificate_authority,
        } = credentials;
        let Address {
            scheme,
            user,
            password: own,
            host,
            port,
            path,
        } = address;
        let port = port.to_string();
        let parts = [
            Some(scheme.as_str()),
            user.as_deref(),
            own.as_ref().map(|secret| secret.expose().as_str()),
            Some(host),
            Some(&port),
            Some(path),
            username.as_deref(),
            password.as_ref().map(|secret| secret.expose().as_str()),
            identity.as_ref().map(|secret| secret.expose().as_str()),
            known_hosts.as_deref(),
            certificate_authority.as_deref(),
        ];
        let mut digest = Sha256::new_with_prefix(self.salt);
        for part in parts {
            // With its length before it, no part can pass for the end of one and the start of another.
            digest.update(
                part.map_or(u64::MAX, |part| part.len() as u64)
                    .to_be_bytes(),
            );
            digest.update(part.unwrap_or_default());
        }
        digest.finalize().into()
    }

    /// Returns a path in the directory that was not returned before.
    pub(super) fn fresh(&self, key: &Key) -> PathBuf {
        let name = short(key);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{name}-{number}.git"))
    }
}

impl Drop for CacheDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.directory.display(), "the cache could not be removed");
        }
    }
}

/// Returns the first 8 bytes in hex.
fn short(bytes: &[u8; 32]) -> String {
    let first = bytes.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// Removes directories whose lock nobody holds. A directory that is being made begins with a dot and is left alone.
fn sweep(cache: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("mirrors-")
            || !entry.file_type()?.is_dir()
        {
            continue;
        }
        let dead = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(error)) => return Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if dead {
            match fs::remove_dir_all(entry.path()) {
                // Another process sweeps as well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}
