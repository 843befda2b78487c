//! Which test covers which case of the list of bad inputs and bad days, and which scenario that was
//! promised, and that these tests exist.
//!
//! It exists so that a case is not lost when its test is renamed or removed. It knows nothing of
//! whether the tests pass: they are run where they stand.

mod scenarios;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Crashes, disks, upgrades.
const GROUND: &str = include_str!("../data/bad_inputs_ground.tsv");
/// The cases of [`GROUND`].
const GROUND_CASES: [&str; 11] = [
    "OPS-001", "OPS-002", "OPS-004", "OPS-006", "OPS-007", "OPS-008", "OPS-009", "OPS-011",
    "OPS-012", "OPS-014", "OPS-015",
];

/// HTTP, accounts and sessions of a first server.
const FIRST_SERVER: &str = include_str!("../data/bad_inputs_first_server.tsv");
/// The cases of [`FIRST_SERVER`].
const FIRST_SERVER_CASES: [&str; 48] = [
    "HTTP-001", "HTTP-002", "HTTP-003", "HTTP-004", "HTTP-006", "HTTP-007", "HTTP-008", "HTTP-009",
    "HTTP-012", "HTTP-015", "HTTP-016", "HTTP-017", "HTTP-018", "HTTP-019", "HTTP-020", "HTTP-021",
    "HTTP-023", "HTTP-024", "HTTP-027", "HTTP-028", "HTTP-030", "AUTH-002", "AUTH-003", "AUTH-004",
    "AUTH-005", "AUTH-011", "AUTH-012", "AUTH-013", "AUTH-014", "AUTH-015", "AUTH-016", "AUTH-019",
    "AUTH-021", "AUTH-023", "AUTH-024", "AUTH-028", "AUTH-029", "AUTH-030", "AUTH-031", "AUTH-032",
    "AUTH-033", "AUTH-035", "AUTH-036", "AUTH-037", "AUTH-040", "AUTH-041", "AUTH-048", "AUTH-049",
];

/// History, members, relations and directories of rooms. The list may only grow.
const ROOMS_READING: &str = include_str!("../data/bad_inputs_rooms_reading.tsv");
/// The cases that [`ROOMS_READING`] has covered once.
const ROOMS_READING_CASES: [&str; 22] = [
    "ROOM-059", "VIS-003", "VIS-004", "VIS-005", "VIS-006", "VIS-007", "VIS-008", "VIS-009",
    "VIS-027", "VIS-028", "VIS-010", "VIS-013", "VIS-014", "VIS-015", "VIS-017", "VIS-018",
    "VIS-019", "VIS-020", "VIS-021", "VIS-024", "VIS-029", "VIS-026",
];

/// Events, memberships and settings of rooms, tags, reports. The list may only grow.
const ROOMS_ACTING: &str = include_str!("../data/bad_inputs_rooms.tsv");
/// The cases that [`ROOMS_ACTING`] has covered once.
const ROOMS_ACTING_CASES: [&str; 42] = [
    "ROOM-002", "ROOM-018", "ROOM-022", "ROOM-047", "ROOM-048", "ROOM-049", "ROOM-050", "ROOM-053",
    "ROOM-001", "ROOM-003", "ROOM-007", "ROOM-008", "ROOM-011", "ROOM-013", "ROOM-014", "ROOM-015",
    "ROOM-016", "ROOM-021", "ROOM-023", "ROOM-024", "ROOM-025", "ROOM-026", "ROOM-028", "ROOM-030",
    "ROOM-031", "ROOM-032", "ROOM-034", "ROOM-035", "ROOM-036", "ROOM-037", "ROOM-038", "ROOM-039",
    "ROOM-040", "ROOM-042", "ROOM-043", "ROOM-044", "ROOM-045", "ROOM-051", "ROOM-054", "ROOM-055",
    "ROOM-057", "ROOM-058",
];

/// Keys, messages to devices, backups.
const E2EE: &str = include_str!("../data/bad_inputs_e2ee.tsv");
/// The cases of [`E2EE`].
const E2EE_CASES: [&str; 15] = [
    "E2EE-002", "E2EE-003", "E2EE-004", "E2EE-005", "E2EE-006", "E2EE-008", "E2EE-010", "E2EE-011",
    "E2EE-012", "E2EE-013", "E2EE-014", "E2EE-015", "E2EE-016", "E2EE-017", "E2EE-018",
];

