//! What only the inside shows: blobs without a row are removed, and only those.

use belfry_blob::{Blobs as _, MemoryBlobs};
use belfry_policy::{Account, MEMBER, Rules, Standing};
use bytes::Bytes;
use ruma_common::user_id;

use crate::{Label, Media, Ports, fixture::World};

fn repository() -> (Media, MemoryBlobs) {
    let world = World::new(Ports::default());
    (world.media, world.blobs)
}

async fn upload(media: &Media, content: &'static [u8]) {
    let account = Account {
        id: user_id!("@alice:hs1"),
        role: MEMBER,
        standing: Standing::Active,
    };
    let rules = Rules::default();
    let begun = media.begin(&rules, account, None, Label::default(), None);
    let mut incoming = begun.await.unwrap();
    incoming.write(Bytes::from_static(content)).await.unwrap();
    incoming.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sweep_removes_what_nothing_refers_to() {
    let (media, blobs) = repository();
    upload(&media, b"kept").await;
    upload(&media, b"kept").await;
    // A crash came between blob and row.
    let mut orphan = blobs.begin().await.unwrap();
    orphan.write(Bytes::from_static(b"orphan")).await.unwrap();
    orphan.finish().await.unwrap();
    assert_eq!(blobs.list(None).await.unwrap().len(), 2);
    assert_eq!(media.sweep(None).await.unwrap(), (None, 1));
    assert_eq!(blobs.list(None).await.unwrap().len(), 1);
    assert_eq!(media.sweep(None).await.unwrap(), (None, 0));
}
