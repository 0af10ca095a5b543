//! Tests on a real control plane.

mod deploy;
mod room_read;
mod support;
