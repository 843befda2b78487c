//! The log: lines on standard error, for the service manager to keep.
//!
//! It exists so that what may be logged is decided in one place. Two rules keep content and secrets
//! out: libraries may only warn (their finer levels quote headers and rows), and of a panic only
//! the place and a fixed text are logged, because a formatted one may quote data.

use std::{
    any::Any,
    io,
    panic::{self, PanicHookInfo},
};

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{Format, Level, Log};

/// What the targets of this project's crates begin with.
const OWN: &str = "belfry";

/// Starts logging; a second call changes nothing.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(OWN, level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    let lines = match log.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "the log had been started before");
    }
    panic::set_hook(Box::new(report_panic));
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    tracing::error!(
        place,
        text = fixed_text(info.payload()),
        "a panic; report this bug"
    );
}

/// The text of a panic if it was written in the source.
fn fixed_text(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld: it may quote data)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(panic: impl FnOnce() + panic::UnwindSafe) -> &'static str {
        fixed_text(panic::catch_unwind(panic).unwrap_err().as_ref())
    }

    #[test]
    fn a_fixed_panic_text_is_shown() {
        assert_eq!(text_of(|| panic!("a fixed text")), "a fixed text");
    }

    #[test]
    fn a_panic_text_that_may_quote_data_is_withheld() {
        let secret = String::from("hunter2");
        assert!(!text_of(move || panic!("bad password {secret}")).contains("hunter2"));
    }
}
