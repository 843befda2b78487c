//! From the authentication that an endpoint names to who is asking, decided at compile time.
//!
//! Knows where a token may stand, not whose it is.

use std::{borrow::Cow, fmt::Debug};

use belfry_policy::Standing;
use belfry_user::Requester;
use http::{header, request::Parts};
use ruma_common::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};

use super::{Ctx, Door, Rule};
use crate::error::{ApiError, EdgeError};

/// One implementation for each marker type that an endpoint's `Authentication` can be.
pub trait Authenticate: AuthScheme {
    /// Who is asking, as far as the scheme tells.
    type Identity: Debug + Send + 'static;

    /// Finds the token and asks whose it is.
    fn authenticate<S: Door>(
        state: &S,
        ctx: &Ctx,
        parts: &Parts,
        rule: Rule,
    ) -> impl Future<Output = Result<Self::Identity, ApiError>> + Send;
}

macro_rules! nobody {
    ($($marker:ty),+) => {$(
        impl Authenticate for $marker {
            type Identity = ();

            async fn authenticate<S: Door>(_: &S, _: &Ctx, _: &Parts, _: Rule) -> Result<(), ApiError> {
                Ok(())
            }
        }
    )+};
}

// Sign-in and registration also answer to application services. None can be registered yet, so
// a token there says nothing, and clients do send stale ones.
nobody!(NoAuthentication, NoAccessToken, AppserviceTokenOptional);

impl Authenticate for AccessToken {
    type Identity = Requester;

    async fn authenticate<S: Door>(
        state: &S,
        ctx: &Ctx,
        parts: &Parts,
        rule: Rule,
    ) -> Result<Requester, ApiError> {
        let token = bearer(parts)?.ok_or(EdgeError::MissingToken)?;
        identify(state, ctx, &token, rule).await
    }
}

impl Authenticate for AccessTokenOptional {
    type Identity = Option<Requester>;

    async fn authenticate<S: Door>(
        state: &S,
        ctx: &Ctx,
        parts: &Parts,
        rule: Rule,
    ) -> Result<Option<Requester>, ApiError> {
        match bearer(parts)? {
            Some(token) => identify(state, ctx, &token, rule).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn identify<S: Door>(
    state: &S,
    ctx: &Ctx,
    token: &str,
    rule: Rule,
) -> Result<Requester, ApiError> {
    let requester = state.identify(ctx, token).await?;
    if requester.standing == Standing::Locked && !rule.takes_locked() {
        return Err(EdgeError::Locked.into());
    }
    Ok(requester)
}

/// An access token as it was sent.
pub type Bearer<'a> = Cow<'a, str>;

/// The access token, from the `Authorization` header or, as the spec still has it, the
/// `access_token` query parameter. More than one of them is refused: whoever stands between must
/// not be able to make us and a proxy read different ones.
pub fn bearer(parts: &Parts) -> Result<Option<Bearer<'_>>, EdgeError> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let from_header = headers
        .next()
        .map(|value| from_scheme(value.as_bytes()))
        .transpose()?;
    let mut from_query = query_tokens(parts);
    let token = from_header.map(Cow::Borrowed).or_else(|| from_query.next());
    if headers.next().is_some() || (token.is_some() && from_query.next().is_some()) {
        return Err(EdgeError::SeveralTokens);
    }
    Ok(token.filter(|token| !token.is_empty()))
}

fn from_scheme(value: &[u8]) -> Result<&str, EdgeError> {
    let (scheme, token) = value
        .split_at_checked("Bearer ".len())
        .ok_or(EdgeError::NotBearer)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(EdgeError::NotBearer);
    }
    let token = std::str::from_utf8(token).map_err(|_| EdgeError::NotBearer)?;
    Ok(token.trim())
}

fn query_tokens(parts: &Parts) -> impl Iterator<Item = Bearer<'_>> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "access_token")
        .map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uri: &str, headers: &[&str]) -> Result<Option<String>, EdgeError> {
        let mut request = http::Request::get(uri);
        for header in headers {
            request = request.header(header::AUTHORIZATION, *header);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        bearer(&parts).map(|token| token.map(Cow::into_owned))
    }

    #[test]
    fn token_comes_from_the_header_or_the_query() {
        let token = Ok(Some("t 1".to_owned()));
        assert_eq!(found("/", &["Bearer t 1"]), token);
        assert_eq!(found("/", &["bEARER t 1"]), token);
        assert_eq!(found("/?a=b&access_token=t%201", &[]), token);
        assert_eq!(found("/?access_tokens=x", &[]), Ok(None));
        assert_eq!(found("/", &["Bearer "]), Ok(None));
    }

    #[test]
    fn more_than_one_token_is_refused() {
        let refused = Err(EdgeError::SeveralTokens);
        assert_eq!(found("/", &["Bearer a", "Bearer b"]), refused);
        assert_eq!(found("/", &["Bearer a", "Bearer a"]), refused);
        assert_eq!(found("/?access_token=b", &["Bearer a"]), refused);
        assert_eq!(found("/?access_token=a&access_token=b", &[]), refused);
    }

    #[test]
    fn other_schemes_are_refused() {
        for header in ["Basic eDp5", "X-Matrix origin=a", "Bearer", "B"] {
            assert_eq!(found("/", &[header]), Err(EdgeError::NotBearer), "{header}");
        }
    }
}
