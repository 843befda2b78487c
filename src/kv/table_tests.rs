use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Batch, COMMIT_WRITES_MAX, Check, Commit, CommitError, Counter, Direction, Engine,
    GET_MANY_KEYS_MAX, Keyspace, Kind, Memory, Position, ReadError, RowCodec, Shape, Snapshot,
    Stamp, Table, Temperature, Write,
};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    text: String,
    loud: bool,
}

/// Version 1 had no `loud`.
impl RowCodec for Note {
    const VERSION: u8 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.loud));
        out.extend_from_slice(self.text.as_bytes());
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        let (loud, text) = match (version, bytes) {
            (1, text) => (false, text),
            (2, [loud, text @ ..]) => (*loud == 1, text),
            _ => return Err(ReadError::corrupt("no such note")),
        };
        let text = String::from_utf8(text.to_vec()).map_err(|_| ReadError::corrupt("no text"))?;
        Ok(Self { text, loud })
    }
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
        loud: text.starts_with('!'),
    }
}

const fn space(tag: u8, shape: Shape, row_version: u8) -> Keyspace {
    Keyspace {
        name: "notes",
        tag,
        shape,
        temperature: Temperature::Hot,
        kind: Kind::Ground,
        row_version,
    }
}

type Log = (String, u64, Stamp);

static NOTES: Table<String, Note> = Table::new(space(1, Shape::Point, 2));
static STAMPED: Table<u64, (Stamp, Note)> = Table::new(space(2, Shape::Point, 2));
static LOG: Table<Log, Note> = Table::new(space(3, Shape::Log, 2));
static GLOBAL: Table<Stamp, ()> = Table::new(space(4, Shape::Log, 1));
static COUNTS: Counter<(String, u8)> = Counter::new(space(5, Shape::Counter, 0));

async fn applied(engine: &Memory, build: impl FnOnce(&mut Commit)) -> Position {
    let mut commit = Commit::synced();
    build(&mut commit);
    engine.commit(commit).await.unwrap()
}

async fn view(engine: &Memory) -> Arc<dyn Snapshot> {
    engine.snapshot().await.unwrap()
}

#[tokio::test]
async fn rows_come_back_as_they_were_put() {
    let engine = Memory::default();
    let (a, b) = ("a".to_owned(), "b".to_owned());
    applied(&engine, |commit| NOTES.put(commit, &a, &note("!x"))).await;
    let now = view(&engine).await;
    assert_eq!(NOTES.get(&*now, &a).await, Ok(Some(note("!x"))));
    assert_eq!(
        NOTES.get_many(&*now, &[b, a]).await,
        Ok(vec![None, Some(note("!x"))])
    );
}

#[tokio::test]
async fn old_rows_decode_and_are_checked_as_they_were_stored() {
    let engine = Memory::default();
    let key = "a".to_owned();
    let old = Bytes::from_static(b"\x01text");
    applied(&engine, |commit| {
        commit.writes.push(Write::Put(NOTES.key(&key), old.clone()));
    })
    .await;
    let seen = NOTES.get_seen(&*view(&engine).await, &key).await.unwrap();
    assert_eq!(seen.row, Some(note("text")));

    let mut stale = Commit::synced();
    NOTES.check_equals(&mut stale, &key, seen.row.as_ref());
    assert_eq!(engine.commit(stale).await, Err(CommitError::Conflict));
    applied(&engine, |commit| NOTES.check_unchanged(commit, &key, &seen)).await;
}

#[test]
fn a_commit_is_a_value() {
    let mut commit = Commit::lazy();
    let key = "k".to_owned();
    NOTES.check_absent(&mut commit, &key);
    NOTES.check_equals(&mut commit, &key, None);
    NOTES.check_equals(&mut commit, &key, Some(&note("n")));
    NOTES.delete(&mut commit, &key);
    let stored = Bytes::from_static(b"\x02\0n");
    let row = NOTES.key(&key);
    assert_eq!(row.as_bytes(), b"\x01k\0");
    let absent = Check::Absent(row.clone());
    assert_eq!(
        commit.checks,
        [absent.clone(), absent, Check::Equals(row.clone(), stored)]
    );
    assert_eq!(commit.writes, [Write::Delete(row)]);
}

