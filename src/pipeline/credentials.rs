//! What opens a repository, read as the Application's account.
//!
//! Enters: the Secret that the spec names.
//! Leaves: `Credentials`.
//! Never: the controller's own rights; a value in a message.

use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use super::{Context, Error, Memory, Subject};
use crate::{
    api::{Class, Reason},
    cluster::Identity,
    model::{Credentials, Now, ObjectId, Secret},
};

/// How long a credential counts before it is read again (DESIGN.md, Rights).
const FRESH: Duration = Duration::from_secs(600);

/// Returns the credentials of an Application, at most ten minutes old.
pub(super) async fn credentials(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    now: Now,
) -> Result<Credentials, Error> {
    let Some(reference) = &subject.spec.source.credentials_ref else {
        memory.credentials = None;
        return Ok(Credentials::default());
    };
    if let Some((at, known)) = &memory.credentials
        && now.since(*at) < FRESH
    {
        return Ok(known.clone());
    }
    let id = ObjectId::new("", "Secret", &subject.key.namespace, &reference.name);
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let secret = reader.get("v1", &id).await?.ok_or_else(|| {
        Error::failure(
            Reason::CredentialsInvalid,
            Class::Change,
            format!("{id} does not exist; spec.source.credentialsRef names it"),
        )
    })?;
    let read = parse(&secret, &id)?;
    memory.credentials = Some((now.monotonic, read.clone()));
    Ok(read)
}

#[expect(clippy::map_err_ignore, reason = "the cause quotes bytes of the value")]
pub(super) fn parse(secret: &Value, id: &ObjectId) -> Result<Credentials, Error> {
    let invalid = |what: String| {
        Error::failure(
            Reason::CredentialsInvalid,
            Class::Change,
            format!("{id}: {what}"),
        )
    };
    let text = |key: &str| -> Result<Option<String>, Error> {
        let Some(encoded) = secret
            .get("data")
            .and_then(|data| data.get(key))
            .and_then(Value::as_str)
        else {
            return Ok(None);
        };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| invalid(format!("{key} is not base64")))?;
        String::from_utf8(bytes)
            .map_err(|_| invalid(format!("{key} is not text")))
            .map(Some)
    };
    let trimmed =
        |value: Option<String>| value.map(|value| value.trim_end_matches(['\n', '\r']).to_owned());
    let token = trimmed(text("token")?);
    let credentials = Credentials {
        username: trimmed(text("username")?).or_else(|| token.as_ref().map(|_| "git".to_owned())),
        password: trimmed(text("password")?).or(token).map(Secret::new),
        identity: text("identity")?.map(Secret::new),
        known_hosts: text("known_hosts")?,
        certificate_authority: text("caFile")?,
    };
    if credentials.is_empty() {
        return Err(invalid(
            "has none of username and password, token, identity and known_hosts, caFile".to_owned(),
        ));
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    #[test]
    fn a_token_is_a_password_of_git() {
        let id = ObjectId::new("", "Secret", "shop", "git");
        let read = parse(&json!({"data": {"token": encoded("abc\n")}}), &id).unwrap();
        assert_eq!(read.username.as_deref(), Some("git"));
        assert_eq!(read.password.unwrap().expose(), "abc");
    }

    #[test]
    fn an_empty_secret_and_broken_values_are_named_and_not_shown() {
        let id = ObjectId::new("", "Secret", "shop", "git");
        assert!(parse(&json!({}), &id).is_err());
        let error = parse(&json!({"data": {"password": "canary!"}}), &id)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "Secret/shop/git: password is not base64");
    }
}
