//! A value that tasks wait for to change.
//!
//! It exists because tokio's `watch` wakes those who wait in an order that it draws at random from
//! a source that no seed reaches; this wakes them in the order in which they came. It knows nothing
//! of the values.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::shared::Shared;

/// The value. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Signal<T> {
    value: Shared<T>,
    changed: Arc<Notify>,
}

impl<T: Copy> Signal<T> {
    /// With this value at first.
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Shared::new(value),
            changed: Arc::default(),
        }
    }

    /// The value now.
    pub(crate) fn get(&self) -> T {
        *self.value.lock()
    }

    /// Changes the value, and wakes whoever waits.
    pub(crate) fn set(&self, value: T) {
        *self.value.lock() = value;
        self.changed.notify_waiters();
    }

    /// Returns once the value is one that is waited for.
    pub(crate) async fn until(&self, awaited: impl Fn(T) -> bool) -> T {
        loop {
            // Before looking, so that no change is missed in between.
            let changed = self.changed.notified();
            let value = self.get();
            if awaited(value) {
                return value;
            }
            changed.await;
        }
    }
}
