//! Which reference an Application means.
//!
//! Enters: `source.ref`, and what a server says it has.
//! Leaves: the reference that is meant, and what it is at.
//! Never: a guess for an abbreviated commit; references other than branches and tags, which on a forge anybody can make.

use git2::Oid;

use super::{DisplaySafeUrl, Error, advertisement::Advertisement};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Want {
    /// The server's HEAD.
    Head,
    /// A branch, or else a tag, of this name.
    Name(String),
    /// A whole name below `refs/heads/` or `refs/tags/`.
    Whole(String),
    /// A commit.
    Commit(Oid),
}

/// What a reference was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Name for people: a branch or a tag, or `HEAD` where the server does not say which branch it is.
    pub(super) name: String,
    /// The whole name.
    pub(super) whole: String,
    /// A commit or a tag object.
    pub(super) tip: Oid,
}

impl Want {
    /// Reads a reference.
    ///
    /// # Errors
    /// When it cannot be a branch, a tag or a commit.
    pub(super) fn parse(reference: Option<&str>) -> Result<Self, Error> {
        let Some(text) = reference.filter(|text| !text.is_empty() && *text != "HEAD") else {
            return Ok(Self::Head);
        };
        let invalid = |problem| Error::ReferenceInvalid {
            reference: text.chars().take(256).collect(),
            problem,
        };
        if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return match Oid::from_str(text) {
                Ok(oid) => Ok(Self::Commit(oid)),
                Err(_not_a_hash) => Err(invalid("it is not a hash")),
            };
        }
        if text.len() > 255 {
            return Err(invalid("it is longer than 255 bytes"));
        }
        let whole = if text.starts_with("refs/") {
            text.to_owned()
        } else {
            format!("refs/heads/{text}")
        };
        if !git2::Reference::is_valid_name(&whole) {
            return Err(invalid("git does not allow such a name"));
        }
        if !text.starts_with("refs/") {
            return Ok(Self::Name(text.to_owned()));
        }
        if is_branch_or_tag(text) {
            Ok(Self::Whole(whole))
        } else {
            Err(invalid(
                "only branches and tags are followed, not other references",
            ))
        }
    }

    /// Finds it among what a server has. A commit is not found by this.
    pub(super) fn find(&self, advertisement: &Advertisement) -> Option<Target> {
        let by_name = |whole: String| {
            let tip = *advertisement.references.get(&whole)?;
            let name = whole
                .strip_prefix("refs/heads/")
                .or_else(|| whole.strip_prefix("refs/tags/"));
            Some(Target {
                name: name.unwrap_or(&whole).to_owned(),
                tip,
                whole,
            })
        };
        match self {
            Self::Head => match &advertisement.head {
                Some(branch) => by_name(branch.clone()),
                None => head_without_a_name(advertisement),
            },
            Self::Name(name) => by_name(format!("refs/heads/{name}"))
                .or_else(|| by_name(format!("refs/tags/{name}"))),
            Self::Whole(whole) => by_name(whole.clone()),
            Self::Commit(_) => None,
        }
    }

    /// The error for a server that has other references and not this one.
    pub(super) fn gone(&self, url: &DisplaySafeUrl) -> Error {
        let url = url.clone();
        match self {
            Self::Head => Error::ReferenceGone {
                url,
                reference: "HEAD".to_owned(),
            },
            Self::Name(name) | Self::Whole(name) => Error::ReferenceGone {
                url,
                reference: name.clone(),
            },
            Self::Commit(oid) => Error::CommitNotContained {
                url,
                commit: oid.to_string(),
            },
        }
    }
}

