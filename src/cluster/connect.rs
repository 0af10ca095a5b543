//! The connection: one client and one pool for the whole process.
//!
//! Enters: settings, a kubeconfig or the files of a pod.
//! Leaves: `Cluster`, and from it Reader, Writer, Keeper and Commander.
//! Never: a client of its own for an identity; an identity is a header of one request.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    Commander, Discovery, Error, Fence, Keeper, Reader, Writer, classify, discover::Cache,
    request::Call,
};
use crate::model::{AccountName, Now};

/// How the API server is reached.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    /// Kubeconfig files, merged as kubectl does; none means the files of the pod that we run in.
    pub kubeconfig: Vec<PathBuf>,
    /// Context of the kubeconfig; None for its current one.
    pub context: Option<String>,
    /// Longest time of one request. Default 30 s: the API server itself gives a request 60 s, a webhook at most 30.
    pub request_timeout: Duration,
    /// Most requests in flight to the API server, watches and lease renewals apart. Default 32: one at a time costs
    /// the API server 2.5 times the CPU for each request, 20 and 50 measure the same (research: API costs).
    pub max_in_flight: usize,
    /// How the audit log of the API server tells our requests from others'. Default `plimsoll/VERSION`; the controller
    /// adds its identity, by which replicas are told apart.
    pub agent: String,
    /// Reads both clocks; a shell gives it.
    pub clock: fn() -> Now,
}

/// What we call ourselves where nothing else is said.
const AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

impl ConnectSettings {
    /// Returns the defaults, with this clock.
    pub fn new(clock: fn() -> Now) -> Self {
        Self {
            kubeconfig: Vec::new(),
            context: None,
            request_timeout: Duration::from_secs(30),
            max_in_flight: 32,
            agent: AGENT.to_owned(),
            clock,
        }
    }
}

/// As whom a request is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The controller itself.
    Controller,
    /// The service account of an Application, by impersonation.
    Account(AccountName),
    /// The person whose kubeconfig it is.
    Person,
}

impl Identity {
    /// Returns the user to impersonate. An account is never empty, so neither is the header.
    pub(super) fn impersonated(&self) -> Option<String> {
        match self {
            Self::Account(account) => Some(account.user()),
            Self::Controller | Self::Person => None,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Controller => f.write_str("the controller"),
            Self::Account(account) => write!(f, "{account}"),
            Self::Person => f.write_str("you"),
        }
    }
}

