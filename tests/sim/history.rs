//! What was asked and what was answered, in the order in which it happened.
//!
//! It exists so that checkers compare what clients were told with what the database holds. It
//! knows nothing of the server.

use std::sync::MutexGuard;

use belfry_env::Clock;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::act::Act;
use crate::door::{Answer, Told};
use crate::shared::Shared;
use crate::trace::Trace;

/// One thing that a client did, with every time that it asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    /// What events that come of it carry, and no others.
    pub(crate) mark: String,
    pub(crate) user: OwnedUserId,
    pub(crate) act: Act,
    pub(crate) asks: Vec<Ask>,
}

/// One time that a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// When, counted in moments of the history.
    pub(crate) began: u64,
    /// What the wall clock showed.
    pub(crate) wall_ms: u64,
    /// When the answer came, and which; `None` while the client waits.
    pub(crate) ended: Option<(u64, Answer)>,
}

impl Op {
    /// The answers that came, with the moment of each.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (u64, &Answer)> {
        let ended = self.asks.iter().filter_map(|ask| ask.ended.as_ref());
        ended.map(|(moment, answer)| (*moment, answer))
    }

    /// The events that the client was told of.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u64, &OwnedEventId)> {
        self.answers().filter_map(|(moment, answer)| match answer {
            Answer::Done(Told::Event(event)) => Some((moment, event)),
            _ => None,
        })
    }

    /// The room that the client was told it created.
    pub(crate) fn created(&self) -> Option<&OwnedRoomId> {
        self.answers().find_map(|(_, answer)| match answer {
            Answer::Done(Told::Room(room)) => Some(room),
            _ => None,
        })
    }

    /// Asks that may have led to something.
    pub(crate) fn possible(&self) -> usize {
        let no = |ask: &&Ask| ask.ended.as_ref().is_none_or(|(_, answer)| !answer.is_no());
        self.asks.iter().filter(no).count()
    }
}

/// A step of the wall clock: what it showed before and after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) moment: u64,
    pub(crate) before_ms: u64,
    pub(crate) after_ms: u64,
}

/// All that happened outside of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) ops: Vec<Op>,
    pub(crate) steps: Vec<Step>,
    moment: u64,
}

impl History {
    fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

/// Writes the history. Cheap to clone; clones write the same.
#[derive(Clone)]
pub(crate) struct Diary {
    history: Shared<History>,
    clock: Clock,
    trace: Trace,
}

impl Diary {
    /// Nothing has happened yet.
    pub(crate) fn new(clock: &Clock, trace: &Trace) -> Self {
        Self {
            history: Shared::default(),
            clock: clock.clone(),
            trace: trace.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock()
    }

    /// A client is about to do something; the number to speak of it.
    pub(crate) fn begin(&self, mark: String, user: OwnedUserId, act: Act) -> usize {
        self.trace
            .note(format_args!("{mark} {user} {}", act.describe()));
        let mut history = self.lock();
        let asks = Vec::new();
        history.ops.push(Op {
            mark,
            user,
            act,
            asks,
        });
        history.ops.len() - 1
    }

    /// A client asks; the number of the ask.
    pub(crate) fn ask(&self, op: usize) -> usize {
        let mut history = self.lock();
        let ask = Ask {
            began: history.moment(),
            wall_ms: self.clock.wall_ms(),
            ended: None,
        };
        let asks = &mut history.ops[op].asks;
        asks.push(ask);
        asks.len() - 1
    }

    /// A client learns what came of it.
    pub(crate) fn told(&self, op: usize, ask: usize, answer: &Answer) {
        let mut history = self.lock();
        let moment = history.moment();
        history.ops[op].asks[ask].ended = Some((moment, answer.clone()));
        let mark = &history.ops[op].mark;
        self.trace.note(format_args!("{mark}.{ask} -> {answer:?}"));
    }

    /// The wall clock was set.
    pub(crate) fn stepped(&self, before_ms: u64, after_ms: u64) {
        let mut history = self.lock();
        let moment = history.moment();
        history.steps.push(Step {
            moment,
            before_ms,
            after_ms,
        });
    }

    /// All so far.
    pub(crate) fn read(&self) -> History {
        self.lock().clone()
    }

    /// The acts of a client whose outcome may be found out by asking again.
    pub(crate) fn unsettled(&self, mine: &str) -> Vec<(usize, String, Act)> {
        let history = self.lock();
        let of_mine = history.ops.iter().enumerate();
        let of_mine = of_mine.filter(|(_, op)| op.mark.starts_with(mine) && op.act.has_txn());
        let unsettled =
            of_mine.filter(|(_, op)| !op.answers().any(|(_, answer)| answer.is_final()));
        unsettled
            .map(|(number, op)| (number, op.mark.clone(), op.act.clone()))
            .collect()
    }
}
