//! Rows about users: that devices and their tokens know each other, that whatever belongs to a
//! user has one, and that the log of account data holds each piece once.

use belfry_kv::{Engine, Key, KeyCodec, Layout, ReadError, Snapshot, Table};
use ruma_common::UserId;

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, Row, decode_all, present},
};
use crate::{
    account::{
        AccountDataRef, DeviceRow, TokenHash, TokenPair, TokenPurpose, TokenRow, logged_before,
        tables::{
            ACCOUNT_DATA, ACCOUNT_DATA_LOG, DEVICE, DEVICE_SEEN, FILTER, PROFILE, PROFILE_LOG,
            REGISTRATION_TOKEN, TOKEN, USER,
        },
    },
    column::UserKey,
};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    decode_all(engine, &USER, report).await?;
    // A note of when a device was seen may outlive the device: it is written without a check.
    decode_all(engine, &DEVICE_SEEN, report).await?;
    decode_all(engine, &REGISTRATION_TOKEN, report).await?;
    decode_all(engine, &PROFILE_LOG, report).await?;
    check_owned(engine, &PROFILE, |key| &key.0, report).await?;
    check_owned(engine, &FILTER, |key| &key.0, report).await?;
    check_owned(engine, &DEVICE, |key| &key.0, report).await?;
    check_owned(engine, &ACCOUNT_DATA, |key| &key.0, report).await?;
    check_devices(engine, report).await?;
    check_tokens(engine, report).await?;
    check_account_data(engine, report).await?;
    check_account_data_log(engine, report).await
}

async fn check_owned<K: KeyCodec, R: Layout>(
    engine: &dyn Engine,
    table: &'static Table<K, R>,
    user: impl Fn(&K) -> &UserKey,
    report: &mut Report,
) -> Result<(), ReadError> {
    let mut pages = Pages::new(table);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<Key> = rows
            .iter()
            .map(|row| USER.key(&(user(&row.key).clone(),)))
            .collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (table.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, "there is no such user");
        }
    }
    Ok(())
}

async fn check_devices(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DEVICE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            for (hash, expected) in tokens_of(row) {
                let found = TOKEN.get(&*snapshot, &(hash,)).await.unwrap_or_default();
                let right = found.is_some_and(|found| {
                    let expires_age_ms = found.expires_age_ms;
                    found
                        == TokenRow {
                            expires_age_ms,
                            ..expected
                        }
                });
                let at = (DEVICE.space(), &row.raw);
                let what = "a token is not there, or says otherwise";
                report.expect(right, FindingKind::Dangling, at, what);
            }
        }
    }
    Ok(())
}

/// What the rows of a device's tokens should be, but for when they expire.
fn tokens_of(row: &Row<(UserKey, String), DeviceRow>) -> Vec<(TokenHash, TokenRow)> {
    let token = |purpose, next| TokenRow {
        user: row.key.0.0.as_str().into(),
        device: row.key.1.as_str().into(),
        purpose,
        next,
        expires_age_ms: None,
    };
    let pair = |pair: TokenPair, next: bool| {
        let refresh = pair
            .refresh
            .map(|hash| (hash, token(TokenPurpose::Refresh, next)));
        std::iter::once((pair.access, token(TokenPurpose::Access, next))).chain(refresh)
    };
    let next = row.row.next.into_iter().flat_map(|next| pair(next, true));
    pair(row.row.current, false).chain(next).collect()
}

async fn check_tokens(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&TOKEN);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let device = device_of(&*snapshot, &row.row).await;
            let known = device.is_some_and(|device| device.hashes().any(|hash| hash == row.key.0));
            let at = (TOKEN.space(), &row.raw);
            report.expect(
                known,
                FindingKind::Orphan,
                at,
                "its device does not know it",
            );
        }
    }
    Ok(())
}

/// `None` also if the row does not decode, which is a finding of its own.
async fn device_of(snapshot: &dyn Snapshot, token: &TokenRow) -> Option<DeviceRow> {
    let user = <&UserId>::try_from(&*token.user).ok()?;
    let key = (UserKey::from(user), token.device.to_string());
    DEVICE.get(snapshot, &key).await.ok()?
}

async fn check_account_data(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ACCOUNT_DATA);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (user, room, event_type) = &row.key;
            let key = (user.clone(), logged_before(row.row.0));
            let found = ACCOUNT_DATA_LOG
                .get(&*snapshot, &key)
                .await
                .unwrap_or_default();
            let expected = AccountDataRef {
                room: room.as_str().into(),
                event_type: event_type.as_str().into(),
            };
            let right = found == Some(expected);
            let at = (ACCOUNT_DATA.space(), &row.raw);
            report.expect(
                right,
                FindingKind::WrongOrder,
                at,
                "the log does not name it",
            );
        }
    }
    Ok(())
}

