//! Key backups: room keys that a client keeps here, encrypted with a key that only its user has
//! (Client-Server API, "Server-side key backups"). Knows nothing of which copy of a key is better.

use std::{collections::BTreeMap, fmt::Write as _};

use belfry_user::{
    BackupError, BackupKey, BackupKeys, BackupProgress, BackupScope, Requester, Users,
};
use js_int::UInt;
use ruma_client_api::backup::{
    KeyBackupData, add_backup_keys::v3 as put_all, add_backup_keys_for_room::v3 as put_room,
    add_backup_keys_for_session::v3 as put_session, create_backup_version::v3 as create,
    delete_backup_keys::v3 as delete_all, delete_backup_keys_for_room::v3 as delete_room,
    delete_backup_keys_for_session::v3 as delete_session, delete_backup_version::v3 as delete,
    get_backup_info::v3 as get, get_backup_keys::v3 as get_all,
    get_backup_keys_for_room::v3 as get_room, get_backup_keys_for_session::v3 as get_session,
    get_latest_backup_info::v3 as get_latest, update_backup_version::v3 as update,
};
use ruma_common::serde::Raw;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::keys::json_text;
use crate::{
    edge::{Call, JsonText},
    error::{ApiError, EdgeError},
};

/// `algorithm` and `auth_data` of a version.
#[derive(Deserialize)]
struct Version<'a> {
    algorithm: String,
    #[serde(borrow)]
    auth_data: &'a RawValue,
}

/// A key as the client sent it.
#[derive(Deserialize)]
struct Key<'a> {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
    #[serde(borrow)]
    session_data: &'a RawValue,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, ApiError> {
    let parsed = serde_json::from_str(json.get());
    parsed.map_err(|error| EdgeError::BadJson(error.to_string()).into())
}

fn number(version: &str) -> Result<u64, BackupError> {
    version.parse().map_err(|_| BackupError::NotFound)
}

fn key_of(json: &Raw<KeyBackupData>) -> Result<BackupKey, ApiError> {
    let key: Key<'_> = parse(json.json())?;
    Ok(BackupKey {
        first_message_index: key.first_message_index,
        forwarded_count: key.forwarded_count,
        is_verified: key.is_verified,
        session_data: key.session_data.get().to_owned(),
    })
}

fn keys_of(
    sessions: &BTreeMap<String, Raw<KeyBackupData>>,
) -> Result<BTreeMap<String, BackupKey>, ApiError> {
    let sessions = sessions.iter();
    sessions
        .map(|(session, json)| Ok((session.clone(), key_of(json)?)))
        .collect()
}

fn wire(progress: BackupProgress) -> (String, UInt) {
    let count = UInt::try_from(progress.count).unwrap_or(UInt::MAX);
    (progress.etag.to_string(), count)
}

/// `POST /room_keys/version`.
pub(crate) async fn create(
    users: Users,
    call: Call<create::Request>,
) -> Result<create::Response, ApiError> {
    let version: Version<'_> = parse(call.request.algorithm.json())?;
    let auth_data = version.auth_data.get();
    let made = users
        .create_backup(&call.auth, &version.algorithm, auth_data)
        .await?;
    Ok(create::Response::new(made.to_string()))
}

/// `GET /room_keys/version`.
pub(crate) async fn get_latest(
    users: Users,
    call: Call<get_latest::Request>,
) -> Result<JsonText, ApiError> {
    info(&users, &call.auth, None).await
}

/// `GET /room_keys/version/{version}`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<JsonText, ApiError> {
    let version = number(&call.request.version)?;
    info(&users, &call.auth, Some(version)).await
}

async fn info(
    users: &Users,
    requester: &Requester,
    version: Option<u64>,
) -> Result<JsonText, ApiError> {
    let backup = users.backup(requester, version).await?;
    let auth_data: &RawValue = serde_json::from_str(&backup.auth_data).map_err(ApiError::fault)?;
    let (etag, count) = wire(backup.progress);
    json_text(&json!({
        "algorithm": backup.algorithm,
        "auth_data": auth_data,
        "count": count,
        "etag": etag,
        "version": backup.version.to_string(),
    }))
}

/// `PUT /room_keys/version/{version}`.
pub(crate) async fn update(
    users: Users,
    call: Call<update::Request>,
) -> Result<update::Response, ApiError> {
    let number = number(&call.request.version)?;
    let json = call.request.algorithm.json();
    let version: Version<'_> = parse(json)?;
    let auth_data = version.auth_data.get();
    users
        .update_backup(&call.auth, number, &version.algorithm, auth_data)
        .await?;
    Ok(update::Response::new())
}

/// `DELETE /room_keys/version/{version}`.
pub(crate) async fn delete(
    users: Users,
    call: Call<delete::Request>,
) -> Result<delete::Response, ApiError> {
    let version = number(&call.request.version)?;
    users.delete_backup(&call.auth, version).await?;
    Ok(delete::Response::new())
}

/// `PUT /room_keys/keys`.
pub(crate) async fn put_all(
    users: Users,
    call: Call<put_all::Request>,
) -> Result<put_all::Response, ApiError> {
    let version = number(&call.request.version)?;
    let mut keys = BackupKeys::new();
    for (room, sessions) in &call.request.rooms {
        keys.insert(room.to_string(), keys_of(&sessions.sessions)?);
    }
    let done = users.put_backup_keys(&call.auth, version, keys).await?;
    let (etag, count) = wire(done);
    Ok(put_all::Response::new(etag, count))
}

