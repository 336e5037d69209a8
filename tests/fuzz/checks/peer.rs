//! A server without a listener, and clients on socket pairs.

use std::io::{ErrorKind, Read, Write};
use std::net::{self, IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bifrost::api::RootPage;
use bifrost::config::{Config, Given, Variables};
use bifrost::net::acceptor::Serve;
use bifrost::net::connections::{Connections, IpPermit};
use bifrost::net::poll::{Wait, wait};
use bifrost::net::worker_pool::WorkerPool;
use bifrost::net::{Connection, InputBudget, Shutdown, Socket};
use bifrost::server::State;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{SendFlags, send};

use super::application::SECRET;

/// Most bytes that wait for one subscriber.
pub const QUEUE: usize = 16 * 1024;
/// A server that is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the kernel holds for a peer that does not read, in bytes: little, so that it is full soon.
const SEND_BUFFER: usize = 2 * 1024;
/// What the kernel holds of it in fact, in bytes, at most: it makes room for at least two pieces.
pub const KERNEL_HOLDS: usize = 8 * 1024;
/// What the kernel holds of a request that is not read yet, in bytes: the largest, with room.
const REQUEST_BUFFER: usize = 128 * 1024;
/// Sent or read at once, in bytes.
const PIECE: usize = 4 * 1024;
/// Stack of the worker threads, in bytes; a sanitizer needs more than the server.
const STACK_SIZE: usize = 4 * 1024 * 1024;

static CONFIG: LazyLock<Config> = LazyLock::new(config);
/// The threads are kept from one input to the next, as in the server.
static POOL: LazyLock<WorkerPool<Served>> = LazyLock::new(|| {
    WorkerPool::new(STACK_SIZE, |(state, connection): Served| {
        state.serve(connection)
    })
});

/// A connection, and what serves it.
type Served = (Arc<State>, Connection);

/// No time limit passes, so that all that happens follows from the input.
fn config() -> Config {
    let queue = QUEUE.to_string();
    let given = [
        ("JWT_SECRET", SECRET),
        ("BIFROST_QUEUE", &queue),
        ("BIFROST_PING_INTERVAL", "24h"),
        ("BIFROST_AUTH_TIMEOUT", "24h"),
        ("BIFROST_REQUEST_TIMEOUT", "24h"),
        ("BIFROST_IDLE_TIMEOUT", "24h"),
        ("BIFROST_WRITE_TIMEOUT", "24h"),
        ("BIFROST_DRAIN_TIMEOUT", "24h"),
    ];
    let given = given.map(|(name, value)| {
        let (value, given) = (value.into(), name.to_owned());
        (name, Given { name: given, value })
    });
    Config::from_variables(&Variables::from(given)).expect("these settings are good")
}

/// A server that is reached through socket pairs.
pub struct Server {
    state: Arc<State>,
    connections: Connections,
    pub shutdown: Shutdown,
}

impl Server {
    pub fn new() -> Server {
        let shutdown = Shutdown::new().expect("a descriptor");
        let connections = Connections::new(1_000_000);
        let state = State::new(&CONFIG, RootPage::Welcome, connections.clone(), &shutdown);
        let state = state.expect("a thread");
        Server {
            state: Arc::new(state),
            connections,
            shutdown,
        }
    }

    /// A new connection, which a thread of the server serves.
    pub fn connect(&self) -> Peer {
        let (ours, connection) = self.open();
        ours.set_nonblocking(true).expect("a socket of ours");
        let state = self.state.clone();
        assert!(POOL.execute((state, connection)).is_ok(), "no thread");
        Peer {
            stream: ours,
            received: Vec::new(),
            has_ended: false,
        }
    }

    /// Sends one request over a connection of its own; returns status and body. This thread serves
    /// it: waking another one takes longer than all the rest.
    pub fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let (mut ours, connection) = self.open();
        let length = body.len();
        let all =
            format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut answer = String::new();
        ours.write_all(all.as_bytes()).expect("room for a request");
        ours.shutdown(net::Shutdown::Write)
            .expect("a socket of ours");
        self.state.serve(connection);
        ours.read_to_string(&mut answer)
            .expect("we answer with text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    fn open(&self) -> (UnixStream, Connection) {
        let (ours, theirs) = UnixStream::pair().expect("descriptors for two sockets");
        set_socket_send_buffer_size(&ours, REQUEST_BUFFER).expect("a socket of ours");
        set_socket_send_buffer_size(&theirs, SEND_BUFFER).expect("a socket of ours");
        let socket = Socket::new(OwnedFd::from(theirs).into());
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let connection = Connection {
            permit: self.connections.register(socket.clone()),
            socket,
            peer,
            ip_permit: IpPermit::uncounted(),
            input_charge: InputBudget::new(usize::MAX).charge(),
        };
        (ours, connection)
    }

    /// Waits until all connections have ended.
    pub fn drain(&self) {
        let is_empty = self.connections.wait_for_end(Instant::now() + PATIENCE);
        assert!(is_empty, "the server does not let go of a connection");
    }
}

/// The heartbeat ends with its server.
impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A client's end of a connection.
pub struct Peer {
    stream: UnixStream,
    /// All that the server has sent.
    pub received: Vec<u8>,
    /// Whether the server has ended its side.
    pub has_ended: bool,
}

impl Peer {
    /// Sends everything, as far as the server takes it; reads only if it must.
    pub fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match send(
                &self.stream,
                &bytes[..bytes.len().min(PIECE)],
                SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN | PollFlags::OUT);
                    self.read();
                }
                Err(_) => return, // the server has ended the connection
            }
        }
    }

    /// Reads what has arrived.
    pub fn read(&mut self) {
        let mut part = [0; PIECE];
        while !self.has_ended {
            match self.stream.read(&mut part) {
                Ok(0) => self.has_ended = true,
                Ok(size) => self.received.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Bytes that the server had not read when it closed make the kernel send a reset.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.has_ended = true,
                Err(error) => panic!("a socket of ours: {error}"),
            }
        }
    }

    /// Reads until enough was received, or the server has ended.
    pub fn read_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) {
        self.read();
        while !self.has_ended && !is_enough(&self.received) {
            self.wait(PollFlags::IN);
            self.read();
        }
    }

    /// Ends the sending side, and reads to the end.
    pub fn finish(mut self) -> Vec<u8> {
        let _ = self.stream.shutdown(net::Shutdown::Write); // the server has ended already
        self.read_until(|_| false);
        self.received
    }

    fn wait(&self, interest: PollFlags) {
        let stream = self.stream.as_fd();
        let mut fds = [PollFd::new(&stream, interest)];
        let ready = wait(&mut fds, Some(Instant::now() + PATIENCE)).expect("a socket of ours");
        assert_eq!(ready, Wait::Ready, "the server hangs");
    }
}
