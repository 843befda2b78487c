use std::sync::Arc;

use belfry_event::EventHash;
use belfry_kv::{Commit, Engine, Key, Memory, Stamp, Write};
use ruma_common::{room_id, server_name, user_id};

use super::{FindingKind, Report, check};
use crate::{
    Before, CurrentRow, CurrentState, EdgeRow, EventRow, GapRow, GlobalRow, Incarnation,
    LocalMemberRow, LogRow, Membership, NodeHash, RoomHead, RoomWrites, Root, STAMP_FIRST,
    StagedRow, Txn, UserRoomRow,
    column::{RoomKey, ServerKey, UserKey},
    fixture::hash,
    open,
    room_fixture::{ALICE, Said, TestRoom, local, message},
    stage,
    state::{Inner, Node},
    stats,
    tables::{
        EVENT, EVENT_EDGE, EVENT_ROOM, EXPIRY, GLOBAL_LOG, LOCAL_MEMBER, ROOM_GAP, ROOM_HEAD,
        ROOM_LOG, ROOM_SERVER, ROOM_STATE, ROOM_TAIL, ROOM_TIMELINE, STAGED, STAGED_BYTES,
        STATE_NODE, StateNode, USER_ROOM,
    },
    writes::state_key,
};

/// A database in which all is well, and what damages need to know of it.
struct Base {
    room: TestRoom,
    key: RoomKey,
    head: RoomHead,
    last: EventHash,
    before_last: EventHash,
    last_row: (Stamp, EventRow),
    bob: CurrentRow,
    root: (NodeHash, Inner),
}

const BOB: &str = "@bob:elsewhere.org";

async fn base() -> Base {
    let engine = Arc::new(Memory::default());
    open(Arc::clone(&engine) as _, local(), Incarnation([1; 16]))
        .await
        .unwrap();
    let mut room = TestRoom::new(engine).await;
    room.join(BOB).await;
    for number in 0..30 {
        room.join(&format!("@user{number}:example.org")).await;
    }
    let before_last = room.message("one").await;
    let last = room.message("two").await;
    add_other_rows(&mut room).await;
    let snapshot = room.snapshot().await;
    let key = RoomKey::from(&*room.room);
    let head = room.head.clone().unwrap();
    let last_row = EVENT
        .get(&*snapshot, &(key.clone(), *last.as_bytes()))
        .await
        .unwrap()
        .unwrap();
    let bob = (key.clone(), 1, "m.room.member".to_owned(), BOB.to_owned());
    let bob = ROOM_STATE.get(&*snapshot, &bob).await.unwrap().unwrap();
    let top = head.state.node().unwrap();
    let node = STATE_NODE
        .get(&*snapshot, &(key.clone(), top.0))
        .await
        .unwrap()
        .unwrap();
    let Node::Inner(inner) = Node::decode(&node.0).unwrap() else {
        panic!("the state fits into a leaf");
    };
    Base {
        room,
        key,
        head,
        last,
        before_last,
        last_row,
        bob,
        root: (top, inner),
    }
}

/// A transaction, a gap, a staged event.
async fn add_other_rows(room: &mut TestRoom) {
    let head = room.head.clone().unwrap();
    let content = message("staged");
    let said = Said {
        sender: ALICE,
        event_type: "m.room.message",
        state_key: None,
        content: &content,
    };
    let (staged, _) = room.plan(&head.extremities.clone(), said).await;
    let mut writes = RoomWrites::new(local(), &room.room, Before::Planned(&head), head.rows());
    let txn = Txn::new(user_id!("@alice:example.org"), "PHONE", &[], "1").unwrap();
    writes.txn(&txn, head.extremities[0], 1_000);
    writes.open_gap(hash(7), 3);
    let row = StagedRow {
        origin: "elsewhere.org".into(),
        received_ts: 1,
        json: staged.pdu.json().into(),
    };
    let origin = server_name!("elsewhere.org");
    stage(
        writes.commit(),
        &room.room,
        staged.pdu.hash(),
        &row,
        origin,
        100_000,
    );
    let next = head.successor();
    room.engine
        .commit(writes.finish(&next).unwrap())
        .await
        .unwrap();
    room.head = Some(next);
}

async fn report_after(damage: impl FnOnce(&Base, &mut Commit)) -> Report {
    let base = base().await;
    let mut commit = Commit::synced();
    damage(&base, &mut commit);
    base.room.engine.commit(commit).await.unwrap();
    check(&*base.room.engine, 100).await.unwrap()
}

#[tokio::test]
async fn a_sound_database_is_clean() {
    let report = report_after(|_, _| {}).await;
    assert!(report.is_clean(), "{:#?}", report.findings);
}

