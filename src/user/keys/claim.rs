//! `POST /keys/claim`: one-time keys are given away, each once.
//!
//! Exists so that this holds whoever asks at the same time and wherever the process stops: a key
//! goes with its row, in the commit that the answer waits for. Those who ask meanwhile stand in a
//! line and are served together, so that a crowd costs one commit. Whoever gave up waiting may
//! have lost keys; nobody else gets them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::{
    Commit, Seen, Stamp,
    keys::{self as rows, ClaimedKey, FallbackKeyRow, KeyPool},
};
use belfry_policy::Action;
use ruma_common::OwnedUserId;
use serde_json::Value;
use tokio::sync::{self, oneshot};

use super::{KEY_WAIT_MAX, KeyError, query::take_remote, shape};
use crate::{Requester, Users, fault::Fault, store::Tries};

/// Devices that one claim is for.
pub const CLAIM_DEVICES_MAX: usize = 1_000;
/// How long the ID of a key is remembered that was given away: an upload that comes twice does not
/// bring the key back.
pub const CLAIMED_KEY_MEMORY: Duration = Duration::from_hours(7 * 24);

/// Claims that one commit serves.
const BATCH_MAX: usize = 1_000;
/// Claims that wait.
const WAITING_MAX: usize = 10_000;
/// Pools of which it is remembered up to where their keys are gone.
const PLACES_MAX: usize = 10_000;
/// How often a claim is put into the line again whose commit was given up.
const TURNS_MAX: usize = 8;

/// The devices that a key is wanted of, with the algorithm.
pub type WantedKeys = BTreeMap<OwnedUserId, BTreeMap<String, String>>;

/// Keys as JSON: by user, device, and algorithm with ID.
pub type ClaimedOf = BTreeMap<OwnedUserId, BTreeMap<String, BTreeMap<String, String>>>;

/// Keys that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimedKeys {
    /// Devices that had none are left out.
    pub one_time_keys: ClaimedOf,
    /// Why servers did not answer.
    pub failures: BTreeMap<String, Value>,
}

/// A key: its ID without the algorithm, and JSON.
type Given = (Box<str>, Box<str>);

/// One request's claims.
struct Job {
    pools: Vec<KeyPool>,
    answer: oneshot::Sender<Result<Vec<Option<Given>>, Fault>>,
}

/// Where claims stand in line.
#[derive(Default)]
pub(crate) struct ClaimDesk {
    line: Mutex<VecDeque<Job>>,
    /// Held by whoever serves.
    turn: sync::Mutex<Places>,
}

/// Up to where the keys of a pool were given away. Keys come behind all that were ever there, and
/// the oldest goes first, so that nothing is before such a place: it only saves reading, and what
/// is not known costs no more than that.
#[derive(Default)]
struct Places(BTreeMap<KeyPool, Stamp>);

impl Places {
    fn of(&self, pool: &KeyPool) -> Option<Stamp> {
        self.0.get(pool).copied()
    }

    fn note(&mut self, pool: &KeyPool, stamp: Stamp) {
        if let Some(place) = self.0.get_mut(pool) {
            *place = stamp.max(*place);
            return;
        }
        if self.0.len() >= PLACES_MAX {
            self.0.clear();
        }
        self.0.insert(pool.clone(), stamp);
    }
}

impl ClaimDesk {
    fn line(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next jobs, as many as one commit serves.
    fn take(&self) -> Vec<Job> {
        let mut line = self.line();
        let mut claims = 0;
        let mut taken = Vec::new();
        while let Some(job) = line.front() {
            claims += job.pools.len();
            if claims > BATCH_MAX && !taken.is_empty() {
                break;
            }
            taken.extend(line.pop_front());
        }
        taken
    }
}

impl Users {
    /// Claims a key of each device named, of users of whatever server, as far as they have any.
    pub async fn claim_keys(
        &self,
        requester: &Requester,
        mut wanted: WantedKeys,
        wait: Duration,
    ) -> Result<ClaimedKeys, KeyError> {
        self.allow(requester, Action::Read)?;
        if wanted.values().map(BTreeMap::len).sum::<usize>() > CLAIM_DEVICES_MAX {
            return Err(KeyError::TooMany("devices", CLAIM_DEVICES_MAX));
        }
        let mut remote = take_remote(&mut wanted, &self.0.options.server_name);
        let refused = self.refuse_servers(requester, &mut remote);
        let mut answer = ClaimedKeys {
            one_time_keys: self.claim_local_keys(&wanted).await?,
            failures: refused,
        };
        if !remote.is_empty() {
            let remote = self.1.claim(remote, wait.min(KEY_WAIT_MAX)).await;
            answer.one_time_keys.extend(remote.one_time_keys);
            answer.failures.extend(remote.failures);
        }
        Ok(answer)
    }

