//! A server under the load of several users, until it is killed or they are told to stop.

use std::time::Duration;

use belfry_env::{Env, Random, Shutdown, Task};
use serde_json::json;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use crate::{
    act::Act,
    actor::Actor,
    client::Client,
    place::{Place, Server},
    stored::Stored,
};

/// Users who work at the same time.
const ACTORS: usize = 8;
/// The most acknowledgements that are waited for before a kill.
const ACKNOWLEDGED_MAX: u64 = 200;
/// The longest wait behind them, so that a kill may fall anywhere between two acknowledgements.
const DELAY_MAX_US: u64 = 20_000;
/// How long the users may take to notice that the server is gone.
const NOTICE_MAX: Duration = Duration::from_mins(2);

/// A place, its users, and what they remember.
pub(crate) struct Storm {
    pub(crate) place: Place,
    pub(crate) actors: Vec<Actor>,
    pub(crate) env: Env,
    random: Random,
}

/// Users at work on a running server.
pub(crate) struct Load {
    pub(crate) server: Server,
    halt: Shutdown,
    acknowledged: watch::Receiver<Vec<String>>,
    working: Vec<Task<Actor>>,
}

/// A runtime for one test.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

impl Storm {
    /// A new place whose users are in one room together.
    pub(crate) async fn new(runtime: &Runtime, seed: u64) -> Self {
        let place = Place::new();
        let env = Env::system(runtime.handle().clone()).unwrap();
        let random = Random::seeded(seed);
        let server = place.start();
        let mut client = Client::connect(&env, server.address).await.unwrap();
        let mut tokens = Vec::new();
        for number in 0..ACTORS {
            tokens.push(client.register(&format!("user{number}")).await.unwrap());
        }
        let wanted = json!({
            "preset": "public_chat",
            "name": "shared",
            "power_level_content_override": {"state_default": 0},
        });
        let room = client
            .get(("POST", "/createRoom"), &tokens[0], &wanted)
            .await;
        let room = room.unwrap()["room_id"].as_str().unwrap().to_owned();
        let join = format!("/rooms/{room}/join");
        for token in tokens.iter().skip(1) {
            let joined = client.get(("POST", &join), token, &json!({})).await;
            joined.unwrap();
        }
        server.kill();
        let actor = |(number, token)| {
            Actor::new(&format!("user{number}"), token, room.clone(), random.fork())
        };
        let mut actors: Vec<_> = tokens.into_iter().enumerate().map(actor).collect();
        actors[0].ledger.attempt("shared", &Act::Create);
        actors[0].ledger.acknowledge("shared", room.clone());
        Self {
            place,
            actors,
            env,
            random,
        }
    }

    /// Starts the server and sets the users to work.
    pub(crate) fn begin(&mut self) -> Load {
        let server = self.place.start();
        let halt = Shutdown::default();
        let (count, acknowledged) = watch::channel(Vec::new());
        let begin = |actor: Actor| {
            let work = actor.work(
                self.env.clone(),
                server.address,
                halt.clone(),
                count.clone(),
            );
            self.env.tasks.spawn("actor", work)
        };
        let working = self.actors.drain(..).map(begin).collect();
        Load {
            server,
            halt,
            acknowledged,
            working,
        }
    }

    /// One life of the server: from its start to a kill at a random moment under load.
    pub(crate) async fn live_and_die(&mut self) {
        let mut load = self.begin();
        let enough = usize::try_from(self.random.below(ACKNOWLEDGED_MAX)).unwrap();
        load.wait_for(enough).await;
        let delay_us = self.random.below(DELAY_MAX_US);
        self.env.clock.sleep(Duration::from_micros(delay_us)).await;
        self.kill(load).await;
    }

    /// One life of the server that ends well: whatever was not acknowledged before now is.
    pub(crate) async fn live_and_stop(&mut self) {
        let load = self.begin();
        self.end(load).await;
    }

    /// Lets the users end what they are at, and stops the server.
    pub(crate) async fn end(&mut self, load: Load) {
        load.halt.begin();
        self.gather(load.working).await;
        load.server.stop();
    }

    /// Kills the server in the middle of the load.
    pub(crate) async fn kill(&mut self, load: Load) {
        load.server.kill();
        self.gather(load.working).await;
    }

    async fn gather(&mut self, working: Vec<Task<Actor>>) {
        for task in working {
            let actor = self.env.clock.within(NOTICE_MAX, task).await;
            self.actors.push(actor.expect("a user is stuck").unwrap());
        }
    }

    /// Reads all that is stored, by the program's own check and without it. The server is not
    /// running.
    pub(crate) async fn check(&self) -> Stored {
        let checked = self.place.json(&["db", "check", "--json"]);
        assert_eq!(checked["check"]["findings"], json!([]));
        let stored = Stored::read(&self.place.path("data/db")).await;
        stored.check(&self.actors);
        stored
    }

    /// How much was acknowledged in all.
    pub(crate) fn acknowledged(&self) -> usize {
        let ledgers = self.actors.iter().map(|actor| &actor.ledger);
        ledgers.map(crate::ledger::Ledger::acknowledged).sum()
    }
}

impl Load {
    /// Waits until the users were acknowledged so many requests.
    pub(crate) async fn wait_for(&mut self, count: usize) {
        let enough = self.acknowledged.wait_for(|now| now.len() >= count).await;
        assert!(
            enough.is_ok(),
            "the users ended early: {}",
            self.server.log()
        );
    }

    /// The markers of what was acknowledged so far in this life of the server.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.borrow().clone()
    }
}