#[tokio::test]
async fn findings_beyond_the_limit_are_counted() {
    let base = base().await;
    let mut commit = Commit::synced();
    EVENT_ROOM.delete_prefix(&mut commit, &());
    base.room.engine.commit(commit).await.unwrap();
    let report = check(&*base.room.engine, 5).await.unwrap();
    assert_eq!(report.findings.len(), 5);
    let more = base.room.events.len() - 5;
    assert_eq!(usize::try_from(report.more), Ok(more));
    assert!(!report.is_clean());
}

#[tokio::test]
async fn stats_count_every_row() {
    let base = base().await;
    let stats = stats(&*base.room.engine).await.unwrap();
    assert_eq!((stats.rooms, stats.rooms_without_rows), (1, 0));
    assert_eq!(stats.largest[0].joined, Some(32));
    assert_eq!(stats.largest[0].entries, 35);
    let rows = |name: &str| {
        stats
            .tables
            .iter()
            .find(|table| table.name == name)
            .unwrap()
            .rows
    };
    assert_eq!(usize::try_from(rows("event")), Ok(base.room.events.len()));
    assert_eq!(
        (rows("room_state"), rows("staged"), rows("user")),
        (35, 1, 0)
    );
}

/// One test for each damage: its name, what is found, in which table, and what was done.
macro_rules! damages {
    ($($name:ident: $kind:ident in $table:literal by |$base:ident, $commit:ident| $damage:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let report = report_after(|$base, $commit| $damage).await;
                let mut findings = report.findings.iter();
                let found = findings
                    .any(|one| one.kind == FindingKind::$kind && one.table == $table);
                assert!(found, "{:#?}", report.findings);
            }
        )*
    };
}

