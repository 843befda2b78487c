//! Tidy: env may read the clock, and its test runs on paused time.

fn instant() -> Instant {
    Instant::now()
}

async fn race() {
    tokio::select! {
        biased;
        () = left() => {}
        () = right() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn waits_on_paused_time() {
    clock().sleep(MINUTE).await;
}
