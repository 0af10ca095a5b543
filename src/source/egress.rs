//! The one rule for every connection out: which hosts and which addresses may be connected to.
//!
//! Enters: a host as it was written, and the addresses that it resolved to.
//! Leaves: leave to connect, or why not.
//! Never: resolving or connecting; a caller connects to exactly the addresses that were checked.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Which connections are allowed. Source: DESIGN.md, Rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Hosts that may be connected to whatever they resolve to. Default: none. Flag `--allow-host`.
    pub allow_hosts: Vec<String>,
    /// If given, the only hosts that may be connected to, besides `allow_hosts`. Default: every host. Flag `--only-host`.
    pub only_hosts: Option<Vec<String>>,
    /// Addresses of the API server, which are refused: what answers there trusts us more than the tenant. Default: none.
    pub api_server_addresses: Vec<IpAddr>,
}

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The host is not in the exclusive list.
    #[error(
        "{host} is not among the allowed hosts; the cluster's operator can add it with --only-host {host}"
    )]
    NotListed {
        /// Host as it was written.
        host: String,
    },
    /// An address of the host is a forbidden one.
    #[error(
        "{host} is at {address}, {kind}; the cluster's operator can allow it with --allow-host {host}"
    )]
    Address {
        /// Host as it was written.
        host: String,
        /// Address that it resolved to.
        address: IpAddr,
        /// What kind of address it is.
        kind: Forbidden,
    },
}

/// Kinds of addresses that are not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// This machine or pod.
    Loopback,
    /// Link-local; cloud metadata services live there.
    LinkLocal,
    /// A cloud metadata service at another address.
    Metadata,
    /// The API server.
    ApiServer,
    /// Not the address of one host: unspecified, multicast, broadcast.
    NotAHost,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud metadata service",
            Self::ApiServer => "an address of the API server",
            Self::NotAHost => "not the address of a host",
        })
    }
}

/// Metadata services outside of the link-local range: AWS (IPv6), Google (IPv6), Alibaba, Azure's wire server, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