/// Requests and answers of other servers. The list may only grow.
const FEDERATION: &str = include_str!("../data/bad_inputs_federation.tsv");
/// The cases that [`FEDERATION`] has covered once.
const FEDERATION_CASES: [&str; 30] = [
    "FAUTH-001",
    "FAUTH-003",
    "FAUTH-004",
    "FAUTH-005",
    "FAUTH-006",
    "FAUTH-007",
    "FAUTH-008",
    "FAUTH-010",
    "FAUTH-011",
    "FAUTH-012",
    "FETCH-011",
    "FETCH-013",
    "KEYS-001",
    "KEYS-002",
    "KEYS-004",
    "KEYS-005",
    "KEYS-006",
    "KEYS-007",
    "KEYS-008",
    "KEYS-009",
    "KEYS-010",
    "KEYS-011",
    "KEYS-013",
    "KEYS-014",
    "SSRF-002",
    "SSRF-004",
    "SSRF-006",
    "SSRF-007",
    "SSRF-009",
    "TXN-012",
];

/// What other servers send into rooms and ask of them. The list may only grow.
const FEDERATION_ROOMS: &str = include_str!("../data/bad_inputs_federation_rooms.tsv");
/// The cases that [`FEDERATION_ROOMS`] has covered once.
const FEDERATION_ROOMS_CASES: [&str; 30] = [
    "TXN-001",
    "TXN-004",
    "TXN-007",
    "PDU-001",
    "PDU-002",
    "PDU-004",
    "PDU-008",
    "AUTHZ-001",
    "AUTHZ-012",
    "AUTHZ-017",
    "AUTHZ-018",
    "JOIN-002",
    "JOIN-003",
    "JOIN-004",
    "JOIN-005",
    "JOIN-007",
    "JOIN-008",
    "JOIN-009",
    "JOIN-017",
    "INV-001",
    "INV-002",
    "INV-004",
    "INV-007",
    "INV-012",
    "FETCH-001",
    "FETCH-003",
    "FETCH-004",
    "FETCH-005",
    "FETCH-007",
    "FETCH-008",
];

/// What a hostile server sends and answers.
const FEDERATION_HOSTILE: &str = include_str!("../data/bad_inputs_federation_hostile.tsv");
/// The cases of [`FEDERATION_HOSTILE`].
const FEDERATION_HOSTILE_CASES: [&str; 49] = [
    "AUTHZ-002",
    "AUTHZ-003",
    "AUTHZ-004",
    "AUTHZ-005",
    "AUTHZ-006",
    "AUTHZ-010",
    "AUTHZ-011",
    "AUTHZ-014",
    "AUTHZ-015",
    "AUTHZ-019",
    "AUTHZ-020",
    "AUTHZ-021",
    "AUTHZ-023",
    "AUTHZ-024",
    "AUTHZ-025",
    "EDU-003",
    "EDU-004",
    "EDU-005",
    "EDU-007",
    "EDU-008",
    "EDU-009",
    "FAUTH-009",
    "FETCH-014",
    "FETCH-015",
    "FETCH-017",
    "FETCH-018",
    "INV-010",
    "INV-011",
    "JOIN-011",
    "JOIN-013",
    "JOIN-014",
    "JOIN-018",
    "JOIN-020",
    "KEYS-015",
    "PDU-005",
    "PDU-006",
    "PDU-007",
    "PDU-009",
    "PDU-011",
    "PDU-014",
    "PDU-015",
    "PDU-016",
    "PDU-017",
    "PDU-020",
    "PDU-022",
    "TXN-002",
    "TXN-005",
    "TXN-006",
    "TXN-010",
];

/// Push rules and sync.
const SYNC: &str = include_str!("../data/bad_inputs_sync.tsv");
/// The cases of [`SYNC`].
const SYNC_CASES: [&str; 13] = [
    "PUSH-002", "PUSH-003", "PUSH-005", "PUSH-006", "VIS-002", "VIS-003", "VIS-004", "VIS-005",
    "VIS-006", "VIS-007", "VIS-008", "VIS-009", "VIS-028",
];

/// Files, and what is fetched for clients.
const MEDIA: &str = include_str!("../data/bad_inputs_media.tsv");
/// The cases of [`MEDIA`].
const MEDIA_CASES: [&str; 27] = [
    "MEDIA-002",
    "MEDIA-003",
    "MEDIA-004",
    "MEDIA-006",
    "MEDIA-008",
    "MEDIA-009",
    "MEDIA-011",
    "MEDIA-013",
    "MEDIA-014",
    "MEDIA-015",
    "MEDIA-017",
    "MEDIA-019",
    "MEDIA-020",
    "MEDIA-023",
    "MEDIA-025",
    "MEDIA-026",
    "MEDIA-027",
    "MEDIA-028",
    "SSRF-002",
    "SSRF-004",
    "SSRF-006",
    "SSRF-007",
    "SSRF-009",
    "SSRF-011",
    "SSRF-014",
    "SSRF-015",
    "SSRF-017",
];

