//! The one place where threads begin. Knows nothing of what they do.
//!
//! They belong to [`crate::Rocks`], which joins them all: `RocksDB` waits for disks, and an async
//! runtime must not.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

/// Starts a thread; its name is what `top -H` shows, 15 bytes of it.
#[expect(
    clippy::disallowed_methods,
    reason = "threads of this crate; crate::Rocks owns and joins them"
)]
pub(crate) fn start(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}

/// Waits for a thread to end.
pub(crate) fn join(name: &str, thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!(name, "a thread panicked");
    }
}
