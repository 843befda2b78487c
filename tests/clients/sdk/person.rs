//! Somebody with a device: signs up or in, syncs all the time, waits until things are so.
//!
//! It knows nothing of what is tested.

use std::time::Duration;

use matrix_sdk::{
    Client, Room, RoomMemberships,
    authentication::matrix::MatrixSession,
    config::SyncSettings,
    encryption::EncryptionSettings,
    ruma::{
        OwnedEventId, OwnedUserId, RoomId,
        api::client::{
            account::register,
            uiaa::{AuthData, Dummy, MatrixUserIdentifier, Password, UserIdentifier},
        },
        events::room::message::RoomMessageEventContent,
    },
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// What a script fails with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long one step may take.
pub const STEP_MAX: Duration = Duration::from_secs(45);
/// How often is looked whether something has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long a sync waits at the server.
const POLL: Duration = Duration::from_secs(20);
/// Of everybody.
pub const PASSWORD: &str = "correct horse battery";

/// What `look` gives once it gives something.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let seen = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            sleep(LOOK).await;
        }
    };
    let seen: Result<Result<T, Failure>, _> = timeout(STEP_MAX, seen).await;
    seen.unwrap_or_else(|_| Err(format!("{what}: not within {STEP_MAX:?}").into()))
}

/// See the module. Dropping it ends its sync.
pub struct Person {
    /// The client of matrix-sdk.
    pub client: Client,
    name: String,
    syncing: JoinHandle<()>,
}

impl Drop for Person {
    fn drop(&mut self) {
        self.syncing.abort();
    }
}

impl Person {
    /// Makes an account.
    pub async fn sign_up(url: &str, name: &str) -> Result<Self, Failure> {
        let client = client(url).await?;
        let mut request = register::v3::Request::new();
        request.username = Some(name.to_owned());
        request.password = Some(PASSWORD.to_owned());
        request.auth = Some(AuthData::Dummy(Dummy::new()));
        client.matrix_auth().register(request).await?;
        Self::begin(client, name).await
    }

    /// Signs in on a new device.
    pub async fn sign_in(url: &str, name: &str) -> Result<Self, Failure> {
        let client = client(url).await?;
        let auth = client.matrix_auth();
        auth.login_username(name, PASSWORD).send().await?;
        Self::begin(client, name).await
    }

    async fn begin(client: Client, name: &str) -> Result<Self, Failure> {
        client.sync_once(SyncSettings::default()).await?;
        let own = client.clone();
        let syncing = tokio::spawn(async move {
            // A server that is killed breaks it off.
            while own
                .sync(SyncSettings::default().timeout(POLL))
                .await
                .is_err()
            {
                sleep(LOOK).await;
            }
        });
        Ok(Self {
            client,
            name: name.to_owned(),
            syncing,
        })
    }

    /// Who it is.
    pub fn id(&self) -> Result<OwnedUserId, Failure> {
        let id = self.client.user_id().ok_or("nobody is signed in")?;
        Ok(id.to_owned())
    }

    /// Who it is and on which device.
    pub fn session(&self) -> Result<MatrixSession, Failure> {
        let session = self.client.matrix_auth().session();
        session.ok_or_else(|| "nobody is signed in".into())
    }

    /// Proves who one is.
    pub fn password(&self, session: Option<String>) -> AuthData {
        let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.name.clone()));
        let mut password = Password::new(identifier, PASSWORD.to_owned());
        password.session = session;
        AuthData::Password(password)
    }

    /// The room, once it is known here.
    pub async fn room(&self, room: &RoomId) -> Result<Room, Failure> {
        until("a room is known", || async {
            Ok(self.client.get_room(room))
        })
        .await
    }

    /// Joins a room once it is invited.
    pub async fn accept_invite(&self, room: &RoomId) -> Result<(), Failure> {
        self.room(room).await?;
        self.client.join_room_by_id(room).await?;
        Ok(())
    }

    /// Waits until so many are in the room.
    pub async fn sees_members(&self, room: &RoomId, count: usize) -> Result<(), Failure> {
        let room = self.room(room).await?;
        let room = &room;
        until("everybody is there", || async move {
            let members = room.members(RoomMemberships::JOIN).await?;
            Ok((members.len() == count).then_some(()))
        })
        .await
    }

    /// Sends a text.
    pub async fn say(&self, room: &RoomId, body: &str) -> Result<OwnedEventId, Failure> {
        let content = RoomMessageEventContent::text_plain(body);
        let sent = self.room(room).await?.send(content).await?;
        Ok(sent.response.event_id)
    }

    /// Waits until this can be decrypted, and says this.
    pub async fn reads(
        &self,
        room: &RoomId,
        event: &OwnedEventId,
        body: &str,
    ) -> Result<(), Failure> {
        let room = self.room(room).await?;
        let room = &room;
        let what = format!("{} reads {body:?}", self.name);
        let found = until(&what, || async move {
            let event = room.event(event, None).await?;
            Ok(event.encryption_info().is_some().then_some(event))
        })
        .await?;
        let json: serde_json::Value = serde_json::from_str(found.raw().json().get())?;
        let read = json["content"]["body"].as_str();
        if read == Some(body) {
            Ok(())
        } else {
            Err(format!("{what}: but reads {read:?}").into())
        }
    }
}

async fn client(url: &str) -> Result<Client, Failure> {
    // Whatever is to be set up, the script sets up.
    let settings = EncryptionSettings::default();
    let client = Client::builder()
        .homeserver_url(url)
        .with_encryption_settings(settings);
    Ok(client.build().await?)
}
