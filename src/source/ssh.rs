//! Git over ssh.
//!
//! Enters: an address, a private key, `known_hosts`.
//! Leaves: references and packs; a branch moved.
//! Never: a word to a host whose key is not known, an agent, a password, a configuration file, a process on our side.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

use git2::Oid;
use ssh2::{Channel, ErrorCode, ExtendedData, MethodType, Session};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Address, DisplaySafeUrl, Error,
    advertisement::{Advertisement, AdvertisementError},
    connect::{Limited, Net},
    known_hosts::{self, Verdict},
    packet::Packets,
    peer::{Peer, REFERENCES, REPOSITORY, Request, Service},
    receive_pack, upload_pack,
};
use crate::model::Credentials;

// Codes of libssh2.
const TIMEOUT: i32 = -9;
const FILE: i32 = -16;
const AUTHENTICATION_FAILED: i32 = -18;
const PUBLIC_KEY_UNVERIFIED: i32 = -19;

/// Algorithms of host keys, best first; those that `known_hosts` lists for the host go before.
const HOST_KEYS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// A repository behind ssh, connected to.
pub(super) struct Ssh {
    net: Net,
    url: DisplaySafeUrl,
    service: Service,
    session: Session,
    channel: Channel,
    socket: TcpStream,
    /// Ends the task that shuts the socket when the round's time is over.
    _watch: DropGuard,
}

