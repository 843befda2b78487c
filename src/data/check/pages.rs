//! Going through a table, page by page, whatever its rows hold.

use std::sync::Arc;

use belfry_kv::{Direction, Engine, Key, KeyCodec, Layout, Range, ReadError, Snapshot, Table};

use super::finding::{FindingKind, Report};

/// Rows of a page.
const PAGE: usize = 200;

/// A row that decodes.
#[expect(
    clippy::struct_field_names,
    reason = "a row as a whole has a key and a row"
)]
pub(super) struct Row<K, R> {
    pub(super) raw: Key,
    pub(super) key: K,
    pub(super) row: R,
}

/// A table being gone through.
pub(super) struct Pages<K: 'static, R: 'static> {
    table: &'static Table<K, R>,
    rest: Option<Range>,
}

impl<K: KeyCodec, R: Layout> Pages<K, R> {
    pub(super) fn new(table: &'static Table<K, R>) -> Self {
        Self::of_range(table, table.whole())
    }

    pub(super) fn of_range(table: &'static Table<K, R>, range: Range) -> Self {
        Self {
            table,
            rest: Some(range),
        }
    }

    /// The next rows, and the snapshot that they are of; `None` at the end. Rows that do not
    /// decode are findings.
    pub(super) async fn next(
        &mut self,
        engine: &dyn Engine,
        report: &mut Report,
    ) -> Result<Option<(Arc<dyn Snapshot>, Vec<Row<K, R>>)>, ReadError> {
        let Some(range) = self.rest.take() else {
            return Ok(None);
        };
        let snapshot = engine.snapshot().await?;
        let page = snapshot.scan(range, Direction::Forward, PAGE).await?;
        self.rest = page.rest;
        let rows = page.rows.into_iter();
        let rows = rows.filter_map(|(key, value)| self.decode(key, &value, report));
        Ok(Some((snapshot, rows.collect())))
    }

    fn decode(&self, raw: Key, value: &[u8], report: &mut Report) -> Option<Row<K, R>> {
        report.rows += 1;
        let decoded = self.table.decode_key(&raw);
        let decoded = decoded.and_then(|key| Ok((key, self.table.decode_row(value)?)));
        match decoded {
            Ok((key, row)) => Some(Row { raw, key, row }),
            Err(error) => {
                let space = self.table.space();
                report.add(FindingKind::Undecodable, space, &raw, error.to_string());
                None
            }
        }
    }
}

/// Only decodes.
pub(super) async fn decode_all<K: KeyCodec, R: Layout>(
    engine: &dyn Engine,
    table: &'static Table<K, R>,
    report: &mut Report,
) -> Result<(), ReadError> {
    let mut pages = Pages::new(table);
    while pages.next(engine, report).await?.is_some() {}
    Ok(())
}

/// Which of these rows exist, in the order asked.
pub(super) async fn present(snapshot: &dyn Snapshot, keys: &[Key]) -> Result<Vec<bool>, ReadError> {
    let mut present = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(1_000) {
        let values = snapshot.get_many(chunk).await?;
        present.extend(values.iter().map(Option::is_some));
    }
    Ok(present)
}