#[tokio::test]
async fn logs_are_read_by_typed_prefixes() {
    let engine = Memory::default();
    let room = |name: &str| name.to_owned();
    let position = applied(&engine, |commit| {
        for (name, depth) in [("a", 1), ("a", 2), ("a", 2), ("b", 1)] {
            LOG.append(commit, &(room(name), depth), &note(name));
        }
        GLOBAL.append(commit, &(), &());
    })
    .await;
    let now = view(&engine).await;
    let read = async |range| {
        let page = LOG
            .scan(&*now, range, Direction::Forward, 10)
            .await
            .unwrap();
        page.rows
            .into_iter()
            .map(|(key, _)| (key.0, key.1, key.2.ordinal))
            .collect::<Vec<_>>()
    };
    let (a, b) = (room("a"), room("b"));
    let second = (a.clone(), 2);
    let two = [(a.clone(), 2, 1), (a.clone(), 2, 2)];
    assert_eq!(read(LOG.prefix(&second)).await, two);
    assert_eq!(read(LOG.prefix(&(a.clone(),))).await.len(), 3);
    assert_eq!(read(LOG.whole()).await.len(), 4);
    assert_eq!(read(LOG.prefix(&())).await.len(), 4);
    assert_eq!(read(LOG.range_from(&(a.clone(),), &second)).await, two);
    assert_eq!(
        read(LOG.range_until(&(a.clone(),), &second)).await,
        [(a.clone(), 1, 0)]
    );
    assert_eq!(read(LOG.range(&second, &(b.clone(),))).await, two);
    let stamp = |ordinal| Stamp { position, ordinal };
    let after = LOG.range_after(&(a.clone(),), &(a.clone(), 2, stamp(1)));
    assert_eq!(read(after).await, [(a, 2, 2)]);
    let last = GLOBAL
        .first(&*now, GLOBAL.whole(), Direction::Backward)
        .await;
    assert_eq!(last, Ok(Some((stamp(4), ()))));
}

#[tokio::test]
async fn pages_go_on_with_their_rest() {
    let engine = Memory::default();
    applied(&engine, |commit| {
        for number in 0..5 {
            STAMPED.stamp(commit, &number, &note("x"));
        }
    })
    .await;
    let now = view(&engine).await;
    let page = STAMPED
        .scan(&*now, STAMPED.whole(), Direction::Backward, 3)
        .await
        .unwrap();
    let keys = |rows: &[(u64, _)]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(keys(&page.rows), [4, 3, 2]);
    let rest = vec![page.rest.unwrap(), STAMPED.prefix(&7)];
    let pages = STAMPED.scan_many(&*now, rest, 9).await.unwrap();
    assert_eq!(keys(&pages[0].rows), [0, 1]);
    assert_eq!((pages[1].rows.len(), &pages[1].rest), (0, &None));
}

#[tokio::test]
async fn a_stamped_row_carries_its_commit() {
    let engine = Memory::default();
    let position = applied(&engine, |commit| {
        STAMPED.stamp(commit, &1, &note("first"));
        STAMPED.stamp(commit, &2, &note("second"));
    })
    .await;
    let stamp = Stamp {
        position,
        ordinal: 1,
    };
    let row = STAMPED.get(&*view(&engine).await, &2).await.unwrap();
    assert_eq!(row, Some((stamp, note("second"))));
    applied(&engine, |commit| {
        STAMPED.check_equals(commit, &2, row.as_ref());
    })
    .await;
    applied(&engine, |commit| {
        STAMPED.put(commit, &1, &(stamp, note("moved")));
    })
    .await;
    let moved = STAMPED.get(&*view(&engine).await, &1).await.unwrap();
    assert_eq!(moved, Some((stamp, note("moved"))));
}

#[tokio::test]
async fn counters_count_from_zero_and_keep_their_quota() {
    let engine = Memory::default();
    let key = ("a".to_owned(), 1);
    let take = |amount| {
        let mut commit = Commit::synced();
        COUNTS.check_within(&mut commit, &key, 0, 10 - amount);
        COUNTS.add(&mut commit, &key, amount);
        engine.commit(commit)
    };
    assert_eq!(COUNTS.get(&*view(&engine).await, &key).await, Ok(0));
    take(7).await.unwrap();
    assert_eq!(take(4).await, Err(CommitError::Conflict));
    take(3).await.unwrap();
    let absent = ("b".to_owned(), 1);
    let counts = COUNTS
        .get_many(&*view(&engine).await, &[absent, key.clone()])
        .await;
    assert_eq!(counts, Ok(vec![0, 10]));

    applied(&engine, |commit| {
        COUNTS.put(commit, &("a".to_owned(), 2), 5);
    })
    .await;
    let range = COUNTS.prefix(&("a".to_owned(),));
    let page = COUNTS
        .scan(&*view(&engine).await, range, Direction::Forward, 9)
        .await
        .unwrap();
    assert_eq!(
        page.rows.iter().map(|row| row.1).collect::<Vec<_>>(),
        [10, 5]
    );
    applied(&engine, |commit| COUNTS.delete(commit, &key)).await;
    applied(&engine, |commit| {
        COUNTS.delete_prefix(commit, &("a".to_owned(),));
    })
    .await;
    let left = COUNTS
        .scan(&*view(&engine).await, COUNTS.whole(), Direction::Forward, 9)
        .await;
    assert_eq!(left.unwrap().rows, []);
}

