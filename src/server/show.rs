//! Answers in words and columns, or in JSON for programs.

mod accounts;
mod destinations;

use std::{array, cmp::Reverse};

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
        Answer::Stats(stats) => lines(&stats_lines(stats), text) + &tables(stats, text),
        Answer::Backup(backup) => {
            text.say(&Message::new("backup-made").with("folder", backup.folder.as_path()))
        }
        Answer::Restored(folder) => {
            text.say(&Message::new("restored").with("folder", folder.as_path()))
        }
        Answer::Account(answer) => accounts::in_words(answer, text),
        Answer::Notice(noticed) => {
            text.say(&Message::new("notice-sent").with("name", noticed.user_id.as_str()))
        }
        Answer::Destinations(standings) => destinations::in_words(standings, text),
        Answer::DestinationReset(server) => {
            text.say(&Message::new("destination-reset").with("server", server.as_str()))
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
    let mut lines = vec![
        ("status-version", status.version.as_str().into()),
        ("status-server-name", status.server_name.as_str().into()),
        ("status-pid", u64::from(status.pid).into()),
        ("status-uptime", status.uptime_s.into()),
        ("status-listening", status.listening.join(", ").into()),
        ("status-signing-key", status.signing_key.as_str().into()),
        ("status-tasks", status.tasks.into()),
        ("status-panics", status.panics.into()),
    ];
    if !status.metrics.is_empty() {
        lines.push(("status-metrics", status.metrics.join(", ").into()));
    }
    lines
}

fn stats_lines(stats: &Stats) -> Vec<(&'static str, Gap)> {
    let free = stats.free_disk_bytes.map_or("?".to_owned(), size);
    vec![
        ("stats-rooms", stats.rooms.into()),
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

/// The tables that hold rows, the largest first, and the largest rooms.
fn tables(stats: &Stats, text: &Text) -> String {
    let mut tables: Vec<_> = stats.tables.iter().collect();
    tables.retain(|table| table.rows > 0);
    tables.sort_by_key(|table| Reverse(table.bytes));
    let heads = ["column-table", "column-rows", "column-bytes", "column-disk"];
    let mut lines = vec![heads.map(|head| text.plain(head))];
    lines.extend(tables.iter().map(|table| {
        let (rows, disk) = (table.rows.to_string(), size(table.disk_bytes));
        [table.name.clone(), rows, size(table.bytes), disk]
    }));
    let tables = columns(&lines);
    if stats.largest_rooms.is_empty() {
        return tables;
    }
    let heads = [
        "column-room",
        "column-state",
        "column-joined",
        "column-extremities",
    ];
    let mut lines = vec![heads.map(|head| text.plain(head))];
    lines.extend(stats.largest_rooms.iter().map(|room| {
        let joined = room
            .joined
            .map_or("?".to_owned(), |count| count.to_string());
        let (entries, extremities) = (room.state_entries, room.extremities);
        [
            room.room_id.clone(),
            entries.to_string(),
            joined,
            extremities.to_string(),
        ]
    }));
    tables + &columns(&lines)
}

/// A blank line, then the lines in columns: the first to the left, the others to the right.
fn columns<const COUNT: usize>(lines: &[[String; COUNT]]) -> String {
    let widths: [usize; COUNT] = array::from_fn(|column| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; COUNT]| {
        let cells = cells.iter().zip(widths).enumerate();
        let cells: Vec<_> = cells
            .map(|(column, (cell, width))| match column {
                0 => format!("\n{cell:width$}"),
                _ => format!("  {cell:>width$}"),
            })
            .collect();
        cells.concat()
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    format!("\n{}", lines.concat())
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
    use crate::{
        operation::{RoomSize, TableSize},
        text::Language,
    };

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

    fn stats() -> Stats {
        Stats {
            tables: vec![
                TableSize {
                    name: "cursor".to_owned(),
                    rows: 1,
                    bytes: 7,
                    disk_bytes: 0,
                },
                TableSize {
                    name: "event".to_owned(),
                    rows: 12_345,
                    bytes: 20 << 20,
                    disk_bytes: 9 << 20,
                },
                TableSize {
                    name: "gap".to_owned(),
                    rows: 0,
                    bytes: 0,
                    disk_bytes: 0,
                },
            ],
            rooms: 1,
            largest_rooms: vec![RoomSize {
                room_id: "!room:a.example".to_owned(),
                state_entries: 70,
                joined: None,
                extremities: 1,
            }],
            disk_bytes: 9 << 20,
            journal_bytes: 0,
            free_disk_bytes: None,
            cache_bytes: 0,
            write_buffer_bytes: 0,
            commits: 1,
            conflicts: 0,
            commits_waiting: 0,
            background_errors: 0,
        }
    }

    #[test]
    fn stats_come_in_columns_the_largest_first_and_without_empty_tables() {
        let said = in_words(&Answer::Stats(stats()), &Text::new(Language::English));
        let columns: Vec<_> = said.lines().skip_while(|line| !line.is_empty()).collect();
        let expected = [
            "",
            "Table    Rows    Size  On disk",
            "event   12345  20 MiB  9216 KiB",
            "cursor      1     7 B      0 B",
            "",
            "Room             State  Joined  Extremities",
            "!room:a.example     70       ?            1",
        ];
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let squeezed: Vec<_> = columns.iter().map(|line| squeeze(line)).collect();
        assert_eq!(squeezed, expected.map(squeeze));
        assert_eq!(columns[1].chars().count(), columns[2].chars().count());
    }

    #[test]
    fn every_answer_has_words_in_every_language() {
        for language in Language::ALL {
            let text = Text::new(language);
            for answer in [check(Vec::new()), Answer::Stopping, Answer::Stats(stats())] {
                let said = in_words(&answer, &text);
                assert!(
                    !said.contains("stats-") && !said.contains("column-"),
                    "{said}"
                );
                assert!(in_json(&answer).len() > 5);
            }
        }
    }
}
