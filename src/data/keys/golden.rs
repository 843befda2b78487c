//! Samples of the rows of encryption; see `golden_tests`.

use ruma_common::{room_id, user_id};

use super::{
    heard::{DEVICE_HEARD, HeardRow},
    rows::{
        BackupSessionRow, BackupVersionRow, CrossSigningRow, DehydratedRow, DeviceKeysRow,
        DeviceListRow, FallbackKeyRow, MemberLogRow, OneTimeKeyIdRow, OneTimeKeyRow,
        SharedMessageRow, SignatureRow, ToDeviceRow,
    },
    tables::*,
    tracked::{
        DEVICE_DUE, DEVICE_STREAM, DeviceStreamRow, TRACKED_DEVICE, TRACKED_LIST,
        samples as tracked,
    },
};
use crate::{
    STAMP_FIRST, STAMP_LAST,
    column::{RoomKey, ServerKey, UserKey},
    golden_tests::{Sample, sample},
    partner::{PARTNER, PartnerRow},
    rows::GlobalRow,
    tables::GLOBAL_LOG,
};

fn alice() -> UserKey {
    UserKey::from(user_id!("@alice:a.org"))
}

fn room() -> RoomKey {
    RoomKey::from(room_id!("!r:a.org"))
}

fn device() -> (UserKey, String) {
    (alice(), "D".to_owned())
}

fn pool() -> (UserKey, String, String) {
    (alice(), "D".to_owned(), "signed_curve25519".to_owned())
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = key_samples();
    samples.extend(list_samples());
    samples.extend(message_samples());
    samples.extend(backup_samples());
    samples.extend(tracked_samples());
    samples
}

fn key_samples() -> Vec<Sample> {
    let (user, device_id, algorithm) = pool();
    let at = (
        user.clone(),
        device_id.clone(),
        algorithm.clone(),
        STAMP_LAST,
    );
    let id = (user, device_id, algorithm, "A".to_owned());
    vec![
        sample(
            &DEVICE_KEYS,
            &device(),
            &DeviceKeysRow { json: "{}".into() },
        ),
        sample(
            &ONE_TIME_KEY,
            &at,
            &OneTimeKeyRow {
                key_id: "A".into(),
                json: "\"k\"".into(),
            },
        ),
        sample(
            &ONE_TIME_KEY_ID,
            &id,
            &OneTimeKeyIdRow {
                digest: [7; 16],
                claimed: true,
            },
        ),
        sample(&ONE_TIME_KEY_COUNT_ROWS, &pool(), &50),
        sample(
            &FALLBACK_KEY,
            &pool(),
            &FallbackKeyRow {
                key_id: "A".into(),
                json: "{}".into(),
                used: true,
            },
        ),
    ]
}

fn list_samples() -> Vec<Sample> {
    let row = |device: Option<&str>| DeviceListRow {
        user: "@alice:a.org".into(),
        device: device.map(Into::into),
        stream_id: 300,
        only: device.is_none().then(|| "@b:a.org".into()),
    };
    let signature = (alice(), alice(), "D".to_owned(), "ed25519:M".to_owned());
    vec![
        sample(
            &CROSS_SIGNING,
            &(alice(),),
            &CrossSigningRow {
                master: Some("{}".into()),
                self_signing: None,
                user_signing: Some("{}".into()),
            },
        ),
        sample(
            &SIGNATURE,
            &signature,
            &SignatureRow {
                signature: "s".into(),
            },
        ),
        sample(
            &GLOBAL_LOG,
            &(STAMP_LAST,),
            &GlobalRow::ToDevice {
                user: "@alice:a.org".into(),
            },
        ),
        sample(
            &GLOBAL_LOG,
            &(STAMP_LAST,),
            &GlobalRow::DeviceList {
                user: "@alice:a.org".into(),
            },
        ),
        sample(
            &GLOBAL_LOG,
            &(STAMP_LAST,),
            &GlobalRow::Outbox {
                server: "b.org".into(),
            },
        ),
        sample(&DEVICE_LIST_LOG, &(STAMP_FIRST,), &row(Some("D"))),
        sample(&DEVICE_LIST_LOG, &(STAMP_LAST,), &row(None)),
    ]
}

fn tracked_samples() -> Vec<Sample> {
    let server = ServerKey::from(ruma_common::server_name!("b.org"));
    let due = (server.clone(), alice(), "D".to_owned());
    let partner = PartnerRow {
        inbound: vec!["exchange".into()],
        outbound: Vec::new(),
        note: "a note".into(),
    };
    let stream = DeviceStreamRow { stream_id: 300 };
    vec![
        sample(&DEVICE_STREAM, &(alice(),), &stream),
        sample(&DEVICE_DUE, &due, &tracked::due()),
        sample(&TRACKED_LIST, &(alice(),), &tracked::anchored()),
        sample(&TRACKED_DEVICE, &device(), &tracked::device()),
        sample(&PARTNER, &(server,), &partner),
    ]
}

fn message_samples() -> Vec<Sample> {
    let (user, id) = device();
    let whole = ToDeviceRow::Whole {
        sender: "@b:a.org".into(),
        event_type: "m.dummy".into(),
        content: "{}".into(),
        expires_age_ms: 300,
    };
    let shared = SharedMessageRow {
        sender: "@b:a.org".into(),
        event_type: "m.dummy".into(),
        content: "{}".into(),
        inboxes: 2,
        expires_age_ms: 300,
    };
    let at = |stamp| (user.clone(), id.clone(), stamp);
    vec![
        sample(&TO_DEVICE, &at(STAMP_FIRST), &whole),
        sample(&TO_DEVICE, &at(STAMP_LAST), &ToDeviceRow::Shared([9; 16])),
        sample(
            &MEMBER_LOG,
            &(room(), STAMP_FIRST),
            &MemberLogRow { user: None },
        ),
        sample(
            &MEMBER_LOG,
            &(room(), STAMP_LAST),
            &MemberLogRow {
                user: Some("@b:a.org".into()),
            },
        ),
        sample(&SHARED_MESSAGE, &([9; 16],), &shared),
        sample(&TO_DEVICE_COUNT_ROWS, &device(), &2),
        sample(&DEVICE_HEARD, &device(), &HeardRow { age_ms: 300 }),
    ]
}

fn backup_samples() -> Vec<Sample> {
    let session = BackupSessionRow {
        first_message_index: 1,
        forwarded_count: 300,
        is_verified: true,
        session_data: "{}".into(),
    };
    let at = (alice(), 2, "!r:a.org".to_owned(), "s".to_owned());
    vec![
        sample(
            &BACKUP_VERSION,
            &(alice(), 2),
            &BackupVersionRow {
                algorithm: "a".into(),
                auth_data: "{}".into(),
                count: 1,
                etag: 3,
            },
        ),
        sample(&BACKUP_SESSION, &at, &session),
        sample(
            &DEHYDRATED,
            &(alice(),),
            &DehydratedRow {
                device: "D".into(),
                data: "{}".into(),
            },
        ),
    ]
}
