//! Device lists for tokens that are older than what is left of the logs: everybody is told.

use belfry_data::{
    Commit, Engine as _, STAMP_LAST,
    keys::{device_list_cut, note_remote_device_list, trim_device_list_log, trim_member_logs},
};
use ruma_common::{RoomId, UserId};
use serde_json::{Value, json};

use crate::fixture::{Device, Server, alice, bob, carol, user};

/// What a device that comes with its old token is told.
async fn told(server: &Server, device: &mut Device) -> Value {
    device.sync(server).await["device_lists"].clone()
}

async fn note(server: &Server, user: &UserId) {
    let mut commit = Commit::synced();
    note_remote_device_list(&mut commit, user);
    server.engine.commit(commit).await.unwrap();
}

/// Takes all of the log of device lists away but its newest entry.
async fn trim_lists(server: &Server) {
    let now = server.engine.snapshot().await.unwrap();
    let cut = device_list_cut(&*now, 1).await.unwrap().unwrap();
    let mut commit = Commit::lazy();
    let gone = trim_device_list_log(&*now, &mut commit, cut).await;
    assert!(gone.unwrap() > 0);
    server.engine.commit(commit).await.unwrap();
}

async fn trim_members(server: &Server, room: &RoomId) {
    let now = server.engine.snapshot().await.unwrap();
    let mut commit = Commit::lazy();
    let rooms = [room];
    let gone = trim_member_logs(&*now, &mut commit, &rooms, STAMP_LAST, 0).await;
    assert!(gone.unwrap() > 0);
    server.engine.commit(commit).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn token_older_than_the_log_of_device_lists_is_told_of_all_it_shares_rooms_with() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    server.join(&room, carol()).await;
    let stranger = user(9);
    let (mut old, mut new) = (Device::of(alice()), Device::named(alice(), "NEW"));
    old.sync(&server).await;
    note(&server, bob()).await;
    note(&server, &stranger).await;
    note(&server, &stranger).await;
    new.sync(&server).await;
    note(&server, carol()).await;
    trim_lists(&server).await;
    let all = json!({"changed": [alice(), bob(), carol()], "left": []});
    assert_eq!(told(&server, &mut old).await, all, "oneself, too");
    let one = json!({"changed": [carol()], "left": []});
    assert_eq!(
        told(&server, &mut new).await,
        one,
        "what is left is told as before"
    );
    assert_eq!(told(&server, &mut old).await, Value::Null, "once is enough");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_after_a_restart() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let mut old = Device::of(alice());
    old.sync(&server).await;
    note(&server, bob()).await;
    note(&server, &user(9)).await;
    trim_lists(&server).await;
    let server = server.restart().await;
    let all = json!({"changed": [alice(), bob()], "left": []});
    assert_eq!(told(&server, &mut old).await, all);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn token_older_than_a_rooms_log_of_members_is_told_of_all_members() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let mut old = Device::of(alice());
    old.sync(&server).await;
    server.join(&room, carol()).await;
    trim_members(&server, &room).await;
    let all = json!({"changed": [bob(), carol()], "left": []});
    assert_eq!(told(&server, &mut old).await, all);
    server.stop().await;
}
