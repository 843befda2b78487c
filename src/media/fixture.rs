//! A repository with other servers and a web in memory, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use belfry_blob::{BoxFuture, MemoryBlobs};
use belfry_env::{Env, SimulatedWall};
use belfry_kv::Memory;
use belfry_policy::{Account, MEMBER, Requester, Rules, Standing};
use bytes::Bytes;
use image::{DynamicImage, ImageFormat, RgbImage};
use ruma_common::{ServerName, owned_server_name, server_name, user_id};

use crate::{
    Asking, CopyOptions, Delivery, File, FromOrigin, Help, Media, MediaError, MediaOptions, Origin,
    OriginError, Page, Pieces, Ports, PreviewOptions, Wanted, Web, WebAnswer, WebError, WebLimits,
};

pub(crate) fn alice() -> Account<'static> {
    Account {
        id: user_id!("@alice:hs1"),
        role: MEMBER,
        standing: Standing::Active,
    }
}

/// A repository and what it stands on.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) media: Media,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) rules: Rules,
}

impl World {
    /// With small limits: files of 1 MB, copies of 3 MB for 10 days.
    pub(crate) fn new(ports: Ports) -> Self {
        Self::with(ports, PreviewOptions::default())
    }

    pub(crate) fn with(ports: Ports, previews: PreviewOptions) -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let blobs = MemoryBlobs::default();
        let options = MediaOptions {
            server_name: owned_server_name!("hs1"),
            upload_bytes_max: 1 << 20,
            user_bytes_max: None,
            server_bytes_max: None,
            help: Help::default(),
            copies: CopyOptions {
                file_bytes_max: 1_000_000,
                bytes_max: 3_000_000,
                unused_time_max: Duration::from_hours(10 * 24),
            },
            previews: Some(previews),
        };
        let (engine, store) = (Arc::new(Memory::default()), Arc::new(blobs.clone()));
        let media = Media::with_ports(engine, store, &env, options, ports);
        Self {
            env,
            media,
            blobs,
            rules: Rules::default(),
        }
    }

    /// A file as Alice wants it.
    pub(crate) fn wanted<'a>(&'a self, server: &'a ServerName, id: &'a str) -> Wanted<'a> {
        Wanted {
            server,
            id,
            wait: Duration::from_secs(20),
            asker: "@alice:hs1",
            fetch: Some(Asking {
                rules: &self.rules,
                requester: Requester::Account(alice()),
            }),
        }
    }

    /// A file of `far.example` as Alice gets it.
    pub(crate) async fn far(&self, id: &str) -> Result<File, MediaError> {
        let wanted = self.wanted(server_name!("far.example"), id);
        self.media.open(&wanted).await
    }
}

/// A picture of one colour, as PNG.
pub(crate) fn picture(width: u32, height: u32) -> Vec<u8> {
    let picture: DynamicImage = RgbImage::new(width, height).into();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

type Answer = Result<(Vec<Bytes>, Option<u64>), OriginError>;

/// Other servers, with files by ID; `ID/small` for a smaller picture of one.
#[derive(Default)]
pub(crate) struct Servers {
    files: Mutex<BTreeMap<String, Answer>>,
    pub(crate) asked: Mutex<Vec<String>>,
    /// What an answer takes.
    delay: Duration,
    pub(crate) env: Mutex<Option<Env>>,
}

impl Servers {
    pub(crate) fn slow(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    pub(crate) fn file(&self, id: &str, content: &[u8]) {
        let pieces = content.chunks(1_000).map(Bytes::copy_from_slice).collect();
        self.answer(id, Ok((pieces, None)));
    }

    pub(crate) fn answer(&self, id: &str, answer: Answer) {
        self.files.lock().unwrap().insert(id.to_owned(), answer);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

struct Ready(std::vec::IntoIter<Bytes>);

impl Pieces for Ready {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        let piece = self.0.next();
        Box::pin(async move {
            match piece {
                Some(piece) if piece.is_empty() => Err(OriginError::Failed("cut".to_owned())),
                piece => Ok(piece),
            }
        })
    }
}

impl Origin for Servers {
    fn open<'a>(&'a self, wanted: &'a FromOrigin) -> BoxFuture<'a, Result<Delivery, OriginError>> {
        Box::pin(async move {
            let small = if wanted.small.is_some() { "/small" } else { "" };
            let id = format!("{}{small}", wanted.id);
            self.asked.lock().unwrap().push(id.clone());
            let env = self.env.lock().unwrap().clone();
            if let Some(env) = env {
                env.clock.sleep(self.delay).await;
            }
            let found = self.files.lock().unwrap().get(&id).cloned();
            let (pieces, bytes) = found.ok_or(OriginError::NotFound)??;
            Ok(Delivery {
                content_type: Some("image/png".to_owned()),
                filename: Some("../far.png".to_owned()),
                bytes,
                pieces: Box::new(Ready(pieces.into_iter())),
            })
        })
    }
}

/// Pages by URL.
#[derive(Default)]
pub(crate) struct Sites {
    pages: Mutex<BTreeMap<String, WebAnswer>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Sites {
    pub(crate) fn page(&self, url: &str, content_type: &str, content: impl Into<Bytes>) {
        let page = Page {
            content_type: Some(content_type.to_owned()),
            content: content.into(),
            is_whole: true,
        };
        let answer = WebAnswer::Page(page);
        self.pages.lock().unwrap().insert(url.to_owned(), answer);
    }

    pub(crate) fn moved(&self, url: &str, to: &str) {
        let answer = WebAnswer::Moved(to.to_owned());
        self.pages.lock().unwrap().insert(url.to_owned(), answer);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Web for Sites {
    fn get<'a>(
        &'a self,
        url: &'a str,
        limits: WebLimits,
    ) -> BoxFuture<'a, Result<WebAnswer, WebError>> {
        self.asked.lock().unwrap().push(url.to_owned());
        let found = self.pages.lock().unwrap().get(url).cloned();
        Box::pin(async move {
            let mut answer = found.ok_or_else(|| WebError("nobody is there".to_owned()))?;
            if let WebAnswer::Page(page) = &mut answer {
                let max = (limits.bytes_max)(page.content_type.as_deref());
                page.is_whole = page.content.len() <= max;
                page.content.truncate(max);
            }
            Ok(answer)
        })
    }
}
