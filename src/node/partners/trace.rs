//! What the servers of a run log, told as it happens.
//!
//! Exists so that a run which fails can be followed. Knows nothing of what is worth telling.

use std::fmt::{Debug, Write as _};

use belfry_env::{Clock, Moment};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Tells everything that the servers' rooms and senders log, with the time.
pub(super) struct Trace(pub(super) Clock);

impl Subscriber for Trace {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let told = ["belfry_room", "belfry_remote"];
        *metadata.level() <= Level::DEBUG && told.iter().any(|name| target.starts_with(name))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let at = self.0.now().since(Moment::default());
        let mut line = Line(format!("{:>10.3}", at.as_secs_f64()));
        event.record(&mut line);
        eprintln!("{}", line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's fields as text.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}
