//! No request goes to a server for what the agreement with it does not cover, for each purpose.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use belfry_data::BoxFuture;
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_media::{FromOrigin, Origin as _};
use belfry_policy::{Purpose, Rules, ServerRights};
use belfry_room::{
    Directory as _, Handshake, Invitation, MissingEvents, Peers as _, PublicRoomsAsk,
};
use belfry_user::RemoteKeys as _;
use bytes::Bytes;
use http::{Request, Response};
use ruma_common::{
    RoomVersionId, ServerName, event_id, room_alias_id, room_id, server_name, user_id,
};
use serde_json::value::RawValue;

use crate::{
    Client, Limits, Network, NetworkError, SignedDirectory, SignedOrigin, SignedPeers,
    SignedUserKeys, Signer, fixture::START_MS,
};

/// A part of the path of each request of [`ask_everything`], in their order, and what it is for.
const ASKED: [(&str, Purpose); 23] = [
    ("/make_join/", Purpose::Join),
    ("/make_knock/", Purpose::Knock),
    ("/make_leave/", Purpose::Exchange),
    ("/send_join/", Purpose::Join),
    ("/send_knock/", Purpose::Knock),
    ("/send_leave/", Purpose::Exchange),
    ("/invite/", Purpose::Invite),
    ("/get_missing_events/", Purpose::Exchange),
    ("/state_ids/", Purpose::Exchange),
    ("/state/", Purpose::Exchange),
    ("/event/", Purpose::Exchange),
    ("/event_auth/", Purpose::Exchange),
    ("/backfill/", Purpose::Exchange),
    ("/policy/v1/sign", Purpose::Exchange),
    ("/query/directory", Purpose::Directory),
    ("/query/profile", Purpose::Profile),
    ("/publicRooms", Purpose::Directory),
    ("/hierarchy/", Purpose::Directory),
    ("/timestamp_to_event/", Purpose::Exchange),
    ("/user/keys/query", Purpose::Keys),
    ("/user/keys/claim", Purpose::Keys),
    ("/user/devices/", Purpose::Keys),
    ("/media/download/", Purpose::Media),
];

/// Writes down what is asked, and refuses it.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Network for Recorder {
    fn ask<'a>(
        &'a self,
        _: &'a ServerName,
        request: Request<Bytes>,
        _: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        let path = request.uri().path().to_owned();
        self.0.lock().unwrap().push(path);
        let body = Bytes::from_static(br#"{"errcode": "M_FORBIDDEN", "error": "no"}"#);
        let answer = Response::builder().status(403).body(body).unwrap();
        Box::pin(async move { Ok(answer) })
    }
}

/// Everything that one server asks another for, once; the other one is `b.org`.
async fn ask_everything(client: &Arc<Client>, env: &Env) {
    ask_of_rooms(&SignedPeers::new(Arc::clone(client))).await;
    look_up(&SignedDirectory::new(Arc::clone(client), env.clock.clone())).await;
    let wait = Duration::from_secs(1);
    let (server, user) = (server_name!("b.org").to_owned(), user_id!("@b:b.org"));
    let keys = SignedUserKeys::new(Arc::clone(client), env.clock.clone());
    let users = BTreeMap::from([(user.to_owned(), Vec::new())]);
    keys.query(BTreeMap::from([(server.clone(), users)]), wait)
        .await;
    let users = BTreeMap::from([(user.to_owned(), BTreeMap::new())]);
    keys.claim(BTreeMap::from([(server.clone(), users)]), wait)
        .await;
    keys.devices(vec![user.to_owned()], wait).await;
    let media = SignedOrigin::new(Arc::clone(client), env.clock.clone());
    let wanted = FromOrigin {
        server,
        id: "file".to_owned(),
        wait,
        small: None,
    };
    assert!(media.open(&wanted).await.is_err());
}

async fn ask_of_rooms(peers: &SignedPeers) {
    let (server, room) = (server_name!("b.org"), room_id!("!r:b.org"));
    let (event, user) = (event_id!("$e"), user_id!("@a:a.org"));
    let json = RawValue::from_string("{}".to_owned()).unwrap();
    for handshake in [Handshake::Join, Handshake::Knock, Handshake::Leave] {
        let made = peers.make(server, handshake, room, user, &[]).await;
        assert!(made.is_err());
    }
    assert!(peers.send_join(server, room, event, &json).await.is_err());
    assert!(peers.send_knock(server, room, event, &json).await.is_err());
    assert!(peers.send_leave(server, room, event, &json).await.is_err());
    let invitation = Invitation {
        room_version: RoomVersionId::V11,
        event: json.clone(),
        invite_room_state: Vec::new(),
    };
    let invited = peers.invite(server, room, event, &invitation).await;
    assert!(invited.is_err());
    let missing = MissingEvents {
        earliest: Vec::new(),
        latest: Vec::new(),
        limit: 1,
        min_depth: 0,
    };
    let missing = peers.missing_events(server, room, &missing).await;
    assert!(missing.is_err());
    assert!(peers.state_ids(server, room, event).await.is_err());
    assert!(peers.state(server, room, event).await.is_err());
    assert!(peers.event(server, event).await.is_err());
    assert!(peers.event_auth(server, room, event).await.is_err());
    assert!(peers.backfill(server, room, &[], 1).await.is_err());
    assert!(peers.recommend(server, &json).await.is_err());
}

async fn look_up(directory: &SignedDirectory) {
    let (servers, room) = ([server_name!("b.org").to_owned()], room_id!("!r:b.org"));
    let alias = directory.alias(room_alias_id!("#r:b.org")).await;
    assert!(alias.is_err());
    assert!(directory.profile(user_id!("@b:b.org")).await.is_err());
    let ask = PublicRoomsAsk::default();
    assert!(directory.public_rooms(&servers[0], &ask).await.is_err());
    assert!(directory.space(&servers, room).await.is_err());
    assert!(directory.moment(&servers, room, 0, true).await.is_err());
}

/// What was asked under an agreement that covers everything but this purpose.
async fn asked_without(withheld: Option<Purpose>) -> Vec<String> {
    let env = Env::simulated(1, &SimulatedWall::at(START_MS));
    let rules = Rules::default();
    let mut rights = ServerRights::all();
    rights.outbound.retain(|it| Some(*it) != withheld);
    assert!(rules.partners.set(server_name!("b.org"), Some(rights)));
    let signer = Signer {
        server: server_name!("a.org").to_owned(),
        key: SigningKey::from_seed(&[7; 32], "1").unwrap(),
    };
    let network = Arc::new(Recorder::default());
    let way = Arc::clone(&network) as Arc<dyn Network>;
    let client = Client::new(way, signer, env.clock.clone(), Arc::new(rules));
    ask_everything(&Arc::new(client), &env).await;
    let asked = network.0.lock().unwrap();
    asked.clone()
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_for_nothing_that_its_agreement_does_not_cover() {
    let purposes = Purpose::ALL.iter().copied().map(Some);
    for withheld in purposes.chain([None]) {
        let asked = asked_without(withheld).await;
        let covered = ASKED.iter().filter(|(_, it)| Some(*it) != withheld);
        let covered: Vec<_> = covered.map(|(part, _)| *part).collect();
        assert_eq!(asked.len(), covered.len(), "{withheld:?}: {asked:?}");
        for (path, part) in asked.iter().zip(covered) {
            assert!(path.contains(part), "{withheld:?}: {path} is not {part}");
        }
    }
}

#[test]
fn each_purpose_has_a_request_in_the_table() {
    for purpose in Purpose::ALL {
        assert!(ASKED.iter().any(|(_, it)| it == purpose), "{purpose:?}");
    }
}
