//! An API server in memory: what remains of a measurement without Kubernetes is the controller.
//!
//! Enters: requests.
//! Leaves: answers shaped as the API server's; Deployments are taken up at once.
//! Never: a judgement of behaviour: admission, ownership of fields and defaults are left out.

mod objects;
mod serve;

pub(crate) use serve::start;
