//! Rows of media; see `golden_tests`.

use ruma_common::{server_name, user_id};

use crate::{
    column::{ServerKey, UserKey},
    copy::{COPIED_BYTES_ROWS, COPY, COPY_ORDER, CopyRow},
    golden_tests::{Sample, sample},
    media::{
        BLOB_USE, MEDIA, MediaRow, RESERVATION, RESERVED_BY, ReservationRow, THUMBNAIL,
        ThumbnailRow, UPLOADED_BYTES_ROWS,
    },
    preview::{PREVIEW, PreviewRow},
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
    let copy = CopyRow {
        bytes: 300,
        used_age_ms: 300,
    };
    let preview = PreviewRow {
        json: "{}".into(),
        expires_age_ms: 300,
    };
    let id = || "m".to_owned();
    vec![
        sample(&MEDIA, &(server.clone(), id()), &media),
        sample(&BLOB_USE, &([1; 32], "a.org/m/".to_owned()), &()),
        sample(
            &THUMBNAIL,
            &(server.clone(), id(), "96x96-crop".to_owned()),
            &thumbnail,
        ),
        sample(&RESERVATION, &(id(),), &reservation),
        sample(&RESERVED_BY, &(alice.clone(), id()), &()),
        sample(&UPLOADED_BYTES_ROWS, &(alice,), &300),
        sample(&COPY, &(server.clone(), id()), &copy),
        sample(&COPY_ORDER, &(300, server, id()), &()),
        sample(&COPIED_BYTES_ROWS, &(), &300),
        sample(&PREVIEW, &([3; 16],), &preview),
    ]
}
