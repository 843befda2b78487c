//! The journal's audit: whether its damage, if any, is an unfinished end or a loss.
//!
//! `RocksDB` either stops at the first damaged record, and loses what was acknowledged behind it
//! without a word, or takes every damage for a loss, and does not start after a power failure. The
//! audit reads the journal before `RocksDB` does and knows more: every record tells how many writes
//! were on disk when it was written. If a sound record behind the damage says that the damaged
//! writes were on disk, they were acknowledged, and the database is damaged. If none does, nothing
//! acknowledged is missing.
//!
//! The format is that of `RocksDB`'s `log_format.h` and `write_batch.cc`: blocks of 32 KiB; in them
//! fragments of checksum, length, type and payload; a record's payload is a batch. This module
//! knows nothing of rows.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::fault::OpenError;

const BLOCK_BYTES: usize = 32 * 1024;
/// Checksum (4), length (2), type (1).
const HEADER_BYTES: usize = 7;
/// Sequence number (8) and count (4) of a batch.
const BATCH_BYTES: usize = 12;
/// The batch entry that is only for the journal.
const LOG_DATA: u8 = 3;
const MAGIC: &[u8; 6] = b"belfry";
const MARK_BYTES: usize = MAGIC.len() + size_of::<u64>();
/// What the audit looks at of a record.
const HEAD_BYTES: usize = BATCH_BYTES + 2 + MARK_BYTES;

/// What to put first into every batch: `RocksDB`'s count of the writes known to be on disk.
pub(crate) fn mark(durable: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    let (magic, number) = mark.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&durable.to_be_bytes());
    mark
}

/// What the audit found, if not a loss.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every byte is as it was written.
    Intact,
    /// From here on nothing was acknowledged as durable.
    Torn {
        /// The journal file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
    },
}

/// Reads all of the journal, some 64 MiB at most; changes nothing.
pub(crate) fn audit(path: &Path) -> Result<Verdict, OpenError> {
    let mut audit = Audit::default();
    for file in journal_files(path)? {
        audit.file = file;
        audit.read()?;
    }
    Ok(match audit.healed.or(audit.damage) {
        None => Verdict::Intact,
        Some(Place { file, offset }) => Verdict::Torn { file, offset },
    })
}

/// `000123.log` and so on, oldest first.
fn journal_files(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(OpenError::io(path))? {
        let file = entry.map_err(OpenError::io(path))?.path();
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| file.extension().is_some_and(|kind| kind == "log"))
        {
            files.push((number, file));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    offset: u64,
}

#[derive(Default)]
struct Audit {
    /// The file being read.
    file: PathBuf,
    /// The sequence number behind the last sound record before the damage.
    next: Option<u64>,
    /// The first damage that nothing has explained yet.
    damage: Option<Place>,
    /// A damage that the writer itself had left behind, after a failed write, to go on elsewhere.
    healed: Option<Place>,
    /// The record whose first fragment was read.
    open: Option<Head>,
}

/// The beginning of a record.
struct Head {
    offset: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    First,
    Middle,
    Last,
    /// Not a batch: the writer's notes about the file.
    Note,
}

struct Fragment<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl Audit {
    fn read(&mut self) -> Result<(), OpenError> {
        let mut file = File::open(&self.file).map_err(OpenError::io(&self.file))?;
        let (mut block, mut offset) = (vec![0; BLOCK_BYTES], 0);
        loop {
            let length = fill(&mut file, &mut block).map_err(OpenError::io(&self.file))?;
            self.block(block.get(..length).unwrap_or_default(), offset)?;
            offset += as_u64(length);
            if length < BLOCK_BYTES {
                break;
            }
        }
        if let Some(head) = self.open.take() {
            self.damaged(head.offset);
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], offset: u64) -> Result<(), OpenError> {
        let mut at = 0;
        while let Some(rest) = block.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
            let here = offset + as_u64(at);
            if let Some(fragment) = fragment(rest) {
                self.accept(&fragment, here)?;
                at += HEADER_BYTES + fragment.payload.len();
            } else {
                self.damaged(here);
                match resume(block, at + 1) {
                    Some(next) => at = next,
                    None => return Ok(()),
                }
            }
        }
        // Only whole blocks are padded.
        if block.len() < BLOCK_BYTES && at < block.len() {
            self.damaged(offset + as_u64(at));
        }
        Ok(())
    }

    fn accept(&mut self, fragment: &Fragment<'_>, offset: u64) -> Result<(), OpenError> {
        match (fragment.kind, self.open.take()) {
            (Kind::Note, open) => self.open = open,
            (Kind::Full | Kind::First, open) => {
                if let Some(unfinished) = open {
                    self.damaged(unfinished.offset);
                }
                let head = Head::new(offset, fragment.payload);
                if fragment.kind == Kind::First {
                    self.open = Some(head);
                } else {
                    self.record(&head)?;
                }
            }
            (Kind::Middle | Kind::Last, None) => self.damaged(offset),
            (Kind::Middle | Kind::Last, Some(mut head)) => {
                head.extend(fragment.payload);
                if fragment.kind == Kind::Middle {
                    self.open = Some(head);
                } else {
                    self.record(&head)?;
                }
            }
        }
        Ok(())
    }

    fn damaged(&mut self, offset: u64) {
        self.open = None;
        self.damage.get_or_insert_with(|| Place {
            file: self.file.clone(),
            offset,
        });
    }

    /// Takes note of a sound record, and of what it says about a damage before it.
    fn record(&mut self, head: &Head) -> Result<(), OpenError> {
        let Some(batch) = head.batch() else {
            self.damaged(head.offset);
            return Ok(());
        };
        let Some(damage) = &self.damage else {
            self.next = Some(batch.next());
            return Ok(());
        };
        let follows = self.next.is_some_and(|next| batch.sequence <= next);
        if follows && damage.file != self.file {
            // Nothing is missing in between: the damaged write had failed and was given up.
            self.healed = self.damage.take();
            self.next = Some(batch.next());
            return Ok(());
        }
        let lost = match (self.next, batch.durable) {
            (Some(next), Some(durable)) => follows || durable >= next,
            _ => true,
        };
        if lost { Err(loss(damage)) } else { Ok(()) }
    }
}

