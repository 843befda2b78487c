//! Evidence that was forged, for what no engine can be made to do wrong.
//!
//! It exists as `tampered` does: to see checkers fail. It knows nothing of how they work.

use std::sync::Arc;

use belfry_data::{Commit, Position};
use belfry_event::{Draft, EventHash, KeyRing, SigningKey};
use belfry_kv::{Fault, Recorded};

use crate::act::Act;
use crate::checks::{CHECKERS, Evidence, Voice};
use crate::door::{Answer, Told};
use crate::history::{Ask, History};
use crate::plan::Plan;
use crate::server::Server;
use crate::setup::Setup;
use crate::view::{Logged, View};
use crate::world::run;

/// What checkers are given, to be forged.
struct Forgery {
    plan: Plan,
    history: History,
    view: View,
    seen: View,
    commits: Vec<Recorded>,
    flights_max: usize,
    keys: KeyRing,
}

impl Forgery {
    /// The honest evidence of a run, checked as if for the first time.
    fn new() -> Self {
        let plan = Plan::of(3);
        let outcome = run(plan.clone(), &Setup::default());
        assert_eq!(outcome.complaints, []);
        assert!(outcome.view.global.len() > 30, "enough has happened");
        Self {
            plan,
            history: outcome.history,
            seen: outcome.view.clone(),
            view: outcome.view,
            commits: Vec::new(),
            flights_max: 2,
            keys: Server::new("x.example", [7; 32]).key_ring(),
        }
    }

    /// What one checker says.
    fn complaints(&self, checker: &str) -> Vec<String> {
        let none = View::default();
        let evidence = Evidence {
            plan: &self.plan,
            history: &self.history,
            view: &self.view,
            seen: &self.seen,
            checked: &none,
            commits: &self.commits,
            position: Position::ZERO,
            flights_max: self.flights_max,
            keys: &self.keys,
            wall_ms: u64::from(u32::MAX) * 1_000,
        };
        let mut complaints = Vec::new();
        let (name, check) = CHECKERS
            .into_iter()
            .find(|(name, _)| *name == checker)
            .expect("a checker");
        check(&evidence, &mut Voice::new(name, &mut complaints));
        complaints.into_iter().map(|one| one.text).collect()
    }

    fn answered(&mut self, number: u128) {
        let position = Position::new(number).expect("a small number");
        self.commits.push(Recorded {
            commit: Commit::synced(),
            fault: Fault::None,
            answer: Ok(position),
        });
    }
}

fn says(complaints: &[String], part: &str) -> bool {
    complaints.iter().any(|text| text.contains(part))
}

#[test]
fn honest_evidence_is_without_complaint() {
    let honest = Forgery::new();
    for (checker, _) in CHECKERS {
        assert_eq!(honest.complaints(checker), [""; 0], "{checker}");
    }
}

#[test]
fn durability_misses_what_was_seen() {
    let mut forged = Forgery::new();
    let room = forged.view.rooms.values_mut().next().expect("a room");
    drop(room.log.pop());
    assert!(says(
        &forged.complaints("durability"),
        "the last 1 are gone"
    ));
}

#[test]
fn idempotency_takes_one_answer_only() {
    let mut forged = Forgery::new();
    let other = forged.view.events().next().expect("an event");
    let other = other.1.pdu.event_id().clone();
    let ops = &mut forged.history.ops;
    let sent = |act: &Act| matches!(act, Act::Send { .. });
    let op = ops
        .iter_mut()
        .find(|op| sent(&op.act) && op.events().next().is_some());
    op.expect("a message").asks.push(Ask {
        began: 1,
        wall_ms: 0,
        ended: Some((2, Answer::Done(Told::Event(other)))),
    });
    assert!(says(&forged.complaints("idempotency"), "was answered"));
}

/// The sender of this event leaves before sending it.
fn leave(before: &Logged, cites: &[EventHash]) -> Logged {
    let pdu = &before.pdu;
    let draft = Draft {
        rules: pdu.rules(),
        room_id: Some(pdu.room_id()),
        sender: pdu.sender(),
        event_type: "m.room.member",
        state_key: Some(pdu.sender().as_str()),
        content: r#"{"membership":"leave"}"#,
        redacts: None,
        prev_events: pdu.prev_hashes(),
        auth_events: cites,
        depth: pdu.depth(),
        origin_server_ts: pdu.origin_server_ts(),
    };
    let key = SigningKey::from_seed(&[7; 32], "sim").expect("a key");
    let pdu = draft.sign(pdu.sender().server_name(), &key);
    let pdu = Arc::new(pdu.expect("a well-formed event"));
    let mut leave = before.clone();
    leave.stored.hash = pdu.hash();
    leave.stored.row.json = pdu.json().into();
    leave.pdu = pdu;
    leave
}

#[test]
fn authorisation_refuses_who_has_left() {
    let mut forged = Forgery::new();
    let mut logs = forged.view.rooms.values_mut().map(|room| &mut room.log);
    let message = |event: &Logged| event.pdu.state_key().is_none();
    let (log, at) = logs
        .find_map(|log| {
            let at = log.iter().position(message)?;
            Some((log, at))
        })
        .expect("somebody spoke");
    let cites = log[at].pdu.auth_hashes().to_vec();
    log.insert(at, leave(&log[at], &cites));
    let complaints = forged.complaints("authorisation");
    assert!(says(&complaints, "Rejected"), "{complaints:?}");
}

#[test]
fn authorisation_refuses_other_keys() {
    let mut forged = Forgery::new();
    forged.keys = Server::new("x.example", [8; 32]).key_ring();
    assert!(says(&forged.complaints("authorisation"), "is wrong"));
}

#[test]
fn order_finds_what_overtook_an_acknowledged_event() {
    let mut forged = Forgery::new();
    let ops = &mut forged.history.ops;
    let op = ops.iter_mut().find(|op| op.events().next().is_some());
    for ask in &mut op.expect("an event").asks {
        ask.began = u64::MAX;
    }
    assert!(says(&forged.complaints("order"), "stands before it"));
}

#[test]
fn order_finds_positions_that_go_back() {
    let mut forged = Forgery::new();
    forged.answered(5);
    forged.answered(6);
    assert_eq!(forged.complaints("order"), [""; 0]);
    forged.answered(6);
    assert!(says(&forged.complaints("order"), "was answered after"));
}

#[test]
fn bounds_count_commits_under_way() {
    let mut forged = Forgery::new();
    forged.flights_max = 3;
    assert!(says(&forged.complaints("bounds"), "under way"));
}
