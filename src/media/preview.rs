//! Previews of links: fetched for those who see them, remembered for a day.
//!
//! Knows nothing of HTTP and of addresses; what may be fetched at all is judged in `link`, and by
//! whoever dials.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_data::{
    Commit, CommitError,
    media::MediaKey,
    preview::{PreviewRow, preview, put_preview},
};
use belfry_env::{Pool, PoolLimits, Tasks};
use belfry_policy::{Account, Action, Rules};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

pub use crate::link::PreviewOptions;
use crate::{
    error::MediaError,
    flight::Flights,
    link::Link,
    name::Label,
    origin::{Page, Web, WebAnswer, WebLimits},
    page, picture,
    repository::Media,
};

/// How long a preview is remembered at most.
pub const PREVIEW_TIME: Duration = Duration::from_hours(24);
/// Bytes of a page that are read.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a picture of a page.
pub const PAGE_PICTURE_BYTES_MAX: usize = 10 << 20;
/// From the question to the preview, redirects and picture included.
pub const PREVIEW_TIME_MAX: Duration = Duration::from_secs(30);
/// Redirects that are followed.
pub const PREVIEW_REDIRECTS_MAX: usize = 5;
/// Previews under way; further ones wait.
pub const PREVIEWS_MAX: usize = 8;
/// Longest preview, in bytes of JSON.
const PREVIEW_BYTES_MAX: usize = 64 << 10;

/// Pages that are read at once, and how many wait for it.
const PAGES: PoolLimits = PoolLimits {
    running_max: 1,
    waiting_max: PREVIEWS_MAX,
};

/// What previews need.
pub(crate) struct Previewer {
    options: PreviewOptions,
    web: Arc<dyn Web>,
    pool: Pool,
    places: Semaphore,
    flights: Flights<String, Result<Arc<str>, MediaError>>,
}

impl Previewer {
    pub(crate) fn new(options: PreviewOptions, web: Arc<dyn Web>, tasks: &Tasks) -> Self {
        Self {
            options,
            web,
            pool: tasks.pool("pages", PAGES),
            places: Semaphore::new(PREVIEWS_MAX),
            flights: Flights::default(),
        }
    }

    /// What is there or where that leads.
    async fn fetch(&self, link: &Link) -> Result<(Link, Page), MediaError> {
        let mut link = link.clone();
        for _ in 0..=PREVIEW_REDIRECTS_MAX {
            let limits = WebLimits {
                bytes_max,
                time_max: PREVIEW_TIME_MAX,
            };
            let answer = self.web.get(link.as_str(), limits).await;
            match answer.map_err(|error| MediaError::PageFailed(error.0))? {
                WebAnswer::Page(page) => return Ok((link, page)),
                WebAnswer::Moved(to) => link = link.follow(&to, &self.options)?,
            }
        }
        Err(MediaError::PageFailed("too many redirects".to_owned()))
    }

    async fn read(&self, page: Page) -> Result<BTreeMap<String, String>, MediaError> {
        let kind = page.content_type.unwrap_or_default();
        Ok(self
            .pool
            .run(move || page::read(&page.content, &kind))
            .await?)
    }
}

/// How much is read of something of this type.
fn bytes_max(content_type: Option<&str>) -> usize {
    match content_type {
        Some(kind) if page::is_page(kind) => PAGE_BYTES_MAX,
        Some(kind) if is_picture(kind) => PAGE_PICTURE_BYTES_MAX,
        _ => 0,
    }
}

fn is_picture(content_type: &str) -> bool {
    let start = content_type.trim_start().bytes().take(6);
    start.map(|byte| byte.to_ascii_lowercase()).eq(*b"image/")
}

impl Media {
    /// Whether there are previews at all.
    pub fn shows_previews(&self) -> bool {
        self.0.previewer.is_some()
    }

    /// What a page says of itself, as JSON: `OpenGraph`'s properties, the picture kept as a file here.
    pub async fn preview(
        &self,
        rules: &Rules,
        account: Account<'_>,
        url: &str,
    ) -> Result<Arc<str>, MediaError> {
        Self::allow(rules, account, Action::Read)?;
        let shared = &self.0;
        let previewer = shared.previewer.as_ref().ok_or(MediaError::NoPreviews)?;
        let link = Link::parse(url, &previewer.options)?;
        let expires_age_ms = next_period(shared.env.clock.age_ms());
        let snapshot = self.snapshot().await?;
        if let Some(row) = preview(&*snapshot, link.as_str(), expires_age_ms).await? {
            return Ok(row.json.into());
        }
        drop(snapshot);
        let payer = account.id.to_string();
        let allowed = shared.allowance.check(&payer, shared.env.clock.now());
        allowed.map_err(MediaError::Spent)?;
        let (media, key) = (self.clone(), link.as_str().to_owned());
        let work = || media.preview_alone(link, expires_age_ms, payer);
        let tasks = &shared.env.tasks;
        let made = previewer.flights.join(tasks, "link preview", key, work);
        made.await.unwrap_or(Err(MediaError::Busy))
    }