async fn check_account_data_log(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ACCOUNT_DATA_LOG);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let (user, stamp) = &row.key;
            let (room, event_type) = (row.row.room.to_string(), row.row.event_type.to_string());
            let key = (user.clone(), room, event_type);
            let found = ACCOUNT_DATA.get(&*snapshot, &key).await.unwrap_or_default();
            let right = found.is_some_and(|(found, _)| logged_before(found) == *stamp);
            let at = (ACCOUNT_DATA_LOG.space(), &row.raw);
            report.expect(
                right,
                FindingKind::WrongOrder,
                at,
                "the entry is not the last one",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use belfry_kv::{Commit, Memory, Stamp};
    use ruma_common::user_id;

    use super::*;
    use crate::account::{AccountDataRow, ProfileRow, StandingRow, UserChange, UserRow};

    fn alice() -> &'static UserId {
        user_id!("@alice:example.org")
    }

    /// Alice with a device in the middle of a refresh, and account data that was set twice.
    async fn engine() -> Memory {
        let engine = Memory::default();
        let mut change = UserChange::new(
            alice(),
            UserRow {
                revision: 0,
                created_ts: 1,
                role: "member".into(),
                standing: StandingRow::Active,
                password: None,
                deactivated: None,
                filters: 0,
            },
        );
        let pair = |first| TokenPair {
            access: [first; 32],
            refresh: Some([first + 1; 32]),
        };
        let device = DeviceRow {
            display_name: None,
            created_ts: 1,
            current: pair(1),
            next: Some(pair(3)),
        };
        let raw = DEVICE.key(&(alice().into(), "D".to_owned()));
        let key = (alice().into(), "D".to_owned());
        let row = Row {
            raw,
            key,
            row: device,
        };
        for (hash, token) in tokens_of(&row) {
            change.put_token(&hash, &token);
        }
        change.put_device("D", &row.row);
        change.put_profile(&ProfileRow::default(), &ProfileRow::default());
        engine.commit(change.finish()).await.unwrap();
        for content in ["{}", "{\"a\":1}"] {
            let snapshot = engine.snapshot().await.unwrap();
            let change = UserChange::of(&*snapshot, alice()).await.unwrap();
            let mut change = change.unwrap();
            let row = AccountDataRow {
                content: content.into(),
            };
            change
                .put_account_data(&*snapshot, at(), &row)
                .await
                .unwrap();
            engine.commit(change.finish()).await.unwrap();
        }
        engine
    }

    fn at() -> AccountDataRef {
        AccountDataRef {
            room: "".into(),
            event_type: "m.direct".into(),
        }
    }

    async fn found(engine: &Memory) -> Vec<(FindingKind, &'static str)> {
        let mut report = Report::new(100);
        check(engine, &mut report).await.unwrap();
        assert!(report.rows >= 8);
        let findings = report.findings.iter();
        findings
            .map(|finding| (finding.kind, finding.table))
            .collect()
    }

    #[tokio::test]
    async fn what_was_written_as_it_should_be_is_clean() {
        assert_eq!(found(&engine().await).await, []);
    }

    /// What is done to the database, and what is found then.
    type Damage<'a> = (&'a dyn Fn(&mut Commit), &'a [(FindingKind, &'static str)]);

    #[tokio::test]
    async fn each_kind_of_damage_is_found() {
        let user = UserKey::from(alice());
        let device = (user.clone(), "D".to_owned());
        let damages: [Damage<'_>; 5] = [
            (
                &|commit| TOKEN.delete(commit, &([4; 32],)),
                &[(FindingKind::Dangling, "device")],
            ),
            (
                &|commit| DEVICE.delete(commit, &device),
                &[(FindingKind::Orphan, "token"); 4],
            ),
            (
                &|commit| USER.delete(commit, &(user.clone(),)),
                &[
                    (FindingKind::Orphan, "profile"),
                    (FindingKind::Orphan, "device"),
                    (FindingKind::Orphan, "account_data"),
                ],
            ),
            (
                &|commit| ACCOUNT_DATA_LOG.delete_prefix(commit, &(user.clone(),)),
                &[(FindingKind::WrongOrder, "account_data")],
            ),
            (
                &|commit| ACCOUNT_DATA_LOG.put(commit, &(user.clone(), Stamp::default()), &at()),
                &[(FindingKind::WrongOrder, "account_data_log")],
            ),
        ];
        for (damage, expected) in damages {
            let engine = engine().await;
            let mut commit = Commit::synced();
            damage(&mut commit);
            engine.commit(commit).await.unwrap();
            assert_eq!(found(&engine).await, expected);
        }
    }
}
