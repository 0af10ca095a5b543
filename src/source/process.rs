//! What git's library keeps for the whole process.
//!
//! Enters: nothing.
//! Leaves: nothing.
//! Never: called while another thread uses git's library; `main` calls it first.

use std::sync::{Arc, OnceLock};

use git2::{ConfigLevel, opts};

use super::Error;

/// Bytes of decoded objects that git's library keeps for all repositories together, as it counts them: in memory they are
/// about twice as many. Its own default is 256 MiB; trees are decoded once for all Applications at a commit, and each open
/// handle keeps its own, so more of it is filled by history that nobody asks for again.
const OBJECT_CACHE_BYTES: isize = 1 << 20;
/// Bytes of packs that are mapped at one time, and of one piece of a pack: what was read stays resident while it is mapped.
/// The defaults are 8 and 1 GiB of address space.
const MAPPED_BYTES: usize = 16 << 20;
const MAPPED_PIECE_BYTES: usize = 1 << 20;
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
        opts::set_mwindow_size(MAPPED_PIECE_BYTES)?;
        opts::set_mwindow_mapped_limit(MAPPED_BYTES)?;
        opts::set_mwindow_file_limit(OPEN_PACKS)?;
    }
    Ok(())
}