impl Ssh {
    /// Connects, checks the host's key, signs in and starts git on the other side.
    ///
    /// # Errors
    /// When any of it fails.
    pub(super) fn connect(
        net: Net,
        address: &Address,
        credentials: &Credentials,
        service: Service,
    ) -> Result<Self, Error> {
        let url = address.display();
        let Some(identity) = &credentials.identity else {
            return Err(Error::CredentialsMissing { url });
        };
        let sockets = net.resolve(address)?;
        let socket = net.dial(&url, &sockets)?;
        let (kept, watched, lent) =
            blocking(socket).map_err(|source| Error::from_io(&url, "connect to", source))?;
        let watch = shut_when_over(&net, watched);

        let name = known_hosts::name(&address.host, address.port);
        let listed = credentials.known_hosts.as_deref().unwrap_or_default();
        let failed = |act, error| failed(&net, &url, act, error);
        let mut session = Session::new().map_err(|error| failed("set up ssh for", error))?;
        let idle = u32::try_from(net.settings.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        session.set_timeout(idle);
        let known = known_hosts::algorithms(listed, &name);
        let wanted: Vec<&str> = known
            .iter()
            .chain(HOST_KEYS.iter().filter(|name| !known.contains(name)))
            .copied()
            .collect();
        session
            .method_pref(MethodType::HostKey, &wanted.join(","))
            .map_err(|error| failed("set up ssh for", error))?;
        session.set_tcp_stream(lent);
        session
            .handshake()
            .map_err(|error| failed("agree on ssh with", error))?;
        trust(&session, listed, name)?;

        let user = address
            .user
            .as_deref()
            .or(credentials.username.as_deref())
            .unwrap_or("git");
        let signed_in = session.userauth_pubkey_memory(user, None, identity.expose(), None);
        signed_in.map_err(|error| not_signed_in(&net, &url, error))?;

        let open = || {
            let mut channel = session.channel_session()?;
            // What git says for people on the other side would fill the window.
            channel.handle_extended_data(ExtendedData::Ignore)?;
            channel.exec(&format!("{} {}", service.name(), quoted(&address.path)))?;
            Ok(channel)
        };
        let channel = open().map_err(|error| failed("start git on", error))?;
        Ok(Self {
            net,
            url,
            service,
            session,
            channel,
            socket: kept,
            _watch: watch,
        })
    }

    /// Sends a request and hands its answer, at most `limit` bytes, to `read`.
    fn exchange<T>(
        &mut self,
        request: &[u8],
        limit: u64,
        read: impl FnOnce(&DisplaySafeUrl, Limited<Stream<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let said = self
            .channel
            .write_all(request)
            .and_then(|()| self.channel.flush());
        said.map_err(|error| {
            self.net
                .check_time(&self.url)
                .err()
                .unwrap_or_else(|| Error::from_io(&self.url, "write to", error))
        })?;
        let mut heard = false;
        let too_large = too_large(&self.url, &self.net);
        let stream = Stream {
            net: &self.net,
            url: &self.url,
            channel: &mut self.channel,
            heard: &mut heard,
        };
        read(&self.url, stream.limited(limit, too_large))
    }

    /// Says why the other side closed without a word: git ended with a status, or the connection broke.
    fn closed(&mut self) -> Error {
        let status = self
            .channel
            .close()
            .and_then(|()| self.channel.wait_close())
            .and_then(|()| self.channel.exit_status());
        match status {
            Ok(1..) => Error::RepositoryMissing {
                url: self.url.clone(),
                status: None,
            },
            Ok(_) | Err(_) => Error::protocol(&self.url, AdvertisementError::Nothing.to_string()),
        }
    }
}

impl Peer for Ssh {
    fn advertisement(&mut self) -> Result<Advertisement, Error> {
        let limit = self.net.settings.max_advertisement_bytes;
        let mut heard = false;
        let too_large = Error::TooLarge {
            url: self.url.clone(),
            what: REFERENCES,
            limit: format!("{limit} bytes"),
        };
        let stream = Stream {
            net: &self.net,
            url: &self.url,
            channel: &mut self.channel,
            heard: &mut heard,
        };
        let mut packets = Packets::new(stream.limited(limit, too_large));
        let result = self.service.read(&mut packets);
        drop(packets);
        match result {
            Err(error) if !heard && error.kind() == io::ErrorKind::InvalidData => {
                Err(self.closed())
            }
            result => result.map_err(|error| upload_pack::wire_error(&self.url, error)),
        }
    }

    fn pack(
        &mut self,
        advertisement: &Advertisement,
        request: Request<'_>,
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<Vec<Oid>, Error> {
        let (body, form) = upload_pack::request(advertisement, request);
        self.exchange(&body, limit, |url, answer| {
            upload_pack::receive(url, answer, form, sink)
        })
    }

    fn update(&mut self, request: Vec<u8>, reference: &str) -> Result<(), Error> {
        self.exchange(&request, receive_pack::MAX_REPORT, |url, answer| {
            receive_pack::accepted(url, answer, reference)
        })
    }

    fn too_large(&self) -> Error {
        too_large(&self.url, &self.net)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // A flush tells git on the other side that we want nothing (more); whether it hears it does not matter.
        self.session.set_timeout(1000);
        if self.channel.write_all(b"0000").is_ok() {
            self.session.disconnect(None, "done", None).ok();
        }
        // Without it, closing the channel would wait for the other side.
        self.socket.shutdown(Shutdown::Both).ok();
    }
}

/// The channel as a stream whose errors are ours.
struct Stream<'a> {
    net: &'a Net,
    url: &'a DisplaySafeUrl,
    channel: &'a mut Channel,
    heard: &'a mut bool,
}

impl Stream<'_> {
    /// Lets no more than `left` bytes through.
    fn limited(self, left: u64, too_large: Error) -> Limited<Self> {
        Limited {
            counters: Arc::clone(&self.net.counters),
            stream: self,
            left,
            too_large,
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.net.check_time(self.url)?;
        match self.channel.read(buffer) {
            Ok(count) => {
                *self.heard |= count > 0;
                Ok(count)
            }
            Err(error) => {
                self.net.check_time(self.url)?;
                if error.kind() == io::ErrorKind::TimedOut {
                    return Err(idle(self.net, self.url).into());
                }
                Err(error)
            }
        }
    }
}

fn too_large(url: &DisplaySafeUrl, net: &Net) -> Error {
    Error::TooLarge {
        url: url.clone(),
        what: REPOSITORY,
        limit: net.settings.repository_limit(),
    }
}

fn idle(net: &Net, url: &DisplaySafeUrl) -> Error {
    Error::TimedOut {
        url: url.clone(),
        what: "waiting for data",
        limit: net.settings.idle_timeout,
    }
}

/// Returns the socket three times: to close it, to close it from outside, and for ssh to use.
fn blocking(socket: tokio::net::TcpStream) -> io::Result<(TcpStream, TcpStream, TcpStream)> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok((socket.try_clone()?, socket.try_clone()?, socket))
}

/// libssh2 blocks; a socket that is shut under it makes it return at once.
fn shut_when_over(net: &Net, socket: TcpStream) -> DropGuard {
    let done = CancellationToken::new();
    let (over, ended) = (net.over.clone(), done.clone());
    let watch = async move {
        tokio::select! {
            () = over.cancelled() => { socket.shutdown(Shutdown::Both).ok(); }
            () = ended.cancelled() => {}
        }
    };
    net.tasks.spawn_on(watch, &net.handle);
    done.drop_guard()
}

fn trust(session: &Session, listed: &str, host: String) -> Result<(), Error> {
    let key = session.host_key().map(|(key, _)| key).unwrap_or_default();
    let algorithm = known_hosts::algorithm(key).to_owned();
    let fingerprint = known_hosts::fingerprint(key);
    match known_hosts::judge(listed, &host, key) {
        Verdict::Trusted => Ok(()),
        Verdict::Unknown => Err(Error::HostKeyUnknown {
            host,
            algorithm,
            fingerprint,
        }),
        Verdict::Changed => Err(Error::HostKeyChanged {
            host,
            algorithm,
            fingerprint,
        }),
    }
}

fn not_signed_in(net: &Net, url: &DisplaySafeUrl, error: ssh2::Error) -> Error {
    match error.code() {
        ErrorCode::Session(AUTHENTICATION_FAILED | PUBLIC_KEY_UNVERIFIED) => {
            Error::CredentialsRefused {
                url: url.clone(),
                status: None,
            }
        }
        ErrorCode::Session(FILE) => Error::CredentialsUnusable {
            url: url.clone(),
            problem: "the private key cannot be read; it has to be in OpenSSH or PEM form, without a passphrase",
            source: Some(Arc::new(error)),
        },
        ErrorCode::Session(_) | ErrorCode::SFTP(_) => failed(net, url, "sign in to", error),
    }
}

fn failed(net: &Net, url: &DisplaySafeUrl, act: &'static str, error: ssh2::Error) -> Error {
    if let Err(over) = net.check_time(url) {
        return over;
    }
    if error.code() == ErrorCode::Session(TIMEOUT) {
        return idle(net, url);
    }
    Error::Unreachable {
        act,
        url: url.clone(),
        source: Arc::new(error),
    }
}

/// A word of the other side's shell.
fn quoted(path: &str) -> String {
    // Quotes keep a shell from finding the home directory.
    match path
        .strip_prefix('~')
        .map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))
    {
        Some((user, rest))
            if user
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) =>
        {
            format!("~{user}{}", quoted_whole(rest))
        }
        Some(_) | None => quoted_whole(path),
    }
}

fn quoted_whole(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    // Some servers that are no shells undo exactly this much.
    format!("'{}'", text.replace('\'', "'\\''").replace('!', "'\\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, expected) in [
            ("/srv/shop.git", "'/srv/shop.git'"),
            ("team/shop", "'team/shop'"),
            ("~/shop", "~'/shop'"),
            ("~me/shop", "~me'/shop'"),
            ("~$(id)/x", "'~$(id)/x'"),
            ("/a'; touch /tmp/x; '", "'/a'\\''; touch /tmp/x; '\\'''"),
            ("/a b", "'/a b'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
