//! Pages of the web, fetched for previews.
//!
//! Exists so that what a client names is fetched through the guarded connector and nothing else.
//! Knows nothing of what pages say, nor of which sites are wanted.

use std::sync::Arc;

use belfry_data::BoxFuture;
use belfry_env::Env;
use belfry_media::{Page, Web, WebAnswer, WebError, WebLimits};
use http::{
    Uri,
    header::{CONTENT_TYPE, LOCATION},
};

use crate::{
    dialer::DialOptions,
    fetch::{FetchError, Fetcher},
    remote::{OfflineError, fetcher},
};

/// The web as the system has it, by connections of its own: previews take none of federation's.
/// Inside a runtime.
pub fn web(options: DialOptions, env: &Env) -> Result<Arc<dyn Web>, OfflineError> {
    Ok(web_by(fetcher(options, env)?))
}

/// The web by this fetcher.
pub fn web_by(fetcher: Fetcher) -> Arc<dyn Web> {
    Arc::new(Pages(fetcher))
}

/// Fetches pages.
struct Pages(Fetcher);

impl Web for Pages {
    fn get<'a>(
        &'a self,
        url: &'a str,
        limits: WebLimits,
    ) -> BoxFuture<'a, Result<WebAnswer, WebError>> {
        Box::pin(async move {
            let whole = self.answer(url, limits);
            let answered = self.0.within(limits.time_max, whole).await;
            answered.map_err(|error| WebError(error.to_string()))
        })
    }
}

impl Pages {
    async fn answer(&self, url: &str, limits: WebLimits) -> Result<WebAnswer, FetchError> {
        let url: Uri = url.parse().map_err(|_| FetchError::Url)?;
        let answer = self.0.open_page(&url, limits.time_max).await?;
        let (head, mut body) = answer.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        if head.status.is_redirection() {
            let location = text(LOCATION).ok_or(FetchError::Redirect)?;
            return Ok(WebAnswer::Moved(location.to_owned()));
        }
        if !head.status.is_success() {
            return Err(FetchError::Broken(head.status.to_string()));
        }
        let content_type = text(CONTENT_TYPE);
        let bytes_max = (limits.bytes_max)(content_type);
        let read = body.start(bytes_max).await;
        let (content, is_whole) = read.map_err(|error| FetchError::Broken(error.to_string()))?;
        Ok(WebAnswer::Page(Page {
            content_type: content_type.map(str::to_owned),
            content,
            is_whole,
        }))
    }
}