/// A line of a table: case, file, test.
fn rows(table: &str) -> impl Iterator<Item = [&str; 3]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let row = columns.try_into();
        row.unwrap_or_else(|_| panic!("three columns with tabs between them: {line}"))
    })
}

/// The functions of a source file that have `test` among their attributes and are not ignored.
fn tests(source: &str) -> BTreeSet<String> {
    let file = syn::parse_file(source).expect("a source file that compiles");
    let mut found = BTreeSet::new();
    gather(&file.items, &mut found);
    found
}

fn gather(items: &[syn::Item], found: &mut BTreeSet<String>) {
    for item in items {
        match item {
            syn::Item::Fn(function) => {
                let last = |attribute: &syn::Attribute| {
                    let segment = attribute.path().segments.last();
                    segment.map(|segment| segment.ident.to_string())
                };
                let names: Vec<_> = function.attrs.iter().filter_map(last).collect();
                let has = |wanted: &str| names.iter().any(|name| name == wanted);
                if has("test") && !has("ignore") {
                    found.insert(function.sig.ident.to_string());
                }
            }
            syn::Item::Mod(inner) => {
                let items = inner.content.as_ref().map(|(_, items)| items.as_slice());
                gather(items.unwrap_or_default(), found);
            }
            _ => {}
        }
    }
}

/// The rows whose test does not exist.
fn missing(table: &str) -> Vec<String> {
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for [case, file, test] in rows(table) {
        let there = known.entry(file).or_insert_with(|| {
            let source = fs::read_to_string(Path::new(ROOT).join(file));
            source.map(|source| tests(&source)).unwrap_or_default()
        });
        if !there.contains(test) {
            missing.push(format!("{case}: {file} has no test {test}"));
        }
    }
    missing
}

/// Every list: its table, the cases that it must hold, whether they are all that there are.
const LISTS: [(&str, &[&str], Whole); 10] = [
    (GROUND, &GROUND_CASES, Whole::Yes),
    (FIRST_SERVER, &FIRST_SERVER_CASES, Whole::Yes),
    (ROOMS_READING, &ROOMS_READING_CASES, Whole::NotYet),
    (ROOMS_ACTING, &ROOMS_ACTING_CASES, Whole::NotYet),
    (E2EE, &E2EE_CASES, Whole::Yes),
    (FEDERATION, &FEDERATION_CASES, Whole::NotYet),
    (FEDERATION_ROOMS, &FEDERATION_ROOMS_CASES, Whole::NotYet),
    (FEDERATION_HOSTILE, &FEDERATION_HOSTILE_CASES, Whole::Yes),
    (SYNC, &SYNC_CASES, Whole::Yes),
    (MEDIA, &MEDIA_CASES, Whole::Yes),
];

/// Whether a list is complete, or may still grow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    NotYet,
}

#[test]
fn every_test_that_covers_a_case_exists() {
    for (table, _, _) in LISTS {
        let missing = missing(table);
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

#[test]
fn no_case_is_lost_and_none_is_left_out_of_a_whole_list() {
    for (table, cases, whole) in LISTS {
        let covered: BTreeSet<_> = rows(table).map(|[case, _, _]| case).collect();
        let expected: BTreeSet<_> = cases.iter().copied().collect();
        let lost: Vec<_> = expected.difference(&covered).collect();
        assert!(lost.is_empty(), "{lost:?}");
        assert!(whole == Whole::NotYet || covered == expected, "{covered:?}");
    }
}

#[test]
fn a_test_that_was_renamed_ignored_or_moved_is_missed() {
    let file = "tests/acceptance/main.rs";
    let own = "a_test_that_was_renamed_ignored_or_moved_is_missed";
    assert!(missing(&format!("X-1\t{file}\t{own}")).is_empty());
    assert_eq!(missing(&format!("X-1\t{file}\tmissing")).len(), 1);
    assert_eq!(missing(&format!("X-1\ttests/absent.rs\t{own}")).len(), 1);
    let source =
        "mod tests { #[tokio::test] async fn a() {} #[test] #[ignore] fn b() {} fn c() {} }";
    assert_eq!(tests(source), ["a".to_owned()].into());
}