damages! {
    a_row_that_does_not_decode: Undecodable in "event" by |base, commit| {
        let key = EVENT.key(&(base.key.clone(), *base.last.as_bytes()));
        commit.writes.push(Write::Put(key, "x".into()));
    };
    a_key_that_does_not_decode: Undecodable in "room_gap" by |_base, commit| {
        let key = Key::new(vec![ROOM_GAP.space().tag, b'x', 0]);
        commit.writes.push(Write::Put(key, vec![1, 0].into()));
    };
    an_extremity_that_is_not_stored: Dangling in "room_head" by |base, commit| {
        EVENT.delete(commit, &(base.key.clone(), *base.last.as_bytes()));
    };
    a_state_that_is_not_stored: Dangling in "room_head" by |base, commit| {
        STATE_NODE.delete(commit, &(base.key.clone(), base.root.0.0));
    };
    a_subtree_that_is_not_stored: Dangling in "state_node" by |base, commit| {
        let child = base.root.1.children.iter().flatten().next().unwrap();
        STATE_NODE.delete(commit, &(base.key.clone(), child.0));
    };
    a_state_event_that_is_not_stored: Dangling in "room_head" by |base, commit| {
        EVENT.delete(commit, &(base.key.clone(), *base.bob.event.as_bytes()));
    };
    a_node_with_other_bytes: WrongHash in "state_node" by |base, commit| {
        let mut inner = base.root.1.clone();
        inner.children.rotate_left(1);
        let row = StateNode(Node::Inner(inner).encode().into());
        STATE_NODE.put(commit, &(base.key.clone(), base.root.0.0), &row);
    };
    a_node_that_is_no_node: WrongShape in "state_node" by |base, commit| {
        let row = StateNode("no node".into());
        STATE_NODE.put(commit, &(base.key.clone(), NodeHash::of(&row.0).0), &row);
    };
    subtrees_in_the_wrong_places: WrongShape in "room_head" by |base, commit| {
        let mut inner = base.root.1.clone();
        inner.children.rotate_left(1);
        point_head_at(base, commit, inner);
    };
    a_node_that_counts_wrongly: WrongShape in "state_node" by |base, commit| {
        let mut inner = base.root.1.clone();
        inner.size.entries += 1;
        point_head_at(base, commit, inner);
    };
    a_row_of_the_state_with_another_event: WrongState in "room_state" by |base, commit| {
        let row = CurrentRow { event: base.last, ..base.bob };
        put_state(base, commit, 1, BOB, &row);
    };
    a_row_of_the_state_with_another_membership: WrongState in "room_state" by |base, commit| {
        let row = CurrentRow { membership: Some(Membership::Ban), ..base.bob };
        put_state(base, commit, 1, BOB, &row);
    };
    a_row_of_the_state_too_few: WrongState in "room_state" by |base, commit| {
        let tuple = crate::StateTuple::member(BOB).unwrap();
        ROOM_STATE.delete(commit, &state_key(&base.key, 1, &tuple));
    };
    a_row_of_the_state_too_many: WrongState in "room_head" by |base, commit| {
        put_state(base, commit, 1, "@ghost:example.org", &base.bob);
    };
    a_row_of_an_unknown_epoch: Orphan in "room_state" by |base, commit| {
        put_state(base, commit, 99, BOB, &base.bob);
    };
    a_state_event_of_another_type: WrongState in "room_head" by |base, commit| {
        let tuple = crate::StateTuple::new("m.room.name", "").unwrap();
        let mut set = base.room.set.clone();
        let root = set.set(base.head.state, tuple, base.last).unwrap();
        for (hash, bytes) in set.take_writes(&[root]) {
            STATE_NODE.put(commit, &(base.key.clone(), hash.0), &StateNode(bytes));
        }
        put_head(base, commit, |head| head.state = root);
    };
    a_member_without_a_row: WrongMember in "user_room" by |base, commit| {
        USER_ROOM.delete(commit, &(user(BOB), base.key.clone()));
    };
    a_user_with_a_room_too_many: WrongMember in "user_room" by |base, commit| {
        let row = UserRoomRow { membership: Membership::Join, event: base.last };
        USER_ROOM.stamp(commit, &(user("@ghost:example.org"), base.key.clone()), &row);
    };
    a_user_joined_to_an_unknown_room: WrongMember in "user_room" by |base, commit| {
        let room = RoomKey::from(room_id!("!nowhere:example.org"));
        let row = UserRoomRow { membership: Membership::Join, event: base.last };
        USER_ROOM.stamp(commit, &(user(BOB), room), &row);
    };
    a_local_member_without_a_row: WrongMember in "local_member" by |base, commit| {
        LOCAL_MEMBER.delete(commit, &(base.key.clone(), user(ALICE)));
    };
    a_local_member_too_many: WrongMember in "local_member" by |base, commit| {
        let row = LocalMemberRow { membership: Membership::Join };
        LOCAL_MEMBER.put(commit, &(base.key.clone(), user("@ghost:example.org")), &row);
    };
    a_head_that_counts_wrongly: WrongCount in "room_head" by |base, commit| {
        put_head(base, commit, |head| {
            if let CurrentState::Rows { members, .. } = &mut head.current {
                members.joined += 1;
            }
        });
    };
    a_server_counted_wrongly: WrongCount in "room_server" by |base, commit| {
        let key = (base.key.clone(), 1, ServerKey::from(server_name!("elsewhere.org")));
        ROOM_SERVER.add(commit, &key, 1);
    };
    a_server_too_many: WrongCount in "room_server" by |base, commit| {
        let key = (base.key.clone(), 1, ServerKey::from(server_name!("ghost.org")));
        ROOM_SERVER.add(commit, &key, 1);
    };
    an_event_with_other_content: WrongHash in "event" by |base, commit| {
        put_last(base, commit, |row| row.json = row.json.replace("m.text", "m.emote").into());
    };
    an_event_that_is_no_event: WrongHash in "event" by |base, commit| {
        put_last(base, commit, |row| row.json = "{}".into());
    };
    an_event_in_another_room: WrongEvent in "event" by |base, commit| {
        let other = RoomKey::from(room_id!("!other:example.org"));
        ROOM_HEAD.put(commit, &(other.clone(),), &base.head);
        EVENT.put(commit, &(other, *base.last.as_bytes()), &base.last_row);
    };
    a_wrong_auth_depth: WrongEvent in "event" by |base, commit| {
        put_last(base, commit, |row| row.auth_depth += 1);
    };
    a_state_before_that_is_not_stored: Dangling in "event" by |base, commit| {
        put_last(base, commit, |row| {
            row.state_before = Some(Root::from(Some(NodeHash::of(b"nowhere"))));
        });
    };
    a_redaction_that_is_not_stored: Dangling in "event" by |base, commit| {
        put_last(base, commit, |row| row.redacted_by = Some(hash(1)));
    };
    an_auth_or_previous_event_that_is_not_stored: Dangling in "event" by |base, commit| {
        EVENT.delete(commit, &(base.key.clone(), *base.before_last.as_bytes()));
    };
    an_event_without_its_room: Dangling in "event" by |base, commit| {
        EVENT_ROOM.delete(commit, &(*base.last.as_bytes(),));
    };
    a_room_of_no_event: Orphan in "event_room" by |base, commit| {
        EVENT.delete(commit, &(base.key.clone(), *base.last.as_bytes()));
    };
    an_edge_too_few: Dangling in "event" by |base, commit| {
        EVENT_EDGE.delete(commit, &last_edge(base));
    };
    an_edge_of_no_event: Orphan in "event_edge" by |base, commit| {
        let (room, parent, _) = last_edge(base);
        EVENT_EDGE.put(commit, &(room, parent, [9; 32]), &EdgeRow { covers: true });
    };
    an_edge_that_counts_wrongly: WrongEvent in "event_edge" by |base, commit| {
        EVENT_EDGE.put(commit, &last_edge(base), &EdgeRow { covers: false });
    };
    a_log_with_an_unknown_event: Dangling in "room_log" by |base, commit| {
        ROOM_LOG.append(commit, &(base.key.clone(),), &LogRow { event: hash(1) });
    };
    a_log_with_an_outlier: WrongOrder in "room_log" by |base, commit| {
        put_last(base, commit, |row| row.state_before = None);
    };
    a_global_log_with_an_unknown_event: Dangling in "global_log" by |base, commit| {
        let room = base.key.0.as_str().into();
        GLOBAL_LOG.append(commit, &(), &GlobalRow::Event { room, event: hash(1) });
    };
    a_global_log_with_no_room: Undecodable in "global_log" by |base, commit| {
        let row = GlobalRow::Event { room: "nowhere".into(), event: base.last };
        GLOBAL_LOG.append(commit, &(), &row);
    };
    a_timeline_with_an_unknown_event: Dangling in "room_timeline" by |base, commit| {
        ROOM_TIMELINE.append(commit, &(base.key.clone(), 3), &LogRow { event: hash(1) });
    };
    an_event_at_another_depth: WrongOrder in "room_timeline" by |base, commit| {
        ROOM_TIMELINE.append(commit, &(base.key.clone(), 3), &LogRow { event: base.last });
    };
    an_event_that_the_timeline_lacks: WrongOrder in "event" by |base, commit| {
        ROOM_TIMELINE.delete_prefix(commit, &(base.key.clone(), base.head.depth));
    };
    a_tail_elsewhere: WrongOrder in "room_tail" by |base, commit| {
        ROOM_TAIL.put(commit, &(base.key.clone(),), &(STAMP_FIRST, ()));
    };
    a_tail_of_no_log: Orphan in "room_tail" by |_base, commit| {
        let room = RoomKey::from(room_id!("!nowhere:example.org"));
        ROOM_TAIL.stamp(commit, &(room,), &());
    };
    a_gap_where_nothing_is_missing: Orphan in "room_gap" by |base, commit| {
        ROOM_GAP.put(commit, &(base.key.clone(), *base.last.as_bytes()), &GapRow { depth: 3 });
    };
    a_staged_event_with_another_hash: WrongHash in "staged" by |base, commit| {
        let row = StagedRow {
            origin: "elsewhere.org".into(),
            received_ts: 1,
            json: base.last_row.1.json.clone(),
        };
        STAGED.stamp(commit, &(base.key.clone(), [1; 32]), &row);
    };
    staged_bytes_counted_wrongly: WrongCount in "staged_bytes" by |_base, commit| {
        STAGED_BYTES.add(commit, &(ServerKey::from(server_name!("elsewhere.org")),), 1);
    };
    staged_bytes_not_counted: WrongCount in "staged_bytes" by |_base, commit| {
        STAGED_BYTES.delete(commit, &(ServerKey::from(server_name!("elsewhere.org")),));
    };
    an_expiry_of_no_table: Dangling in "expiry" by |_base, commit| {
        EXPIRY.put(commit, &(5, vec![254, 1].into()), &());
    };
}

