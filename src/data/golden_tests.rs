//! Rows of every table with the bytes that they have on disk, in `golden.txt`.
//!
//! A new table needs a sample here, a new variant of a row too. `BELFRY_WRITE_FIXTURES=1` adds what
//! is missing to the file; lines of older row versions stay there for ever and must still decode.

use belfry_kv::{KeyCodec, Keyspace, Layout, ReadError, Stamp, Table};
use ruma_common::{room_id, server_name, user_id};

use crate::{
    Acceptance, AgeRow, AliasRow, CurrentRow, CurrentState, CursorRow, EdgeRow, EpochRow,
    EpochStage, EventRow, GapRow, GlobalRow, InboundTxnRow, LocalMemberRow, LogRow, MemberCounts,
    Membership, RoomHead, Root, STAMP_FIRST, STAMP_LAST, StagedRow, TxnRow, UserRoomRow,
    account::{
        AccountDataRef, AccountDataRow, Deactivation, DeviceRow, DeviceSeenRow, FilterRow,
        ProfileLogRow, ProfileRow, RegistrationTokenRow, StandingRow, TokenPair, TokenPurpose,
        TokenRow, UserRow, tables as account,
    },
    age::AGE,
    column::{RoomKey, ServerKey, UserKey},
    directory::{ALIAS_OF_ROOM, PUBLISHED, ROOM_ALIAS},
    fixture::{WRITE_FIXTURES, from_hex, hash, members, to_hex, write_fixture},
    flow_samples, keyspaces, remote_samples,
    rows::{MetaRow, MigrationRow},
    state::{Entry, Inner, Node, NodeHash, Size, StateTuple, WorkingSet},
    tables::*,
};

const GOLDEN: &str = include_str!("golden.txt");

type Decode = Box<dyn Fn(&[u8]) -> Result<(), ReadError>>;

/// A row as stored.
pub(crate) struct Sample {
    pub(crate) space: &'static Keyspace,
    key: String,
    value: String,
    decode: Decode,
}

impl Sample {
    /// Name, row version, key, value; bytes in hexadecimal.
    pub(crate) fn line(&self) -> String {
        let (name, version) = (self.space.name, self.space.row_version);
        format!("{name} {version} {} {}", self.key, self.value)
    }
}

pub(crate) fn sample<K: KeyCodec + PartialEq + 'static, R: Layout + PartialEq + 'static>(
    table: &'static Table<K, R>,
    key: &K,
    row: &R,
) -> Sample {
    let (raw, value) = (table.key(key), row.to_value());
    assert!(
        table.decode_key(&raw).unwrap() == *key,
        "{}",
        table.space().name
    );
    assert!(
        R::from_value(&value).unwrap() == *row,
        "{}",
        table.space().name
    );
    Sample {
        space: table.space(),
        key: to_hex(raw.as_bytes()),
        value: to_hex(&value),
        decode: Box::new(|value| table.decode_row(value).map(|_| ())),
    }
}

/// Every table, every variant of its rows.
pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    samples.extend(database_samples());
    samples.extend(room_samples());
    samples.extend(event_samples());
    samples.extend(user_samples());
    samples.extend(account_samples());
    samples.extend(crate::golden_related::samples());
    samples.extend(crate::golden_media::samples());
    samples.extend(crate::golden_reading::samples());
    samples.extend(federation_samples());
    samples.extend(flow_samples::samples());
    samples.extend(crate::act_samples::samples());
    samples.extend(crate::keys::golden::samples());
    samples.extend(remote_samples::samples());
    samples
}

fn room() -> RoomKey {
    RoomKey::from(room_id!("!r:a.org"))
}

fn alice() -> UserKey {
    UserKey::from(user_id!("@alice:a.org"))
}

fn server() -> ServerKey {
    ServerKey::from(server_name!("a.org"))
}

fn root() -> Root {
    members(&mut WorkingSet::new(), 0..2)
}

