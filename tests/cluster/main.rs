//! Tests on a real control plane.

mod room_read;
mod support;
