//! What thumbnails cost in processor time: of a picture of 12 million pixels as cameras make them,
//! and of one that was made before.
//!
//! Run with `cargo bench -p belfry-media --bench pictures`. It knows nothing of HTTP.
#![expect(
    clippy::cast_precision_loss,
    reason = "figures are small, and it is the point to measure"
)]

use std::{fs, io::Cursor, sync::Arc, time::Duration};

use belfry_blob::MemoryBlobs;
use belfry_env::Env;
use belfry_kv::Memory;
use belfry_media::{CopyOptions, Help, Label, Media, MediaOptions, Method, Size, Wanted};
use belfry_policy::{Account, MEMBER, Rules, Standing};
use bytes::Bytes;
use image::{DynamicImage, Rgb, RgbImage, codecs::jpeg::JpegEncoder};
use ruma_common::{owned_server_name, user_id};

/// Like a photograph: shapes, and noise that does not compress.
const WIDTH: u32 = 4_000;
const HEIGHT: u32 = 3_000;
const QUALITY: u8 = 85;
const ROUNDS: u32 = 10;
const CACHED_ROUNDS: u32 = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let env = Env::system(tokio::runtime::Handle::current()).expect("randomness");
    let options = MediaOptions {
        server_name: owned_server_name!("bench.example"),
        upload_bytes_max: 64 << 20,
        user_bytes_max: None,
        server_bytes_max: None,
        help: Help::default(),
        copies: CopyOptions {
            file_bytes_max: 1 << 20,
            bytes_max: 1 << 20,
            unused_time_max: Duration::from_hours(1),
        },
        previews: None,
    };
    let blobs = Arc::new(MemoryBlobs::default());
    let media = Media::new(Arc::new(Memory::default()), blobs, &env, options);
    let photograph = photograph();
    println!("{WIDTH} x {HEIGHT} JPEG of {} kB", photograph.len() / 1_000);
    let mut last = String::new();
    let mut spent = Vec::new();
    for round in 0..ROUNDS {
        // Each is another file: the end of a JPEG may be followed by anything.
        let content = [&photograph[..], &round.to_le_bytes()].concat();
        last = upload(&media, content).await;
        let before = cpu_ms();
        thumbnail(&media, &last, 800, 600).await;
        spent.push(cpu_ms() - before);
    }
    spent.sort_unstable();
    println!(
        "thumbnail 800 x 600: {:?} CPU-ms, of {ROUNDS}",
        spent[spent.len() / 2]
    );
    let before = cpu_ms();
    for _ in 0..CACHED_ROUNDS {
        thumbnail(&media, &last, 800, 600).await;
    }
    let each = (cpu_ms() - before) as f64 / f64::from(CACHED_ROUNDS);
    println!("the same again, read whole: {each:.3} CPU-ms");
}

fn photograph() -> Vec<u8> {
    let mut noise = 1_u32;
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = u8::try_from(noise >> 28).unwrap_or_default();
        let shape = |period: u32| u8::try_from((x / 3 + y / 5) % period).unwrap_or_default();
        Rgb([shape(200) + grain, shape(150) + grain, shape(100) + grain])
    });
    let mut bytes = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    let picture = DynamicImage::from(picture);
    picture.write_with_encoder(encoder).expect("a JPEG");
    bytes.into_inner()
}

async fn upload(media: &Media, content: Vec<u8>) -> String {
    let account = Account {
        id: user_id!("@a:bench.example"),
        role: MEMBER,
        standing: Standing::Active,
    };
    let rules = Rules::default();
    let begun = media.begin(&rules, account, None, Label::default(), None);
    let mut incoming = begun.await.expect("an upload");
    incoming.write(Bytes::from(content)).await.expect("a piece");
    let uri = incoming.finish().await.expect("a file");
    uri.media_id().expect("an ID").to_owned()
}

async fn thumbnail(media: &Media, id: &str, width: u32, height: u32) {
    let server = owned_server_name!("bench.example");
    let wanted = Wanted {
        server: &server,
        id,
        wait: Duration::ZERO,
        asker: "@a:bench.example",
        fetch: None,
    };
    let size = Size {
        width,
        height,
        method: Method::Scale,
    };
    let small = media.thumbnail(&wanted, size, false).await;
    let mut small = small.expect("a thumbnail");
    let mut at = 0;
    while at < small.bytes() {
        let piece = small.read(at, usize::MAX).await.expect("a piece");
        at += piece.len() as u64;
    }
}

/// Processor time of this process, in milliseconds; the system counts in tens of them.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|text| text.parse::<u64>().expect("ticks")).sum();
    ticks * 10
}
