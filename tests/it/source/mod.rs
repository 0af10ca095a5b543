//! The room `source` against a real sshd, a real `git http-backend`, and servers that misbehave.
//!
//! Enters: repositories that git itself made.
//! Leaves: what the room's door returns.
//! Never: anything beyond loopback.

mod branch;
mod broken_servers;
mod cache;
mod disk;
mod files;
mod history;
mod http;
mod http_server;
mod references;
mod remote;
mod remote_build;
mod ssh;
mod sshd;
mod support;
