//! Whether a Lease is free, ours or held, judged on our own clock.
//!
//! Enters: the Lease as it stands, when we saw it change, our name, now.
//! Leaves: `LeaseClaim`.
//! Never: trust in another machine's clock.

use std::time::Duration;

use crate::model::Now;

/// Longest time without renewal after which a foreign Lease is still respected, whatever it says.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// A Lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Who holds it; empty where it was released.
    pub holder: String,
    /// How long it is held without renewal.
    pub duration: Duration,
    /// Changes with every renewal.
    pub resource_version: String,
}

/// When we saw a Lease change last, on our own monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The resource version that we saw.
    pub resource_version: String,
    /// When we saw it first.
    pub since: Duration,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a judgement does nothing by itself"]
pub enum LeaseClaim {
    /// It does not exist: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder has not renewed it in time: take it over.
    Take,
    /// Somebody holds it, at least this long.
    Wait(Duration),
}

/// Judges a Lease: whether it is free, ours or held. Expiry is judged by when we saw it change.
pub fn claim(
    lease: Option<&LeaseView>,
    observed: Option<&Observed>,
    me: &str,
    now: Now,
) -> LeaseClaim {
    let Some(lease) = lease else {
        return LeaseClaim::Create;
    };
    if lease.holder == me {
        return LeaseClaim::Renew;
    }
    if lease.holder.is_empty() {
        return LeaseClaim::Take;
    }
    let duration = lease.duration.min(LONGEST);
    match observed {
        Some(seen) if seen.resource_version == lease.resource_version => {
            let left = duration.saturating_sub(now.since(seen.since));
            if left.is_zero() {
                LeaseClaim::Take
            } else {
                LeaseClaim::Wait(left)
            }
        }
        Some(_) | None => LeaseClaim::Wait(duration),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH,
            monotonic: Duration::from_secs(seconds),
        }
    }

    fn lease(holder: &str, version: &str) -> LeaseView {
        LeaseView {
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            resource_version: version.to_owned(),
        }
    }

    fn seen(version: &str, since: u64) -> Observed {
        Observed {
            resource_version: version.to_owned(),
            since: Duration::from_secs(since),
        }
    }

    #[test]
    fn a_lease_is_judged_by_when_we_saw_it_change() {
        let wait = |seconds| LeaseClaim::Wait(Duration::from_secs(seconds));
        for (lease, observed, now, expected) in [
            (None, None, 0, LeaseClaim::Create),
            (Some(lease("me", "1")), None, 0, LeaseClaim::Renew),
            (Some(lease("", "1")), None, 0, LeaseClaim::Take),
            // Never seen before: its own times are another machine's.
            (Some(lease("other", "1")), None, 1_000, wait(15)),
            (Some(lease("other", "1")), Some(seen("1", 10)), 20, wait(5)),
            (Some(lease("other", "2")), Some(seen("1", 10)), 60, wait(15)),
            (
                Some(lease("other", "1")),
                Some(seen("1", 10)),
                25,
                LeaseClaim::Take,
            ),
        ] {
            assert_eq!(
                claim(lease.as_ref(), observed.as_ref(), "me", at(now)),
                expected,
                "{lease:?} {observed:?} {now}"
            );
        }
    }

    #[test]
    fn a_lease_cannot_ask_for_respect_for_ever() {
        let forever = LeaseView {
            duration: Duration::from_secs(1_000_000),
            ..lease("other", "1")
        };
        assert_eq!(
            claim(Some(&forever), Some(&seen("1", 0)), "me", at(300)),
            LeaseClaim::Take
        );
    }
}
