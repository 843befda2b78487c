//! Transactions of other servers: their PDUs are checked as far as that needs nobody, staged, and
//! answered; the room's inbound task does the rest.
//!
//! It exists so that `PUT /send` is answered once the events are durable, however long their
//! ancestors take to fetch. It knows nothing of EDUs and of what becomes of staged events.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Commit, CommitError, InboundTxn, RoomReader, StagedRow, next_staged_room, stage, staged_bytes,
};
use belfry_event::{EventHash, Inbound, RoomRules, SignatureError};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, RoomVersionId, ServerName};
use serde_json::value::{RawValue, to_raw_value};

use crate::error::RoomError;
use crate::residence::{Place, place_of};
use crate::rooms::{Rooms, Shared};
use crate::verification::{keys_wanted, parse};

/// PDUs of one transaction (Server-Server API, "Transactions").
pub const TRANSACTION_PDUS_MAX: usize = 50;
/// Bytes of JSON that wait from one server; beyond that its transactions are answered
/// [`RoomError::Busy`], and it tries again.
pub const STAGED_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// How long an answer is remembered, in milliseconds of the installation's age.
const TXN_KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// Bytes of events in one commit.
const STAGE_BYTES_MAX: usize = 512 * 1024;
/// How often staging is tried again because the same events came another way.
const ATTEMPTS_MAX: u32 = 4;
/// Rooms with staged events that are looked through in one [`Rooms::resume`].
const RESUMED_MAX: usize = 10_000;

/// The PDUs of a `PUT /send/{txnId}`.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Who sent it, by the signature on the request.
    pub origin: OwnedServerName,
    /// `txnId`.
    pub id: String,
    /// `pdus`, as they came; anything that is no object is answered for as far as it can be named.
    pub pdus: Vec<Box<RawValue>>,
}

/// What a transaction is answered with.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The body of the answer: `{"pdus": {"$event": {} or {"error": "…"}}}`.
    pub body: Box<RawValue>,
    /// Whether it was received before (in the last 24 hours): the body is that of the first time,
    /// nothing was done, and its EDUs are to be left alone too.
    pub repeated: bool,
}

/// An event that passed what can be checked at once.
struct Fit {
    room_id: OwnedRoomId,
    hash: EventHash,
    json: String,
}

/// What is answered for each event: nothing, or what is wrong with it.
type Results = BTreeMap<OwnedEventId, Option<String>>;