fn database_samples() -> Vec<Sample> {
    let meta = MetaRow {
        schema: 1,
        server_name: "a.org".into(),
        incarnation: [9; 16],
    };
    let migration = MigrationRow {
        to: 2,
        cursor: vec![1, 2],
    };
    let age = AgeRow {
        age_ms: 1,
        wall_ms: 2,
    };
    let cursor = CursorRow {
        stamp: STAMP_LAST,
        resume: vec![7],
    };
    let event = GlobalRow::Event {
        room: "!r:a.org".into(),
        event: hash(1),
    };
    let data = GlobalRow::AccountData {
        user: "@alice:a.org".into(),
    };
    let alias = AliasRow {
        room: room_id!("!r:a.org").to_owned(),
        creator: user_id!("@alice:a.org").to_owned(),
    };
    vec![
        sample(&ROOM_ALIAS, &("#a:a.org".to_owned(),), &alias),
        sample(&ALIAS_OF_ROOM, &(room(), "#a:a.org".to_owned()), &()),
        sample(&PUBLISHED, &(room(),), &()),
        sample(&META, &(), &meta),
        sample(&AGE, &(), &age),
        sample(&MIGRATION, &(), &migration),
        sample(&CURSOR, &("counts".to_owned(),), &cursor),
        sample(&GLOBAL_LOG, &(STAMP_FIRST,), &event),
        sample(&GLOBAL_LOG, &(STAMP_LAST,), &data),
        sample(&EXPIRY, &(300, vec![19, 0, 1].into()), &()),
    ]
}

fn head(current: CurrentState) -> RoomHead {
    RoomHead {
        room_version: "11".into(),
        sequence: 300,
        extremities: vec![hash(1), hash(2)],
        depth: -1,
        state: root(),
        current,
    }
}

fn epoch(stage: EpochStage) -> EpochRow {
    EpochRow {
        epoch: 5,
        root: root(),
        behind: Root::EMPTY,
        stage,
        next: [3; 32],
        members: MemberCounts {
            joined: 1,
            invited: 2,
        },
    }
}

fn room_samples() -> Vec<Sample> {
    let rows = CurrentState::Rows {
        epoch: 5,
        members: MemberCounts {
            joined: 1,
            invited: 2,
        },
    };
    let tree = CurrentState::Tree { behind: root() };
    let state = |key: &str| (room(), 5, "m.room.member".to_owned(), key.to_owned());
    let member = CurrentRow {
        event: hash(1),
        membership: Some(Membership::Invite),
    };
    let other = CurrentRow {
        membership: None,
        ..member
    };
    let [leaf, inner] = nodes();
    let node_key = |node: &StateNode| (room(), NodeHash::of(&node.0).0);
    vec![
        sample(&ROOM_HEAD, &(room(),), &head(rows)),
        sample(&ROOM_HEAD, &(room(),), &head(tree)),
        sample(&ROOM_TAIL, &(room(),), &(STAMP_LAST, ())),
        sample(&ROOM_STATE, &state("@alice:a.org"), &member),
        sample(&ROOM_STATE, &state("\0\u{1}\u{2}"), &other),
        sample(&STATE_NODE, &node_key(&leaf), &leaf),
        sample(&STATE_NODE, &node_key(&inner), &inner),
        sample(&ROOM_EPOCH, &(room(),), &epoch(EpochStage::Entries)),
        sample(&ROOM_EPOCH, &(room(),), &epoch(EpochStage::Users)),
        sample(&ROOM_EPOCH, &(room(),), &epoch(EpochStage::Ready)),
        sample(&ROOM_SERVER_ROWS, &(room(), 5, server()), &-2),
    ]
}

fn nodes() -> [StateNode; 2] {
    let entry = |event_type: &str, state_key: &str| Entry {
        tuple: StateTuple::new(event_type, state_key).unwrap(),
        event: hash(1),
    };
    // Types with a code and without, in the order of their names.
    let entries = vec![
        entry("com.example", ""),
        entry("m.room.create", ""),
        entry("m.room.member", "@alice:a.org"),
    ];
    let mut children = [None; 8];
    children[0] = Some(NodeHash::of(b"a"));
    children[6] = Some(NodeHash::of(b"b"));
    let inner = Inner {
        children,
        size: Size {
            entries: 40,
            bytes: 2_000,
        },
    };
    [Node::Leaf(entries), Node::Inner(inner)].map(|node| StateNode(node.encode().into()))
}

