//! Warnings and errors that the code under test logs.
//!
//! It exists so that nothing is logged as a problem unless a fault was injected that explains it.
//! It knows nothing of which problems are explained.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::shared::Shared;

/// What was logged. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Logs(Shared<Vec<String>>);

impl Logs {
    /// Takes out what was logged so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// Runs `body`, listening.
    pub(crate) fn listen<T>(&self, body: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(Listener(self.clone()), body)
    }
}

struct Listener(Logs);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.0.lock().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's fields as text.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("memory suffices");
    }
}
