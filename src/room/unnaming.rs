//! What an alias that is gone leaves in its room's state (Client-Server API, `DELETE
//! /directory/room/{roomAlias}`).
//!
//! It exists so that a room does not go on to be called by a name that leads nowhere. It knows
//! nothing of who may remove an alias.

use belfry_policy::{Account, Rules};
use ruma_common::{RoomAliasId, RoomId};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::RoomError;
use crate::job::Append;
use crate::rooms::Rooms;

const CANONICAL_ALIAS: &str = "m.room.canonical_alias";

impl Rooms {
    /// Takes the alias from the room's canonical alias event, for whoever may send another one;
    /// left as it is for others.
    pub(crate) async fn unname(
        &self,
        rules: &Rules,
        account: Account<'_>,
        alias: &RoomAliasId,
        room_id: &RoomId,
    ) -> Result<(), RoomError> {
        let found = self.settings(room_id, &[(CANONICAL_ALIAS, "")]).await?;
        let Some(content) = found.into_iter().flatten().next().map(|it| it.content) else {
            return Ok(());
        };
        let Some(content) = without(content, alias.as_str()) else {
            return Ok(());
        };
        let content =
            to_raw_value(&content).map_err(|error| RoomError::BadContent(error.to_string()))?;
        let append = Append {
            sender: account.id.to_owned(),
            change: Change::State {
                kind: CANONICAL_ALIAS.into(),
                state_key: String::new(),
                content,
            },
            txn: None,
            timestamp_ms: None,
        };
        match self.append_as(rules, account, room_id, append).await {
            Ok(_) => Ok(()),
            // The alias is gone; whether the room may be told is another question.
            Err(error) => {
                tracing::info!(%room_id, %error, "a room is still called by an alias that is gone");
                Ok(())
            }
        }
    }
}

/// The content without the alias; `None` if it does not name it.
fn without(mut content: Map<String, Value>, alias: &str) -> Option<Map<String, Value>> {
    let is_main = content.get("alias").and_then(Value::as_str) == Some(alias);
    if is_main {
        content.remove("alias");
    }
    let others = content.get_mut("alt_aliases").and_then(Value::as_array_mut);
    let is_other = others.is_some_and(|others| {
        let before = others.len();
        others.retain(|other| other.as_str() != Some(alias));
        others.len() < before
    });
    (is_main || is_other).then_some(content)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn left(content: Value) -> Option<Value> {
        let Value::Object(content) = content else {
            panic!("no object")
        };
        without(content, "#a:x").map(Value::Object)
    }

    #[test]
    fn the_alias_goes_and_everything_else_stays() {
        let content = json!({"alias": "#a:x", "alt_aliases": ["#b:x", "#a:x"], "org.own": 1});
        assert_eq!(
            left(content),
            Some(json!({"alt_aliases": ["#b:x"], "org.own": 1}))
        );
        for unconcerned in [json!({}), json!({"alias": "#b:x", "alt_aliases": "#a:x"})] {
            assert_eq!(left(unconcerned), None);
        }
    }
}
