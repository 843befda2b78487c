//! Which faults are in the air: the fate of each commit and each read.
//!
//! It exists so that faults come in spells, as they do, and stop for good, so that what must then
//! come to an end can be waited for. It knows nothing of crashes and of the network.

use std::collections::BTreeMap;
use std::time::Duration;

use belfry_data::Unavailable;
use belfry_env::Clock;
use belfry_kv::Fault;

use crate::dice::Dice;
use crate::shared::Shared;
use crate::signal::Signal;
use crate::trace::Trace;

/// How often what happens, in a thousand.
#[derive(Debug)]
struct Spell {
    name: &'static str,
    /// Commits answered Conflict.
    conflicts: u64,
    /// Commits answered Unknown and applied.
    applied: u64,
    /// Commits answered Unknown and not applied.
    lost: u64,
    /// Commits answered that the disk is full.
    full: u64,
    /// Commits answered that the engine is busy.
    busy: u64,
    /// Commits answered that a write failed.
    failed: u64,
    /// Reads that fail.
    unreadable: u64,
    /// Reads that take long, a few of them longer than a snapshot lives.
    slow: u64,
}

const CALM: Spell = Spell {
    name: "calm",
    conflicts: 0,
    applied: 0,
    lost: 0,
    full: 0,
    busy: 0,
    failed: 0,
    unreadable: 0,
    slow: 0,
};

/// What a storm is made of.
static SPELLS: [Spell; 8] = [
    CALM,
    Spell {
        name: "conflicts",
        conflicts: 300,
        ..CALM
    },
    Spell {
        name: "unknown outcomes",
        applied: 150,
        lost: 150,
        ..CALM
    },
    Spell {
        name: "disk full",
        full: 1_000,
        ..CALM
    },
    Spell {
        name: "failing writes",
        busy: 200,
        failed: 200,
        ..CALM
    },
    Spell {
        name: "failing reads",
        unreadable: 60,
        ..CALM
    },
    Spell {
        name: "slow reads",
        slow: 150,
        ..CALM
    },
    Spell {
        name: "everything",
        conflicts: 60,
        applied: 60,
        lost: 60,
        full: 20,
        busy: 20,
        failed: 20,
        unreadable: 20,
        slow: 60,
    },
];

/// What happens to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadFate {
    /// Nothing.
    Prompt,
    /// It takes as long.
    Slow(Duration),
    /// It fails.
    Fails,
}

/// The faults in the air. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Weather {
    state: Shared<State>,
    dice: Dice,
    peace: Signal<bool>,
}

struct State {
    spell: &'static Spell,
    happened: BTreeMap<&'static str, u64>,
}

impl Weather {
    /// Calm for now.
    pub(crate) fn new(dice: Dice) -> Self {
        let state = State {
            spell: &SPELLS[0],
            happened: BTreeMap::new(),
        };
        Self {
            state: Shared::new(state),
            dice,
            peace: Signal::default(),
        }
    }

    /// What happens to the next commit.
    pub(crate) fn commit_fate(&self) -> Fault {
        let mut state = self.state.lock();
        let spell = state.spell;
        let unharmed = 1_000
            - [spell.conflicts, spell.applied, spell.lost]
                .iter()
                .sum::<u64>()
            - [spell.full, spell.busy, spell.failed].iter().sum::<u64>();
        let (name, fault) = match self.dice.weighted(&[
            (unharmed, 0),
            (spell.conflicts, 1),
            (spell.applied, 2),
            (spell.lost, 3),
            (spell.full, 4),
            (spell.busy, 5),
            (spell.failed, 6),
        ]) {
            0 => return Fault::None,
            1 => ("fault: conflict", Fault::Conflict),
            2 => ("fault: unknown, applied", Fault::UnknownApplied),
            3 => ("fault: unknown, lost", Fault::UnknownLost),
            4 => (
                "fault: disk full",
                Fault::Unavailable(Unavailable::DiskFull),
            ),
            5 => ("fault: busy", Fault::Unavailable(Unavailable::Busy)),
            _ => {
                let cause = Unavailable::Failed("a write was made to fail".to_owned());
                ("fault: failed write", Fault::Unavailable(cause))
            }
        };
        *state.happened.entry(name).or_default() += 1;
        fault
    }

    /// What happens to the next read.
    pub(crate) fn read_fate(&self) -> ReadFate {
        let mut state = self.state.lock();
        let (unreadable, slow) = (state.spell.unreadable, state.spell.slow);
        let prompt = 1_000 - unreadable - slow;
        let (name, fate) = match self
            .dice
            .weighted(&[(prompt, 0), (unreadable, 1), (slow, 2)])
        {
            0 => return ReadFate::Prompt,
            1 => ("fault: failed read", ReadFate::Fails),
            _ if self.dice.chance(100) => (
                "fault: read slower than a snapshot lives",
                ReadFate::Slow(Duration::from_millis(5_500)),
            ),
            _ => (
                "fault: slow read",
                ReadFate::Slow(self.dice.pause(1, 1_500)),
            ),
        };
        *state.happened.entry(name).or_default() += 1;
        fate
    }

    /// Lets spells come and go for `storm`, then makes peace.
    pub(crate) async fn blow(self, storm: Duration, clock: Clock, trace: Trace) {
        let end = clock.now() + storm;
        while clock.now() < end {
            let spell = self.dice.pick(&SPELLS);
            trace.note(format_args!("weather: {}", spell.name));
            self.state.lock().spell = spell;
            let lasts = self.dice.pause(200, 8_000);
            clock.sleep(lasts.min(end.since(clock.now()))).await;
        }
        self.state.lock().spell = &SPELLS[0];
        trace.note("weather: calm for good");
        self.peace.set(true);
    }

    /// Whether no fault will come any more.
    pub(crate) fn is_peaceful(&self) -> bool {
        self.peace.get()
    }

    /// Returns once no fault will come any more.
    pub(crate) async fn peace(&self) {
        self.peace.until(|peace| peace).await;
    }

    /// How often which fault happened.
    pub(crate) fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().happened.clone()
    }
}
