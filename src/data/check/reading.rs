//! What passes, what was read, what notified: that every row decodes.

use belfry_kv::{Engine, ReadError};

use super::{finding::Report, pages::decode_all};
use crate::{
    connection::CONNECTION,
    note::{NOTE, NOTE_ORDER, ROOM_BRIEF},
    presence::PRESENCE,
    pusher::{PUSH_PLACE, PUSHER},
    receipt::{RECEIPT, RECEIPT_LOG},
    stir::STIR_LOG,
    typing::ROOM_TYPING,
};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    decode_all(engine, &ROOM_TYPING, report).await?;
    decode_all(engine, &RECEIPT, report).await?;
    decode_all(engine, &RECEIPT_LOG, report).await?;
    decode_all(engine, &NOTE, report).await?;
    decode_all(engine, &NOTE_ORDER, report).await?;
    decode_all(engine, &STIR_LOG, report).await?;
    decode_all(engine, &ROOM_BRIEF, report).await?;
    decode_all(engine, &PRESENCE, report).await?;
    decode_all(engine, &PUSHER, report).await?;
    decode_all(engine, &PUSH_PLACE, report).await?;
    decode_all(engine, &CONNECTION, report).await
}
