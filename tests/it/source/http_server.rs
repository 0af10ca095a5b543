//! A small HTTP server on loopback: `git http-backend` behind it, and every way to misbehave.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::support::git_command;

/// How the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// As `git http-backend` does.
    Git,
    /// With a file of the directory, or 404.
    File,
    /// What git answers in chunks, as forges do.
    Chunked,
    /// With this status and a body that must never be shown.
    Status(u16),
    /// With a page of HTML and 200.
    Html,
    /// With a page of HTML, but called git's.
    HtmlAsGit,
    /// With an advertisement of no references at all.
    NoReferences,
    /// With the advertisement of an empty repository.
    EmptyRepository,
    /// With an error in git's protocol.
    GitError,
    /// With the advertisement of a dumb server.
    Dumb,
    /// With an endless list of references.
    EndlessReferences,
    /// With a redirect of the first question, the path appended.
    Redirect(String),
    /// With a redirect of the second question.
    RedirectPack(String),
    /// With half of the pack, and the end of the connection.
    TruncatedPack,
    /// With one bit of the pack changed.
    DamagedPack,
    /// Not at all.
    Hang,
    /// With the head of an answer and then nothing.
    HangInPack,
    /// One byte in a while, for ever fast enough not to be idle.
    Slow,
    /// By closing the connection.
    Close,
    /// With bytes that are not http.
    NotHttp,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A server; it ends when it is dropped.
pub(super) struct HttpServer {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    /// The certificate authority in PEM, where it speaks https.
    pub(super) authority: Option<String>,
}

struct Shared {
    root: PathBuf,
    behaviour: Mutex<Behaviour>,
    login: Mutex<Option<String>>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    tls: Option<Arc<ServerConfig>>,
    ended: AtomicBool,
    wake: (Mutex<()>, Condvar),
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl HttpServer {
    /// Serves the repositories below a directory by http.
    pub(super) fn plain(root: &std::path::Path) -> Self {
        Self::start(root, None, None)
    }

    /// Serves them by https, with a certificate for `localhost` from an authority of its own.
    pub(super) fn secure(root: &std::path::Path) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self::start(root, Some(Arc::new(config)), Some(authority.pem()))
    }

