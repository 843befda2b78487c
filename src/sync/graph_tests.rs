//! Rooms that forked, and rooms with gaps in their history.

use belfry_env::Random;
use belfry_event::EventHash;
use serde_json::json;

use crate::{
    Direction, ViewError,
    fixture::{Device, Server, alice, each, joined, parsed, text},
    graph_fixture::Graph,
    read_tests::page,
};

const TOPIC: (&str, &str) = ("m.room.topic", "");

async fn topic(graph: &mut Graph, prev: &[EventHash], topic: &str) -> EventHash {
    let content = json!({"topic": topic}).to_string();
    graph.say(prev, TOPIC.0, Some(TOPIC.1), &content, &[]).await
}

async fn message(graph: &mut Graph, prev: &[EventHash]) -> EventHash {
    graph
        .say(prev, "m.room.message", None, "{\"body\":\"x\"}", &[])
        .await
}

fn known_topic(device: &Device, graph: &Graph) -> String {
    device.joined[&graph.room].state[&(TOPIC.0.to_owned(), String::new())].clone()
}

#[tokio::test(start_paused = true)]
async fn state_after_follows_the_head_not_the_timeline() {
    let server = Server::new();
    let mut graph = Graph::new(server.engine.clone()).await;
    let base = graph.tips.clone();
    let mut device = Device::of(alice());
    device.request.use_state_after = true;
    device.sync(&server).await;
    let winner = topic(&mut graph, &base, "wins").await;
    device.sync(&server).await;
    let loser = topic(&mut graph, &base, "loses").await;
    let answer = device.sync(&server).await;
    let told = joined(&answer, &graph.room);
    assert_eq!(
        each(&told["timeline"]["events"], "event_id"),
        [graph.id(loser)]
    );
    assert_eq!(known_topic(&device, &graph), graph.id(winner));
    message(&mut graph, &[loser]).await;
    device.sync(&server).await;
    assert_eq!(known_topic(&device, &graph), graph.id(winner));
    let tips = [graph.tips[1], graph.tips[0]];
    message(&mut graph, &tips).await;
    device.sync(&server).await;
    assert_eq!(
        known_topic(&device, &graph),
        graph.id(loser),
        "resolved otherwise later"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn random_graphs_are_followed_exactly_by_state_after() {
    for seed in 0..40 {
        let server = Server::new();
        let mut graph = Graph::new(server.engine.clone()).await;
        let random = Random::seeded(seed);
        let mut recent = graph.tips.clone();
        let limits = [100, 2, 100, 5, 0, 1];
        let device = |limit| {
            let filter = json!({"room": {"timeline": {"limit": limit}}});
            Device::with_filter(alice(), &filter)
        };
        let mut devices = limits.map(device);
        for device in &mut devices {
            device.request.use_state_after = true;
            device.sync(&server).await;
        }
        for step in 0..40 {
            let mut prev = match random.below(4) {
                0 => vec![recent[usize::try_from(random.below(recent.len() as u64)).unwrap()]],
                1 => vec![graph.tips[0]],
                _ => graph.tips.iter().copied().take(3).collect(),
            };
            if random.below(2) == 0 {
                prev.reverse();
            }
            let (kind, key) = (["org.a", "org.b"], ["", "k"]);
            let kind = kind[usize::try_from(random.below(2)).unwrap()];
            let key = key[usize::try_from(random.below(2)).unwrap()];
            let content = json!({"n": step}).to_string();
            let key = (random.below(3) > 0).then_some(key);
            recent.push(graph.say(&prev, kind, key, &content, &[]).await);
            if recent.len() > 6 {
                recent.remove(0);
            }
            for (number, device) in devices.iter_mut().enumerate() {
                if random.below(1 + 2 * number as u64) == 0 {
                    device.sync(&server).await;
                    let known = &device.joined[&graph.room].state;
                    assert_eq!(
                        known,
                        &graph.current(),
                        "seed {seed}, step {step}, {number}"
                    );
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn timeline_and_pages_end_at_a_gap_and_go_on_behind_it() {
    let server = Server::new();
    let mut graph = Graph::new(server.engine.clone()).await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let tips = graph.tips.clone();
    let before = message(&mut graph, &tips).await;
    let missing = EventHash::from([9; 32]);
    let content = "{\"body\":\"after an outage\"}";
    let tips = graph.tips.clone();
    let after = graph
        .say(&tips, "m.room.message", None, content, &[missing])
        .await;
    let tips = graph.tips.clone();
    let last = message(&mut graph, &tips).await;
    let [before, after, last] = [before, after, last].map(|event| graph.id(event));

    let answer = device.sync(&server).await;
    let timeline = &joined(&answer, &graph.room)["timeline"];
    assert_eq!(timeline["limited"], true);
    assert_eq!(each(&timeline["events"], "event_id"), [&*after, &*last]);

    let mut request = page(alice(), &graph.room, Direction::Backward);
    let newest = server.views.messages(&request).await.unwrap();
    assert_eq!(each(&parsed(&newest.chunk), "event_id"), [&*last, &*after]);
    assert!(newest.gap.is_some());
    for from in [newest.end, Some(text(&timeline["prev_batch"]))] {
        request.from = from;
        let older = server.views.messages(&request).await.unwrap();
        assert_eq!(each(&parsed(&older.chunk), "event_id")[0], before);
        assert!(older.gap.is_none() && older.end.is_none());
    }
    let mut request = page(alice(), &graph.room, Direction::Forward);
    let oldest = server.views.messages(&request).await.unwrap();
    assert_eq!(
        each(&parsed(&oldest.chunk), "event_id").last(),
        Some(&before)
    );
    assert!(oldest.gap.is_some());
    request.from = oldest.end;
    let newer = server.views.messages(&request).await.unwrap();
    assert_eq!(each(&parsed(&newer.chunk), "event_id"), [&*after, &*last]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn damaged_room_keeps_no_other_from_being_told() {
    let server = Server::new();
    let sound = server.room().await;
    let mut graph = Graph::new(server.engine.clone()).await;
    graph.damage().await;
    let mut device = Device::of(alice());
    let answer = device.sync(&server).await;
    assert!(joined(&answer, &graph.room).is_null(), "VIS-027");
    assert!(!joined(&answer, &sound).is_null());
    let refused = server.views.state(alice(), &graph.room).await.unwrap_err();
    assert!(matches!(&refused, ViewError::Fault(fault) if !fault.is_passing()));
    server.stop().await;
}
