// No reason given.

#![cfg_attr(test, allow(dead_code))]

mod utils;

#[allow(unused)]
struct PageManager;

fn instant() -> Instant {
    Instant::now()
}

async fn race() {
    tokio::select! {
        () = left() => {}
        () = right() => {}
    }
}

fn hidden_in_a_macro() {
    vec![std::thread::spawn(|| ())];
}

#[tokio::test]
async fn waits_in_real_time() {
    clock().sleep(MINUTE).await;
}
