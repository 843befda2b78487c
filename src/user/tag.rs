//! Tags of rooms (spec, "Room Tagging"): account data of the type `m.tag`, one room's in one piece.

use belfry_data::account::{self as rows, AccountDataRef, AccountDataRow, UserChange};
use belfry_policy::{Action, Denial};
use ruma_common::{RoomId, UserId};
use serde_json::{Map, Value};

use crate::{Requester, Users, account_data::ACCOUNT_DATA_BYTES_MAX, fault::Fault, store::Tries};

/// Longest name of a tag.
pub const TAG_BYTES_MAX: usize = 255;
/// Most tags of one room.
pub const TAGS_MAX: usize = 100;

const EVENT_TYPE: &str = "m.tag";

/// Why tags were not read or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Somebody else's.
    #[error("you can use your own tags only")]
    NotYours,
    /// Empty, or beyond [`TAG_BYTES_MAX`].
    #[error("a tag's name has 1 to {TAG_BYTES_MAX} bytes")]
    Name,
    /// Outside 0 to 1.
    #[error("a tag's order is a number from 0 to 1")]
    Order,
    /// Beyond [`TAGS_MAX`] or [`ACCOUNT_DATA_BYTES_MAX`].
    #[error("a room has at most {TAGS_MAX} tags; remove one of them first")]
    TooMany,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<belfry_data::ReadError> for TagError {
    fn from(error: belfry_data::ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The requester's tags of a room, each with its information.
    pub async fn tags(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: &RoomId,
    ) -> Result<Map<String, Value>, TagError> {
        self.allow(requester, Action::Read)?;
        if requester.user_id != user_id {
            return Err(TagError::NotYours);
        }
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::account_data(&*snapshot, user_id, room.as_str(), EVENT_TYPE).await?;
        Ok(take_tags(&mut parse(row)))
    }

    /// Sets a tag of the requester's, with its place among the rooms that have it.
    pub async fn set_tag(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: &RoomId,
        tag: &str,
        order: Option<f64>,
    ) -> Result<(), TagError> {
        let info = info(tag, order)?;
        self.edit_tag(requester, user_id, room, (tag, Some(info)))
            .await
    }

    /// Removes a tag of the requester's. One that is not there is removed already.
    pub async fn remove_tag(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: &RoomId,
        tag: &str,
    ) -> Result<(), TagError> {
        self.edit_tag(requester, user_id, room, (tag, None)).await
    }

    async fn edit_tag(
        &self,
        requester: &Requester,
        user_id: &UserId,
        room: &RoomId,
        (tag, info): (&str, Option<Value>),
    ) -> Result<(), TagError> {
        self.allow(requester, Action::ChangeSettings)?;
        if requester.user_id != user_id {
            return Err(TagError::NotYours);
        }
        self.put_tag(user_id, room, (tag, info)).await
    }

    /// Sets a tag or removes it; nobody is asked.
    pub(crate) async fn put_tag(
        &self,
        user_id: &UserId,
        room: &RoomId,
        (tag, info): (&str, Option<Value>),
    ) -> Result<(), TagError> {
        let at = AccountDataRef {
            room: room.as_str().into(),
            event_type: EVENT_TYPE.into(),
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(TagError::NotYours)?;
            let row = rows::account_data(&*snapshot, user_id, room.as_str(), EVENT_TYPE).await?;
            let Some(content) = with_tag(parse(row), tag, info.clone())? else {
                return Ok(());
            };
            let row = AccountDataRow {
                content: content.into(),
            };
            change
                .put_account_data(&*snapshot, at.clone(), &row)
                .await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}

/// What is stored of a tag.
fn info(tag: &str, order: Option<f64>) -> Result<Value, TagError> {
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
        return Err(TagError::Name);
    }
    let mut info = Map::new();
    if let Some(order) = order {
        if !(0.0..=1.0).contains(&order) {
            return Err(TagError::Order);
        }
        info.insert("order".to_owned(), order.into());
    }
    Ok(info.into())
}

/// The content with the tag or without it; `None` if that changes nothing.
fn with_tag(
    mut content: Map<String, Value>,
    tag: &str,
    info: Option<Value>,
) -> Result<Option<String>, TagError> {
    let mut tags = take_tags(&mut content);
    let before = tags.get(tag).cloned();
    if before == info {
        return Ok(None);
    }
    match info {
        Some(info) => drop(tags.insert(tag.to_owned(), info)),
        None => drop(tags.remove(tag)),
    }
    if tags.len() > TAGS_MAX {
        return Err(TagError::TooMany);
    }
    content.insert("tags".to_owned(), tags.into());
    let content = Value::Object(content).to_string();
    if content.len() > ACCOUNT_DATA_BYTES_MAX {
        return Err(TagError::TooMany);
    }
    Ok(Some(content))
}

/// What a client wrote there by another endpoint may be anything.
fn parse(row: Option<AccountDataRow>) -> Map<String, Value> {
    row.and_then(|row| serde_json::from_str(&row.content).ok())
        .unwrap_or_default()
}

fn take_tags(content: &mut Map<String, Value>) -> Map<String, Value> {
    match content.remove("tags") {
        Some(Value::Object(tags)) => tags,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_names_orders_and_a_number() {
        assert_eq!(info("", None), Err(TagError::Name));
        assert_eq!(info(&"t".repeat(256), None), Err(TagError::Name));
        for order in [-0.1, 1.1, 5.0, f64::NAN] {
            assert_eq!(info("u.a", Some(order)), Err(TagError::Order));
        }
        let mut content = Map::new();
        for number in 0..TAGS_MAX {
            let told = with_tag(
                content,
                &format!("u.{number}"),
                Some(Value::Object(Map::new())),
            );
            content = serde_json::from_str(&told.unwrap().unwrap()).unwrap();
        }
        let info = Some(Value::Object(Map::new()));
        assert_eq!(
            with_tag(content.clone(), "u.more", info.clone()),
            Err(TagError::TooMany)
        );
        assert_eq!(
            with_tag(content.clone(), "u.1", info),
            Ok(None),
            "it is there"
        );
        assert_eq!(
            with_tag(content, "u.more", None),
            Ok(None),
            "it is not there"
        );
    }
}
