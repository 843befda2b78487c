//! What a seed decides before the world begins.
//!
//! It exists so that the shape of a run can be read, and changed by a test, before anything
//! happens. It knows nothing of how the shape is brought about.

use std::time::Duration;

use crate::dice::Dice;

/// The moment, relative to a commit, at which a life of the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// The power fails as the commit is made: the engine never gets it.
    Before,
    /// The power fails once the commit is queued and before it is synced: a prefix of what is
    /// queued survives.
    Queued,
    /// The power fails once the commit is durable and before anybody learns of it.
    Synced,
    /// The disk fails while it syncs the commit: no later commit succeeds, until the server is
    /// restarted and finds a prefix of what was queued.
    Wedged,
    /// The server is stopped in good order.
    Orderly,
}

impl Point {
    /// Every one.
    pub(crate) const ALL: [Self; 5] = [
        Self::Before,
        Self::Queued,
        Self::Synced,
        Self::Wedged,
        Self::Orderly,
    ];
}

/// The end of one life of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doom {
    /// Which commit of this life it comes with, from 1.
    pub(crate) commit: u64,
    /// If so many commits were not made by then, it comes all the same.
    pub(crate) within: Duration,
    /// At what moment.
    pub(crate) point: Point,
    /// How long the server is gone.
    pub(crate) downtime: Duration,
}

/// A step of the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jump {
    /// How long after the last one, or the start.
    pub(crate) after: Duration,
    /// By how much; back if negative.
    pub(crate) by_ms: i64,
}

/// The shape of one run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Everything else follows from it.
    pub(crate) seed: u64,
    /// Devices, each of which does one thing after the other. Some users have two.
    pub(crate) devices: u64,
    /// Users.
    pub(crate) users: u64,
    /// Things that a device does.
    pub(crate) acts: u64,
    /// Rooms that are created, if all goes well.
    pub(crate) rooms: usize,
    /// Longest pause of a device between two things, milliseconds.
    pub(crate) think_ms: u64,
    /// How long the disk takes to sync, shortest and longest, milliseconds.
    pub(crate) sync_ms: (u64, u64),
    /// Syncs in a thousand that take seconds.
    pub(crate) stalls: u64,
    /// Longest way of a message through the network, milliseconds.
    pub(crate) network_ms: u64,
    /// Requests, and answers, in a thousand that are lost.
    pub(crate) losses: u64,
    /// How long faults come and go.
    pub(crate) storm: Duration,
    /// The ends of the server's lives but the last.
    pub(crate) dooms: Vec<Doom>,
    /// The steps of the wall clock.
    pub(crate) jumps: Vec<Jump>,
    /// Whether clients come over HTTP.
    pub(crate) router: bool,
}

/// Furthest that a clock jumps ahead in a plan with crashes. A server that comes back cannot tell a
/// jump from a long stop, and transactions end after a day: two jumps together are less than that.
const JUMP_BEFORE_CRASH_MAX_MS: i64 = 8 * 3_600 * 1_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// How fast disks are.
const DISKS: [(u64, u64); 4] = [(0, 1), (1, 12), (5, 60), (20, 250)];

impl Plan {
    /// The run of a seed: one in eight is fair weather throughout, every third goes over HTTP.
    pub(crate) fn of(seed: u64) -> Self {
        let dice = Dice::seeded(seed);
        let users = dice.between(2, 5);
        let mut plan = Self {
            seed,
            devices: users + dice.between(0, 2),
            users,
            acts: dice.between(8, 40),
            rooms: usize::try_from(dice.between(1, 4)).expect("a few"),
            think_ms: *dice.pick(&[10, 300, 2_000]),
            sync_ms: *dice.pick(&DISKS),
            stalls: 0,
            network_ms: *dice.pick(&[1, 40, 400]),
            losses: 0,
            storm: Duration::ZERO,
            dooms: Vec::new(),
            jumps: Vec::new(),
            // Not drawn, and not all in one of the shares that the seeds are run in.
            router: seed / 4 % 3 == 2,
        };
        if !dice.chance(125) {
            plan.stalls = *dice.pick(&[0, 10, 60]);
            plan.losses = *dice.pick(&[0, 30, 150]);
            plan.storm = dice.pause(3_000, 60_000);
            let dooms = 0..dice.between(0, 4);
            plan.dooms = dooms.map(|_| doom(&dice)).collect();
        }
        let jumps = 0..dice.between(0, 2);
        plan.jumps = jumps.map(|_| jump(&dice)).collect();
        if !plan.dooms.is_empty() {
            for jump in &mut plan.jumps {
                jump.by_ms = jump.by_ms.min(JUMP_BEFORE_CRASH_MAX_MS);
            }
        }
        plan
    }

    /// Whether nothing fails on its own.
    pub(crate) fn is_calm(&self) -> bool {
        self.storm.is_zero() && self.dooms.is_empty() && self.losses == 0 && self.stalls == 0
    }
}

fn doom(dice: &Dice) -> Doom {
    let commit = if dice.chance(300) {
        dice.between(1, 4)
    } else {
        dice.between(3, 40)
    };
    Doom {
        commit,
        within: dice.pause(1_000, 30_000),
        point: *dice.pick(&Point::ALL),
        downtime: dice.pause(0, *dice.pick(&[10, 500, 10_000])),
    }
}

fn jump(dice: &Dice) -> Jump {
    let by_ms = *dice.pick(&[3_652 * DAY_MS, -DAY_MS, 5_000, -5_000, -3_652 * DAY_MS]);
    Jump {
        after: dice.pause(500, 20_000),
        by_ms,
    }
}
