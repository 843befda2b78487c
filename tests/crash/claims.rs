//! One-time keys under kills: a key that anybody was given is never given again.
//!
//! Fifty clients claim keys of one device while the server is killed, again and again. Whoever is
//! not answered has lost their key at most; the owner, who is not sure either, uploads all keys
//! anew after each kill, and none that was given comes back.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use belfry_env::{Env, Random};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    client::{Client, Gone},
    place::Place,
    storm::runtime,
};

/// Clients that claim at the same time.
const TASKS: usize = 50;
/// Answered claims that are wanted in all.
const CLAIMS: usize = 1_000;
/// Keys of the device: fewer than claims, so that the last ones find none.
const KEYS: usize = 950;
/// Answered claims between two kills, at most.
const BETWEEN_KILLS_MAX: u64 = 150;
/// The longest wait behind them: a kill may fall anywhere into a commit.
const DELAY_MAX_US: u64 = 3_000;
/// How long clients may take to notice that the server is gone.
const NOTICE_MAX: Duration = Duration::from_mins(2);
const SEED: u64 = 7;

/// Whose keys are claimed.
struct Owner {
    user: String,
    device: String,
    token: String,
}

impl Owner {
    async fn sign_up(client: &mut Client) -> Self {
        let token = client.register("owner").await.unwrap();
        let who = client.get(("GET", "/account/whoami"), &token, &json!(null));
        let who = who.await.unwrap();
        let text = |name: &str| who[name].as_str().unwrap().to_owned();
        Self {
            user: text("user_id"),
            device: text("device_id"),
            token,
        }
    }

    /// Uploads all keys; those that the server knows stay as they are.
    async fn upload(&self, client: &mut Client) {
        let keys = (0..KEYS).map(|id| (format!("curve25519:{id:04}"), json!(format!("key{id}"))));
        let body = json!({"one_time_keys": keys.collect::<serde_json::Map<_, _>>()});
        let uploaded = client.get(("POST", "/keys/upload"), &self.token, &body);
        uploaded.await.unwrap();
    }

    /// Claims one key; `None` if there are none left.
    async fn claim(&self, client: &mut Client) -> Result<Option<String>, Gone> {
        let body = json!({"one_time_keys": {&self.user: {&self.device: "curve25519"}}});
        let answer = client.get(("POST", "/keys/claim"), &self.token, &body);
        let answer = answer.await?;
        let given = answer["one_time_keys"][&self.user][&self.device].as_object();
        let names: Vec<_> = given.into_iter().flat_map(|keys| keys.keys()).collect();
        assert!(names.len() <= 1, "{answer}");
        Ok(names.first().map(|name| (*name).clone()))
    }
}

/// What was given so far, in all lives of the server, and how often anybody was answered.
#[derive(Debug, Default)]
struct Given {
    keys: BTreeSet<String>,
    answers: usize,
}

impl Given {
    fn note(&mut self, key: Option<String>) {
        self.answers += 1;
        if let Some(key) = key {
            assert!(!self.keys.contains(&key), "{key} was given twice");
            self.keys.insert(key);
        }
    }
}

/// Claims until the server is gone or enough were answered in all.
async fn claim_on(env: Env, owner: Arc<Owner>, at: SocketAddr, given: watch::Sender<Given>) {
    // Broken off by the server's end, which is what this test is for.
    let _gone: Result<(), Gone> = async {
        let mut client = Client::connect(&env, at).await?;
        while given.borrow().answers < CLAIMS {
            let key = owner.claim(&mut client).await?;
            given.send_modify(|given| given.note(key));
        }
        Ok(())
    }
    .await;
}

/// Any moment in which the server works.
async fn moment(env: &Env, random: &Random) {
    let delay = Duration::from_micros(random.below(DELAY_MAX_US));
    env.clock.sleep(delay).await;
}

#[test]
fn no_key_is_given_twice_by_a_server_that_is_killed_again_and_again() {
    let runtime = runtime();
    runtime.block_on(async {
        let env = Env::system(runtime.handle().clone()).unwrap();
        let random = Random::seeded(SEED);
        let place = Place::new();
        let server = place.start();
        let mut client = Client::connect(&env, server.address).await.unwrap();
        let owner = Arc::new(Owner::sign_up(&mut client).await);
        owner.upload(&mut client).await;
        server.kill();
        let (given, mut seen) = watch::channel(Given::default());
        let mut kills = 0;
        while given.borrow().answers < CLAIMS {
            let server = place.start();
            let mut client = Client::connect(&env, server.address).await.unwrap();
            owner.upload(&mut client).await;
            let begin = |_| {
                let work = claim_on(env.clone(), owner.clone(), server.address, given.clone());
                env.tasks.spawn("claims", work)
            };
            let tasks: Vec<_> = (0..TASKS).map(begin).collect();
            let more = usize::try_from(random.below(BETWEEN_KILLS_MAX)).unwrap();
            let enough = CLAIMS.min(given.borrow().answers + more);
            seen.wait_for(|now| now.answers >= enough).await.unwrap();
            moment(&env, &random).await;
            server.kill();
            kills += 1;
            for task in tasks {
                let ended = env.clock.within(NOTICE_MAX, task).await;
                ended.expect("a client is stuck").unwrap();
            }
        }
        drain(&env, &place, &owner, &given).await;
        let given = given.borrow();
        let (keys, answers) = (given.keys.len(), given.answers);
        println!("{kills} kills, {answers} claims answered, {keys} keys given, each once");
        assert!(keys <= KEYS);
        let checked: Value = place.json(&["db", "check", "--json"]);
        assert_eq!(checked["check"]["findings"], json!([]));
    });
}

/// What is left is given once, too.
async fn drain(env: &Env, place: &Place, owner: &Owner, given: &watch::Sender<Given>) {
    let server = place.start();
    let mut client = Client::connect(env, server.address).await.unwrap();
    owner.upload(&mut client).await;
    while let Some(key) = owner.claim(&mut client).await.unwrap() {
        given.send_modify(|given| given.note(Some(key)));
    }
    server.stop();
}
