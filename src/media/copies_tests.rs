//! Other servers' files: fetched once, within limits, kept and dropped.

use std::{sync::Arc, time::Duration};

use belfry_blob::Blobs as _;
use bytes::Bytes;
use ruma_common::server_name;

use crate::{
    FETCHED_BYTES_MAX, MediaError, Method, OriginError, Ports, Size,
    fixture::{Servers, World, picture},
};

const SMALL: Size = Size {
    width: 96,
    height: 96,
    method: Method::Crop,
};

fn world() -> (World, Arc<Servers>) {
    with(Servers::default())
}

fn with(servers: Servers) -> (World, Arc<Servers>) {
    let servers = Arc::new(servers);
    let ports = Ports {
        origin: Some(Arc::clone(&servers) as _),
        web: None,
    };
    let world = World::new(ports);
    *servers.env.lock().unwrap() = Some(world.env.clone());
    (world, servers)
}

#[tokio::test(start_paused = true)]
async fn a_file_is_fetched_once_and_kept() {
    let (world, servers) = world();
    servers.file("a", b"content");
    for _ in 0..2 {
        let mut file = world.far("a").await.unwrap();
        assert_eq!(file.whole().await.unwrap(), b"content");
        assert_eq!(file.label.content_type.as_deref(), Some("image/png"));
        assert_eq!(file.label.filename.as_deref(), Some("far.png"));
    }
    assert_eq!(servers.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn many_who_want_a_file_have_it_fetched_once() {
    let (world, servers) = with(Servers::slow(Duration::from_secs(5)));
    servers.file("a", b"content");
    let all = tokio::join!(world.far("a"), world.far("a"), world.far("a"));
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok());
    assert_eq!(servers.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_have_others_asked_gets_what_is_here() {
    let (world, servers) = world();
    servers.file("a", b"content");
    let mut wanted = world.wanted(server_name!("far.example"), "a");
    wanted.fetch = None;
    let refused = world.media.open(&wanted).await.unwrap_err();
    assert_eq!((refused, servers.asked()), (MediaError::NotFound, vec![]));
    world.far("a").await.unwrap();
    world.media.open(&wanted).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_server_answers_is_told() {
    let (world, servers) = world();
    for (error, expected) in [
        (OriginError::NotFound, MediaError::NotFound),
        (OriginError::NotYetUploaded, MediaError::NotYetUploaded),
        (OriginError::TooLarge, MediaError::OriginTooLarge),
        (
            OriginError::Failed("x".to_owned()),
            MediaError::OriginFailed("x".to_owned()),
        ),
    ] {
        servers.answer("a", Err(error));
        assert_eq!(world.far("a").await.unwrap_err(), expected);
    }
    assert_eq!(world.far("b").await.unwrap_err(), MediaError::NotFound);
}

/// MEDIA-011
#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_end_is_cut_off_and_leaves_nothing() {
    let (world, servers) = world();
    let endless = vec![Bytes::from(vec![b'x'; 100_000]); 1_000];
    servers.answer("endless", Ok((endless.clone(), None)));
    servers.answer("honest", Ok((endless, Some(1_000_001))));
    servers.answer("cut", Ok((vec![Bytes::from("x"), Bytes::new()], None)));
    for id in ["endless", "honest"] {
        let refused = world.far(id).await.unwrap_err();
        assert_eq!(refused, MediaError::OriginTooLarge, "{id}");
    }
    let refused = world.far("cut").await.unwrap_err();
    assert!(matches!(refused, MediaError::OriginFailed(_)), "{refused}");
    assert_eq!(world.blobs.list(None).await.unwrap(), []);
}

/// MEDIA-014
#[tokio::test(start_paused = true)]
async fn nobody_has_more_fetched_than_one_may() {
    let (world, servers) = world();
    let megabyte = vec![Bytes::from(vec![b'x'; 1_000_000])];
    let mut fetched = 0;
    let refused = loop {
        let id = format!("f{fetched}");
        servers.answer(&id, Ok((megabyte.clone(), None)));
        world.env.clock.sleep(Duration::from_millis(1)).await;
        match world.far(&id).await {
            Ok(_) => fetched += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(fetched, FETCHED_BYTES_MAX.div_ceil(1_000_000));
    let MediaError::Spent(wait) = refused else {
        panic!("{refused}");
    };
    world.env.clock.sleep(wait).await;
    world.far(&format!("f{fetched}")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_least_used_copies_go_when_there_are_too_many() {
    let (world, servers) = world();
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        let letter = u8::try_from(number).unwrap();
        servers.file(id, &vec![letter; 900_000]);
        world.far(id).await.unwrap();
        world.env.clock.sleep(Duration::from_hours(2)).await;
    }
    world.far("a").await.unwrap();
    servers.file("d", &vec![9; 900_000]);
    world.far("d").await.unwrap();
    // The blob of the one that went is gone at once.
    assert_eq!(world.blobs.list(None).await.unwrap().len(), 3);
    for id in ["a", "c", "d", "b"] {
        world.far(id).await.unwrap();
    }
    assert_eq!(servers.asked(), ["a", "b", "c", "d", "b"]);
}

#[tokio::test(start_paused = true)]
async fn copies_that_nobody_uses_go_in_time_with_their_thumbnails() {
    let (world, servers) = world();
    servers.file("a", &picture(400, 300));
    let wanted = world.wanted(server_name!("far.example"), "a");
    world.media.thumbnail(&wanted, SMALL, false).await.unwrap();
    assert_eq!(world.blobs.list(None).await.unwrap().len(), 2);
    world.env.clock.sleep(Duration::from_hours(9 * 24)).await;
    assert_eq!(world.media.trim_copies().await, Ok(0));
    world.env.clock.sleep(Duration::from_hours(24)).await;
    assert_eq!(world.media.trim_copies().await, Ok(1));
    assert_eq!(world.blobs.list(None).await.unwrap(), []);
    world.media.thumbnail(&wanted, SMALL, false).await.unwrap();
    assert_eq!(servers.asked(), ["a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_here_is_asked_for() {
    let (world, servers) = world();
    servers.file("video", b"not a picture");
    servers.file("video/small", &picture(96, 96));
    servers.file("text", b"not a picture either");
    servers.file("text/small", b"<script>");
    let wanted = |id| world.wanted(server_name!("far.example"), id);
    for _ in 0..2 {
        let small = world.media.thumbnail(&wanted("video"), SMALL, false).await;
        let mut small = small.unwrap();
        assert_eq!(small.label.content_type.as_deref(), Some("image/png"));
        assert_eq!(small.whole().await.unwrap(), picture(96, 96));
        let refused = world.media.thumbnail(&wanted("text"), SMALL, false).await;
        assert_eq!(refused.unwrap_err(), MediaError::NotAPicture);
    }
    let asked = ["video", "video/small", "text", "text/small"];
    assert_eq!(servers.asked(), asked);
}