    /// Claims keys of users of this server; at most [`CLAIM_DEVICES_MAX`]. Policy is not asked.
    pub async fn claim_local_keys(&self, wanted: &WantedKeys) -> Result<ClaimedOf, KeyError> {
        let pools: Vec<_> = wanted
            .iter()
            .flat_map(|(user, devices)| {
                devices.iter().map(|(device, algorithm)| KeyPool {
                    user: user.clone(),
                    device: device.clone(),
                    algorithm: algorithm.clone(),
                })
            })
            .filter(is_possible)
            .collect();
        if pools.len() > CLAIM_DEVICES_MAX {
            return Err(KeyError::TooMany("devices", CLAIM_DEVICES_MAX));
        }
        let mut answer = ClaimedOf::new();
        if pools.is_empty() {
            return Ok(answer);
        }
        let given = self.stand_in_line(&pools).await?;
        for (pool, given) in pools.into_iter().zip(given) {
            let Some((key_id, json)) = given else {
                continue;
            };
            let name = format!("{}:{key_id}", pool.algorithm);
            let of_user = answer.entry(pool.user).or_default();
            let of_device = of_user.entry(pool.device).or_default();
            of_device.insert(name, json.into());
        }
        Ok(answer)
    }

    async fn stand_in_line(&self, pools: &[KeyPool]) -> Result<Vec<Option<Given>>, Fault> {
        let desk = &self.0.claims;
        for _ in 0..TURNS_MAX {
            let (answer, mut told) = oneshot::channel();
            {
                let mut line = desk.line();
                if line.len() >= WAITING_MAX {
                    return Err(Fault::Busy);
                }
                let pools = pools.to_vec();
                line.push_back(Job { pools, answer });
            }
            loop {
                let mut places = desk.turn.lock().await;
                match told.try_recv() {
                    Ok(given) => return given,
                    // Whoever served was stopped in the middle: its keys are lost.
                    Err(oneshot::error::TryRecvError::Closed) => break,
                    Err(oneshot::error::TryRecvError::Empty) => {}
                }
                self.serve(desk.take(), &mut places).await;
                drop(places);
            }
        }
        Err(Fault::Busy)
    }

    /// Serves these jobs by one commit.
    async fn serve(&self, jobs: Vec<Job>, places: &mut Places) {
        let pools: Vec<_> = jobs.iter().flat_map(|job| &job.pools).cloned().collect();
        let mut given = match self.give(&pools, places).await {
            Ok(given) => given.into_iter(),
            Err(fault) => {
                for job in jobs {
                    // Who does not wait any more needs no answer.
                    _ = job.answer.send(Err(fault.clone()));
                }
                return;
            }
        };
        for job in jobs {
            let own = given.by_ref().take(job.pools.len()).collect();
            _ = job.answer.send(Ok(own));
        }
    }

    /// A key for each of these, the oldest first; in the order asked.
    async fn give(
        &self,
        wanted: &[KeyPool],
        places: &mut Places,
    ) -> Result<Vec<Option<Given>>, Fault> {
        let mut demand: BTreeMap<&KeyPool, usize> = BTreeMap::new();
        for pool in wanted {
            *demand.entry(pool).or_default() += 1;
        }
        let most = demand.values().copied().max().unwrap_or_default();
        let pools: Vec<_> = demand.into_keys().collect();
        let memory = u64::try_from(CLAIMED_KEY_MEMORY.as_millis()).unwrap_or(u64::MAX);
        let forget = self.0.env.clock.age_ms().saturating_add(memory);
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let asked: Vec<_> = pools.iter().map(|pool| (*pool, places.of(pool))).collect();
            let stock = rows::oldest_keys(&*snapshot, &asked, most).await?;
            let mut stock: BTreeMap<_, _> = pools.iter().copied().zip(stock).collect();
            let mut commit = Commit::synced();
            let (mut given, mut gone) = (Vec::new(), Vec::new());
            for pool in wanted {
                let Some(stock) = stock.get_mut(pool) else {
                    given.push(None);
                    continue;
                };
                gone.extend(stock.0.first().map(|key| (pool, key.stamp)));
                given.push(take_one(&mut commit, pool, stock, forget));
            }
            let idle = commit.writes.is_empty();
            if idle || self.0.store.commit(commit, &mut tries).await? {
                for (pool, stamp) in gone {
                    places.note(pool, stamp);
                }
                return Ok(given);
            }
        }
    }
}

/// The next key of a pool, or its fallback key.
fn take_one(
    commit: &mut Commit,
    pool: &KeyPool,
    (keys, fallback): &mut (Vec<ClaimedKey>, Seen<FallbackKeyRow>),
    forget_age_ms: u64,
) -> Option<Given> {
    if !keys.is_empty() {
        let key = keys.remove(0);
        give_away(commit, pool, &key, forget_age_ms);
        return Some((key.row.key_id, key.row.json));
    }
    let row = fallback.row.clone()?;
    if !row.used {
        rows::use_fallback(commit, pool, fallback);
    }
    // Noted once, however many get it.
    fallback.row = Some(FallbackKeyRow {
        used: true,
        ..row.clone()
    });
    Some((row.key_id, row.json))
}

fn give_away(commit: &mut Commit, pool: &KeyPool, key: &ClaimedKey, forget_age_ms: u64) {
    // What is stored was read when it came.
    let identity = shape::one_time_identity(&key.row.json).unwrap_or_default();
    rows::claim(commit, pool, key, &identity, forget_age_ms);
}

/// Whether there could be such a key: others cannot even be looked up.
fn is_possible(pool: &KeyPool) -> bool {
    pool.device.len() <= crate::DEVICE_ID_BYTES_MAX
        && pool.algorithm.len() <= super::KEY_NAME_BYTES_MAX
}