    fn start(
        root: &std::path::Path,
        tls: Option<Arc<ServerConfig>>,
        authority: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            behaviour: Mutex::new(Behaviour::Git),
            login: Mutex::new(None),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            tls,
            ended: AtomicBool::new(false),
            wake: (Mutex::new(()), Condvar::new()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&accepting));
                // The client may go away at any moment; what it then says is the client's affair.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self {
            address,
            shared,
            authority,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://localhost:{}/{path}", self.address.port())
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Lets in only who knows this name and password.
    pub(super) fn require_login(&self, user: &str, password: &str) {
        let text = STANDARD.encode(format!("{user}:{password}"));
        *self.shared.login.lock().unwrap() = Some(format!("Basic {text}"));
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns how often the first and the second question came.
    pub(super) fn questions(&self) -> (usize, usize) {
        let requests = self.requests();
        let count = |method: &str| {
            requests
                .iter()
                .filter(|request| request.line.starts_with(method))
                .count()
        };
        (count("GET"), count("POST"))
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.wake.1.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        // Whatever goes wrong here was brought about by the client or by a test; the client's own error tells.
        let _ended: io::Result<()> = match &self.tls {
            None => self.speak(stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                self.speak(StreamOwned::new(connection, stream))
            }
        };
    }

    fn speak(&self, stream: impl Stream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream)? {
            self.requests.lock().unwrap().push(request.clone());
            let behaviour = self.behaviour.lock().unwrap().clone();
            if !self.answer(&request, &behaviour, stream.get_mut())? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers; says whether the connection goes on.
    #[expect(clippy::too_many_lines, reason = "one arm for each way to misbehave")]
    fn answer(
        &self,
        request: &Request,
        behaviour: &Behaviour,
        stream: &mut dyn Stream,
    ) -> io::Result<bool> {
        let first = request.line.starts_with("GET");
        let path = request.line.split(' ').nth(1).unwrap().to_owned();
        let login = self.login.lock().unwrap().clone();
        if login.is_some() && request.header("authorization") != login.as_deref() {
            respond(
                stream,
                401,
                &[("www-authenticate", "Basic realm=\"canary\"")],
                b"canary",
            )?;
            return Ok(true);
        }
        let advertise = [(
            "content-type",
            "application/x-git-upload-pack-advertisement",
        )];
        let announced = b"001e# service=git-upload-pack\n0000".as_slice();
        match behaviour {
            Behaviour::Git => self.backend(request, stream, |body| body)?,
            Behaviour::File => {
                let name = path.split('?').next().unwrap().trim_start_matches('/');
                match std::fs::read(self.root.join(name)) {
                    Ok(content) => respond(stream, 200, &[], &content)?,
                    Err(_missing) => respond(stream, 404, &[], b"canary")?,
                }
            }
            Behaviour::Chunked => {
                let body = self.run(request, |body| body)?.1;
                let kind = if first { "advertisement" } else { "result" };
                write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")?;
                write!(
                    stream,
                    "content-type: application/x-git-upload-pack-{kind}\r\n\r\n"
                )?;
                for chunk in body.chunks(1000) {
                    write!(stream, "{:x}\r\n", chunk.len())?;
                    stream.write_all(chunk)?;
                    stream.write_all(b"\r\n")?;
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
            Behaviour::Status(status) => respond(stream, *status, &[], b"canary")?,
            Behaviour::Html => respond(
                stream,
                200,
                &[("content-type", "text/html")],
                b"<html>canary</html>",
            )?,
            Behaviour::HtmlAsGit => respond(stream, 200, &advertise, b"<html>canary</html>")?,
            Behaviour::NoReferences => {
                respond(stream, 200, &advertise, &[announced, b"0000"].concat())?;
            }
            Behaviour::EmptyRepository => {
                let line = format!("{} capabilities^{{}}\0side-band-64k\n", "0".repeat(40));
                let packet = format!("{:04x}{line}0000", line.len() + 4);
                respond(
                    stream,
                    200,
                    &advertise,
                    &[announced, packet.as_bytes()].concat(),
                )?;
            }
            Behaviour::GitError => {
                respond(
                    stream,
                    200,
                    &advertise,
                    &[announced, b"0013ERR canary said\n"].concat(),
                )?;
            }
            Behaviour::Dumb => {
                let body = format!("{}\trefs/heads/main\n", "1".repeat(40));
                respond(
                    stream,
                    200,
                    &[("content-type", "text/plain")],
                    body.as_bytes(),
                )?;
            }
            Behaviour::EndlessReferences => {
                head(stream, 200, &advertise, None)?;
                stream.write_all(announced)?;
                for number in 0_u64.. {
                    let line = format!("{} refs/heads/b{number:020}\n", "1".repeat(40));
                    write!(stream, "{:04x}{line}", line.len() + 4)?;
                }
            }
            Behaviour::Redirect(to) if first => {
                let location = if to.starts_with("raw:") {
                    to.replacen("raw:", "", 1)
                } else {
                    format!("{to}{path}")
                };
                respond(stream, 301, &[("location", &location)], b"canary")?;
            }
            Behaviour::RedirectPack(to) if !first => {
                respond(
                    stream,
                    307,
                    &[("location", &format!("{to}{path}"))],
                    b"canary",
                )?;
            }
            Behaviour::TruncatedPack if !first => {
                let body = self.run(request, |body| body[..body.len() / 2].to_vec())?.1;
                head(
                    stream,
                    200,
                    &[("content-type", "application/x-git-upload-pack-result")],
                    None,
                )?;
                stream.write_all(&body)?;
                return Ok(false);
            }
            Behaviour::DamagedPack if !first => self.backend(request, stream, |mut body| {
                let middle = body.len() * 2 / 3;
                body[middle] ^= 1;
                body
            })?,
            Behaviour::HangInPack if !first => {
                head(
                    stream,
                    200,
                    &[("content-type", "application/x-git-upload-pack-result")],
                    None,
                )?;
                stream.write_all(b"0008NAK\n")?;
                stream.flush()?;
                self.pause(Duration::MAX);
                return Ok(false);
            }
            Behaviour::Redirect(_)
            | Behaviour::RedirectPack(_)
            | Behaviour::TruncatedPack
            | Behaviour::DamagedPack
            | Behaviour::HangInPack => self.backend(request, stream, |body| body)?,
            Behaviour::Hang => {
                self.pause(Duration::MAX);
                return Ok(false);
            }
            Behaviour::Slow => {
                let (_, body) = self.run(request, |body| body)?;
                head(stream, 200, &advertise, Some(body.len()))?;
                for byte in body {
                    stream.write_all(&[byte])?;
                    stream.flush()?;
                    if self.pause(Duration::from_millis(100)) {
                        return Ok(false);
                    }
                }
            }
            Behaviour::Close => return Ok(false),
            Behaviour::NotHttp => {
                stream.write_all(b"SSH-2.0-canary\r\n\r\n")?;
                stream.flush()?;
                return Ok(false);
            }
        }
        stream.flush()?;
        Ok(!matches!(behaviour, Behaviour::EndlessReferences))
    }

    /// Waits; says whether the server has ended.
    fn pause(&self, time: Duration) -> bool {
        let guard = self.wake.0.lock().unwrap();
        let ended = |(): &mut ()| !self.ended.load(Ordering::SeqCst);
        let limit = time.min(Duration::from_hours(1));
        let (guard, _timeout) = self.wake.1.wait_timeout_while(guard, limit, ended).unwrap();
        drop(guard);
        self.ended.load(Ordering::SeqCst)
    }

    fn backend(
        &self,
        request: &Request,
        stream: &mut dyn Stream,
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> io::Result<()> {
        let (head, body) = self.run(request, change)?;
        let mut status = 200;
        let mut headers = Vec::new();
        for line in head.lines() {
            match line.split_once(": ") {
                Some(("Status", value)) => status = value[..3].parse().unwrap(),
                Some((name, value)) => headers.push((name, value)),
                None => {}
            }
        }
        respond(stream, status, &headers, &body)
    }

    fn run(
        &self,
        request: &Request,
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> io::Result<(String, Vec<u8>)> {
        let target = request.line.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut child = git_command()
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", request.line.split(' ').next().unwrap())
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env(
                "CONTENT_TYPE",
                request.header("content-type").unwrap_or_default(),
            )
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is missing; install it with: apt-get install --yes git");
        let mut stdin = child.stdin.take().unwrap();
        let body = request.body.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&body));
        let output = child.wait_with_output()?.stdout;
        writer.join().unwrap()?;
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("git http-backend answers with headers");
        let head = String::from_utf8(output[..end].to_vec()).unwrap();
        Ok((head, change(output[end + 4..].to_vec())))
    }
}

fn respond(
    stream: &mut dyn Stream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    head(stream, status, headers, Some(body.len()))?;
    stream.write_all(body)
}

fn head(
    stream: &mut dyn Stream,
    status: u16,
    headers: &[(&str, &str)],
    length: Option<usize>,
) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Canary\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    match length {
        Some(length) => write!(stream, "content-length: {length}\r\n\r\n"),
        None => write!(stream, "connection: close\r\n\r\n"),
    }
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request {
        line: line.trim_end().to_owned(),
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}
