//! Rows of media; see `golden_tests`.

use ruma_common::{server_name, user_id};

use crate::{
    column::{ServerKey, UserKey},
    golden_tests::{Sample, sample},
    media::{
        BLOB_USE, MEDIA, MediaRow, RESERVATION, RESERVED_BY, ReservationRow, THUMBNAIL,
        ThumbnailRow, UPLOADED_BYTES_ROWS,
    },
};

pub(crate) fn samples() -> Vec<Sample> {
    let (server, alice) = (
        ServerKey::from(server_name!("a.org")),
        UserKey::from(user_id!("@alice:a.org")),
    );
    let media = MediaRow {
        blob: [1; 32],
        bytes: 300,
        content_type: Some("image/png".into()),
        filename: None,
        uploader: Some(user_id!("@alice:a.org").to_owned()),
        ts: 300,
    };
    let thumbnail = ThumbnailRow {
        blob: [2; 32],
        bytes: 300,
        content_type: "image/png".into(),
    };
    let reservation = ReservationRow {
        user: user_id!("@alice:a.org").to_owned(),
        expires_age_ms: 300,
    };
    let id = || "m".to_owned();
    vec![
        sample(&MEDIA, &(server.clone(), id()), &media),
        sample(&BLOB_USE, &([1; 32], "a.org/m/".to_owned()), &()),
        sample(
            &THUMBNAIL,
            &(server, id(), "96x96-crop".to_owned()),
            &thumbnail,
        ),
        sample(&RESERVATION, &(id(),), &reservation),
        sample(&RESERVED_BY, &(alice.clone(), id()), &()),
        sample(&UPLOADED_BYTES_ROWS, &(alice,), &300),
    ]
}