    async fn preview_alone(
        self,
        link: Link,
        expires_age_ms: u64,
        payer: String,
    ) -> Result<Arc<str>, MediaError> {
        let shared = &self.0;
        let previewer = shared.previewer.as_ref().ok_or(MediaError::NoPreviews)?;
        let place = previewer.places.acquire().await;
        let _place = place.map_err(|_| MediaError::Busy)?;
        let made = self.look_at(previewer, &link, &payer);
        let env = &shared.env;
        let made = env
            .clock
            .within(PREVIEW_TIME_MAX, env.shutdown.unless(made));
        let made = match made.await {
            Ok(Some(made)) => made?,
            Ok(None) => return Err(MediaError::Busy),
            Err(late) => return Err(MediaError::PageFailed(late.to_string())),
        };
        let json = Value::Object(made).to_string();
        if json.len() > PREVIEW_BYTES_MAX {
            return Err(MediaError::PageFailed("the page says too much".to_owned()));
        }
        let row = PreviewRow {
            json: json.into(),
            expires_age_ms,
        };
        let mut commit = Commit::lazy();
        put_preview(&mut commit, link.as_str(), &row);
        match shared.engine.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict) => Ok(row.json.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn look_at(
        &self,
        previewer: &Previewer,
        link: &Link,
        payer: &str,
    ) -> Result<Map<String, Value>, MediaError> {
        let (link, page) = previewer.fetch(link).await?;
        self.spend(payer, &page.content);
        let kind = page.content_type.clone().unwrap_or_default();
        let mut answer = Map::new();
        if is_picture(&kind) {
            self.show(&mut answer, page).await?;
            return Ok(answer);
        }
        if !page::is_page(&kind) {
            return Ok(answer);
        }
        let mut said = previewer.read(page).await?;
        let image = said.remove("og:image");
        // Those of the picture are told of the one that is kept, not of the one that was named.
        said.retain(|name, _| !name.starts_with("og:image:") || name == "og:image:alt");
        answer.extend(
            said.into_iter()
                .map(|(name, value)| (name, Value::from(value))),
        );
        if let Some(image) = image {
            let shown = self.show_linked(previewer, &link, &image, payer, &mut answer);
            if let Err(error) = shown.await {
                tracing::debug!(%error, "a preview goes without its picture");
            }
        }
        Ok(answer)
    }

    async fn show_linked(
        &self,
        previewer: &Previewer,
        link: &Link,
        image: &str,
        payer: &str,
        answer: &mut Map<String, Value>,
    ) -> Result<(), MediaError> {
        let image = link.follow(image, &previewer.options)?;
        let (_, page) = previewer.fetch(&image).await?;
        self.spend(payer, &page.content);
        self.show(answer, page).await
    }

    /// Keeps the picture and tells of it; nothing if it is none that we would show.
    async fn show(&self, answer: &mut Map<String, Value>, page: Page) -> Result<(), MediaError> {
        let described = picture::describe(&page.content).filter(|_| page.is_whole);
        let Some((kind, width, height)) = described else {
            return Ok(());
        };
        let bytes = page.content.len();
        let uri = self.keep_picture(kind, page.content).await?;
        answer.insert("og:image".to_owned(), json!(uri));
        answer.insert("og:image:type".to_owned(), json!(kind));
        answer.insert("og:image:width".to_owned(), json!(width));
        answer.insert("og:image:height".to_owned(), json!(height));
        answer.insert("matrix:image:size".to_owned(), json!(bytes));
        Ok(())
    }

    /// A copy like those of other servers' files: it is dropped when it is old, or too many are.
    async fn keep_picture(&self, kind: &str, content: Bytes) -> Result<String, MediaError> {
        let mut upload = self.0.blobs.begin().await?;
        for piece in content.chunks(belfry_blob::READ_BYTES_MAX) {
            upload.write(content.slice_ref(piece)).await?;
        }
        let id = self.new_id();
        let label = Label {
            content_type: Some(kind.into()),
            filename: None,
        };
        let key = MediaKey::new(&self.0.options.server_name, id.clone());
        self.keep_copy(&key, label, upload).await?;
        Ok(self.uri(&id).to_string())
    }

    fn spend(&self, payer: &str, content: &Bytes) {
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let now = self.0.env.clock.now();
        self.0.allowance.take(payer, bytes, now);
    }
}

/// The age at which the present period of remembering ends.
fn next_period(age_ms: u64) -> u64 {
    let period = u64::try_from(PREVIEW_TIME.as_millis()).unwrap_or(u64::MAX);
    (age_ms / period).saturating_add(1).saturating_mul(period)
}
