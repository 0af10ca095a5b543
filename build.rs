//! How the program is linked.
//!
//! Enters: the target, and `PLIMSOLL_PIE`.
//! Leaves: flags for the linker.
//! Never: code.
//!
//! What a system does to start a program can take longer than to build a small tree (docs/design/0004-where-the-program-lies.md):
//! one that may lie anywhere has 54,000 addresses written into it, and each shared library is found, mapped and asks the processor
//! what it can. What a person runs is linked to one address, as Go's programs are, and needs glibc alone; the image may lie anywhere.
//! Where it is built for musl it needs nothing at all; what OpenSSL asks the processor before `main` waits for its first use there
//! (docs/design/0008-a-program-that-needs-nothing.md).

#![expect(
    clippy::disallowed_methods,
    reason = "cargo asks a build script by the environment"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PLIMSOLL_PIE");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_linux = is("CARGO_CFG_TARGET_OS", "linux");
    if is_linux
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("PROFILE", "release")
        && !is("PLIMSOLL_PIE", "1")
    {
        println!("cargo::rustc-link-arg-bin=plimsoll=-no-pie");
        // The unwinder, all that is used of libgcc_s.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
    if is_linux && is("CARGO_CFG_TARGET_ENV", "musl") && is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        // src/main.rs answers for it.
        println!("cargo::rustc-link-arg-bin=plimsoll=-Wl,--wrap=OPENSSL_cpuid_setup");
    }
}
