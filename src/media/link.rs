//! URLs of which previews may be shown.
//!
//! Exists so that every URL that is fetched for a client, the first as well as each that it leads
//! to, is judged by the same rules. Which addresses a name may have is judged by who dials.

use url::{Host, Url};

use crate::error::MediaError;

/// Longest URL.
pub(crate) const LINK_BYTES_MAX: usize = 2_048;
/// Ports of web servers.
const PORTS: [u16; 2] = [80, 443];

/// Which sites previews are shown of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreviewOptions {
    /// Hosts, `*.example.org` for all below one; if there are none, every host.
    pub allowed: Vec<String>,
    /// Hosts that are not asked, whatever [`PreviewOptions::allowed`] says.
    pub denied: Vec<String>,
}

impl PreviewOptions {
    fn permit(&self, host: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|name| covers(name, host));
        !among(&self.denied) && (self.allowed.is_empty() || among(&self.allowed))
    }
}

/// Whether a name of a list stands for this host.
fn covers(name: &str, host: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|rest| rest.ends_with('.')),
        None => name == host,
    }
}

/// A URL that has been judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link(Url);

impl Link {
    /// A URL as a client or a page gives it.
    pub(crate) fn parse(text: &str, options: &PreviewOptions) -> Result<Self, MediaError> {
        if text.len() > LINK_BYTES_MAX {
            return Err(MediaError::BadUrl("the URL is too long"));
        }
        let url = Url::parse(text.trim());
        let url = url.map_err(|_| MediaError::BadUrl("url is not a URL; send a whole one"))?;
        Self::judge(url, options)
    }

    /// Where a reference on this page leads.
    pub(crate) fn follow(&self, text: &str, options: &PreviewOptions) -> Result<Self, MediaError> {
        if text.len() > LINK_BYTES_MAX {
            return Err(MediaError::BadUrl("the URL is too long"));
        }
        let url = self.0.join(text.trim());
        let url = url.map_err(|_| MediaError::BadUrl("a link leads nowhere"))?;
        if self.0.scheme() == "https" && url.scheme() == "http" {
            return Err(MediaError::BadUrl("a link leads from https to http"));
        }
        Self::judge(url, options)
    }

    fn judge(mut url: Url, options: &PreviewOptions) -> Result<Self, MediaError> {
        let bad = |text| Err(MediaError::BadUrl(text));
        if !matches!(url.scheme(), "https" | "http") {
            return bad("previews are of https and http only");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("the URL names a user; leave that out");
        }
        if !url
            .port_or_known_default()
            .is_some_and(|port| PORTS.contains(&port))
        {
            return bad("the URL names a port that is none of web servers");
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(address) => address.to_string(),
            None => return bad("the URL names no host"),
        };
        if !options.permit(&host) {
            return Err(MediaError::UrlDenied);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(allowed: &[&str], denied: &[&str]) -> PreviewOptions {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        PreviewOptions {
            allowed: list(allowed),
            denied: list(denied),
        }
    }

    fn judged(url: &str, options: &PreviewOptions) -> Result<String, MediaError> {
        Link::parse(url, options).map(|link| link.as_str().to_owned())
    }

    #[test]
    fn only_web_pages_are_linked() {
        let all = options(&[], &[]);
        assert_eq!(judged("https://a.b/c#d", &all).unwrap(), "https://a.b/c");
        for url in [
            "file:///etc/passwd",
            "ftp://a.b/",
            "gopher://a.b/",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://user:pw@a.b/",
            "http://a.b:22/",
            "http://a.b:6379/",
            "https://a.b:80443/",
            "//a.b/",
            "",
        ] {
            let refused = judged(url, &all);
            assert!(matches!(refused, Err(MediaError::BadUrl(_))), "{url}");
        }
        let long = format!("https://a.b/{}", "x".repeat(LINK_BYTES_MAX));
        assert!(judged(&long, &all).is_err());
    }

    #[test]
    fn lists_say_which_sites() {
        let few = options(&["good.example", "*.gov.example"], &["bad.gov.example"]);
        for (host, permitted) in [
            ("good.example", true),
            ("GOOD.example.", true),
            ("www.good.example", false),
            ("a.gov.example", true),
            ("a.b.gov.example", true),
            ("gov.example", false),
            ("evilgov.example", false),
            ("bad.gov.example", false),
            ("BAD.gov.example.", false),
        ] {
            let judged = judged(&format!("https://{host}/"), &few);
            assert_eq!(judged.is_ok(), permitted, "{host}");
        }
        let most = options(&[], &["10.0.0.1", "[::1]"]);
        assert!(judged("http://10.0.0.1/", &most).is_err());
        assert!(judged("http://167772161/", &most).is_err());
        assert!(judged("http://[0::1]/", &most).is_err());
        assert!(judged("http://a.b/", &most).is_ok());
    }

    #[test]
    fn what_a_page_leads_to_is_judged_too() {
        let most = options(&[], &["inside.example"]);
        let page = Link::parse("https://a.b/c/d", &most).unwrap();
        assert_eq!(
            page.follow("../e.png", &most).unwrap().as_str(),
            "https://a.b/e.png"
        );
        for link in [
            "https://inside.example/x",
            "//inside.example/x",
            "http://a.b/x",
            "file:///x",
        ] {
            assert!(page.follow(link, &most).is_err(), "{link}");
        }
    }
}