/// The connection to one API server. Clones share the pool, the slots and what is known of the API.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    /// As the settings say, with the impersonation of the kubeconfig (`as:`) if it has any.
    own: Client,
    /// Without it: the API server takes one `Impersonate-User` only.
    accounts: Client,
    url: http::Uri,
    request_timeout: Duration,
    slots: Semaphore,
    agent: HeaderValue,
    clock: fn() -> Now,
    catalogue: Cache,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("url", &self.inner.url)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the settings and makes the client; the first request connects.
    ///
    /// # Assumptions
    /// A rustls provider is installed for the process, and a tokio runtime runs.
    ///
    /// # Errors
    /// The kubeconfig, the context or the in-cluster files cannot be read or used.
    pub async fn connect(settings: ConnectSettings) -> Result<Self, Error> {
        let mut config = read_config(&settings).await?;
        // kube's own retry sleeps as long as a Retry-After header says; ours is capped.
        config.default_retry = false;
        let url = config.cluster_url.clone();
        let own = client(config.clone())?;
        let person = &mut config.auth_info;
        let accounts = if person.impersonate.is_some() {
            person.impersonate = None;
            person.impersonate_uid = None;
            person.impersonate_groups = None;
            person.impersonate_user_extra = None;
            client(config)?
        } else {
            own.clone()
        };
        Ok(Self::from_clients(own, accounts, url, &settings))
    }

    pub(super) fn from_clients(
        own: Client,
        accounts: Client,
        url: http::Uri,
        settings: &ConnectSettings,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                own,
                accounts,
                url,
                request_timeout: settings.request_timeout,
                slots: Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
                // A name that no header takes is left out.
                agent: HeaderValue::from_str(&settings.agent)
                    .unwrap_or(HeaderValue::from_static(AGENT)),
                clock: settings.clock,
                catalogue: Cache::default(),
            }),
        }
    }

    pub(super) fn client_for(&self, identity: &Identity) -> &Client {
        match identity {
            Identity::Account(_) => &self.inner.accounts,
            Identity::Controller | Identity::Person => &self.inner.own,
        }
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.inner.request_timeout
    }

    pub(super) fn slots(&self) -> &Semaphore {
        &self.inner.slots
    }

    pub(super) fn agent(&self) -> &HeaderValue {
        &self.inner.agent
    }

    pub(super) fn clock(&self) -> fn() -> Now {
        self.inner.clock
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.inner.catalogue
    }

    /// Returns what reads as `who`.
    pub fn reader(&self, who: Identity) -> Reader {
        Reader::new(self.clone(), who)
    }

    /// Returns what writes the objects of one Application, as its account, while the lease is ours.
    pub fn writer(&self, account: AccountName, lease: Fence) -> Writer {
        Writer::new(self.clone(), account, lease)
    }

    /// Returns what keeps our own books, as the controller, while the lease is ours.
    ///
    /// `namespace` is the controller's own: stored state lives there.
    pub fn keeper(&self, namespace: &str, lease: Fence) -> Keeper {
        Keeper::new(self.clone(), namespace.to_owned(), lease)
    }

    /// Returns what writes a person's commands into Applications, as that person.
    pub fn commander(&self) -> Commander {
        Commander::new(self.clone())
    }

    /// Returns what is known of the kinds that the API server serves.
    pub fn discovery(&self) -> Discovery {
        Discovery::new(self.clone())
    }

    /// Waits until the API server says that it is ready, at most `patience`.
    ///
    /// # Errors
    /// What the last question failed with.
    pub async fn wait_ready(&self, patience: Duration) -> Result<(), Error> {
        let start = (self.inner.clock)().monotonic;
        let mut call = Call::get(
            "wait for the API server to be ready".to_owned(),
            "/readyz".to_owned(),
            &Identity::Controller,
        );
        call.deadline = Some(Duration::from_secs(5));
        loop {
            let failed = match self.send(&call).await {
                Ok(reply) if reply.is_success() => return Ok(()),
                Ok(reply) => classify::failure(&call, None, &reply),
                Err(error) => error,
            };
            if (self.inner.clock)().since(start) >= patience {
                return Err(failed);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the namespace of the kubeconfig's context, `default` where it names none.
    pub fn default_namespace(&self) -> &str {
        self.inner.own.default_namespace()
    }

    /// Returns the user name by which the API server knows the person.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn who_am_i(&self) -> Result<String, Error> {
        let body = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let call = Call::with_body(
            "ask who you are".to_owned(),
            http::Method::POST,
            "/apis/authentication.k8s.io/v1/selfsubjectreviews".to_owned(),
            &Identity::Person,
            "application/json",
            body.to_string().into_bytes(),
        );
        let reply = self.send(&call).await?;
        if !reply.is_success() {
            return Err(classify::failure(&call, None, &reply));
        }
        let review: serde_json::Value = reply.read(&call.act)?;
        Ok(review
            .pointer("/status/userInfo/username")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// Returns the version of the API server, for example `v1.36.3`.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn server_version(&self) -> Result<String, Error> {
        let call = Call::get(
            "read the version of the API server".to_owned(),
            "/version".to_owned(),
            &Identity::Controller,
        );
        let reply = self.send(&call).await?;
        if !reply.is_success() {
            return Err(classify::failure(&call, None, &reply));
        }
        let version: Value = reply.read(&call.act)?;
        Ok(version
            .get("gitVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// Returns the addresses by which we reach the API server: nobody else's connection may lead there.
    ///
    /// # Errors
    /// Its name cannot be resolved.
    pub async fn api_server_addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let host = self
            .inner
            .url
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let found =
            tokio::net::lookup_host((host, 0))
                .await
                .map_err(|source| Error::Unreachable {
                    act: format!("resolve the name of the API server, {host}"),
                    source: source.into(),
                })?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }
}

async fn read_config(settings: &ConnectSettings) -> Result<Config, Error> {
    if settings.kubeconfig.is_empty() {
        return Config::incluster().map_err(|source| Error::Settings {
            act: "read the service account of this pod".to_owned(),
            source: source.into(),
        });
    }
    let mut merged = Kubeconfig::default();
    for path in &settings.kubeconfig {
        let refused = |source| Error::Settings {
            act: format!("read the kubeconfig {}", path.display()),
            source: Box::new(source),
        };
        merged = merged
            .merge(Kubeconfig::read_from(path).map_err(refused)?)
            .map_err(refused)?;
    }
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        cluster: None,
        user: None,
    };
    Config::from_custom_kubeconfig(merged, &options)
        .await
        .map_err(|source| Error::Settings {
            act: "use the kubeconfig".to_owned(),
            source: source.into(),
        })
}

fn client(config: Config) -> Result<Client, Error> {
    Client::try_from(config).map_err(|source| Error::Settings {
        act: "make a client for the API server".to_owned(),
        source: source.into(),
    })
}