fn event(acceptance: Acceptance, state_before: Option<Root>) -> (Stamp, EventRow) {
    let row = EventRow {
        acceptance,
        state_before,
        auth_depth: 3,
        received_ts: 1_700_000_000_000,
        redacted_by: state_before.map(|_| hash(2)),
        json: "{}".into(),
    };
    (STAMP_FIRST, row)
}

fn event_samples() -> Vec<Sample> {
    let (one, two) = (*hash(1).as_bytes(), *hash(2).as_bytes());
    let log = LogRow { event: hash(1) };
    let staged = StagedRow {
        origin: "a.org".into(),
        received_ts: 300,
        json: "{}".into(),
    };
    vec![
        sample(
            &EVENT,
            &(room(), one),
            &event(Acceptance::Accepted, Some(root())),
        ),
        sample(
            &EVENT,
            &(room(), one),
            &event(Acceptance::SoftFailed, Some(Root::EMPTY)),
        ),
        sample(&EVENT, &(room(), one), &event(Acceptance::Rejected, None)),
        sample(&EVENT_ROOM, &(one,), &RoomOf(room())),
        sample(&EVENT_EDGE, &(room(), one, two), &EdgeRow { covers: true }),
        sample(&AUTH_CITER, &(room(), one, STAMP_LAST), &log),
        sample(&ROOM_LOG, &(room(), STAMP_LAST), &log),
        sample(&ROOM_TIMELINE, &(room(), -1, STAMP_FIRST), &log),
        sample(&ROOM_TIMELINE, &(room(), 300, STAMP_LAST), &log),
        sample(&ROOM_GAP, &(room(), one), &GapRow { depth: -300 }),
        sample(&STAGED, &(room(), one), &(STAMP_LAST, staged)),
        sample(&STAGED_BYTES_ROWS, &(server(),), &300),
    ]
}

fn user_samples() -> Vec<Sample> {
    let user_room = UserRoomRow {
        membership: Membership::Join,
        event: hash(1),
    };
    let local = |membership| LocalMemberRow { membership };
    let inbound = InboundTxnRow {
        response: "{}".into(),
    };
    let txn = |event| TxnRow { event };
    let key = (alice(), "PHONE".to_owned(), [4; 16]);
    vec![
        sample(&USER_ROOM, &(alice(), room()), &(STAMP_LAST, user_room)),
        sample(&LOCAL_MEMBER, &(room(), alice()), &local(Membership::Leave)),
        sample(&LOCAL_MEMBER, &(room(), alice()), &local(Membership::Knock)),
        sample(&LOCAL_MEMBER, &(room(), alice()), &local(Membership::Ban)),
        sample(&TXN, &key, &txn(Some(hash(1)))),
        sample(&TXN, &key, &txn(None)),
        sample(&INBOUND_TXN, &(server(), [4; 16]), &inbound),
    ]
}

fn user_row(standing: StandingRow) -> UserRow {
    UserRow {
        revision: 3,
        created_ts: 300,
        role: "member".into(),
        standing,
        password: Some("$argon2id$".into()),
        deactivated: Some(Deactivation { ts: 5, erase: true }),
        filters: 2,
    }
}

fn token_row(purpose: TokenPurpose) -> TokenRow {
    TokenRow {
        user: "@alice:a.org".into(),
        device: "PHONE".into(),
        purpose,
        next: true,
        expires_age_ms: Some(300),
    }
}

