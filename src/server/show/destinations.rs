//! Answers about other servers, in words and columns.

use super::columns;
use crate::{destinations::Standing, message::Message, text::Text};

const HEADS: [&str; 6] = [
    "column-server",
    "column-queued",
    "column-passing",
    "column-failures",
    "column-retry",
    "column-heard",
];

/// The list for a terminal.
pub(super) fn in_words(standings: &[Standing], text: &Text) -> String {
    if standings.is_empty() {
        return text.plain("destinations-none");
    }
    let mut lines = vec![HEADS.map(|head| text.plain(head))];
    lines.extend(standings.iter().map(|standing| line(standing, text)));
    columns(&lines).trim_start().to_owned()
}

fn line(standing: &Standing, text: &Text) -> [String; 6] {
    let seconds = |value: Option<u64>| {
        let said = |value: u64| text.say(&Message::new("seconds").with("value", value));
        value.map_or_else(|| "-".to_owned(), said)
    };
    let destination = &standing.destination;
    let queued = if destination.catching_up {
        text.plain("catching-up")
    } else {
        destination.queued.to_string()
    };
    [
        standing.server.clone(),
        queued,
        destination.passing.to_string(),
        destination.failures.to_string(),
        seconds(destination.retry_in_ms.map(|ms| ms.div_ceil(1_000))),
        seconds(standing.heard_s_ago),
    ]
}

#[cfg(test)]
mod tests {
    use belfry_api::federation::Destination;

    use super::*;
    use crate::text::Language;

    #[test]
    fn servers_come_in_columns_in_every_language() {
        let away = Standing {
            server: "away.example".to_owned(),
            destination: Destination {
                catching_up: true,
                failures: 3,
                retry_in_ms: Some(19_001),
                ..Destination::default()
            },
            heard_s_ago: None,
        };
        let here = Standing {
            server: "here.example".to_owned(),
            heard_s_ago: Some(7),
            ..Standing::default()
        };
        let said = in_words(&[away.clone(), here], &Text::new(Language::English));
        let lines: Vec<Vec<_>> = said
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()))
            .map(Iterator::collect)
            .collect();
        let expected = [
            [
                "Server",
                "Events",
                "Passing",
                "Failures",
                "Again in",
                "Last heard",
            ],
            ["away.example", "catching up", "0", "3", "20 s", "-"],
            ["here.example", "0", "0", "0", "-", "7 s"],
        ];
        assert_eq!(lines, expected, "{said}");
        for language in Language::ALL {
            let text = Text::new(language);
            let said = in_words(std::slice::from_ref(&away), &text);
            assert!(!said.contains("column-") && said.contains("20"), "{said}");
            let none = in_words(&[], &text);
            assert!(
                none.ends_with('.') && !none.contains("destinations-"),
                "{none}"
            );
        }
    }
}
