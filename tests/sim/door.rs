//! A client's way to its server, and what it learns there.
//!
//! It exists so that requests and answers are delayed and lost on the way, and so that what a
//! client learns has the same words whatever the server's front is. It knows nothing of who asks
//! why, and of what a right answer is.

use belfry_env::Clock;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId};
use tokio::select;

use crate::act::Act;
use crate::dice::Dice;
use crate::server::{Life, Server};
use crate::weather::Weather;

/// What a client learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is done, and durable.
    Done(Told),
    /// It is not done, and asking again would not help.
    Refused(Refusal),
    /// It is not done; ask again.
    Later(String),
    /// The server does not know; ask again.
    Unsure,
    /// The server was not reached: it is not done.
    Unreached,
    /// No answer came.
    Silence,
    /// Something that cannot be.
    Broken(String),
}

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The room that was created.
    Room(OwnedRoomId),
    /// The event that was sent.
    Event(OwnedEventId),
    /// That it is so, without the event that says it.
    Nothing,
}

/// Why something is not to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether it is the room that does not allow it.
    pub(crate) forbidden: bool,
    pub(crate) text: String,
}

impl Answer {
    /// Whether nothing was done by the request that this answers, for sure.
    pub(crate) fn is_no(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Later(_) | Self::Unreached)
    }

    /// Whether there is nothing left to ask.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Refused(_) | Self::Broken(_))
    }
}

/// The network between a client and its server.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) longest_ms: u64,
    pub(crate) losses: u64,
    pub(crate) weather: Weather,
}

impl Link {
    /// One way of one message; whether it arrives.
    async fn carry(&self) -> bool {
        self.clock.sleep(self.dice.pause(0, self.longest_ms)).await;
        !self.dice.chance(self.losses) || self.weather.is_peaceful()
    }
}

/// One device of a user, at the door of its server.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) server: Server,
    pub(crate) user: OwnedUserId,
    pub(crate) device: String,
    pub(crate) link: Link,
}

impl Door {
    /// Asks for it; `mark` is what its events carry.
    pub(crate) async fn ask(&self, act: &Act, mark: &str) -> Answer {
        if !self.link.carry().await {
            return self.silence().await;
        }
        let Some(Life { front, disk, .. }) = self.server.life() else {
            return Answer::Unreached;
        };
        let answer = select! { biased;
            () = disk.died() => return self.silence().await,
            answer = front.ask(&self.user, &self.device, act, mark) => answer,
        };
        if !self.link.carry().await {
            return self.silence().await;
        }
        answer
    }

    /// Nothing comes, which the client notices after a while.
    async fn silence(&self) -> Answer {
        let pause = self.link.dice.pause(100, 5_000);
        self.link.clock.sleep(pause).await;
        Answer::Silence
    }
}
