//! The binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_env = "musl", target_arch = "x86_64"))]
    openssl::may_ask();
    plimsoll::cli::run(std::env::args_os()).into()
}

/// What OpenSSL asks the processor takes a fifteenth of a small build (docs/design/0008-a-program-that-needs-nothing.md), and is
/// asked before `main` for a library that only a fetch over SSH calls. The linker leads that call here (build.rs); OpenSSL calls
/// once more when it is first used.
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
mod openssl {
    use std::sync::atomic::{AtomicBool, Ordering};

    static IN_MAIN: AtomicBool = AtomicBool::new(false);

    /// From now on OpenSSL is answered. Called before there are threads.
    pub(super) fn may_ask() {
        IN_MAIN.store(true, Ordering::Relaxed);
    }

    #[expect(
        unsafe_code,
        reason = "a function of OpenSSL without arguments, by the name that the linker gives it"
    )]
    unsafe extern "C" {
        #[link_name = "__real_OPENSSL_cpuid_setup"]
        safe fn ask();
    }

    #[expect(unsafe_code, reason = "the name by which the linker calls it instead")]
    #[unsafe(export_name = "__wrap_OPENSSL_cpuid_setup")]
    extern "C" fn asked() {
        if IN_MAIN.load(Ordering::Relaxed) {
            ask();
        }
    }
}
