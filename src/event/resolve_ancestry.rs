//! Which events of a difference are in the auth chain of some unconflicted event after all.
//!
//! The auth difference is about whole states: an event that an unconflicted entry's auth chain has
//! is in every chain, and must not be replayed. It exists so that this is found out without
//! reading the auth chains of all entries of a large room: it asks upwards, which state events
//! cite this one, and stops at the first that the state holds. It knows nothing of what events
//! say.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::EventHash;
use crate::resolve::Wanted;
use crate::resolve_gathered::{Gathered, Lack};
use crate::resolve_walk::may_be_cited;

/// Which citers to tell next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CitersOf {
    /// The event that is cited.
    pub cited: EventHash,
    /// The `next` of the page before; `None` at first.
    pub after: Option<u64>,
}

/// State events that have an event among their `auth_events`, the newest first: any number per
/// page, some dozens being a good one. Rejected events may be left out, others not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CitersPage {
    /// The citing events.
    pub citers: Vec<EventHash>,
    /// What to ask the next page by, in whatever way storage counts; `None` after the last.
    pub next: Option<u64>,
}

#[derive(Debug, Default)]
struct Cited {
    citers: Vec<EventHash>,
    next: Next,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    #[default]
    First,
    After(u64),
    Exhausted,
}

/// A search in progress.
#[derive(Debug)]
pub(crate) struct Search {
    /// The candidates, with their auth events.
    difference: BTreeMap<EventHash, Vec<EventHash>>,
    events: BTreeMap<EventHash, Cited>,
    citers: usize,
}

impl Search {
    pub(crate) fn new(difference: BTreeMap<EventHash, Vec<EventHash>>) -> Self {
        let events = difference
            .keys()
            .map(|hash| (*hash, Cited::default()))
            .collect();
        Self {
            difference,
            events,
            citers: 0,
        }
    }

    /// How many citers were told.
    pub(crate) const fn citers(&self) -> usize {
        self.citers
    }

    /// Whether a page that was asked for has not come.
    pub(crate) fn awaits(&self, asked: &CitersOf) -> bool {
        let expected = asked.after.map_or(Next::First, Next::After);
        self.events
            .get(&asked.cited)
            .is_none_or(|cited| cited.next == expected)
    }

    /// Takes a page that [`Self::advance`] asked for.
    pub(crate) fn feed(&mut self, cited: EventHash, page: CitersPage) {
        self.citers = self.citers.saturating_add(page.citers.len());
        for citer in &page.citers {
            self.events.entry(*citer).or_default();
        }
        let entry = self.events.entry(cited).or_default();
        entry.citers.extend(page.citers);
        entry.next = page.next.map_or(Next::Exhausted, Next::After);
    }

    /// What is wanted next: pages of citers, what these are, and entries of the unconflicted
    /// state. Nothing once all is decided.
    pub(crate) fn advance(&self, gathered: &Gathered) -> Wanted {
        let common = self.reached(gathered);
        let mut wanted = Wanted::default();
        for hash in self.open(&common) {
            match gathered.holds(hash) {
                Err(Lack::Edges) => wanted.edges.push(hash),
                Err(Lack::Entry(key)) => wanted.entries.push(key),
                Ok(_) => wanted.citers.extend(self.next_page(hash, gathered)),
            }
        }
        wanted.entries.sort();
        wanted.entries.dedup();
        wanted
    }

    fn next_page(&self, cited: EventHash, gathered: &Gathered) -> Option<CitersOf> {
        gathered.key(cited).filter(|key| may_be_cited(key))?;
        match self.events.get(&cited)?.next {
            Next::First => Some(CitersOf { cited, after: None }),
            Next::After(after) => Some(CitersOf {
                cited,
                after: Some(after),
            }),
            Next::Exhausted => None,
        }
    }

    /// The difference without what is in every chain, once [`Self::advance`] wants nothing.
    pub(crate) fn finish(self, gathered: &Gathered) -> BTreeSet<EventHash> {
        let common = self.reached(gathered);
        self.difference
            .into_keys()
            .filter(|hash| !common.contains(hash))
            .collect()
    }

    /// What is known to be cited, at first or second hand, by an unconflicted event.
    fn reached(&self, gathered: &Gathered) -> BTreeSet<EventHash> {
        let mut cites: BTreeMap<EventHash, Vec<EventHash>> = self.difference.clone();
        for (cited, entry) in &self.events {
            for citer in &entry.citers {
                cites.entry(*citer).or_default().push(*cited);
            }
        }
        let held = self
            .events
            .keys()
            .copied()
            .filter(|hash| gathered.holds(*hash).unwrap_or(false));
        let mut open: Vec<EventHash> = held.collect();
        let mut reached = BTreeSet::new();
        while let Some(hash) = open.pop() {
            for cited in cites.get(&hash).into_iter().flatten() {
                if reached.insert(*cited) {
                    open.push(*cited);
                }
            }
        }
        reached
    }

    /// The undecided events of the difference, and what might still decide them from above.
    fn open(&self, common: &BTreeSet<EventHash>) -> BTreeSet<EventHash> {
        let undecided = self
            .difference
            .keys()
            .filter(|hash| !common.contains(hash))
            .copied();
        let mut found: BTreeSet<EventHash> = undecided.collect();
        let mut open: Vec<_> = found.iter().copied().collect();
        while let Some(hash) = open.pop() {
            for citer in self
                .events
                .get(&hash)
                .into_iter()
                .flat_map(|entry| &entry.citers)
            {
                if found.insert(*citer) {
                    open.push(*citer);
                }
            }
        }
        found
    }
}
