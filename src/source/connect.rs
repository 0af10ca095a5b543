//! Connections out: resolve, check every address, connect to exactly those that were checked.
//!
//! Enters: an address and the rule of egress.
//! Leaves: a TCP connection; waiting that ends when the time is over.
//! Never: a name resolved twice, which would let it lead elsewhere the second time.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{net::TcpStream, runtime::Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Address, DisplaySafeUrl, Error, Settings, counts::Counters};

/// What one round with a server needs to wait and to count. It is used on a blocking thread.
#[derive(Clone)]
pub(super) struct Net {
    pub(super) settings: Arc<Settings>,
    pub(super) counters: Arc<Counters>,
    /// Configuration of git for making packs.
    pub(super) packing: Arc<Path>,
    /// Cancelled when the time of the whole round is over, or everything ends.
    pub(super) over: CancellationToken,
    /// Cancelled when everything ends.
    pub(super) ended: CancellationToken,
    /// What runs beside the thread; all of it ends with the round.
    pub(super) tasks: TaskTracker,
    pub(super) handle: Handle,
}

impl Net {
    /// Waits for a future, at most `limit` and not beyond the round's end.
    ///
    /// # Errors
    /// When the time is over.
    pub(super) fn wait<T>(
        &self,
        url: &DisplaySafeUrl,
        what: &'static str,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Error> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = self.over.cancelled() => Err(self.time_over(url)),
                result = tokio::time::timeout(limit, future) => match result {
                    Ok(value) => Ok(value),
                    Err(_elapsed) => Err(Error::TimedOut { url: url.clone(), what, limit }),
                },
            }
        })
    }

    /// Fails when the round's time is over; for loops that wait for nothing.
    ///
    /// # Errors
    /// When it is.
    pub(super) fn check_time(&self, url: &DisplaySafeUrl) -> Result<(), Error> {
        if self.over.is_cancelled() {
            Err(self.time_over(url))
        } else {
            Ok(())
        }
    }

    /// Returns the same for a part of the round, which ends after `limit` while the round goes on.
    pub(super) fn part(&self, limit: Duration) -> Self {
        let over = self.over.child_token();
        if limit.is_zero() {
            over.cancel();
        }
        let ends = over.clone();
        self.tasks.spawn_on(
            async move {
                // Cancelled with the round, or by whoever has no more use for the part.
                if ends
                    .run_until_cancelled(tokio::time::sleep(limit))
                    .await
                    .is_some()
                {
                    ends.cancel();
                }
            },
            &self.handle,
        );
        Self {
            over,
            ..self.clone()
        }
    }

    /// Returns this error, or that the time is over where that is why it came.
    pub(super) fn unless_late(&self, url: &DisplaySafeUrl, error: Error) -> Error {
        self.check_time(url).err().unwrap_or(error)
    }

    /// Returns the error for a round that did not end by itself.
    pub(super) fn time_over(&self, url: &DisplaySafeUrl) -> Error {
        if self.ended.is_cancelled() {
            return Error::Stopped { url: url.clone() };
        }
        Error::TimedOut {
            url: url.clone(),
            what: "the whole fetch",
            limit: self.settings.total_timeout,
        }
    }

    /// Returns the addresses of a host when all of them may be connected to.
    ///
    /// # Errors
    /// When the host does not resolve, or one of its addresses is forbidden.
    pub(super) fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, Error> {
        let url = address.display();
        let egress = &self.settings.egress;
        let denied = |source| Error::Egress {
            url: url.clone(),
            source,
        };
        egress.check_name(&address.host).map_err(denied)?;
        let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
        let found: Vec<SocketAddr> = match self.wait(
            &url,
            "resolving the host",
            self.settings.connect_timeout,
            lookup,
        )? {
            Ok(found) => found.collect(),
            Err(source) => {
                return Err(Error::Unreachable {
                    act: "find the host of",
                    url,
                    source: Arc::new(source),
                });
            }
        };
        let addresses: Vec<IpAddr> = found
            .iter()
            .map(|socket| socket.ip().to_canonical())
            .collect();
        egress.check(&address.host, &addresses).map_err(denied)?;
        Ok(found)
    }

    /// Connects to the first of these addresses that answers.
    ///
    /// # Errors
    /// When none does in time.
    pub(super) fn dial(
        &self,
        url: &DisplaySafeUrl,
        addresses: &[SocketAddr],
    ) -> Result<TcpStream, Error> {
        // An address that does not answer leaves time for the next one.
        let each = self.settings.connect_timeout
            / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let connect = async {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in addresses {
                match tokio::time::timeout(each, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Ok(Err(error)) => last = error,
                    Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        };
        self.wait(url, "connecting", self.settings.connect_timeout, connect)?
            .map_err(|source| Error::Unreachable {
                act: "connect to",
                url: url.clone(),
                source: Arc::new(source),
            })
    }
}

/// A stream that ends with an error when more than `left` bytes came, and counts what came.
pub(super) struct Limited<R> {
    pub(super) stream: R,
    pub(super) left: u64,
    pub(super) counters: Arc<Counters>,
    /// Error for one byte too many.
    pub(super) too_large: Error,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        self.counters
            .received_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => Err(self.too_large.clone().into()),
        }
    }
}
