//! matrix-sdk against Belfry: people verify each other, talk encrypted in a DM and in a group, also
//! after the server was killed; one adds a device, which reads what was said before, by the keys that
//! the first device gives it and by those of the key backup, and resets their identity, which the
//! others notice.

#![recursion_limit = "256"]

mod person;
mod server;

use std::{process::ExitCode, time::Duration};

use matrix_sdk::{
    encryption::{
        CrossSigningResetAuthType,
        verification::{SasVerification, Verification, VerificationRequest},
    },
    ruma::{
        OwnedRoomId, RoomId,
        api::client::room::create_room::v3::{Request as CreateRoom, RoomPreset},
        events::{InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
};
use person::{Failure, Person, until};
use server::Server;
use tokio::time::timeout;

/// How long all of it may take.
const ALL_MAX: Duration = Duration::from_secs(140);

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
    let carol = Person::sign_up(&server.url, "carol").await?;
    for person in [&alice, &bob, &carol] {
        let encryption = person.client.encryption();
        encryption.bootstrap_cross_signing(None).await?;
    }

    let direct = talk_directly(&alice, &bob).await?;
    let first = alice.say(&direct, "For your eyes only").await?;
    bob.reads(&direct, &first, "For your eyes only").await?;
    verify(&alice, &bob).await?;
    let group = meet(&alice, &[&bob, &carol]).await?;
    let all = carol.say(&group, "To everybody").await?;
    for person in [&alice, &bob] {
        person.reads(&group, &all, "To everybody").await?;
    }

    server.kill_and_start().await?;
    let after = bob.say(&direct, "After the kill").await?;
    alice.reads(&direct, &after, "After the kill").await?;

    let recovery = alice.client.encryption().recovery();
    let key = recovery.enable().wait_for_backups_to_upload().await?;
    let second = add_device(server, &alice, &key).await?;
    // Keys of the group are not looked for in the backup: the first device is asked for them.
    second.reads(&group, &all, "To everybody").await?;
    let backups = second.client.encryption().backups();
    backups.download_room_keys_for_room(&direct).await?;
    second.reads(&direct, &first, "For your eyes only").await?;
    sees_device(&bob, &second).await?;
    let late = bob.say(&direct, "To both").await?;
    for device in [&alice, &second] {
        device.reads(&direct, &late, "To both").await?;
    }

    reset_identity(&second, &bob).await?;
    for person in [&alice, &second, &bob, &carol] {
        person.client.logout().await?;
    }
    drop((alice, second, bob, carol));
    let log = server.stop().await?;
    let bad = log
        .lines()
        .find(|line| line.contains("WARN") || line.contains("ERROR"));
    match bad {
        None => Ok(()),
        Some(line) => Err(format!("the server complained: {line}").into()),
    }
}

async fn talk_directly(alice: &Person, bob: &Person) -> Result<OwnedRoomId, Failure> {
    let room = alice.client.create_dm(&bob.id()?).await?;
    let room = room.room_id().to_owned();
    bob.accept_invite(&room).await?;
    for person in [alice, bob] {
        person.sees_members(&room, 2).await?;
    }
    is_encrypted(bob, &room).await?;
    Ok(room)
}

/// An encrypted room of several.
async fn meet(host: &Person, guests: &[&Person]) -> Result<OwnedRoomId, Failure> {
    let mut wanted = CreateRoom::new();
    wanted.preset = Some(RoomPreset::PrivateChat);
    let content = RoomEncryptionEventContent::with_recommended_defaults();
    wanted.initial_state = vec![InitialStateEvent::with_empty_state_key(content).to_raw_any()];
    for guest in guests {
        wanted.invite.push(guest.id()?);
    }
    let room = host.client.create_room(wanted).await?.room_id().to_owned();
    for guest in guests {
        guest.accept_invite(&room).await?;
    }
    for person in guests.iter().copied().chain([host]) {
        person.sees_members(&room, guests.len() + 1).await?;
        is_encrypted(person, &room).await?;
    }
    Ok(room)
}

async fn is_encrypted(person: &Person, room: &RoomId) -> Result<(), Failure> {
    let room = person.room(room).await?;
    let room = &room;
    until("the room is encrypted", || async move {
        let state = room.latest_encryption_state().await?;
        Ok(state.is_encrypted().then_some(()))
    })
    .await
}

/// Both compare emoji, as people do who sit side by side.
async fn verify(alice: &Person, bob: &Person) -> Result<(), Failure> {
    let (alice_id, bob_id) = (alice.id()?, bob.id()?);
    let of_alice = alice.client.encryption();
    let of_bob = bob.client.encryption();
    let identity = of_alice.request_user_identity(&bob_id).await?;
    let identity = identity.ok_or("Bob has no identity")?;
    let asked = identity.request_verification().await?;
    let flow = asked.flow_id().to_owned();
    let answered: VerificationRequest = until("Bob is asked", || async {
        Ok(of_bob.get_verification_request(&alice_id, &flow).await)
    })
    .await?;
    answered.accept().await?;
    until("Bob has agreed", || async {
        Ok(asked.is_ready().then_some(()))
    })
    .await?;
    let sas = asked.start_sas().await?.ok_or("Bob compares no emoji")?;
    let other = until("Bob is shown emoji", || async {
        let found = of_bob.get_verification(&alice_id, &flow).await;
        Ok(found.and_then(Verification::sas))
    })
    .await?;
    other.accept().await?;
    for side in [&sas, &other] {
        until("emoji are shown", || async {
            Ok(side.can_be_presented().then_some(()))
        })
        .await?;
    }
    let shown = |sas: &SasVerification| sas.decimals();
    if shown(&sas).is_none() || shown(&sas) != shown(&other) {
        return Err("they see different things".into());
    }
    for side in [&sas, &other] {
        side.confirm().await?;
    }
    for (encryption, user) in [(&of_alice, &bob_id), (&of_bob, &alice_id)] {
        until("they trust each other", || async {
            let identity = encryption.get_user_identity(user).await?;
            Ok(identity.filter(|identity| identity.is_verified()).map(drop))
        })
        .await?;
    }
    Ok(())
}

/// A second device that has the first one's secrets by the recovery key.
async fn add_device(server: &Server, alice: &Person, key: &str) -> Result<Person, Failure> {
    let second = Person::sign_in(&server.url, "alice").await?;
    let encryption = second.client.encryption();
    encryption.recovery().recover(key).await?;
    until("the new device is signed", || async {
        let own = encryption.get_own_device().await?;
        Ok(own
            .filter(|device| device.is_cross_signed_by_owner())
            .map(drop))
    })
    .await?;
    let session = second.session()?;
    let of_alice = alice.client.encryption();
    until("the first device trusts the second", || async {
        let id = &session.meta.device_id;
        let device = of_alice.get_device(&session.meta.user_id, id).await?;
        Ok(device.filter(|device| device.is_verified()).map(drop))
    })
    .await?;
    Ok(second)
}

/// Somebody else learns of a device by themselves.
async fn sees_device(bob: &Person, second: &Person) -> Result<(), Failure> {
    let meta = second.session()?.meta;
    let encryption = bob.client.encryption();
    until("Bob sees the second device", || async {
        let device = encryption
            .get_device(&meta.user_id, &meta.device_id)
            .await?;
        Ok(device.filter(|device| device.is_verified()).map(drop))
    })
    .await
}

/// One's identity becomes another, which whoever had verified it notices.
async fn reset_identity(second: &Person, bob: &Person) -> Result<(), Failure> {
    let encryption = second.client.encryption();
    let handle = encryption.recovery().reset_identity().await?;
    let handle = handle.ok_or("an identity is reset without a password")?;
    let CrossSigningResetAuthType::Uiaa(asked) = handle.auth_type() else {
        return Err("the server asks for no password".into());
    };
    let proof = second.password(asked.session.clone());
    handle.reset(Some(proof)).await?;
    let alice_id = second.id()?;
    let of_bob = bob.client.encryption();
    until("Bob notices that Alice is another", || async {
        let identity = of_bob.get_user_identity(&alice_id).await?;
        Ok(identity
            .filter(|identity| identity.has_verification_violation())
            .map(drop))
    })
    .await
}
