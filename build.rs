//! How the program is linked.
//!
//! Enters: the target, and `PLIMSOLL_PIE`.
//! Leaves: a flag for the linker.
//! Never: code.
//!
//! A program that may lie anywhere has 54,000 addresses that are written into it at each start, which takes longer than to build a small
//! tree. What a person runs is linked to one address, as Go's programs are; the image is not (docs/design/0004-where-the-program-lies.md).

#![expect(
    clippy::disallowed_methods,
    reason = "cargo asks by the environment, and takes the answer from standard output"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PLIMSOLL_PIE");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if is_linux && is("PROFILE", "release") && !is("PLIMSOLL_PIE", "1") {
        println!("cargo::rustc-link-arg-bin=plimsoll=-no-pie");
    }
}