fn user(id: &str) -> UserKey {
    UserKey(id.try_into().unwrap())
}

fn last_edge(base: &Base) -> (RoomKey, [u8; 32], [u8; 32]) {
    let (parent, child) = (base.before_last, base.last);
    (base.key.clone(), *parent.as_bytes(), *child.as_bytes())
}

fn put_last(base: &Base, commit: &mut Commit, change: impl FnOnce(&mut EventRow)) {
    let (stamp, mut row) = base.last_row.clone();
    change(&mut row);
    EVENT.put(
        commit,
        &(base.key.clone(), *base.last.as_bytes()),
        &(stamp, row),
    );
}

fn put_head(base: &Base, commit: &mut Commit, change: impl FnOnce(&mut RoomHead)) {
    let mut head = base.head.clone();
    change(&mut head);
    ROOM_HEAD.put(commit, &(base.key.clone(),), &head);
}

fn point_head_at(base: &Base, commit: &mut Commit, inner: Inner) {
    let bytes = Node::Inner(inner).encode();
    let hash = NodeHash::of(&bytes);
    STATE_NODE.put(
        commit,
        &(base.key.clone(), hash.0),
        &StateNode(bytes.into()),
    );
    put_head(base, commit, |head| head.state = Root::from(Some(hash)));
}

fn put_state(base: &Base, commit: &mut Commit, epoch: u64, state_of: &str, row: &CurrentRow) {
    let tuple = crate::StateTuple::member(state_of).unwrap();
    ROOM_STATE.put(commit, &state_key(&base.key, epoch, &tuple), row);
}
