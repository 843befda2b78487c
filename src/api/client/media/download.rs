//! Files and thumbnails that clients fetch.

use axum::{body::Body, extract::Request, response::Response};
use belfry_media::{Asking, File, MediaError, Wanted};
use belfry_user::Requester;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use ruma_common::{OwnedServerName, ServerName, api::auth_scheme::AccessToken};

use super::{
    header::{Part, etag, of_file, part},
    query,
};
use crate::{
    edge::{Authenticate as _, Ctx, Rule, segments},
    error::{ApiError, EdgeError},
    state::Api,
};

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`, with or without a filename.
pub(super) async fn download(api: Api, ctx: Ctx, request: Request) -> Result<Response, ApiError> {
    let mut parts = request.into_parts().0;
    let requester = AccessToken::authenticate(&api, &ctx, &parts, Rule::NONE).await?;
    whole(&api, &mut parts, Asker::User(&requester)).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`, with or without a filename.
pub(super) async fn legacy_download(
    api: Api,
    ctx: Ctx,
    request: Request,
) -> Result<Response, ApiError> {
    unfrozen(&api)?;
    let asker = Asker::Anybody(format!("{:?}", ctx.network()));
    whole(&api, &mut request.into_parts().0, asker).await
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`.
pub(super) async fn thumbnail(api: Api, ctx: Ctx, request: Request) -> Result<Response, ApiError> {
    let mut parts = request.into_parts().0;
    let requester = AccessToken::authenticate(&api, &ctx, &parts, Rule::NONE).await?;
    small(&api, &mut parts, Asker::User(&requester)).await
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`.
pub(super) async fn legacy_thumbnail(
    api: Api,
    ctx: Ctx,
    request: Request,
) -> Result<Response, ApiError> {
    unfrozen(&api)?;
    let asker = Asker::Anybody(format!("{:?}", ctx.network()));
    small(&api, &mut request.into_parts().0, asker).await
}

/// Whether files are shown to anybody who knows their URI. The spec freezes that since v1.12.
fn unfrozen(api: &Api) -> Result<(), ApiError> {
    if api.about.unauthenticated_media {
        Ok(())
    } else {
        Err(MediaError::NotFound.into())
    }
}

/// Who wants a file.
enum Asker<'a> {
    User(&'a Requester),
    /// Somebody of this network, without a token. May say that other servers are not to be asked.
    Anybody(String),
}

impl Asker<'_> {
    fn name(&self) -> &str {
        match self {
            Self::User(requester) => requester.user_id.as_str(),
            Self::Anybody(network) => network,
        }
    }

    fn asking<'a>(&'a self, api: &'a Api, query: &str) -> Result<Option<Asking<'a>>, ApiError> {
        let requester = match self {
            Self::User(requester) => belfry_policy::Requester::Account(requester.account()),
            Self::Anybody(_) if query::allow_remote(query)? => belfry_policy::Requester::Homeserver,
            Self::Anybody(_) => return Ok(None),
        };
        let rules = &api.rules;
        Ok(Some(Asking { rules, requester }))
    }
}

async fn whole(api: &Api, parts: &mut Parts, asker: Asker<'_>) -> Result<Response, ApiError> {
    let mut segments = segments(api, parts).await?.into_iter();
    let (server, media_id) = uri(&mut segments)?;
    let query = parts.uri.query().unwrap_or_default();
    let filename = segments.next();
    let wanted = Wanted {
        server: &server,
        id: &media_id,
        wait: query::wait(query)?,
        asker: asker.name(),
        fetch: asker.asking(api, query)?,
    };
    let file = api.media.open(&wanted).await?;
    respond(file, filename, &parts.headers)
}

async fn small(api: &Api, parts: &mut Parts, asker: Asker<'_>) -> Result<Response, ApiError> {
    let mut segments = segments(api, parts).await?.into_iter();
    let (server, media_id) = uri(&mut segments)?;
    let query = parts.uri.query().unwrap_or_default();
    let (size, moving) = (query::size(query)?, query::animated(query)?);
    let wanted = Wanted {
        server: &server,
        id: &media_id,
        wait: query::wait(query)?,
        asker: asker.name(),
        fetch: asker.asking(api, query)?,
    };
    let file = api.media.thumbnail(&wanted, size, moving).await?;
    respond(file, None, &parts.headers)
}

/// The first two segments, if they can be those of a file's URI.
fn uri(segments: &mut impl Iterator<Item = String>) -> Result<(OwnedServerName, String), ApiError> {
    let (server, media_id) = (segments.next(), segments.next());
    let (server, media_id) = (server.unwrap_or_default(), media_id.unwrap_or_default());
    let server = <&ServerName>::try_from(server.as_str())
        .map_err(|_| EdgeError::InvalidParam("that is not a server's name".to_owned()))?;
    check_id(&media_id)?;
    Ok((server.to_owned(), media_id))
}

/// What can be a media ID is letters, digits, `-` and `_`.
pub(crate) fn check_id(media_id: &str) -> Result<(), ApiError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if media_id.is_empty() || !media_id.bytes().all(safe) {
        return Err(MediaError::NotFound.into());
    }
    Ok(())
}

fn respond(file: File, filename: Option<String>, asked: &HeaderMap) -> Result<Response, ApiError> {
    let mut headers = of_file(&file, filename).map_err(ApiError::fault)?;
    let bytes = file.bytes();
    let (status, from, length) = match part(asked, &etag(&file), bytes) {
        Part::Whole => (StatusCode::OK, 0, bytes),
        Part::Range(first, last) => {
            let range = format!("bytes {first}-{last}/{bytes}");
            headers.insert(header::CONTENT_RANGE, value(&range)?);
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Part::Unsatisfiable => {
            headers.insert(header::CONTENT_RANGE, value(&format!("bytes */{bytes}"))?);
            (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0)
        }
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
    };
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let body = Body::from_stream(pieces(file, from, length));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(ApiError::fault)
}

/// The part of the file, read as fast as the client takes it.
pub(crate) fn pieces(
    file: File,
    from: u64,
    length: u64,
) -> impl Stream<Item = Result<Bytes, MediaError>> + Send {
    stream::try_unfold((file, from, length), async |(mut file, at, left)| {
        if left == 0 {
            return Ok(None);
        }
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = file.read(at, limit).await?;
        let read = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if read == 0 {
            // The answer breaks off, so that nobody takes what came for the whole.
            return Err(MediaError::Broken("a file has become shorter".to_owned()));
        }
        Ok(Some((piece, (file, at + read, left - read))))
    })
}