fn loss(damage: &Place) -> OpenError {
    let (file, offset) = (damage.file.display(), damage.offset);
    OpenError::Damaged {
        what: format!("{file} does not hold at byte {offset} what was written and acknowledged"),
    }
}

struct Batch {
    sequence: u64,
    count: u32,
    durable: Option<u64>,
}

impl Batch {
    fn next(&self) -> u64 {
        self.sequence.saturating_add(u64::from(self.count))
    }
}

impl Head {
    fn new(offset: u64, payload: &[u8]) -> Self {
        let mut head = Self {
            offset,
            bytes: Vec::with_capacity(HEAD_BYTES),
        };
        head.extend(payload);
        head
    }

    fn extend(&mut self, payload: &[u8]) {
        let room = HEAD_BYTES - self.bytes.len();
        self.bytes.extend(payload.iter().take(room));
    }

    fn batch(&self) -> Option<Batch> {
        let (sequence, rest) = self.bytes.split_first_chunk::<8>()?;
        let (count, entries) = rest.split_first_chunk::<4>()?;
        Some(Batch {
            sequence: u64::from_le_bytes(*sequence),
            count: u32::from_le_bytes(*count),
            durable: read_mark(entries),
        })
    }
}

/// The mark, if it is the first entry of a batch.
fn read_mark(entries: &[u8]) -> Option<u64> {
    let (kind, rest) = entries.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (magic, rest) = rest.split_first_chunk::<{ MAGIC.len() }>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    let ours = *kind == LOG_DATA && usize::from(*length) == MARK_BYTES && magic == MAGIC;
    ours.then(|| u64::from_be_bytes(*number))
}

/// The fragment at the start of `bytes`, if it is sound.
fn fragment(bytes: &[u8]) -> Option<Fragment<'_>> {
    let (checksum, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let typed = rest.get(..=length)?;
    let (kind, payload) = typed.split_first()?;
    let kind = match kind {
        0 => return None,
        1 => Kind::Full,
        2 => Kind::First,
        3 => Kind::Middle,
        4 => Kind::Last,
        _ => Kind::Note,
    };
    let sound = mask(crc32c::crc32c(typed)) == u32::from_le_bytes(*checksum);
    sound.then_some(Fragment { kind, payload })
}

/// How checksums are stored: rotated, so that a checksum of checksums is worth something.
fn mask(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Where behind a damage the next record of ours begins. Its length cannot be trusted, so every
/// byte is tried; the mark keeps stored rows that look like records from being taken for one.
fn resume(block: &[u8], from: usize) -> Option<usize> {
    (from..block.len()).find(|at| {
        let rest = block.get(*at..).unwrap_or_default();
        let entries = rest.get(HEADER_BYTES + BATCH_BYTES..).unwrap_or_default();
        read_mark(entries).is_some()
            && fragment(rest).is_some_and(|found| matches!(found.kind, Kind::Full | Kind::First))
    })
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Where in a journal file the first record begins that is behind `durable`.
#[cfg(test)]
pub(crate) fn end_of(file: &Path, durable: u64) -> Option<u64> {
    let bytes = fs::read(file).unwrap();
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        let mut at = 0;
        while let Some(found) = block.get(at..).and_then(fragment) {
            let offset = as_u64(number * BLOCK_BYTES + at);
            let begins = matches!(found.kind, Kind::Full | Kind::First);
            let batch = Head::new(offset, found.payload).batch();
            if begins && batch.is_some_and(|batch| batch.sequence > durable) {
                return Some(offset);
            }
            at += HEADER_BYTES + found.payload.len();
        }
    }
    None
}