/// Old servers do not say what HEAD points to: the branch at the same commit is meant, `main` or `master` first.
fn head_without_a_name(advertisement: &Advertisement) -> Option<Target> {
    let tip = *advertisement.references.get("HEAD")?;
    let same = |whole: &&str| advertisement.references.get(*whole) == Some(&tip);
    let usual = ["refs/heads/main", "refs/heads/master"];
    let branches = || {
        advertisement
            .references
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("refs/heads/"))
    };
    let found = usual
        .into_iter()
        .find(same)
        .or_else(|| branches().find(same));
    let whole = found.unwrap_or("HEAD");
    Some(Target {
        name: whole
            .strip_prefix("refs/heads/")
            .unwrap_or(whole)
            .to_owned(),
        whole: whole.to_owned(),
        tip,
    })
}

/// Says whether a whole name is a branch's or a tag's.
pub(super) fn is_branch_or_tag(whole: &str) -> bool {
    whole.starts_with("refs/heads/") || whole.starts_with("refs/tags/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        Oid::from_str(&digit.to_string().repeat(40)).unwrap()
    }

    fn advertisement(head: Option<&str>, references: &[(&str, char)]) -> Advertisement {
        Advertisement {
            references: references
                .iter()
                .map(|(name, digit)| ((*name).to_owned(), oid(*digit)))
                .collect(),
            head: head.map(str::to_owned),
            ..Advertisement::default()
        }
    }

    #[test]
    fn references_are_read() {
        let hash = "ABCDEF0123456789abcdef0123456789abcdef01";
        for (text, expected) in [
            (None, Some(Want::Head)),
            (Some(""), Some(Want::Head)),
            (Some("HEAD"), Some(Want::Head)),
            (Some("main"), Some(Want::Name("main".to_owned()))),
            (
                Some("feature/a@b"),
                Some(Want::Name("feature/a@b".to_owned())),
            ),
            (Some("abcdef0"), Some(Want::Name("abcdef0".to_owned()))),
            (
                Some("refs/tags/v1"),
                Some(Want::Whole("refs/tags/v1".to_owned())),
            ),
            (Some(hash), Some(Want::Commit(Oid::from_str(hash).unwrap()))),
            (Some("refs/pull/1/head"), None),
            (Some("refs/heads/"), None),
            (Some("a b"), None),
            (Some("*"), None),
            (Some("a..b"), None),
            (Some("a\nb"), None),
            (Some("main:refs/heads/other"), None),
        ] {
            assert_eq!(Want::parse(text).ok(), expected, "{text:?}");
        }
        assert!(Want::parse(Some(&"a".repeat(256))).is_err());
    }

    #[test]
    fn a_branch_goes_before_a_tag_of_the_same_name() {
        let listed = advertisement(
            None,
            &[
                ("refs/heads/v1", '1'),
                ("refs/tags/v1", '2'),
                ("refs/tags/v2", '3'),
            ],
        );
        let find = |text| {
            Want::parse(Some(text))
                .unwrap()
                .find(&listed)
                .map(|target| (target.name, target.tip))
        };
        assert_eq!(find("v1"), Some(("v1".to_owned(), oid('1'))));
        assert_eq!(find("refs/tags/v1"), Some(("v1".to_owned(), oid('2'))));
        assert_eq!(find("v2"), Some(("v2".to_owned(), oid('3'))));
        assert_eq!(find("v3"), None);
    }

    #[test]
    fn head_is_the_branch_that_it_points_to() {
        let both = [
            ("HEAD", '1'),
            ("refs/heads/main", '1'),
            ("refs/heads/trunk", '1'),
            ("refs/heads/zz", '2'),
        ];
        for (head, references, expected) in [
            (Some("refs/heads/trunk"), &both[..], Some("trunk")),
            (None, &both[..], Some("main")),
            (
                None,
                &[("HEAD", '1'), ("refs/heads/trunk", '1')],
                Some("trunk"),
            ),
            (
                None,
                &[("HEAD", '1'), ("refs/heads/trunk", '2')],
                Some("HEAD"),
            ),
            (Some("refs/heads/gone"), &both[..], None),
            (None, &[("refs/heads/trunk", '2')], None),
        ] {
            let found = Want::Head.find(&advertisement(head, references));
            assert_eq!(found.map(|target| target.name).as_deref(), expected);
        }
    }
}