impl Egress {
    /// Says whether `host`, which resolved to `addresses`, may be connected to. One forbidden address refuses the host.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Denied> {
        if self.allows(host) {
            return Ok(());
        }
        self.check_name(host)?;
        for address in addresses {
            if let Some(kind) = self.forbidden(*address) {
                return Err(Denied::Address {
                    host: host.to_owned(),
                    address: *address,
                    kind,
                });
            }
        }
        Ok(())
    }

    /// Says whether the name alone is refused, so that it need not be resolved.
    ///
    /// # Errors
    /// When it is.
    pub fn check_name(&self, host: &str) -> Result<(), Denied> {
        match &self.only_hosts {
            Some(hosts)
                if !self.allows(host) && !hosts.iter().any(|listed| same_host(listed, host)) =>
            {
                Err(Denied::NotListed {
                    host: host.to_owned(),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn allows(&self, host: &str) -> bool {
        self.allow_hosts
            .iter()
            .any(|listed| same_host(listed, host))
    }

    fn forbidden(&self, address: IpAddr) -> Option<Forbidden> {
        let forms = std::iter::once(address).chain(embedded(address));
        forms.into_iter().find_map(|form| {
            if self
                .api_server_addresses
                .iter()
                .any(|own| own.to_canonical() == form)
            {
                return Some(Forbidden::ApiServer);
            }
            if METADATA.contains(&form) {
                return Some(Forbidden::Metadata);
            }
            match form {
                IpAddr::V4(v4) => forbidden_v4(v4),
                IpAddr::V6(v6) => forbidden_v6(v6),
            }
        })
    }
}

/// Says whether two texts name the same host.
pub(super) fn same_host(listed: &str, host: &str) -> bool {
    let plain = |text: &str| {
        text.trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase()
    };
    plain(listed) == plain(host)
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    let first = address.octets()[0];
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_link_local() {
        Some(Forbidden::LinkLocal)
    } else if first == 0 || first >= 224 {
        // 0.0.0.0/8 reaches this machine on Linux; 224/4 is multicast, 240/4 reserved, 255.255.255.255 broadcast.
        Some(Forbidden::NotAHost)
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_unicast_link_local() {
        Some(Forbidden::LinkLocal)
    } else if address.is_unspecified() || address.is_multicast() {
        Some(Forbidden::NotAHost)
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address carries: mapped, compatible, NAT64 or 6to4.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else { return None };
    let parts = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match parts {
        // `::` and `::1` are addresses of IPv6 itself.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<Forbidden> {
        let egress = Egress {
            api_server_addresses: vec!["10.96.0.1".parse().unwrap()],
            ..Egress::default()
        };
        match egress.check(
            "host",
            &["1.2.3.4".parse().unwrap(), address.parse().unwrap()],
        ) {
            Ok(()) => None,
            Err(Denied::Address { kind, .. }) => Some(kind),
            Err(Denied::NotListed { .. }) => panic!("no list was given"),
        }
    }

    #[test]
    fn forbidden_addresses_are_refused_in_every_form() {
        for (address, expected) in [
            ("140.82.112.3", None),
            ("10.0.0.7", None),
            ("2606:50c0:8000::153", None),
            ("127.0.0.1", Some(Forbidden::Loopback)),
            ("127.9.9.9", Some(Forbidden::Loopback)),
            ("::1", Some(Forbidden::Loopback)),
            ("::ffff:127.0.0.1", Some(Forbidden::Loopback)),
            ("::127.0.0.1", Some(Forbidden::Loopback)),
            ("64:ff9b::7f00:1", Some(Forbidden::Loopback)),
            ("2002:7f00:1::", Some(Forbidden::Loopback)),
            ("169.254.169.254", Some(Forbidden::LinkLocal)),
            ("::ffff:169.254.169.254", Some(Forbidden::LinkLocal)),
            ("64:ff9b::a9fe:a9fe", Some(Forbidden::LinkLocal)),
            ("fe80::1", Some(Forbidden::LinkLocal)),
            ("fd00:ec2::254", Some(Forbidden::Metadata)),
            ("100.100.100.200", Some(Forbidden::Metadata)),
            ("10.96.0.1", Some(Forbidden::ApiServer)),
            ("::ffff:10.96.0.1", Some(Forbidden::ApiServer)),
            ("0.0.0.0", Some(Forbidden::NotAHost)),
            ("0.1.2.3", Some(Forbidden::NotAHost)),
            ("::", Some(Forbidden::NotAHost)),
            ("224.0.0.1", Some(Forbidden::NotAHost)),
            ("255.255.255.255", Some(Forbidden::NotAHost)),
            ("ff02::1", Some(Forbidden::NotAHost)),
        ] {
            assert_eq!(kind(address), expected, "{address}");
        }
    }

    #[test]
    fn lists_are_by_host() {
        let local: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap()];
        let far: Vec<IpAddr> = vec!["1.2.3.4".parse().unwrap()];
        let egress = Egress {
            allow_hosts: vec!["Gitea.local.".to_owned(), "[::1]".to_owned()],
            only_hosts: Some(vec!["git.example.com".to_owned()]),
            ..Egress::default()
        };
        assert!(egress.check("gitea.local", &local).is_ok());
        assert!(egress.check("::1", &["::1".parse().unwrap()]).is_ok());
        assert!(egress.check("git.example.com", &far).is_ok());
        assert!(matches!(
            egress.check("git.example.com", &local),
            Err(Denied::Address { .. })
        ));
        assert!(matches!(
            egress.check("github.com", &far),
            Err(Denied::NotListed { .. })
        ));
        let message = egress.check("github.com", &far).unwrap_err().to_string();
        assert!(message.contains("--only-host github.com"), "{message}");
    }
}
