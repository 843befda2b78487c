//! Figures for monitoring, in the text format that Prometheus reads (version 0.0.4).
//!
//! It exists so that operators see what waits and what fails without asking. It knows nothing of
//! what the figures mean for rooms. They are told to whoever reaches the address, so none says
//! anything of a user.

use std::fmt::Arguments;

use axum::{Router, http::header::CONTENT_TYPE, routing::get};

use crate::{
    destinations::Standing,
    operation::{Operations, Status},
};

/// Connections that each socket for monitoring may have.
pub(crate) const CONNECTIONS_MAX: usize = 16;
/// Other servers of which each is told by name: those that do not answer first, then those for
/// which most waits. All of them count in the totals.
pub(crate) const DESTINATIONS_MAX: usize = 200;
/// What the figures are sent as.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A figure of one server: its name, what it is, and its value if there is one.
type Figure = (&'static str, &'static str, fn(&Standing) -> Option<u64>);

/// What is told of each server.
const FIGURES: [Figure; 6] = [
    (
        "belfry_federation_destination_queued_events",
        "Events that wait for the server in memory.",
        |it| u64::try_from(it.destination.queued).ok(),
    ),
    (
        "belfry_federation_destination_passing_edus",
        "EDUs that wait for the server and may be lost.",
        |it| u64::try_from(it.destination.passing).ok(),
    ),
    (
        "belfry_federation_destination_catching_up",
        "1 if the server is told, room by room, what it missed.",
        |it| Some(u64::from(it.destination.catching_up)),
    ),
    (
        "belfry_federation_destination_failures",
        "Transactions in a row that the server did not take.",
        |it| Some(u64::from(it.destination.failures)),
    ),
    (
        "belfry_federation_destination_retry_seconds",
        "Seconds until the server is tried again, if it failed.",
        |it| it.destination.retry_in_ms.map(|ms| ms.div_ceil(1_000)),
    ),
    (
        "belfry_federation_destination_last_heard_timestamp_seconds",
        "When the server was heard of last since the start, in seconds since the Unix epoch.",
        |it| it.destination.last_heard_ts.map(|ms| ms / 1_000),
    ),
];

/// `GET /metrics`, and nothing else.
pub(crate) fn router(operations: Operations) -> Router {
    let tell = async move || ([(CONTENT_TYPE, FORMAT)], operations.metrics());
    Router::new().route("/metrics", get(tell))
}

/// The figures. `standings` is `None` if rooms are not shared with other servers.
pub(crate) fn text(status: &Status, standings: Option<&[Standing]>) -> String {
    let mut text = String::new();
    let help = "Seconds since the start.";
    single(
        &mut text,
        ("belfry_uptime_seconds", "gauge", help),
        status.uptime_s,
    );
    let help = "Tasks that run now.";
    single(
        &mut text,
        ("belfry_tasks", "gauge", help),
        count(status.tasks),
    );
    let help = "Tasks that have panicked since the start.";
    single(
        &mut text,
        ("belfry_panics_total", "counter", help),
        status.panics,
    );
    if let Some(standings) = standings {
        totals(&mut text, standings);
        by_server(&mut text, standings);
    }
    text
}

fn totals(text: &mut String, standings: &[Standing]) {
    let sum = |value: fn(&Standing) -> usize| count(standings.iter().map(value).sum());
    let help = "Servers that were spoken to lately or have something to be told.";
    let name = "belfry_federation_destinations";
    single(text, (name, "gauge", help), count(standings.len()));
    let help = "Those of them that did not take the last transaction.";
    let failing = sum(|it| usize::from(it.destination.failures > 0));
    let name = "belfry_federation_destinations_failing";
    single(text, (name, "gauge", help), failing);
    let help = "Events that wait for all servers in memory.";
    let queued = sum(|it| it.destination.queued);
    single(
        text,
        ("belfry_federation_queued_events", "gauge", help),
        queued,
    );
    let help = "EDUs that wait for all servers and may be lost.";
    let passing = sum(|it| it.destination.passing);
    single(
        text,
        ("belfry_federation_passing_edus", "gauge", help),
        passing,
    );
}

fn by_server(text: &mut String, standings: &[Standing]) {
    let mut told: Vec<_> = standings.iter().collect();
    let waiting = |it: &Standing| it.destination.queued + it.destination.passing;
    told.sort_by_key(|it| (it.destination.failures == 0, usize::MAX - waiting(it)));
    told.truncate(DESTINATIONS_MAX);
    for (name, help, value) in FIGURES {
        head(text, (name, "gauge", help));
        for standing in &told {
            if let Some(value) = value(standing) {
                let server = escaped(&standing.server);
                line(text, format_args!("{name}{{server=\"{server}\"}} {value}"));
            }
        }
    }
}

fn single(text: &mut String, what: (&str, &str, &str), value: u64) {
    head(text, what);
    line(text, format_args!("{} {value}", what.0));
}

fn head(text: &mut String, (name, kind, help): (&str, &str, &str)) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: Arguments<'_>) {
    text.push_str(&line.to_string());
    text.push('\n');
}

/// The value of a label as the format wants it.
fn escaped(value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('"', r#"\""#);
    escaped.replace('\n', r"\n")
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use belfry_api::federation::Destination;

    use super::*;

    fn status() -> Status {
        Status {
            version: String::new(),
            server_name: String::new(),
            pid: 1,
            uptime_s: 60,
            signing_key: String::new(),
            listening: Vec::new(),
            metrics: Vec::new(),
            tasks: 5,
            panics: 0,
        }
    }

    fn standing(number: usize) -> Standing {
        let destination = Destination {
            queued: number,
            failures: u32::from(number == 7),
            retry_in_ms: (number == 7).then_some(1_500),
            ..Destination::default()
        };
        Standing {
            server: format!("s{number}.example"),
            destination,
            heard_s_ago: None,
        }
    }

    #[test]
    fn so_many_servers_are_named_and_all_of_them_counted() {
        let many: Vec<_> = (0..=DESTINATIONS_MAX).map(standing).collect();
        let told = text(&status(), Some(&many));
        let queued = "belfry_federation_destination_queued_events{server=\"";
        assert_eq!(told.matches(queued).count(), DESTINATIONS_MAX);
        for expected in [
            "belfry_uptime_seconds 60\n",
            "belfry_federation_destinations 201\n",
            "belfry_federation_destinations_failing 1\n",
            "belfry_federation_queued_events 20100\n",
            "belfry_federation_destination_retry_seconds{server=\"s7.example\"} 2\n",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        // The one without anything to be told is not named; that which fails is.
        assert!(!told.contains("\"s0.example\""), "{told}");
        assert!(!told.contains("last_heard_timestamp_seconds{"), "{told}");
    }

    #[test]
    fn every_line_is_a_figure_or_says_what_comes() {
        let told = text(&status(), Some(&[standing(7)]));
        let is_figure = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            name.starts_with("belfry_") && value.parse::<u64>().is_ok()
        };
        assert!(told.ends_with('\n'));
        let mut lines = told.lines();
        assert!(
            lines.all(|line| line.starts_with("# ") || is_figure(line)),
            "{told}"
        );
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
        assert!(!text(&status(), None).contains("federation"));
    }
}
