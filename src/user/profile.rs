//! What users show of themselves: display name, avatar, and fields of their own (spec,
//! "Profiles").
//!
//! The profiles of this server's users only. Rooms show a new name or avatar by a flow that is begun
//! here.

use belfry_data::{
    FlowAct, ReadError,
    account::{self as rows, ProfileRow, UserChange},
};
use belfry_policy::{Action, Denial};
use ruma_common::UserId;
use serde_json::Value;

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Longest name of a field.
pub const FIELD_NAME_BYTES_MAX: usize = 255;

/// A whole profile as JSON, names and punctuation included.
pub const PROFILE_BYTES_MAX: usize = 64 * 1024;

/// The fields that member events show, too.
const SHOWN_IN_ROOMS: [&str; 2] = ["displayname", "avatar_url"];

/// Longest display name and avatar URI: every member event holds them.
pub const SHOWN_BYTES_MAX: usize = 1_024;

/// Why a profile was not read or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No such user, or no such field.
    #[error("there is no such profile or field")]
    NotFound,
    /// Somebody else's.
    #[error("you can change your own profile only")]
    NotYours,
    /// Outside the grammar of field names.
    #[error("use small letters, digits and . _ - in a field's name, a letter first")]
    InvalidName,
    /// Beyond [`FIELD_NAME_BYTES_MAX`].
    #[error("the field's name is longer than {FIELD_NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// A display name or avatar is no text, or beyond [`SHOWN_BYTES_MAX`].
    #[error("display names and avatars are texts of at most {SHOWN_BYTES_MAX} bytes")]
    NotShowable,
    /// Beyond [`PROFILE_BYTES_MAX`].
    #[error("the profile would be larger than {PROFILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for ProfileError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The whole profile of a user of this server. Empty if they show nothing.
    pub async fn profile(&self, user_id: &UserId) -> Result<Vec<(String, Value)>, ProfileError> {
        let snapshot = self.0.store.snapshot().await?;
        let user = rows::user(&*snapshot, user_id).await?;
        user.filter(|user| user.deactivated.is_none())
            .ok_or(ProfileError::NotFound)?;
        let row = rows::profile(&*snapshot, user_id)
            .await?
            .unwrap_or_default();
        row.fields
            .iter()
            .map(|(name, json)| Ok((name.to_string(), parse(json)?)))
            .collect()
    }

    /// One field of it.
    pub async fn profile_field(&self, user_id: &UserId, name: &str) -> Result<Value, ProfileError> {
        let fields = self.profile(user_id).await?;
        let found = fields.into_iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value).ok_or(ProfileError::NotFound)
    }

    /// Sets a field of the requester's own profile, or removes it. An empty display name or avatar
    /// is none.
    pub async fn set_profile_field(
        &self,
        requester: &Requester,
        user_id: &UserId,
        name: &str,
        value: Option<&Value>,
    ) -> Result<(), ProfileError> {
        self.allow(requester, Action::ChangeProfile)?;
        if requester.user_id != user_id {
            return Err(ProfileError::NotYours);
        }
        check_name(name)?;
        let value = if SHOWN_IN_ROOMS.contains(&name) {
            shown(value)?
        } else {
            value
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(ProfileError::NotFound)?;
            let row = rows::profile(&*snapshot, user_id)
                .await?
                .unwrap_or_default();
            let new = with_field(row.clone(), name, value)?;
            if SHOWN_IN_ROOMS.contains(&name) && new != row {
                let user = user_id.to_owned();
                change.start_flow(FlowAct::ShowProfile { user });
            }
            change.put_profile(&row, &new);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}

/// What is left of a display name or avatar: nothing, if it is empty or null.
fn shown(value: Option<&Value>) -> Result<Option<&Value>, ProfileError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() <= SHOWN_BYTES_MAX => Ok(value),
        Some(_) => Err(ProfileError::NotShowable),
    }
}

fn with_field(
    mut row: ProfileRow,
    name: &str,
    value: Option<&Value>,
) -> Result<ProfileRow, ProfileError> {
    row.fields.retain(|(field, _)| **field != *name);
    if let Some(value) = value {
        let at = row.fields.partition_point(|(field, _)| **field < *name);
        row.fields
            .insert(at, (name.into(), value.to_string().into()));
    }
    // Two quotes, a colon and a comma for each field.
    let field_bytes = |(name, json): &(Box<str>, Box<str>)| name.len() + json.len() + 4;
    if row.fields.iter().map(field_bytes).sum::<usize>() > PROFILE_BYTES_MAX {
        return Err(ProfileError::TooLarge);
    }
    Ok(row)
}

/// The common namespaced identifier grammar (spec, appendices).
fn check_name(name: &str) -> Result<(), ProfileError> {
    if name.len() > FIELD_NAME_BYTES_MAX {
        return Err(ProfileError::NameTooLong);
    }
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let grammatical = name.starts_with(|first: char| first.is_ascii_lowercase());
    if grammatical && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ProfileError::InvalidName)
    }
}

fn parse(json: &str) -> Result<Value, ProfileError> {
    let damaged = |_| Fault::Broken("a profile's row holds no JSON".to_owned());
    Ok(serde_json::from_str(json).map_err(damaged)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_sorted_and_single() {
        let mut row = ProfileRow::default();
        for (name, value) in [("m.tz", 1), ("a", 2), ("m.tz", 3), ("z", 4)] {
            row = with_field(row, name, Some(&value.into())).unwrap();
        }
        row = with_field(row, "a", None).unwrap();
        let fields: Vec<_> = row
            .fields
            .iter()
            .map(|(name, json)| (&**name, &**json))
            .collect();
        assert_eq!(fields, [("m.tz", "3"), ("z", "4")]);
    }

    #[test]
    fn profile_has_a_largest_size() {
        let value = Value::from("x".repeat(40_000));
        let row = with_field(ProfileRow::default(), "a", Some(&value)).unwrap();
        assert_eq!(
            with_field(row.clone(), "b", Some(&value)),
            Err(ProfileError::TooLarge)
        );
        assert!(with_field(row, "a", Some(&value)).is_ok());
    }

    #[test]
    fn field_names_keep_the_grammar() {
        for name in ["displayname", "avatar_url", "m.tz", "org.example.a-b_2"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "1a", "A", "a b", "é", ".a"] {
            assert_eq!(check_name(name), Err(ProfileError::InvalidName), "{name}");
        }
        assert_eq!(check_name(&"a".repeat(256)), Err(ProfileError::NameTooLong));
    }
}