/// `PUT /room_keys/keys/{roomId}`.
pub(crate) async fn put_room(
    users: Users,
    call: Call<put_room::Request>,
) -> Result<put_room::Response, ApiError> {
    let version = number(&call.request.version)?;
    let sessions = keys_of(&call.request.sessions)?;
    let keys = BackupKeys::from([(call.request.room_id.to_string(), sessions)]);
    let done = users.put_backup_keys(&call.auth, version, keys).await?;
    let (etag, count) = wire(done);
    Ok(put_room::Response::new(etag, count))
}

/// `PUT /room_keys/keys/{roomId}/{sessionId}`.
pub(crate) async fn put_session(
    users: Users,
    call: Call<put_session::Request>,
) -> Result<put_session::Response, ApiError> {
    let version = number(&call.request.version)?;
    let key = key_of(&call.request.session_data)?;
    let sessions = BTreeMap::from([(call.request.session_id, key)]);
    let keys = BackupKeys::from([(call.request.room_id.to_string(), sessions)]);
    let done = users.put_backup_keys(&call.auth, version, keys).await?;
    let (etag, count) = wire(done);
    Ok(put_session::Response::new(etag, count))
}

/// Keys as text, in the order that they are read: a large backup is not held twice.
#[derive(Default)]
struct Written {
    text: String,
    /// The room that is being written.
    room: Option<String>,
}

impl Written {
    fn key(&mut self, room: &str, session: &str, key: &str) {
        if self.room.as_deref() == Some(room) {
            self.text.push(',');
        } else {
            self.close();
            if !self.text.is_empty() {
                self.text.push(',');
            }
            // Writing to a string cannot fail.
            _ = write!(self.text, "{}:{{\"sessions\":{{", json!(room));
            self.room = Some(room.to_owned());
        }
        _ = write!(self.text, "{}:{key}", json!(session));
    }

    fn close(&mut self) {
        if self.room.take().is_some() {
            self.text.push_str("}}");
        }
    }
}

async fn read(
    users: &Users,
    requester: &Requester,
    version: &str,
    scope: BackupScope<'_>,
    mut each: impl FnMut(&str, &str, &str) + Send,
) -> Result<(), ApiError> {
    let version = number(version)?;
    let read = users.backup_keys(requester, version, scope, |room, session, row| {
        let key = format!(
            "{{\"first_message_index\":{},\"forwarded_count\":{},\"is_verified\":{},\
             \"session_data\":{}}}",
            row.first_message_index, row.forwarded_count, row.is_verified, row.session_data
        );
        each(room, session, &key);
    });
    Ok(read.await?)
}

/// `GET /room_keys/keys`.
pub(crate) async fn get_all(
    users: Users,
    call: Call<get_all::Request>,
) -> Result<JsonText, ApiError> {
    let mut written = Written::default();
    let version = &call.request.version;
    let scope = BackupScope::All;
    let each = |room: &str, session: &str, key: &str| written.key(room, session, key);
    read(&users, &call.auth, version, scope, each).await?;
    written.close();
    Ok(JsonText(format!("{{\"rooms\":{{{}}}}}", written.text)))
}

/// `GET /room_keys/keys/{roomId}`.
pub(crate) async fn get_room(
    users: Users,
    call: Call<get_room::Request>,
) -> Result<JsonText, ApiError> {
    let mut sessions = Vec::new();
    let scope = BackupScope::Room(call.request.room_id.as_str());
    let each = |_: &str, session: &str, key: &str| {
        sessions.push(format!("{}:{key}", json!(session)));
    };
    read(&users, &call.auth, &call.request.version, scope, each).await?;
    let sessions = sessions.join(",");
    Ok(JsonText(format!("{{\"sessions\":{{{sessions}}}}}")))
}

/// `GET /room_keys/keys/{roomId}/{sessionId}`.
pub(crate) async fn get_session(
    users: Users,
    call: Call<get_session::Request>,
) -> Result<JsonText, ApiError> {
    let mut found = None;
    let request = &call.request;
    let scope = BackupScope::Session(request.room_id.as_str(), &request.session_id);
    let each = |_: &str, _: &str, key: &str| found = Some(key.to_owned());
    read(&users, &call.auth, &request.version, scope, each).await?;
    Ok(JsonText(found.ok_or(BackupError::NotFound)?))
}

/// `DELETE /room_keys/keys`.
pub(crate) async fn delete_all(
    users: Users,
    call: Call<delete_all::Request>,
) -> Result<delete_all::Response, ApiError> {
    let version = number(&call.request.version)?;
    let scope = BackupScope::All;
    let done = users.delete_backup_keys(&call.auth, version, scope).await?;
    let (etag, count) = wire(done);
    Ok(delete_all::Response::new(etag, count))
}

/// `DELETE /room_keys/keys/{roomId}`.
pub(crate) async fn delete_room(
    users: Users,
    call: Call<delete_room::Request>,
) -> Result<delete_room::Response, ApiError> {
    let version = number(&call.request.version)?;
    let scope = BackupScope::Room(call.request.room_id.as_str());
    let done = users.delete_backup_keys(&call.auth, version, scope).await?;
    let (etag, count) = wire(done);
    Ok(delete_room::Response::new(etag, count))
}

/// `DELETE /room_keys/keys/{roomId}/{sessionId}`.
pub(crate) async fn delete_session(
    users: Users,
    call: Call<delete_session::Request>,
) -> Result<delete_session::Response, ApiError> {
    let version = number(&call.request.version)?;
    let request = &call.request;
    let scope = BackupScope::Session(request.room_id.as_str(), &request.session_id);
    let done = users.delete_backup_keys(&call.auth, version, scope).await?;
    let (etag, count) = wire(done);
    Ok(delete_session::Response::new(etag, count))
}
