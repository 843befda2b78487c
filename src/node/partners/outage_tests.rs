//! Servers that do not reach each other for a while, stop, or lose what they were about to say.

use std::time::Duration;

use super::{
    member::RETRY_MAX,
    world::{World, shared_room},
};

#[tokio::test(start_paused = true)]
async fn a_server_that_was_cut_off_learns_what_happened_meanwhile() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    world.part(0, 1);
    world.part(2, 1);
    world.members[0].set_topic(&room, "tea").await;
    for number in 0..5 {
        world.members[0].say(&room, &format!("a{number}")).await;
        world.members[1].say(&room, &format!("b{number}")).await;
        world.pass(Duration::from_mins(3)).await;
    }
    assert_eq!(world.members[1].topic(&room).await, None);
    world.net.heal();
    world.assert_converged(&room).await;
    for member in &world.members {
        let topic = member.topic(&room).await;
        assert_eq!(topic.as_deref(), Some("tea"), "{}", member.name);
        assert_eq!(member.texts(&room).await.len(), 10, "{}", member.name);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn contact_ends_the_wait_for_a_server_that_was_away() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    world.part(0, 1);
    world.members[0].set_topic(&room, "tea").await;
    world.pass(Duration::from_hours(5)).await;
    world.net.heal();
    world.members[1].say(&room, "hello").await;
    world.pass(Duration::from_secs(10)).await;
    let topic = world.members[1].topic(&room).await;
    assert_eq!(topic.as_deref(), Some("tea"));
    world.assert_converged(&room).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn however_long_a_server_is_away_it_is_tried_again_within_the_ceiling() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    world.part(0, 1);
    world.members[0].set_topic(&room, "tea").await;
    world.pass(Duration::from_hours(30)).await;
    let before = world.net.asked("/v1/send/");
    world.pass(RETRY_MAX * 12).await;
    let tried = world.net.asked("/v1/send/") - before;
    assert!((11..=24).contains(&tried), "tried {tried} times");
    // Nobody says anything that would end the wait.
    world.net.heal();
    world.pass(RETRY_MAX + Duration::from_mins(1)).await;
    let topic = world.members[1].topic(&room).await;
    assert_eq!(topic.as_deref(), Some("tea"));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_for_days_is_told_of_each_room_and_asks_for_the_rest() {
    let world = World::new().await;
    let (room, quiet) = (
        shared_room(&world, "12").await,
        shared_room(&world, "11").await,
    );
    world.part(0, 1);
    world.part(2, 1);
    world.members[0].set_topic(&quiet, "rest").await;
    for number in 0..1_100 {
        world.members[0].say(&room, &format!("a{number}")).await;
    }
    world.members[0].set_topic(&room, "tea").await;
    world.pass(Duration::from_hours(50)).await;
    let before = world.net.asked("/send/");
    world.net.heal();
    world.assert_converged(&room).await;
    world.assert_converged(&quiet).await;
    let sent = world.net.asked("/send/") - before;
    assert!(sent < 10, "{sent} transactions for {} rooms", 2);
    for (room, topic) in [(&room, "tea"), (&quiet, "rest")] {
        let found = world.members[1].topic(room).await;
        assert_eq!(found.as_deref(), Some(topic));
    }
    // What lies between is history, fetched where somebody looks.
    assert_eq!(world.members[1].texts(&room).await.len(), 1_100);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_told_outlives_the_process() {
    let mut world = World::new().await;
    let room = shared_room(&world, "12").await;
    world.part(0, 1);
    world.members[0].set_topic(&room, "tea").await;
    world.members[0].say(&room, "one").await;
    world.members[0].stop_and_start().await;
    world.members[0].say(&room, "two").await;
    world.pass(Duration::from_mins(1)).await;
    world.members[0].crash(0).await;
    world.members[0].say(&room, "three").await;
    world.net.heal();
    world.assert_converged(&room).await;
    let topic = world.members[1].topic(&room).await;
    assert_eq!(topic.as_deref(), Some("tea"));
    assert_eq!(world.members[1].texts(&room).await, ["one", "two", "three"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_nobody_elses_missing_ancestors() {
    let world = World::new().await;
    let room = shared_room(&world, "12").await;
    // The second hears of the third's events by the first only, and cannot ask for them.
    world.part(1, 2);
    world.members[2].say(&room, "unheard").await;
    world.pass(Duration::from_secs(5)).await;
    world.members[0].say(&room, "after").await;
    world.pass(Duration::from_secs(5)).await;
    // The first gives what the third does not.
    assert_eq!(world.members[1].texts(&room).await, ["unheard", "after"]);
    world.net.heal();
    world.assert_converged(&room).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_or_comes_back_finds_what_was_before() {
    let world = World::new().await;
    let [one, two, _] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create("12").await;
    let said = |from: usize, to: usize| (from..to).map(|number| format!("a{number}"));
    for text in said(0, 150) {
        one.say(&room, &text).await;
    }
    two.join(&room, one).await;
    assert_eq!(two.texts(&room).await, said(0, 150).collect::<Vec<_>>());
    let path = format!("/rooms/{room}/leave");
    two.get("POST", &path, serde_json::json!({})).await;
    world.settle().await;
    for text in said(150, 300) {
        one.say(&room, &text).await;
    }
    two.join(&room, one).await;
    assert_eq!(two.texts(&room).await, said(0, 300).collect::<Vec<_>>());
    world.assert_converged_of(&room, 2).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_in_while_somebody_speaks_hears_it() {
    let world = World::new().await;
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create("12").await;
    two.join(&room, one).await;
    world.settle().await;
    world.part(0, 1);
    three.join(&room, two).await;
    // The first does not know yet who is there.
    one.set_topic(&room, "tea").await;
    world.pass(Duration::from_secs(1)).await;
    world.net.heal();
    world.assert_converged(&room).await;
    assert_eq!(three.topic(&room).await.as_deref(), Some("tea"));
    world.stop().await;
}
