//! Reactions that were there before (Client-Server API, "Annotations": nobody annotates an event
//! twice with the same key).
//!
//! It exists so that the room's worker, which alone knows what it has planned, refuses them. It
//! knows nothing of reactions of other servers, which are taken as they come.

use std::collections::BTreeMap;

use belfry_data::{Direction, RoomReader, TimelinePoint};
use belfry_event::EventHash;
use ruma_common::{OwnedEventId, OwnedUserId, UserId};
use serde::Deserialize;

use crate::change::Change;
use crate::desk::Desk;
use crate::error::RoomError;

const ANNOTATION: &str = "m.annotation";
/// Annotations of one event looked through for one that is the same.
const LOOKED_AT_MAX: usize = 5_000;
/// Annotations read at once.
const PAGE: usize = 500;
/// Annotations planned that a desk remembers.
pub(crate) const REMEMBERED_MAX: usize = 1_024;

/// What makes two annotations the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Annotation {
    sender: OwnedUserId,
    kind: String,
    target: OwnedEventId,
    key: String,
}

/// Annotations that may not be in the database yet.
pub(crate) type Planned = BTreeMap<Annotation, EventHash>;

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "m.relates_to")]
    relates_to: Relation,
}

#[derive(Deserialize)]
struct Relation {
    rel_type: String,
    event_id: OwnedEventId,
    key: String,
}

impl Annotation {
    /// The annotation that the change would be, if it is one.
    pub(crate) fn of(sender: &UserId, change: &Change) -> Option<Self> {
        let Change::Message { kind, content } = change else {
            return None;
        };
        Self::read(sender, kind.to_string(), content.get())
    }

    fn read(sender: &UserId, kind: String, content: &str) -> Option<Self> {
        if !content.contains(ANNOTATION) {
            return None;
        }
        let relation = serde_json::from_str::<Content>(content).ok()?.relates_to;
        (relation.rel_type == ANNOTATION).then(|| Self {
            sender: sender.to_owned(),
            kind,
            target: relation.event_id,
            key: relation.key,
        })
    }

    /// Whether the room has it already, and it was not redacted.
    pub(crate) async fn is_there(
        &self,
        desk: &Desk,
        reader: &RoomReader<'_>,
    ) -> Result<bool, RoomError> {
        if let Some(planned) = desk.annotations.get(self) {
            let stored = reader.event(*planned).await?;
            return Ok(stored.is_none_or(|stored| stored.row.redacted_by.is_none()));
        }
        let Ok(target) = EventHash::from_event_id(&self.target, desk.rules.alphabet()) else {
            return Ok(false);
        };
        let asked = [(target, Some(ANNOTATION), Some(&*self.sender))];
        let own = reader
            .relation_counts(&asked)
            .await?
            .into_iter()
            .sum::<i64>();
        if own <= 0 {
            return Ok(false);
        }
        self.look_for(desk, reader, target).await
    }

    async fn look_for(
        &self,
        desk: &Desk,
        reader: &RoomReader<'_>,
        target: EventHash,
    ) -> Result<bool, RoomError> {
        let mut until = TimelinePoint::LAST;
        for _ in 0..LOOKED_AT_MAX / PAGE {
            let between = (TimelinePoint::FIRST, until);
            let page = reader
                .relations(target, Some(ANNOTATION), between, Direction::Backward, PAGE)
                .await?;
            let named: Vec<_> = page.entries.iter().map(|(_, row)| row.event).collect();
            for stored in reader.events(&named).await?.into_iter().flatten() {
                if stored.row.redacted_by.is_some() {
                    continue;
                }
                let event = stored
                    .pdu(desk.rules)
                    .map_err(|error| RoomError::Fault(error.to_string()))?;
                let kind = event.event_type().to_string();
                let other = Self::read(event.sender(), kind, event.content_json());
                if other.as_ref() == Some(self) {
                    return Ok(true);
                }
            }
            match page.entries.last() {
                Some((last, _)) if page.more => until = before(*last),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// The last place before this one.
fn before(point: TimelinePoint) -> TimelinePoint {
    let mut stamp = point.stamp;
    stamp.ordinal = stamp.ordinal.saturating_sub(1);
    TimelinePoint {
        depth: point.depth,
        stamp,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::{Server, alice, append, bob, content};
    use crate::{Change, MemberAct, Preset, RoomError};

    fn react(target: &str, key: &str) -> Change {
        let relation = json!({"rel_type": "m.annotation", "event_id": target, "key": key});
        Change::Message {
            kind: "m.reaction".into(),
            content: content(&json!({"m.relates_to": relation})),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_reaction_is_refused_until_it_is_redacted() {
        let server = Server::new();
        let room = server.room(Preset::PublicChat).await;
        server
            .act(&room, bob(), bob(), MemberAct::Join)
            .await
            .unwrap();
        let said = server.say(&room, alice(), "said").await.unwrap().event_id;
        let send = async |sender, key| {
            let append = append(sender, react(said.as_str(), key));
            server.rooms.append(&room, append).await
        };
        let first = send(alice(), "+").await.unwrap();
        assert_eq!(
            send(alice(), "+").await,
            Err(RoomError::DuplicateAnnotation)
        );
        send(alice(), "-").await.unwrap();
        send(bob(), "+").await.unwrap();
        let redaction = Change::Redaction {
            redacts: first.event_id,
            content: content(&json!({})),
        };
        server
            .rooms
            .append(&room, append(alice(), redaction))
            .await
            .unwrap();
        send(alice(), "+").await.unwrap();
        assert_eq!(
            send(alice(), "+").await,
            Err(RoomError::DuplicateAnnotation)
        );
        server.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_at_once_one_is_sent() {
        let server = Server::new();
        let room = server.room(Preset::PublicChat).await;
        let said = server.say(&room, alice(), "said").await.unwrap().event_id;
        let all = (0..20).map(|_| {
            server
                .rooms
                .append(&room, append(alice(), react(said.as_str(), "+")))
        });
        let answers = crate::fixture::futures(all).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        server.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_server_knows_what_was_there() {
        let server = Server::new();
        let room = server.room(Preset::PublicChat).await;
        let said = server.say(&room, alice(), "said").await.unwrap().event_id;
        let reaction = || append(alice(), react(said.as_str(), "+"));
        server.rooms.append(&room, reaction()).await.unwrap();
        let engine = server.engine.clone();
        server.stop().await;
        let server = Server::on(engine);
        let again = server.rooms.append(&room, reaction()).await;
        assert_eq!(again, Err(RoomError::DuplicateAnnotation));
        server.stop().await;
    }
}
