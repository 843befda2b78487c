//! Answers in words and columns, or in JSON for programs.

use std::cmp::Reverse;

use crate::{
    exit::Exit,
    message::{Gap, Message},
    operation::{Answer, Check, Stats, Status},
    text::Text,
};

/// The answer for a terminal.
pub(crate) fn in_words(answer: &Answer, text: &Text) -> String {
    match answer {
        Answer::Status(status) => lines(&status_lines(status), text),
        Answer::Stopping => text.plain("stopped"),
        Answer::Check(check) => checked(check, text),
        Answer::Stats(stats) => lines(&stats_lines(stats), text) + &tables(stats),
        Answer::Backup(backup) => {
            text.say(&Message::new("backup-made").with("folder", backup.folder.as_path()))
        }
        Answer::Restored(folder) => {
            text.say(&Message::new("restored").with("folder", folder.as_path()))
        }
    }
}

/// The answer as one JSON object, its kind as the key.
pub(crate) fn in_json(answer: &Answer) -> String {
    // Maps have string keys and paths came as text, so nothing can fail.
    serde_json::to_string_pretty(answer).unwrap_or_default()
}

/// Whether the answer is that all is well.
pub(crate) fn exit(answer: &Answer) -> Exit {
    match answer {
        Answer::Check(check) if !check.findings.is_empty() => Exit::Findings,
        Answer::Stats(stats) if stats.background_errors > 0 => Exit::Findings,
        _ => Exit::Clean,
    }
}

fn status_lines(status: &Status) -> Vec<(&'static str, Gap)> {
    vec![
        ("status-version", status.version.as_str().into()),
        ("status-server-name", status.server_name.as_str().into()),
        ("status-pid", u64::from(status.pid).into()),
        ("status-uptime", status.uptime_s.into()),
        ("status-signing-key", status.signing_key.as_str().into()),
        ("status-tasks", status.tasks.into()),
        ("status-panics", status.panics.into()),
    ]
}

fn stats_lines(stats: &Stats) -> Vec<(&'static str, Gap)> {
    let free = stats.free_disk_bytes.map_or("?".to_owned(), size);
    vec![
        ("stats-disk", size(stats.disk_bytes).into()),
        ("stats-journal", size(stats.journal_bytes).into()),
        ("stats-free-disk", free.into()),
        ("stats-cache", size(stats.cache_bytes).into()),
        ("stats-write-buffers", size(stats.write_buffer_bytes).into()),
        ("stats-commits", stats.commits.into()),
        ("stats-conflicts", stats.conflicts.into()),
        ("stats-commits-waiting", stats.commits_waiting.into()),
        ("stats-background-errors", stats.background_errors.into()),
    ]
}

/// A sentence a line, each with its one value.
fn lines(values: &[(&'static str, Gap)], text: &Text) -> String {
    let said = values
        .iter()
        .map(|(id, value)| text.say(&Message::new(id).with("value", value.clone())));
    said.collect::<Vec<_>>().join("\n")
}

fn checked(check: &Check, text: &Text) -> String {
    let mut said: Vec<_> = check.findings.iter().map(|one| text.say(one)).collect();
    let outcome = if said.is_empty() {
        "check-clean"
    } else {
        "check-findings"
    };
    said.push(
        text.say(
            &Message::new(outcome)
                .with("findings", check.findings.len())
                .with("rows", check.rows)
                .with("size", size(check.bytes)),
        ),
    );
    said.join("\n")
}

/// The tables that take space, in two columns, the largest first.
fn tables(stats: &Stats) -> String {
    let mut tables: Vec<_> = stats.tables.iter().collect();
    tables.retain(|table| table.disk_bytes > 0);
    tables.sort_by_key(|table| Reverse(table.disk_bytes));
    let width = tables
        .iter()
        .map(|table| table.name.len())
        .max()
        .unwrap_or(0);
    let line = |name: &str, bytes| format!("\n  {name:width$}  {:>12}", size(bytes));
    tables
        .iter()
        .map(|table| line(&table.name, table.disk_bytes))
        .collect()
}

/// A size in the largest unit that leaves three digits or more before the point.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let (mut count, mut unit) = (bytes, 0);
    while count >= 10 * 1024 && unit + 1 < units.len() {
        count /= 1024;
        unit += 1;
    }
    format!("{count} {}", units.get(unit).unwrap_or(&"B"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    fn check(findings: Vec<Message>) -> Answer {
        Answer::Check(Check {
            rows: 12_345,
            bytes: 20 << 20,
            findings,
        })
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, said) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (10_240, "10 KiB"),
            (20 << 20, "20 MiB"),
            (u64::MAX, "17179869183 GiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn a_clean_check_and_one_with_findings() {
        let english = Text::new(Language::English);
        let clean = check(Vec::new());
        assert_eq!(exit(&clean), Exit::Clean);
        assert!(in_words(&clean, &english).contains("12345 rows"));
        let found = check(vec![
            Message::new("finding-corrupt").with("what", "block 7"),
        ]);
        assert_eq!(exit(&found), Exit::Findings);
        let said = in_words(&found, &english);
        assert!(
            said.contains("block 7") && said.contains("1 finding"),
            "{said}"
        );
    }

    #[test]
    fn every_answer_has_words_in_every_language() {
        for language in Language::ALL {
            let text = Text::new(language);
            for answer in [check(Vec::new()), Answer::Stopping] {
                assert!(!in_words(&answer, &text).contains("check-"));
                assert!(in_json(&answer).len() > 5);
            }
        }
    }
}
