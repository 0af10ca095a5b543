//! What git's library keeps for the whole process.
//!
//! Enters: nothing.
//! Leaves: nothing.
//! Never: called while another thread uses git's library; `main` calls it first.

use std::sync::{Arc, OnceLock};

use git2::{ConfigLevel, opts};

use super::Error;

/// Bytes of decoded objects that git's library keeps for all repositories together. Its own default is 256 MiB; trees
/// are decoded once for all Applications at a commit, so a little suffices.
const OBJECT_CACHE_BYTES: isize = 8 << 20;
/// Bytes of packs that are mapped at one time. The default is 8 GiB of address space.
const MAPPED_BYTES: usize = 1 << 30;
/// Packs that are open at one time; there is no default, and a container's limit of files is often 1,024.
const OPEN_PACKS: usize = 256;

/// Sets up git's library, once; later calls change nothing.
///
/// # Errors
/// When the library refuses a setting.
///
/// # Caveats
/// Must be called before other threads use the library.
pub fn configure_process() -> Result<(), Error> {
    static DONE: OnceLock<Result<(), Error>> = OnceLock::new();
    DONE.get_or_init(|| {
        configure().map_err(|source| Error::Internal {
            act: "set up git's library",
            source: Arc::new(source),
        })
    })
    .clone()
}

#[expect(
    unsafe_code,
    reason = "process-wide settings of libgit2, set once before threads, and nowhere else"
)]
fn configure() -> Result<(), git2::Error> {
    // Hashes are checked at each read: a damaged disk must not become a deployment.
    opts::strict_hash_verification(true);
    // SAFETY: each call writes a global of libgit2, which is unsound only beside another thread that uses it; this
    // runs once, at the start of `main`.
    unsafe {
        // The configuration of whoever runs us must not change what we do.
        for level in [
            ConfigLevel::ProgramData,
            ConfigLevel::System,
            ConfigLevel::XDG,
            ConfigLevel::Global,
        ] {
            opts::set_search_path(level, "")?;
        }
        opts::set_cache_max_size(OBJECT_CACHE_BYTES)?;
        opts::set_mwindow_mapped_limit(MAPPED_BYTES)?;
        opts::set_mwindow_file_limit(OPEN_PACKS)?;
    }
    Ok(())
}
