//! The schema as released, in `schema.lock`: a line for each table that ever was.
//!
//! What would make older databases unreadable in silence is refused: a tag or a name used again, a
//! table of another kind, a row with other bytes under the same version. `BELFRY_WRITE_FIXTURES=1`
//! writes what may change. To change a row that no release has: remove its lines by hand.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    fixture::{WRITE_FIXTURES, to_hex, write_fixture},
    golden_tests::{Sample, samples},
    keyspaces,
};

const LOCK: &str = include_str!("schema.lock");

/// The lines by tag. A retired table's line says `retired` and no more.
type Lock = BTreeMap<u8, String>;

fn read(text: &str) -> Lock {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let tagged = lines.map(|line| (tag(line), line.to_owned()));
    let mut lock = Lock::new();
    for (tag, line) in tagged {
        assert_eq!(
            lock.insert(tag, line),
            None,
            "tag {tag} is twice in schema.lock"
        );
    }
    lock
}

fn tag(line: &str) -> u8 {
    line.split(' ').next().unwrap().parse().unwrap()
}

fn current() -> Lock {
    let mut samples = samples();
    samples.sort_by_key(|sample| sample.space.tag);
    let tables = samples.chunk_by(|a, b| a.space.tag == b.space.tag);
    let lines = tables.map(|of_table| (of_table[0].space.tag, line(of_table)));
    lines.collect()
}

fn line(of_table: &[Sample]) -> String {
    let space = of_table[0].space;
    let mut hash = Sha256::new();
    for sample in of_table {
        hash.update(sample.line());
    }
    let golden = to_hex(&hash.finalize()[..8]);
    format!(
        "{} {} {:?} {:?} {:?} {} {golden}",
        space.tag, space.name, space.shape, space.temperature, space.kind, space.row_version
    )
}

/// What of `now` older databases would not survive.
fn refusals(lock: &Lock, now: &Lock) -> Vec<String> {
    let mut refusals = Vec::new();
    for (tag, line) in now {
        let Some(locked) = lock.get(tag) else {
            let name = field(line, 1);
            let taken = lock.values().any(|locked| field(locked, 1) == name);
            refusals.extend(taken.then(|| format!("{name} had another tag")));
            continue;
        };
        refusals.extend(refusal(locked, line));
    }
    for (tag, locked) in lock {
        if !now.contains_key(tag) && field(locked, 2) != "retired" {
            refusals.push(format!(
                "tag {tag} is gone: write `{tag} {} retired`",
                field(locked, 1)
            ));
        }
    }
    refusals
}

fn refusal(locked: &str, line: &str) -> Option<String> {
    let (tag, name) = (field(line, 0), field(line, 1));
    let version = |line: &str| field(line, 5).parse::<u8>().unwrap_or(0);
    if field(locked, 2) == "retired" || field(locked, 1) != name {
        Some(format!(
            "tag {tag} was {}'s and is never used again",
            field(locked, 1)
        ))
    } else if field(locked, 2) != field(line, 2) || field(locked, 4) != field(line, 4) {
        Some(format!(
            "{name} has another shape or kind: make a new table, migrate"
        ))
    } else if version(line) < version(locked) {
        Some(format!("{name} has a lower row version"))
    } else if version(line) == version(locked) && field(locked, 6) != field(line, 6) {
        Some(format!("{name} has other bytes: raise its row version"))
    } else {
        None
    }
}

fn field(line: &str, at: usize) -> &str {
    line.split(' ').nth(at).unwrap_or("")
}

#[test]
fn the_schema_is_the_one_that_is_locked() {
    let (lock, now) = (read(LOCK), current());
    let refused = refusals(&lock, &now);
    assert!(refused.is_empty(), "{refused:#?}");
    let mut whole = lock.clone();
    whole.extend(now);
    if WRITE_FIXTURES && whole != lock {
        let head = "# tag name shape temperature kind row_version golden".to_owned();
        let lines: Vec<_> = [head].into_iter().chain(whole.values().cloned()).collect();
        write_fixture("schema.lock", &format!("{}\n", lines.join("\n")));
    }
    assert!(whole == lock, "schema.lock is behind: write it anew");
}

#[test]
fn names_and_tags_are_each_used_once() {
    let mut tags: Vec<_> = keyspaces().iter().map(|space| space.tag).collect();
    let mut names: Vec<_> = keyspaces().iter().map(|space| space.name).collect();
    assert!(
        tags.is_sorted_by(|a, b| a < b),
        "keyspaces are sorted by tag: {tags:?}"
    );
    names.sort_unstable();
    names.dedup();
    tags.dedup();
    assert_eq!(
        (tags.len(), names.len()),
        (keyspaces().len(), keyspaces().len())
    );
}

/// One table that was released, and what is made of it.
fn refused(now: &str) -> bool {
    let lock = read("3 room_head Point Hot Ground 2 aa\n4 old retired\n");
    !refusals(&lock, &read(&format!("{now}\n"))).is_empty()
}

#[test]
fn what_older_databases_survive_is_allowed() {
    assert!(!refused("3 room_head Point Hot Ground 2 aa"));
    assert!(
        !refused("3 room_head Point Cold Ground 2 aa"),
        "another temperature"
    );
    assert!(
        !refused("3 room_head Point Hot Ground 3 bb"),
        "a new row version"
    );
    assert!(!refused(
        "3 room_head Point Hot Ground 2 aa\n5 new Scan Hot Ground 1 cc"
    ));
}

#[test]
fn what_they_do_not_is_refused() {
    assert!(refused("3 room_head Point Hot Ground 2 bb"), "other bytes");
    assert!(
        refused("3 room_head Point Hot Ground 1 aa"),
        "a lower version"
    );
    assert!(refused("3 other Point Hot Ground 2 aa"), "a tag used again");
    assert!(
        refused("3 room_head Point Hot Ground 2 aa\n4 new Point Hot Ground 1 aa"),
        "retired"
    );
    assert!(refused("3 room_head Scan Hot Ground 3 bb"), "another shape");
    assert!(
        refused("3 room_head Point Hot Derived 3 bb"),
        "another kind"
    );
    assert!(
        refused("5 room_head Point Hot Ground 2 aa"),
        "a table moved"
    );
    assert!(refused("6 another Point Hot Ground 2 aa"), "a table gone");
}
