//! How much memory the process holds beside what it needs.
//!
//! Enters: nothing.
//! Leaves: two arenas instead of one for each thread; pages that are free again, given back; with musl, the allocator itself.
//! Never: a wait on the way of a reconcile.

/// Arenas of the system's allocator. Its own limit is eight a core, and each keeps what it once needed: 7 of 54 MiB
/// of 300 Applications on two cores, at the same CPU.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// musl's own allocator has one lock for all threads and keeps nothing at hand.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: super::first_memory::FirstMemory<tikv_jemallocator::Jemalloc> =
    super::first_memory::FirstMemory::before(tikv_jemallocator::Jemalloc);

/// The same two arenas; pages that were free for two seconds are given back whenever memory is asked for.
#[cfg(target_env = "musl")]
#[expect(
    unsafe_code,
    reason = "jemalloc reads its settings from a symbol of this name, before there is a main"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &u8 = &b"narenas:2,dirty_decay_ms:2000,muzzy_decay_ms:0\0"[0];

/// Bounds the arenas of glibc's allocator; the settings of musl's are read at its start. Called before there are threads.
#[cfg_attr(
    target_env = "gnu",
    expect(
        unsafe_code,
        reason = "one setting of the allocator, once, before threads"
    )
)]
pub fn bound_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two numbers and touches nothing but the allocator's own settings; one that it does not
    // take is left as it was.
    let _taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
}

/// Gives free pages back: a burst leaves holes that the allocator keeps. Takes milliseconds for each 100 MiB.
#[cfg_attr(
    any(target_env = "gnu", target_env = "musl"),
    expect(unsafe_code, reason = "the allocator gives pages back only when asked")
)]
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes a number and locks what it looks at; no memory in use is touched.
    let _given = unsafe { libc::malloc_trim(0) };
    #[cfg(target_env = "musl")]
    // SAFETY: the name is a C string and nothing is read or written by this order (4096 is MALLCTL_ARENAS_ALL); no
    // memory in use is touched.
    let _given = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"arena.4096.purge".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        )
    };
}
