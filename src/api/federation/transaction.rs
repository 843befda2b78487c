//! `PUT /send/{txnId}`: what happened elsewhere.

use belfry_room::{TRANSACTION_PDUS_MAX, Transaction};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ask::{Ask, invalid},
    edu,
};
use crate::{edge::JsonText, error::ApiError, state::Api};

/// EDUs of one transaction (Server-Server API, "Transactions").
pub(crate) const TRANSACTION_EDUS_MAX: usize = 100;

/// Fields that are not read (`origin`, `origin_server_ts`) say nothing that the signature does
/// not say better.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
    #[serde(default)]
    edus: Vec<Box<RawValue>>,
}

/// `PUT /send/{txnId}`.
pub(crate) async fn send(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let Body { pdus, edus } = ask.content()?;
    if pdus.len() > TRANSACTION_PDUS_MAX {
        return Err(invalid(format!("send at most {TRANSACTION_PDUS_MAX} PDUs")));
    }
    if edus.len() > TRANSACTION_EDUS_MAX {
        return Err(invalid(format!("send at most {TRANSACTION_EDUS_MAX} EDUs")));
    }
    let transaction = Transaction {
        origin: ask.origin.clone(),
        id: ask.id(0)?,
        pdus,
    };
    let receipt = api.rooms.receive(transaction).await?;
    if !receipt.repeated {
        edu::take(&api, &ask.origin, &edus).await;
    }
    Ok(JsonText(receipt.body.get().to_owned()))
}
