//! Floods of pings: a client that never pauses, and reads no answer, costs the server no memory,
//! and leaves the deliveries to others alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::raw::{HANDSHAKE, PING, RawSocket, TEXT, close_payload, masked};
use crate::support::server::Server;
use crate::support::server_with_metrics::ServerWithMetrics;
use crate::tools::proc_stats::{ProcStats, is_asleep};
use crate::tools::publisher::Publisher;

/// Between two messages that are published during a flood.
const PAUSE: Duration = Duration::from_millis(10);

const JSON_PING: &str = r#"{"event":"ping"}"#;

/// Publishes to one subscriber until a flood is over, and a few times more; each message arrives.
/// Returns how many did.
#[track_caller]
fn deliver_until(server: &Server, alice: &mut RawSocket, is_over: impl Fn() -> bool) -> u64 {
    let mut publisher = Publisher::new(server, 0, "a", 100);
    let mut left = 20;
    while left > 0 {
        if is_over() {
            left -= 1;
        }
        let message = publisher.next_message();
        publisher.post(1);
        alice.expect_text(&message);
        thread::sleep(PAUSE); // most of the server's time goes to the flood
    }
    publisher.answered
}

/// Floods with this frame, from clients that read nothing, until each is cut or has sent its part.
#[track_caller]
fn expect_flood_costs_no_memory(frame: &[u8]) {
    const STRANGERS: usize = 40;
    /// In all, 120 MB.
    const EACH: usize = 3_000_000;
    /// In KiB. A thread and a receive buffer of each take under 1 MiB.
    const MAX_GROWTH: usize = 16 * 1024;
    let server = Server::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let strangers: Vec<_> = (0..STRANGERS)
        .map(|_| RawSocket::connect_narrow(server.address))
        .collect();
    let frames = frame.repeat(2_000);
    let before = ProcStats::of(&server);
    let flood = |mut sender: TcpStream| {
        let mut sent = 0;
        while sent < EACH && sender.write_all(&frames).is_ok() {
            sent += frames.len();
        }
    };
    let expect_no_growth = || {
        let now = ProcStats::of(&server);
        let growth = now.peak - before.memory;
        assert!(growth <= MAX_GROWTH, "{growth} KiB: {before:?}, {now:?}");
        growth
    };
    let delivered = thread::scope(|scope| {
        let floods: Vec<_> = strangers
            .iter()
            .map(|stranger| scope.spawn(|| flood(stranger.http.sender())))
            .collect();
        let deadline = Instant::now() + 3 * DEADLINE;
        deliver_until(&server, &mut alice, || {
            expect_no_growth();
            assert!(Instant::now() < deadline, "the flood never ends");
            // What waits in the kernel's buffers is handled, too.
            floods.iter().all(|flood| flood.is_finished()) && is_asleep(&server)
        })
    });
    let growth = expect_no_growth();
    println!("the server's memory grew by {growth} KiB; {delivered} messages were delivered");
    drop(strangers);
    server.wait_connected(1);
    alice.expect_nothing();
}

#[test]
fn pings_that_are_not_read_cost_no_memory() {
    expect_flood_costs_no_memory(&masked(PING, ""));
}

#[test]
fn json_pings_that_are_not_read_cost_no_memory() {
    expect_flood_costs_no_memory(&masked(TEXT, JSON_PING));
}

/// How often a client of a flood sends.
const TICK: Duration = Duration::from_millis(100);

/// A client that sends 500 pings a second, and connects again when it is cut.
struct Flooder {
    address: SocketAddr,
    stream: TcpStream,
    /// Its ends with the close frame of a flood.
    cuts: u64,
}

impl Flooder {
    fn new(address: SocketAddr) -> Flooder {
        Flooder {
            address,
            stream: open(address),
            cuts: 0,
        }
    }

    /// Sends the pings of one tick.
    fn send(&mut self, pings: &[u8]) {
        if self.has_ended() {
            self.stream = open(self.address);
        }
        // What the socket does not take is left out, and a broken connection is seen at the next tick.
        let _ = self.stream.write(pings);
    }

    /// Reads what has arrived.
    fn has_ended(&mut self) -> bool {
        let close = close_payload(1008, "Too many messages");
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) if buffer[..length].ends_with(&close) => self.cuts += 1,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

/// A connection whose handshake is sent.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream
        .write_all(HANDSHAKE.as_bytes())
        .expect("send the handshake");
    stream.set_nonblocking(true).expect("set non-blocking");
    stream
}

#[test]
fn flood_of_pings_leaves_deliveries_alone() {
    const STRANGERS: usize = 200;
    const TICKS: u32 = 50;
    let server = ServerWithMetrics::start();
    let mut alice = server.raw_subscriber(&["a"]);
    let pings = masked(PING, "").repeat((500 * TICK.as_millis() / 1000) as usize);
    let (before, started) = (ProcStats::of(&server), Instant::now());
    let (is_over, cuts) = (AtomicBool::new(false), AtomicU64::new(0));
    let delivered = thread::scope(|scope| {
        scope.spawn(|| {
            let mut flooders: Vec<_> = (0..STRANGERS)
                .map(|_| Flooder::new(server.address))
                .collect();
            for tick in 1..=TICKS {
                flooders.iter_mut().for_each(|flooder| flooder.send(&pings));
                thread::sleep((TICK * tick).saturating_sub(started.elapsed()));
            }
            let cut = flooders.iter().map(|flooder| flooder.cuts).sum();
            cuts.store(cut, Ordering::Relaxed);
            is_over.store(true, Ordering::Relaxed);
        });
        deliver_until(&server, &mut alice, || is_over.load(Ordering::Relaxed))
    });
    let used = (ProcStats::of(&server).cpu - before.cpu).as_secs_f64();
    let share = used / started.elapsed().as_secs_f64();
    let cuts = cuts.into_inner();
    println!("{cuts} cut, {delivered} delivered, {share:.2} of a CPU used");
    // Each sends over a hundred frames in a few ticks, far more often than it has to be cut.
    assert!(cuts >= STRANGERS as u64, "only {cuts} were cut");
    server.scrape_until("all are counted", |scrape| {
        scrape.value("bifrost_flooding_clients_cut_total") >= cuts as f64
    });
    server.wait_connected(1);
    alice.expect_nothing();
}
