//! What the contract says, asked of every store.

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::{BlobError, BlobId, Blobs, Files, MemoryBlobs, READ_BYTES_MAX, Stored};

/// Every store, with what keeps its folder.
fn stores() -> Vec<(Arc<dyn Blobs>, Option<TempDir>)> {
    let folder = TempDir::new().unwrap();
    let files = Files::open(folder.path().join("media")).unwrap();
    vec![
        (Arc::new(MemoryBlobs::default()), None),
        (Arc::new(files), Some(folder)),
    ]
}

async fn store(blobs: &dyn Blobs, pieces: &[&'static [u8]]) -> Result<Stored, BlobError> {
    let mut upload = blobs.begin().await?;
    for piece in pieces {
        upload.write(Bytes::from_static(piece)).await?;
    }
    upload.finish().await
}

async fn content(blobs: &dyn Blobs, id: BlobId) -> Option<Vec<u8>> {
    let mut blob = blobs.open(id).await.unwrap()?;
    let mut content = Vec::new();
    loop {
        let at = u64::try_from(content.len()).unwrap();
        let piece = blob.read(at, 3).await.unwrap();
        assert!(piece.len() <= 3);
        if piece.is_empty() {
            assert_eq!(blob.bytes(), at);
            return Some(content);
        }
        content.extend_from_slice(&piece);
    }
}

#[tokio::test]
async fn a_finished_blob_is_read_by_its_hash() {
    for (blobs, _folder) in stores() {
        let stored = store(&*blobs, &[b"hello ", b"", b"world"]).await.unwrap();
        assert_eq!(stored.id, BlobId::of(b"hello world"));
        assert_eq!(stored.bytes, 11);
        let read = content(&*blobs, stored.id).await;
        assert_eq!(read.as_deref(), Some(&b"hello world"[..]));
        assert_eq!(content(&*blobs, BlobId::of(b"other")).await, None);
    }
}

#[tokio::test]
async fn an_empty_blob_is_one() {
    for (blobs, _folder) in stores() {
        let stored = store(&*blobs, &[]).await.unwrap();
        assert_eq!(stored.bytes, 0);
        assert_eq!(content(&*blobs, stored.id).await, Some(Vec::new()));
    }
}

#[tokio::test]
async fn reads_go_to_any_place() {
    for (blobs, _folder) in stores() {
        let stored = store(&*blobs, &[b"0123456789"]).await.unwrap();
        let mut blob = blobs.open(stored.id).await.unwrap().unwrap();
        for (at, limit, expected) in [(8, 9, "89"), (2, 3, "234"), (10, 1, ""), (99, 1, "")] {
            assert_eq!(blob.read(at, limit).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn the_same_content_is_stored_once() {
    for (blobs, _folder) in stores() {
        let first = store(&*blobs, &[b"twice"]).await.unwrap();
        let mut open = blobs.open(first.id).await.unwrap().unwrap();
        assert_eq!(store(&*blobs, &[b"twi", b"ce"]).await.unwrap(), first);
        assert_eq!(blobs.list(None).await.unwrap(), [first.id]);
        assert_eq!(open.read(0, 9).await.unwrap(), "twice");
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    for (blobs, _folder) in stores() {
        let mut upload = blobs.begin().await.unwrap();
        upload.write(Bytes::from_static(b"half")).await.unwrap();
        drop(upload);
        assert_eq!(blobs.list(None).await.unwrap(), []);
        assert_eq!(content(&*blobs, BlobId::of(b"half")).await, None);
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_and_who_reads_it_reads_on() {
    for (blobs, _folder) in stores() {
        let stored = store(&*blobs, &[b"short-lived"]).await.unwrap();
        let mut open = blobs.open(stored.id).await.unwrap().unwrap();
        blobs.delete(stored.id).await.unwrap();
        blobs.delete(stored.id).await.unwrap();
        assert_eq!(content(&*blobs, stored.id).await, None);
        assert_eq!(open.read(0, 5).await.unwrap(), "short");
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_the_last() {
    for (blobs, _folder) in stores() {
        let mut ids = Vec::new();
        for piece in [b"a", b"b", b"c", b"d"] {
            ids.push(store(&*blobs, &[piece]).await.unwrap().id);
        }
        ids.sort_unstable();
        assert_eq!(blobs.list(None).await.unwrap(), ids);
        assert_eq!(blobs.list(Some(ids[1])).await.unwrap(), ids[2..]);
        assert_eq!(blobs.list(Some(ids[3])).await.unwrap(), []);
    }
}

#[tokio::test]
async fn files_survive_a_restart_and_unfinished_ones_do_not() {
    let folder = TempDir::new().unwrap();
    let files = Files::open(folder.path()).unwrap();
    let kept = store(&files, &[b"kept"]).await.unwrap();
    let mut upload = files.begin().await.unwrap();
    upload.write(Bytes::from_static(b"cut off")).await.unwrap();
    // As a crash: nobody runs destructors.
    std::mem::forget(upload);
    assert_eq!(unfinished(&folder), 1);
    let files = Files::open(folder.path()).unwrap();
    files.remove_unfinished().unwrap();
    assert_eq!(unfinished(&folder), 0);
    assert_eq!(files.list(None).await.unwrap(), [kept.id]);
}

fn unfinished(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path().join("unfinished"))
        .unwrap()
        .count()
}

/// More than is gathered and more than waits for the disk, in pieces of no round size.
#[tokio::test]
async fn a_large_blob_is_whole_whether_it_is_in_memory_or_on_disk() {
    const PIECE_BYTES: usize = 70_001;
    let folder = TempDir::new().unwrap();
    let files = Files::open(folder.path()).unwrap();
    let whole: Vec<u8> = (0..20_000_000_u32)
        .map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect();
    let mut upload = files.begin().await.unwrap();
    for piece in whole.chunks(PIECE_BYTES) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let stored = upload.finish().await.unwrap();
    assert_eq!(stored.id, BlobId::of(&whole));
    let id = stored.id.to_string();
    let (shelf, name) = id.split_at(2);
    let path = folder.path().join(shelf).join(name);
    for is_cold in [false, true] {
        if is_cold {
            let file = std::fs::File::open(&path).unwrap();
            let advice = rustix::fs::Advice::DontNeed;
            rustix::fs::fadvise(&file, 0, None, advice).unwrap();
        }
        let mut blob = files.open(stored.id).await.unwrap().unwrap();
        let mut read = Vec::new();
        loop {
            let at = u64::try_from(read.len()).unwrap();
            let piece = blob.read(at, usize::MAX).await.unwrap();
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() <= READ_BYTES_MAX);
            read.extend_from_slice(&piece);
        }
        assert!(read == whole, "cold: {is_cold}");
    }
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("media");
    let files = Files::open(&root).unwrap();
    let id = store(&files, &[b"private"]).await.unwrap().id.to_string();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    let (shelf, name) = id.split_at(2);
    assert_eq!(mode(&root.join(shelf)), 0o700);
    assert_eq!(mode(&root.join(shelf).join(name)), 0o600);
}

#[test]
fn names_read_back_and_nothing_else_is_one() {
    let id = BlobId::of(b"x");
    assert_eq!(BlobId::parse(&id.to_string()), Some(id));
    assert_eq!(BlobId::parse("../../etc/passwd"), None);
    assert_eq!(BlobId::parse(&id.to_string().to_uppercase()), None);
}
