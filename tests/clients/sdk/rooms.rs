//! matrix-sdk-ui's `SyncService` and `RoomListService`, the engine of Element X, against Belfry: the
//! right rooms in the right order with the right counts, at once and as things happen, with invites,
//! after reading elsewhere, and after the server was killed.

#![recursion_limit = "256"]

#[expect(dead_code, reason = "the script of encrypted rooms uses the rest")]
mod person;
mod server;

use std::{pin::pin, process::ExitCode, time::Duration};

use futures_util::StreamExt as _;
use matrix_sdk::{
    Client, RoomState,
    ruma::{
        OwnedEventId, RoomId,
        api::client::{
            receipt::create_receipt::v3::ReceiptType,
            room::create_room::v3::{Request as CreateRoom, RoomPreset},
        },
        events::receipt::ReceiptThread,
    },
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    room_list_service::{RoomListItem, filters::new_filter_non_left},
    sync_service::{State, SyncService},
};
use person::{Failure, PASSWORD, Person, until};
use server::Server;
use tokio::{sync::watch, time::timeout};

/// How long all of it may take.
const ALL_MAX: Duration = Duration::from_secs(140);
/// How many rooms are shown at once.
const PAGE: usize = 20;

/// A room as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    name: String,
    unread: u64,
    invited: bool,
}

impl Shown {
    fn of(room: &RoomListItem) -> Self {
        let name = room.cached_display_name();
        Self {
            name: name.map(|name| name.to_string()).unwrap_or_default(),
            unread: room.unread_notification_counts().notification_count,
            invited: room.state() == RoomState::Invited,
        }
    }