fn account_samples() -> Vec<Sample> {
    let pair = TokenPair {
        access: [1; 32],
        refresh: Some([2; 32]),
    };
    let device = DeviceRow {
        display_name: Some("phone".into()),
        created_ts: 7,
        current: pair,
        next: Some(pair),
    };
    let seen = DeviceSeenRow {
        ip: "::1".into(),
        ts: 300,
    };
    let profile = ProfileRow {
        fields: vec![("displayname".into(), "\"A\"".into())],
    };
    let data = AccountDataRow {
        content: "{}".into(),
    };
    let data_ref = AccountDataRef {
        room: "!r:a.org".into(),
        event_type: "m.tag".into(),
    };
    let filter = FilterRow {
        definition: "{}".into(),
    };
    let invitation = RegistrationTokenRow {
        created_ts: 1,
        uses_allowed: Some(2),
        uses: 1,
        expires_age_ms: None,
        role: "member".into(),
    };
    let (phone, user) = ((alice(), "PHONE".to_owned()), (alice(),));
    let data_key = (alice(), "!r:a.org".to_owned(), "m.tag".to_owned());
    vec![
        sample(&account::USER, &user, &user_row(StandingRow::Active)),
        sample(&account::USER, &user, &user_row(StandingRow::Suspended)),
        sample(&account::USER, &user, &user_row(StandingRow::Locked)),
        sample(&account::DEVICE, &phone, &device),
        sample(&account::DEVICE_SEEN, &phone, &seen),
        sample(
            &account::TOKEN,
            &([5; 32],),
            &token_row(TokenPurpose::Access),
        ),
        sample(
            &account::TOKEN,
            &([5; 32],),
            &token_row(TokenPurpose::Refresh),
        ),
        sample(&account::PROFILE, &user, &profile),
        sample(
            &account::PROFILE_LOG,
            &(STAMP_LAST,),
            &ProfileLogRow {
                user: "@alice:a.org".into(),
                fields: vec!["displayname".into(), "m.tz".into()],
            },
        ),
        sample(
            &GLOBAL_LOG,
            &(STAMP_LAST,),
            &GlobalRow::Profile {
                user: "@alice:a.org".into(),
            },
        ),
        sample(&account::ACCOUNT_DATA, &data_key, &(STAMP_LAST, data)),
        sample(
            &account::ACCOUNT_DATA_LOG,
            &(alice(), STAMP_LAST),
            &data_ref,
        ),
        sample(&account::FILTER, &(alice(), "1".to_owned()), &filter),
        sample(
            &account::REGISTRATION_TOKEN,
            &("t".to_owned(),),
            &invitation,
        ),
    ]
}

fn federation_samples() -> Vec<Sample> {
    use crate::federation::{self, samples};
    let server = || ServerKey::from(server_name!("b.org"));
    let key = (server(), "ed25519:a".to_owned());
    let queued = (server(), STAMP_LAST);
    vec![
        sample(&federation::SERVER_KEY, &key, &samples::key()),
        sample(
            &federation::KEY_DOCUMENT,
            &(server(),),
            &samples::document(),
        ),
        sample(&federation::DESTINATION, &(server(),), &samples::lagging()),
        sample(&federation::EDU_OUTBOX, &queued, &samples::edu()),
        sample(
            &crate::lag::LAGGING_ROOM,
            &(server(), RoomKey::from(room_id!("!r:a.org"))),
            &crate::LagRow::new(STAMP_LAST, hash(4)),
        ),
    ]
}

#[test]
fn every_table_has_a_sample() {
    let samples = samples();
    for space in keyspaces() {
        let found = samples.iter().any(|sample| sample.space.tag == space.tag);
        assert!(found, "add a row of {} to the samples", space.name);
    }
}

#[test]
fn rows_have_the_bytes_that_they_have_always_had() {
    let lines: Vec<_> = samples().iter().map(Sample::line).collect();
    let known: Vec<_> = GOLDEN.lines().map(str::to_owned).collect();
    let missing: Vec<_> = lines.iter().filter(|line| !known.contains(line)).collect();
    if WRITE_FIXTURES && !missing.is_empty() {
        let all: Vec<_> = known
            .iter()
            .chain(missing.iter().copied())
            .map(String::as_str)
            .collect();
        write_fixture("golden.txt", &format!("{}\n", all.join("\n")));
    }
    assert!(missing.is_empty(), "not in golden.txt: {missing:#?}");
}

#[test]
fn rows_of_every_version_decode() {
    let samples = samples();
    for line in GOLDEN.lines() {
        let [name, _, _, value] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let mut of_table = samples.iter().filter(|sample| sample.space.name == name);
        // A table that is no more has no rows to decode.
        if let Some(sample) = of_table.next() {
            assert_eq!((sample.decode)(&from_hex(value)), Ok(()), "{line}");
        }
    }
}
