//! What a subscriber costs who only waits: a thread, two descriptors, little memory.

use std::thread;
use std::time::Duration;

use crate::support::eventually;
use crate::support::server::Server;
use crate::tools::crowd::Crowd;
use crate::tools::vitals::Vitals;

const COUNT: usize = 2_000;
/// In KiB of resident memory. It is 12 to 13; a buffer that is kept for nothing takes 4.
const EACH: usize = 16;

#[test]
fn idle_subscriber_takes_one_thread_two_descriptors_and_little_memory() {
    let server = Server::start();
    let before = Vitals::of(&server);
    let crowd = Crowd::gather(&server, COUNT, "a");
    let now = eventually("the threads that let them in have ended", || {
        let now = Vitals::of(&server);
        thread::sleep(Duration::from_millis(50));
        (now.threads <= before.threads + COUNT).then_some(now)
    });
    assert_eq!(now.threads, before.threads + COUNT);
    assert_eq!(now.descriptors, before.descriptors + 2 * COUNT);
    let each = (now.memory - before.memory) as f64 / COUNT as f64;
    assert!(each <= EACH as f64, "{each:.1} KiB each");
    drop(crowd);
}