#[tokio::test]
async fn a_batch_reads_several_tables_at_once() {
    let engine = Memory::default();
    let (key, count) = ("a".to_owned(), ("a".to_owned(), 1));
    applied(&engine, |commit| {
        NOTES.put(commit, &key, &note("n"));
        STAMPED.stamp(commit, &8, &note("s"));
        COUNTS.add(commit, &count, 3);
    })
    .await;
    let mut batch = Batch::new();
    assert!(batch.is_empty());
    let row = batch.get(&NOTES, &key);
    let many = batch.get_many(&STAMPED, &[7, 8]);
    let counted = batch.count(&COUNTS, &count);
    let uncounted = batch.count(&COUNTS, &("z".to_owned(), 1));
    let seen = batch.get_seen(&NOTES, &key);
    assert_eq!(batch.len(), 6);

    let mut got = batch.read(&*view(&engine).await).await.unwrap();
    assert_eq!(got.take(counted), Ok(3));
    assert_eq!(got.take(uncounted), Ok(0));
    let many = got.take(many).unwrap();
    assert_eq!(many[0], None);
    assert_eq!(many[1].as_ref().unwrap().1, note("s"));
    assert_eq!(got.take(row), Ok(Some(note("n"))));
    let seen = got.take(seen).unwrap();
    applied(&engine, |commit| NOTES.check_unchanged(commit, &key, &seen)).await;
}

#[tokio::test]
async fn a_batch_is_one_round_trip_or_none() {
    let engine = Memory::default();
    let read = async |keys| {
        let mut batch = Batch::new();
        let rows = batch.get_many(&STAMPED, &vec![1; keys]);
        let mut got = batch.read(&*view(&engine).await).await?;
        Ok(got.take(rows)?.len())
    };
    assert_eq!(read(0).await, Ok(0));
    assert_eq!(read(GET_MANY_KEYS_MAX).await, Ok(GET_MANY_KEYS_MAX));
    assert_eq!(read(GET_MANY_KEYS_MAX + 1).await, Err(ReadError::TooLarge));
}

#[tokio::test]
#[should_panic(expected = "its own batch")]
async fn a_handle_of_another_batch_is_refused() {
    let engine = Memory::default();
    let handle = Batch::new().get(&STAMPED, &1);
    let mut other = Batch::new();
    let _unread = other.get(&NOTES, &"a".to_owned());
    let mut got = other.read(&*view(&engine).await).await.unwrap();
    got.take(handle).unwrap();
}

#[tokio::test]
async fn damage_names_its_table() {
    let engine = Memory::default();
    let put = |write| applied(&engine, |commit| commit.writes.push(write));
    let damage = |what: &str| ReadError::corrupt(&format!("notes: {what}"));
    put(Write::Put(STAMPED.key(&1), Bytes::from_static(b"short"))).await;
    let now = view(&engine).await;
    let stamped = STAMPED.get(&*now, &1).await;
    assert_eq!(stamped, Err(damage("a stamped row has no stamp")));
    put(Write::Put(NOTES.key(&"a".to_owned()), Bytes::new())).await;
    let now = view(&engine).await;
    let empty = NOTES.get(&*now, &"a".to_owned()).await;
    assert_eq!(empty, Err(damage("a row has no version")));
    let other = NOTES.scan(&*now, STAMPED.whole(), Direction::Forward, 1);
    assert_eq!(other.await, Err(damage("a key is of another table")));
    let longer = STAMPED.decode_key(&STAMPED.key(&1).stamped(Stamp::default()));
    assert_eq!(
        longer,
        Err(damage("a key has bytes behind its last column"))
    );
    assert_eq!(COUNTS.get(&*now, &("a".to_owned(), 1)).await, Ok(0));
}

#[test]
fn prefixes_delete_in_one_write() {
    let mut commit = Commit::synced();
    LOG.delete_prefix(&mut commit, &("a".to_owned(),));
    assert_eq!(
        commit.writes,
        [Write::DeleteRange(LOG.prefix(&("a".to_owned(),)))]
    );
    assert!(commit.writes.len() < COMMIT_WRITES_MAX);
}

#[test]
#[should_panic(expected = "row_version")]
fn a_version_that_is_not_the_rows_is_refused() {
    let _table = Table::<u8, Note>::new(space(1, Shape::Point, 3));
}

#[test]
#[should_panic(expected = "Shape::Counter")]
fn a_counter_of_another_shape_is_refused() {
    let _counter = Counter::<u8>::new(space(1, Shape::Point, 0));
}
