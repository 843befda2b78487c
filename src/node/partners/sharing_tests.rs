//! What is said and done while everybody reaches everybody.

use serde_json::json;

use super::world::{NAMES, World, shared_room};

#[tokio::test(start_paused = true)]
async fn three_servers_share_rooms_of_every_current_version() {
    let world = World::new().await;
    for version in ["6", "10", "11", "12"] {
        let room = shared_room(&world, version).await;
        for member in &world.members {
            member
                .say(&room, &format!("{}-{version}", member.name))
                .await;
            world.settle().await;
        }
        let said: Vec<_> = NAMES.map(|name| format!("{name}-{version}")).to_vec();
        for member in &world.members {
            assert_eq!(member.texts(&room).await, said, "{} {version}", member.name);
        }
        world.assert_converged(&room).await;
    }
    world.stop().await;
}

/// All say something in the same moment, several times.
async fn talk(world: &World, room: &str, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let said = world.members.iter().map(|member| async move {
            member.say(room, &format!("{}-{round}", member.name)).await;
        });
        futures_util::future::join_all(said).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_at_the_same_time_arrives_everywhere() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    talk(&world, &room, 0..5).await;
    world.settle().await;
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let first = sorted(world.members[0].texts(&room).await);
    assert_eq!(first.len(), 15, "{first:?}");
    for member in &world.members[1..] {
        assert_eq!(sorted(member.texts(&room).await), first, "{}", member.name);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_arrives_after_much_talk_at_the_same_time() {
    let world = World::new().await;
    for version in ["10", "12"] {
        let room = shared_room(&world, version).await;
        talk(&world, &room, 0..30).await;
        world.members[0].set_topic(&room, "tea").await;
        talk(&world, &room, 30..35).await;
        world.settle().await;
        for member in &world.members {
            let topic = member.topic(&room).await;
            assert_eq!(topic.as_deref(), Some("tea"), "{} {version}", member.name);
            assert_eq!(member.texts(&room).await.len(), 105, "{}", member.name);
        }
        world.assert_converged(&room).await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_join_by_way_of_one_server_is_told_to_the_others_once() {
    let world = World::new().await;
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create("12").await;
    two.join(&room, one).await;
    world.settle().await;
    let before = world.net.told();
    three.join(&room, one).await;
    world.settle().await;
    // The server that let it in tells the third one; nobody else has anything to say.
    assert_eq!(world.net.told() - before, 1);
    let members = two
        .get("GET", &format!("/rooms/{room}/joined_members"), json!({}))
        .await;
    assert!(members["joined"][&three.user()].is_object(), "{members}");
    world.assert_converged(&room).await;
    world.stop().await;
}