    /// A room that the reader is in.
    fn joined(name: &str, unread: u64) -> Self {
        Self {
            name: name.to_owned(),
            unread,
            invited: false,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut server = match Server::start().await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let done = timeout(ALL_MAX, run(&mut server)).await;
    let done = done.unwrap_or_else(|_| Err(format!("not within {ALL_MAX:?}").into()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}\n{}", server.log().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

async fn run(server: &mut Server) -> Result<(), Failure> {
    let alice = Person::sign_up(&server.url, "alice").await?;
    let bob = Person::sign_up(&server.url, "bob").await?;
    let mut rooms = Vec::new();
    for name in ["Archive", "Budget", "Council"] {
        rooms.push(found(&alice, &bob, name).await?);
    }
    let (archive, budget, council) = (&rooms[0], &rooms[1], &rooms[2]);
    alice.say(archive, "one").await?;
    alice.say(council, "one").await?;
    alice.say(budget, "one").await?;
    alice.say(budget, "two").await?;

    let app = sign_in(&server.url, "bob").await?;
    let service = SyncService::builder(app.clone()).build().await?;
    let (shown, mut seen) = watch::channel(Vec::new());
    service.start().await;
    let rooms_of_app = service.room_list_service().all_rooms().await?;
    let (entries, controller) = rooms_of_app.entries_with_dynamic_adapters(PAGE);
    controller.set_filter(Box::new(new_filter_non_left()));
    let showing = async {
        let (mut entries, mut list) = (pin!(entries), Default::default());
        while let Some(diffs) = entries.next().await {
            for diff in diffs {
                diff.apply(&mut list);
            }
            let rooms = list.iter().map(Shown::of);
            shown.send_replace(rooms.collect());
        }
        Err("the list of rooms ended".into())
    };
    let acting = async {
        let room = Shown::joined;
        shows(
            &mut seen,
            &[room("Budget", 2), room("Council", 1), room("Archive", 1)],
        )
        .await?;
        let last = alice.say(archive, "two").await?;
        shows(
            &mut seen,
            &[room("Archive", 2), room("Budget", 2), room("Council", 1)],
        )
        .await?;
        read(&bob, archive, last).await?;
        shows(
            &mut seen,
            &[room("Archive", 0), room("Budget", 2), room("Council", 1)],
        )
        .await?;

        is_invited(&mut seen, (&alice, &bob), &app).await?;
        server.kill_and_start().await?;
        restart(&service).await?;
        alice.say(council, "after the kill").await?;
        comes(&mut seen, |list| list.first() == Some(&room("Council", 2))).await
    };
    let done: Result<(), Failure> = tokio::select! {
        biased;
        ended = showing => ended,
        done = acting => done,
    };
    service.stop().await;
    done?;
    let log = server.stop().await?;
    if log.contains(" ERROR ") {
        return Err(format!("the server complains:\n{log}").into());
    }
    Ok(())
}

/// An invitation comes, and becomes a room.
async fn is_invited(
    seen: &mut watch::Receiver<Vec<Shown>>,
    (alice, bob): (&Person, &Person),
    app: &Client,
) -> Result<(), Failure> {
    let name = "Delegation";
    let shows_it = |list: &Vec<Shown>, invited| {
        list.iter()
            .any(|room| room.name == name && room.invited == invited)
    };
    let room = invite(alice, bob, name).await?;
    comes(seen, |list| shows_it(list, true)).await?;
    app.join_room_by_id(&room).await?;
    comes(seen, |list| shows_it(list, false)).await
}

/// Signs in as Element X does.
async fn sign_in(url: &str, name: &str) -> Result<Client, Failure> {
    let client = Client::builder()
        .homeserver_url(url)
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .build()
        .await?;
    client
        .matrix_auth()
        .login_username(name, PASSWORD)
        .send()
        .await?;
    Ok(client)
}

/// A room of Alice's that Bob is in.
async fn found(
    alice: &Person,
    bob: &Person,
    name: &str,
) -> Result<matrix_sdk::ruma::OwnedRoomId, Failure> {
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PublicChat);
    request.name = Some(name.to_owned());
    let room = alice
        .client
        .create_room(request)
        .await?
        .room_id()
        .to_owned();
    bob.client.join_room_by_id(&room).await?;
    alice.sees_members(&room, 2).await?;
    Ok(room)
}

/// A room of Alice's that Bob is asked into.
async fn invite(
    alice: &Person,
    bob: &Person,
    name: &str,
) -> Result<matrix_sdk::ruma::OwnedRoomId, Failure> {
    let mut request = CreateRoom::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.name = Some(name.to_owned());
    request.invite = vec![bob.id()?];
    Ok(alice
        .client
        .create_room(request)
        .await?
        .room_id()
        .to_owned())
}

/// Somebody reads on another device.
async fn read(person: &Person, room: &RoomId, event: OwnedEventId) -> Result<(), Failure> {
    let room = person.room(room).await?;
    let sent = room.send_single_receipt(ReceiptType::Read, ReceiptThread::Unthreaded, event);
    Ok(sent.await?)
}

/// Goes on after the server was away.
async fn restart(service: &SyncService) -> Result<(), Failure> {
    until("the service goes on", || async {
        if matches!(service.state().get(), State::Running) {
            return Ok(Some(()));
        }
        service.start().await;
        Ok(None)
    })
    .await
}

async fn shows(seen: &mut watch::Receiver<Vec<Shown>>, rooms: &[Shown]) -> Result<(), Failure> {
    comes(seen, |list| list == rooms)
        .await
        .map_err(|failure| format!("{failure}; expected {rooms:?}").into())
}

/// Waits until the list is so.
async fn comes(
    seen: &mut watch::Receiver<Vec<Shown>>,
    is_so: impl FnMut(&Vec<Shown>) -> bool,
) -> Result<(), Failure> {
    let mut is_so = is_so;
    let came = timeout(person::STEP_MAX, seen.wait_for(|list| is_so(list))).await;
    if came.is_ok_and(|came| came.is_ok()) {
        return Ok(());
    }
    let list = seen.borrow().clone();
    Err(format!("the list of rooms does not come to what it should be: {list:?}").into())
}
