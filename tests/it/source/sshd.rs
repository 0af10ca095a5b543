//! A real sshd on loopback, with keys of its own, run as whoever runs the tests.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const INSTALL: &str = "sshd is missing; install it with: apt-get install --yes openssh-server";

/// Keys that are let in, and their types.
const IDENTITIES: [(&str, &str); 3] = [
    ("user", "ed25519"),
    ("user-ecdsa", "ecdsa"),
    ("user-rsa", "rsa"),
];

/// A server; it ends when it is dropped.
pub(super) struct Sshd {
    directory: TempDir,
    child: Child,
    pub(super) port: u16,
}

impl Sshd {
    /// Starts an sshd with host keys of these types, which lets in the key [`Sshd::identity`].
    pub(super) fn start(host_keys: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let mut authorized = String::new();
        for (name, kind) in IDENTITIES {
            keygen(path, name, kind);
            authorized.push_str(&fs::read_to_string(path.join(format!("{name}.pub"))).unwrap());
        }
        fs::write(path.join("authorized_keys"), authorized).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {}\nMaxStartups 100\nLogLevel ERROR\n",
            path.join("authorized_keys").display()
        );
        for kind in host_keys {
            let name = format!("host_{kind}");
            keygen(path, &name, kind);
            config.push_str(&format!("HostKey {}\n", path.join(name).display()));
        }
        fs::write(path.join("config"), config).unwrap();
        let binary = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        // An sshd that is run by root wants this directory, which the system makes at its start.
        fs::create_dir_all("/run/sshd").ok();
        let child = Command::new(binary.expect(INSTALL))
            .args(["-D", "-e", "-f"])
            .arg(path.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .expect(INSTALL);
        let mut sshd = Self {
            directory,
            child,
            port,
        };
        sshd.wait();
        sshd
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "sshd ended: {log}"
            );
            assert!(Instant::now() < end, "sshd does not listen: {log}");
            std::thread::yield_now();
        }
    }

    pub(super) fn url(&self, path: &Path) -> String {
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        format!(
            "ssh://{}@127.0.0.1:{}{}",
            user.trim(),
            self.port,
            path.display()
        )
    }

    /// Returns the private key that is let in.
    pub(super) fn identity(&self) -> String {
        fs::read_to_string(self.directory.path().join("user")).unwrap()
    }

    /// Returns private keys of every type that are let in, in OpenSSH form, and RSA in PEM form as well.
    pub(super) fn identities(&self) -> Vec<String> {
        let read = |name: &str| fs::read_to_string(self.directory.path().join(name)).unwrap();
        let mut keys: Vec<String> = IDENTITIES.iter().map(|(name, _)| read(name)).collect();
        let rsa = self.directory.path().join("user-rsa");
        run(
            "ssh-keygen",
            &[
                "-q",
                "-p",
                "-m",
                "PEM",
                "-P",
                "",
                "-N",
                "",
                "-f",
                rsa.to_str().unwrap(),
            ],
        );
        keys.push(read("user-rsa"));
        assert!(keys[3].starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        keys
    }

    /// Returns a private key that a passphrase locks.
    pub(super) fn locked(&self) -> String {
        let file = self.directory.path().join("locked");
        run(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "canary",
                "-f",
                file.to_str().unwrap(),
            ],
        );
        fs::read_to_string(file).unwrap()
    }

    /// Returns a private key that is not let in.
    pub(super) fn stranger(&self) -> String {
        keygen(self.directory.path(), "stranger", "ed25519");
        fs::read_to_string(self.directory.path().join("stranger")).unwrap()
    }

    /// Returns the lines of `known_hosts` for host keys of these types.
    pub(super) fn known_hosts(&self, kinds: &[&str]) -> String {
        let line = |kind: &&str| {
            let key =
                fs::read_to_string(self.directory.path().join(format!("host_{kind}.pub"))).unwrap();
            format!("[127.0.0.1]:{} {key}", self.port)
        };
        kinds.iter().map(line).collect()
    }

    /// Returns the same lines as `ssh-keygen -H` hashes them.
    pub(super) fn hashed_known_hosts(&self, kinds: &[&str]) -> String {
        let file = self.directory.path().join("known_hosts");
        fs::write(&file, self.known_hosts(kinds)).unwrap();
        run("ssh-keygen", &["-q", "-H", "-f", file.to_str().unwrap()]);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|"), "{text}");
        text
    }

    /// Returns what `ssh-keygen -l` prints for a host key.
    pub(super) fn fingerprint(&self, kind: &str) -> String {
        let file = self.directory.path().join(format!("host_{kind}.pub"));
        run("ssh-keygen", &["-l", "-f", file.to_str().unwrap()])
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn keygen(directory: &Path, name: &str, kind: &str) {
    let file = directory.join(name);
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            kind,
            "-N",
            "",
            "-C",
            "test",
            "-f",
            file.to_str().unwrap(),
        ],
    );
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output
        .expect("ssh-keygen is missing; install it with: apt-get install --yes openssh-client");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
