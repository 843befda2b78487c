//! A value that several parts of the world use.
//!
//! It exists so that none of them has to say what is to be done after a panic: the run fails
//! anyway. It knows nothing of the value.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The value. Cheap to clone; clones share it.
#[derive(Default)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// The value, for as long as nothing is awaited.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