impl Rooms {
    /// Takes in the PDUs of a transaction: at most [`TRANSACTION_PDUS_MAX`], else
    /// [`RoomError::BadParameter`]. Once it is answered the events are durable; whether rooms
    /// accept them is found out later.
    pub async fn receive(&self, transaction: Transaction) -> Result<Receipt, RoomError> {
        if transaction.pdus.len() > TRANSACTION_PDUS_MAX {
            let text = format!("a transaction has at most {TRANSACTION_PDUS_MAX} PDUs");
            return Err(RoomError::BadParameter(text));
        }
        self.0.inbounds.heard_of(&transaction.origin);
        let txn = InboundTxn::new(&transaction.origin, &transaction.id);
        if let Some(receipt) = self.0.repeated(&txn).await? {
            return Ok(receipt);
        }
        let (fit, results) = self.0.sift(&transaction).await?;
        let body = answer(&results)?;
        for _ in 0..ATTEMPTS_MAX {
            match self.0.stage(&transaction, &txn, &fit, &body).await {
                Ok(()) => {
                    let rooms: BTreeSet<_> = fit.iter().map(|event| &event.room_id).collect();
                    for room_id in rooms {
                        self.0.wake(room_id);
                    }
                    let repeated = false;
                    return Ok(Receipt { body, repeated });
                }
                Err(CommitError::Conflict) => {
                    if let Some(receipt) = self.0.repeated(&txn).await? {
                        return Ok(receipt);
                    }
                    let snapshot = self.0.engine.snapshot().await?;
                    if staged_bytes(&*snapshot, &transaction.origin).await? > STAGED_BYTES_MAX {
                        return Err(RoomError::Busy);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RoomError::Busy)
    }

    /// Has all staged events worked on: after a start, and now and then.
    pub async fn resume(&self) -> Result<(), RoomError> {
        let mut after: Option<OwnedRoomId> = None;
        for _ in 0..RESUMED_MAX {
            let snapshot = self.0.engine.snapshot().await?;
            let Some(room_id) = next_staged_room(&*snapshot, after.as_deref()).await? else {
                return Ok(());
            };
            if !self.0.wake(&room_id) {
                return Ok(());
            }
            after = Some(room_id);
        }
        Ok(())
    }
}

impl Shared {
    async fn repeated(&self, txn: &InboundTxn) -> Result<Option<Receipt>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let Some(row) = txn.get(&*snapshot).await? else {
            return Ok(None);
        };
        let body = RawValue::from_string(row.response.into_string())
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let repeated = true;
        Ok(Some(Receipt { body, repeated }))
    }

    /// What of the transaction may be staged, and what is answered for each event.
    async fn sift(&self, transaction: &Transaction) -> Result<(Vec<Fit>, Results), RoomError> {
        let (mut fit, mut results) = (Vec::new(), Results::new());
        let mut places: BTreeMap<OwnedRoomId, Place> = BTreeMap::new();
        for pdu in &transaction.pdus {
            let Some(room_id) = room_of(pdu) else {
                name(pdu, "the event names no room", &mut results);
                continue;
            };
            if !places.contains_key(&room_id) {
                let place = self.place(&room_id, &transaction.origin).await?;
                places.insert(room_id.clone(), place);
            }
            let rules = match places.get(&room_id) {
                Some(Place::Open(rules)) => *rules,
                Some(Place::Absent) => {
                    match self.take_back(&room_id, pdu).await? {
                        Some(ending) => _ = results.insert(ending.event_id().clone(), None),
                        None => name(pdu, "this server is not in the room", &mut results),
                    }
                    continue;
                }
                Some(Place::Shut(reason)) => {
                    name(pdu, reason, &mut results);
                    continue;
                }
                None => continue,
            };
            match self.fit(rules, &room_id, pdu).await {
                Ok(inbound) => {
                    let event = inbound.unverified();
                    results.insert(event.event_id().clone(), None);
                    fit.push(Fit {
                        hash: event.hash(),
                        json: event.json().to_owned(),
                        room_id,
                    });
                }
                Err(reason) => name(pdu, &reason, &mut results),
            }
        }
        Ok((fit, results))
    }

    /// Whether the origin may send into the room.
    async fn place(&self, room_id: &RoomId, origin: &ServerName) -> Result<Place, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        place_of(&*snapshot, room_id, &self.identity.server_name, origin).await
    }

    /// Form, room, and signatures by keys that are known; others are fetched later.
    async fn fit(
        &self,
        rules: &'static RoomRules,
        room_id: &RoomId,
        pdu: &RawValue,
    ) -> Result<Inbound, String> {
        let inbound = parse(rules, room_id, pdu.get())?;
        let ring = self.keys.held(&keys_wanted(&inbound)).await;
        match inbound.verify(&ring) {
            Ok(_) | Err(SignatureError::NoUsableKey { .. }) => Ok(inbound),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes the events and the answer durable: the answer last, so that a transaction that is not
    /// answered is taken in again.
    async fn stage(
        &self,
        transaction: &Transaction,
        txn: &InboundTxn,
        fit: &[Fit],
        body: &RawValue,
    ) -> Result<(), CommitError> {
        let received_ts = self.env.clock.wall_ms();
        let mut commit = Commit::synced();
        for event in self.unknown(fit).await? {
            let row = StagedRow {
                origin: transaction.origin.as_str().into(),
                received_ts,
                json: event.json.as_str().into(),
            };
            let (room_id, hash) = (&event.room_id, event.hash);
            let origin = &transaction.origin;
            stage(&mut commit, room_id, hash, &row, origin, STAGED_BYTES_MAX);
            if commit.bytes() > STAGE_BYTES_MAX {
                let full = std::mem::replace(&mut commit, Commit::synced());
                self.engine.commit(full).await?;
            }
        }
        let expires_age_ms = self.env.clock.age_ms().saturating_add(TXN_KEPT_MS);
        txn.put(&mut commit, body.get(), expires_age_ms);
        self.engine.commit(commit).await.map(drop)
    }

    /// The events that are neither staged nor stored with a place, each once.
    async fn unknown<'f>(&self, fit: &'f [Fit]) -> Result<Vec<&'f Fit>, CommitError> {
        let read = |error: belfry_data::ReadError| {
            let text = belfry_data::Unavailable::Failed(error.to_string());
            CommitError::Unavailable(text)
        };
        let snapshot = self.engine.snapshot().await.map_err(read)?;
        let mut seen = BTreeSet::new();
        let mut unknown = Vec::new();
        for event in fit {
            if !seen.insert(event.hash) {
                continue;
            }
            let reader = RoomReader::new(&*snapshot, &event.room_id);
            let stored = reader.event(event.hash).await.map_err(read)?;
            let staged = reader.are_staged(&[event.hash]).await.map_err(read)?;
            let placed = stored.is_some_and(|stored| !stored.row.is_outlier());
            if !placed && !staged.contains(&true) {
                unknown.push(event);
            }
        }
        Ok(unknown)
    }
}

fn room_of(pdu: &RawValue) -> Option<OwnedRoomId> {
    #[derive(serde::Deserialize)]
    struct Event {
        room_id: OwnedRoomId,
    }
    let event: Event = serde_json::from_str(pdu.get()).ok()?;
    Some(event.room_id)
}

/// Says what is wrong with an event that has no known room, by the ID that it would have in rooms
/// of a current version; says nothing of what cannot be named.
fn name(pdu: &RawValue, reason: &str, results: &mut Results) {
    let versions = [RoomVersionId::V12, RoomVersionId::V11];
    let mut rules = versions.iter().filter_map(RoomRules::new);
    let named = rules.find_map(|rules| Inbound::parse(rules, pdu.get().as_bytes()).ok());
    if let Some(event) = named {
        results.insert(event.event_id().to_owned(), Some(reason.to_owned()));
    }
}

fn answer(results: &Results) -> Result<Box<RawValue>, RoomError> {
    let results = results.iter().map(|(event_id, error)| {
        let result = match error {
            Some(error) => serde_json::json!({"error": error}),
            None => serde_json::json!({}),
        };
        (event_id.to_string(), result)
    });
    let pdus: serde_json::Map<_, _> = results.collect();
    to_raw_value(&serde_json::json!({"pdus": pdus}))
        .map_err(|error| RoomError::Fault(error.to_string()))
}
