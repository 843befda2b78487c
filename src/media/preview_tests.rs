//! Previews of links: what is fetched, what is not, what is remembered.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    MediaError, PAGE_BYTES_MAX, PREVIEW_TIME, Ports, PreviewOptions,
    fixture::{Sites, World, alice, picture},
};

fn world() -> (World, Arc<Sites>) {
    let sites = Arc::new(Sites::default());
    let ports = Ports {
        origin: None,
        web: Some(Arc::clone(&sites) as _),
    };
    let previews = PreviewOptions {
        allowed: Vec::new(),
        denied: vec!["inside.example".to_owned(), "10.0.0.1".to_owned()],
    };
    (World::with(ports, previews), sites)
}

async fn preview(world: &World, url: &str) -> Result<Value, MediaError> {
    let made = world.media.preview(&world.rules, alice(), url).await?;
    Ok(serde_json::from_str(&made).unwrap())
}

const PAGE: &str = "<title>t</title><meta property=og:title content=Title>\
    <meta property=og:image content=/p.png><meta property=og:image:width content=9999>";

#[tokio::test(start_paused = true)]
async fn a_page_is_shown_with_its_picture_and_remembered() {
    let (world, sites) = world();
    sites.page("https://a.example/x", "text/html", PAGE);
    sites.page("https://a.example/p.png", "image/png", picture(40, 30));
    let first = preview(&world, "https://a.example/x#part").await.unwrap();
    assert_eq!(first["og:title"], "Title");
    assert_eq!(first["og:image:width"], 40);
    assert_eq!(first["og:image:height"], 30);
    assert_eq!(first["og:image:type"], "image/png");
    assert_eq!(first["matrix:image:size"], picture(40, 30).len());
    let uri = first["og:image"].as_str().unwrap();
    let id = uri.strip_prefix("mxc://hs1/").unwrap();
    let own = ruma_common::server_name!("hs1");
    let mut file = world.media.open(&world.wanted(own, id)).await.unwrap();
    assert_eq!(file.whole().await.unwrap(), picture(40, 30));
    assert_eq!(preview(&world, "https://a.example/x").await.unwrap(), first);
    assert_eq!(sites.asked().len(), 2);
    world.env.clock.sleep(PREVIEW_TIME).await;
    preview(&world, "https://a.example/x").await.unwrap();
    assert_eq!(sites.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn pictures_of_previews_go_in_time() {
    let (world, sites) = world();
    sites.page("https://a.example/p.png", "image/png", picture(40, 30));
    let shown = preview(&world, "https://a.example/p.png").await.unwrap();
    assert_eq!(shown["og:image:width"], 40);
    world.env.clock.sleep(Duration::from_hours(10 * 24)).await;
    assert_eq!(world.media.trim_copies().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_neither_page_nor_picture_says_nothing() {
    let (world, sites) = world();
    sites.page("https://a.example/m", "audio/mpeg", "x");
    sites.page("https://a.example/s", "image/svg+xml", "<svg/>");
    for url in ["https://a.example/m", "https://a.example/s"] {
        assert_eq!(preview(&world, url).await.unwrap(), json!({}), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_long_page_the_start_is_read() {
    let (world, sites) = world();
    let page = format!("{PAGE}{}", " ".repeat(PAGE_BYTES_MAX * 3));
    sites.page("https://a.example/", "text/html", page);
    let shown = preview(&world, "https://a.example/").await.unwrap();
    assert_eq!(shown["og:title"], "Title");
}

#[tokio::test(start_paused = true)]
async fn redirects_are_followed_and_judged() {
    let (world, sites) = world();
    sites.page("https://a.example/x", "text/html", PAGE);
    sites.moved("http://a.example/", "https://a.example/y");
    sites.moved("https://a.example/y", "/x");
    preview(&world, "http://a.example/").await.unwrap();
    sites.moved("https://b.example/", "https://inside.example/");
    sites.moved("https://c.example/", "http://10.0.0.1/");
    sites.moved("https://d.example/", "file:///etc/passwd");
    sites.moved("https://e.example/", "https://e.example/");
    for (url, expected) in [
        ("https://b.example/", Some(MediaError::UrlDenied)),
        ("https://c.example/", None),
        ("https://d.example/", None),
        ("https://e.example/", None),
    ] {
        let refused = preview(&world, url).await.unwrap_err();
        assert!(
            expected.is_none_or(|expected| refused == expected),
            "{url}: {refused}"
        );
    }
    let asked = sites.asked();
    let inside = asked
        .iter()
        .filter(|url| url.contains("inside") || url.contains("10.0"));
    assert_eq!(inside.count(), 0, "{asked:?}");
}

/// SSRF-011
#[tokio::test(start_paused = true)]
async fn a_picture_inside_is_left_out() {
    let (world, sites) = world();
    for (number, image) in [
        "https://inside.example/p.png",
        "//inside.example/p.png",
        "http://a.example/p.png",
        "https://user:pw@a.example/p.png",
        "https://a.example:6379/p.png",
        "file:///p.png",
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("https://a.example/{number}");
        let page = format!("<title>t</title><meta property=og:image content='{image}'>");
        sites.page(&url, "text/html", page);
        assert_eq!(
            preview(&world, &url).await.unwrap(),
            json!({"og:title": "t"})
        );
        assert_eq!(sites.asked().len(), number + 1, "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_does_not_come_is_not_remembered() {
    let (world, sites) = world();
    let refused = preview(&world, "https://a.example/").await.unwrap_err();
    assert!(matches!(refused, MediaError::PageFailed(_)), "{refused}");
    sites.page("https://a.example/", "text/html", PAGE);
    preview(&world, "https://a.example/").await.unwrap();
}
