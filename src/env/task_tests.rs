//! What [`Tasks`] promises: answers, panics that stay inside, shutdown that leaves nothing.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

use crate::{Ended, JOIN_GRACE, Shutdown, Stopped, Tasks};

const MINUTE: Duration = Duration::from_mins(1);

fn tasks() -> Tasks {
    Tasks::new(Handle::current())
}

/// Sets its flag when dropped.
struct Marker(Arc<AtomicBool>);

impl Drop for Marker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_gives_its_answer_and_is_gone() {
    let tasks = tasks();
    let task = tasks.spawn("adder", async { 1 + 1 });
    assert_eq!(tasks.running(), ["adder"]);
    assert_eq!(task.await, Ok(2));
    assert!(tasks.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_leaves_the_task_running() {
    let tasks = tasks();
    let (sender, receiver) = oneshot::channel();
    drop(tasks.spawn("sender", async move { sender.send(5) }));
    assert_eq!(receiver.await, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_counted_and_hurts_nobody_else() {
    let tasks = tasks();
    let neighbour = tasks.spawn("neighbour", async { "fine" });
    let number = 7;
    let panicking = tasks.spawn("unlucky", async move { panic!("number {number}") });
    assert_eq!(
        panicking.await,
        Err::<(), _>(Ended::Panicked("number 7".into()))
    );
    assert_eq!(neighbour.await, Ok("fine"));
    assert_eq!(tasks.panics(), 1);
    let stopped = tasks.join(MINUTE).await;
    assert_eq!(stopped.panics, 1);
    assert!(!stopped.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_future_is_dropped_is_caught_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    let tasks = tasks();
    let bomb = Bomb;
    let mut once = Some(());
    let future = std::future::poll_fn(move |_| {
        let _held = &bomb;
        once.take();
        std::task::Poll::Ready(())
    });
    let ended = tasks.spawn("bomber", future).await;
    assert_eq!(ended, Err(Ended::Panicked("bomb".into())));
    assert!(tasks.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_drops_what_it_holds() {
    let tasks = tasks();
    let dropped = Arc::new(AtomicBool::new(false));
    let marker = Marker(Arc::clone(&dropped));
    let task = tasks.spawn("holder", async move {
        let _marker = marker;
        pending::<()>().await;
    });
    task.abort();
    assert_eq!(task.await, Err(Ended::Aborted));
    assert!(dropped.load(Ordering::SeqCst));
    assert!(tasks.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn join_waits_for_tasks_that_end_in_time() {
    let (tasks, shutdown) = (tasks(), Shutdown::default());
    let own = shutdown.clone();
    let task = tasks.spawn("polite", async move {
        own.wait().await;
        tokio::task::yield_now().await;
        "done"
    });
    shutdown.begin();
    assert_eq!(tasks.join(MINUTE).await, Stopped::default());
    assert_eq!(task.await, Ok("done"));
}

#[tokio::test(start_paused = true)]
async fn a_task_may_spawn_others_while_the_server_stops() {
    let tasks = tasks();
    let own = tasks.clone();
    let parent = tasks.spawn("parent", async move {
        tokio::task::yield_now().await;
        own.spawn("child", async { "born late" }).await
    });
    assert!(tasks.join(MINUTE).await.is_clean());
    assert_eq!(parent.await.unwrap(), Ok("born late"));
}

#[tokio::test(start_paused = true)]
async fn join_aborts_and_names_what_does_not_end() {
    let tasks = tasks();
    let dropped = Arc::new(AtomicBool::new(false));
    let marker = Marker(Arc::clone(&dropped));
    drop(tasks.spawn("quick", async {}));
    drop(tasks.spawn("stubborn", async move {
        let _marker = marker;
        pending::<()>().await;
    }));
    let stopped = tasks.join(MINUTE).await;
    assert_eq!(stopped.aborted, ["stubborn"]);
    assert!(stopped.stuck.is_empty());
    assert!(dropped.load(Ordering::SeqCst), "gone before join returns");
}

#[tokio::test(start_paused = true)]
async fn join_with_no_time_is_a_crash() {
    let tasks = tasks();
    drop(tasks.spawn("one", pending::<()>()));
    drop(tasks.spawn("two", pending::<()>()));
    let stopped = tasks.join(Duration::ZERO).await;
    assert_eq!(stopped.aborted, ["one", "two"]);
    assert!(tasks.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn join_names_what_cannot_even_be_aborted() {
    let tasks = tasks();
    let pool = tasks.pool(
        "stone",
        crate::PoolLimits {
            running_max: 1,
            waiting_max: 0,
        },
    );
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel::<()>();
    let own = tasks.clone();
    let call = pool.run(move || {
        begun.send(()).ok();
        gate.recv().is_ok()
    });
    let stop = async move {
        has_begun.await.unwrap();
        let stopped = own.join(Duration::ZERO).await;
        release.send(()).unwrap();
        stopped
    };
    // A blocking thread at work stops paused time from skipping ahead, so time must run here.
    tokio::time::resume();
    let (answer, stopped) = tokio::join!(call, stop);
    assert_eq!(stopped.stuck, ["stone"], "after {JOIN_GRACE:?}");
    assert_eq!(answer, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_join() {
    let tasks = tasks();
    assert!(tasks.join(MINUTE).await.is_clean());
    let late = tasks.spawn("late", async { 1 });
    assert_eq!(late.await, Err(Ended::Aborted));
}

#[tokio::test(start_paused = true)]
async fn a_leak_check_passes_when_all_is_done() {
    let tasks = tasks();
    let check = tasks.leak_check();
    assert_eq!(tasks.spawn("quick", async {}).await, Ok(()));
    drop(check);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "tasks still running: [\"forgotten\"]")]
async fn a_leak_check_names_a_running_task() {
    let tasks = tasks();
    let _check = tasks.leak_check();
    drop(tasks.spawn("forgotten", pending::<()>()));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "1 tasks have panicked")]
async fn a_leak_check_fails_after_a_panic() {
    let tasks = tasks();
    let _check = tasks.leak_check();
    assert!(
        tasks
            .spawn("unlucky", async { panic!("boom") })
            .await
            .is_err()
    );
}

#[test]
fn a_runtime_that_is_gone_ends_tasks_without_a_deadlock() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let tasks = Tasks::new(runtime.handle().clone());
    drop(tasks.spawn("before", pending::<()>()));
    drop(runtime);
    drop(tasks.spawn("after", async {}));
    assert!(tasks.running().is_empty());
}
