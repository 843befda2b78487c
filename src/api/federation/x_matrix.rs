//! The `Authorization` header of other servers' requests.
//!
//! Exists so that what the header says is read in one way, however it is quoted. Knows nothing of
//! keys and of whether the signature is right. (Server-Server API, "Request Authentication";
//! RFC 9110, section 11.4.)

use http::{HeaderMap, header::AUTHORIZATION};
use ruma_common::{OwnedServerName, ServerName};

/// Longest header that is read, in bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Signatures on one request.
pub(crate) const SIGNATURES_MAX: usize = 8;
const SCHEME: &str = "X-Matrix";

/// What one header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XMatrix {
    /// Who asks.
    pub(crate) origin: OwnedServerName,
    /// Who is asked; servers of before v1.3 of the spec leave it out.
    pub(crate) destination: Option<OwnedServerName>,
    /// Key ID.
    pub(crate) key: String,
    /// The signature, base64.
    pub(crate) signature: String,
}

/// Why the headers name no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// There is none of the scheme.
    Missing,
    /// One that cannot be read, or several that contradict each other.
    Malformed,
}

/// The signatures on a request: at least one, all of one origin.
pub(crate) fn signatures(headers: &HeaderMap) -> Result<Vec<XMatrix>, Unnamed> {
    let mut found = Vec::new();
    for value in headers.get_all(AUTHORIZATION) {
        let malformed = value.len() > HEADER_BYTES_MAX || found.len() >= SIGNATURES_MAX;
        let text = value.to_str().ok().filter(|_| !malformed);
        found.push(text.and_then(parse).ok_or(Unnamed::Malformed)?);
    }
    let first: &XMatrix = found.first().ok_or(Unnamed::Missing)?;
    let agree = |other: &XMatrix| {
        (&other.origin, &other.destination) == (&first.origin, &first.destination)
    };
    let mut keys: Vec<_> = found.iter().map(|one| &one.key).collect();
    keys.sort_unstable();
    keys.dedup();
    // Two signatures by one key: at most one of them is right.
    if found.iter().all(agree) && keys.len() == found.len() {
        Ok(found)
    } else {
        Err(Unnamed::Malformed)
    }
}

fn parse(text: &str) -> Option<XMatrix> {
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let (mut origin, mut destination, mut key, mut signature) = (None, None, None, None);
    for (name, value) in parameters(rest)? {
        let slot = match name.to_ascii_lowercase().as_str() {
            "origin" => &mut origin,
            "destination" => &mut destination,
            "key" => &mut key,
            "sig" => &mut signature,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(XMatrix {
        origin: server(&origin?)?,
        destination: match destination {
            Some(name) => Some(server(&name)?),
            None => None,
        },
        key: key?,
        signature: signature?,
    })
}

/// A server name that could be one: port 0 is nobody's.
fn server(name: &str) -> Option<OwnedServerName> {
    let server = <&ServerName>::try_from(name).ok()?;
    (server.port() != Some(0)).then(|| server.to_owned())
}

/// `name=value` pairs between commas; values are tokens, quoted strings, or, as old servers send
/// them, anything without a comma and a space.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)?
        } else {
            let after = after.trim_start();
            let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            (value.to_owned(), after)
        };
        pairs.push((name.trim().to_owned(), value));
        let next = after.trim_start();
        if !next.is_empty() && !next.starts_with(',') {
            return None;
        }
        rest = next.trim_start_matches([' ', '\t', ',']);
    }
    Some(pairs)
}

/// What stands up to the closing quote, and what stands behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> Result<Vec<XMatrix>, Unnamed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        signatures(&headers)
    }

    const PLAIN: &str =
        r#"X-Matrix origin="b.example",destination="a.example",key="ed25519:1",sig="AA""#;

    #[test]
    fn fauth_008_every_spelling_of_the_grammar_is_read() {
        let plain = read(&[PLAIN]).unwrap();
        for line in [
            "x-matrix origin=b.example,destination=a.example,key=ed25519:1,sig=AA",
            r#"X-Matrix  Origin = "b.example" , DESTINATION="a.example",, Key="ed25519:1",sig="AA""#,
            r#"X-Matrix origin="b\.exam\ple",destination="a.example",key="ed25519:1",sig="AA",more="x,\"y""#,
        ] {
            assert_eq!(read(&[line]).as_ref(), Ok(&plain), "{line}");
        }
        let old = read(&[r#"X-Matrix origin=b.example,key="ed25519:1",sig="AA""#]).unwrap();
        assert_eq!(old[0].destination, None);
    }

    #[test]
    fn fauth_006_what_is_no_server_name_is_refused() {
        for origin in [
            "",
            "b.example:0",
            "b.example:99999",
            "a/../b",
            "b example",
            "@b:example",
        ] {
            let line = format!(r#"X-Matrix origin="{origin}",key="ed25519:1",sig="AA""#);
            assert_eq!(read(&[&line]), Err(Unnamed::Malformed), "{origin}");
        }
    }

    #[test]
    fn what_is_not_of_the_grammar_is_refused() {
        for line in [
            "Bearer x",
            "X-Matrix",
            "X-Matrix ",
            "X-Matrix origin",
            r#"X-Matrix origin="b.example"#,
            r#"X-Matrix origin="b.example" key="ed25519:1",sig="AA""#,
            r#"X-Matrix origin="b.example",key="ed25519:1""#,
            r#"X-Matrix origin="b.example",origin="c.example",key="ed25519:1",sig="AA""#,
        ] {
            assert_eq!(read(&[line]), Err(Unnamed::Malformed), "{line}");
        }
        let long = format!("{PLAIN},more={}", "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(read(&[&long]), Err(Unnamed::Malformed));
        assert_eq!(read(&[]), Err(Unnamed::Missing));
    }

    #[test]
    fn fauth_007_several_headers_must_agree_on_who_asks() {
        let other = PLAIN.replace("b.example", "c.example");
        assert_eq!(read(&[PLAIN, &other]), Err(Unnamed::Malformed));
        assert_eq!(read(&[PLAIN, "Bearer x"]), Err(Unnamed::Malformed));
        let second = PLAIN.replace("ed25519:1", "ed25519:2");
        assert_eq!(read(&[PLAIN, &second]).unwrap().len(), 2);
        assert_eq!(read(&[PLAIN; 9]), Err(Unnamed::Malformed));
    }
}
