//! A server's house without a listener, and clients on socket pairs.

use std::io::{ErrorKind, Read, Write};
use std::net::{self, IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bifrost::api::RootPage;
use bifrost::api::subscribe::Visitor;
use bifrost::config::{Config, Given, Networks, Variables};
use bifrost::net::connections::Connections;
use bifrost::net::connections::ip_limit::PerIpLimit;
use bifrost::net::shutdown::Shutdown;
use bifrost::net::socket::{Socket, Wait, wait};
use bifrost::net::worker_pool::WorkerPool;
use bifrost::server::state::State;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{SendFlags, send};

use super::application::SECRET;

/// What may wait for one subscriber, in bytes.
pub const QUEUE: usize = 16 * 1024;
/// A server that is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the kernel holds for a peer that does not read, in bytes: little, so that it is soon full.
const SEND_BUFFER: usize = 2 * 1024;
/// What it holds of it in fact, in bytes, at most: it makes room for at least two pieces.
pub const KERNEL_HOLDS: usize = 8 * 1024;
/// What it holds of a request that nobody reads yet, in bytes: the largest of them, with room.
const REQUEST_BUFFER: usize = 128 * 1024;
/// Sent or read at once, in bytes.
const PIECE: usize = 4 * 1024;
/// Of the threads that receive; a sanitizer needs more of it than the server.
const STACK_SIZE: usize = 4 * 1024 * 1024;

static CONFIG: LazyLock<Config> = LazyLock::new(config);
/// The threads are kept from one input to the next, as in the server.
static RECEPTION: LazyLock<WorkerPool<Call>> =
    LazyLock::new(|| WorkerPool::new(STACK_SIZE, |call: Call| call.house.receive(call.visitor)));

/// Somebody, and the house that they come to.
struct Call {
    house: Arc<State>,
    visitor: Visitor,
}

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
    house: Arc<State>,
    connections: Connections,
    pub stop: Shutdown,
}

impl Server {
    pub fn new() -> Server {
        let stop = Shutdown::new().expect("a descriptor");
        let connections = Connections::new(1_000_000);
        let house = State::new(&CONFIG, RootPage::Welcome, connections.clone(), &stop);
        let house = house.expect("a thread");
        Server {
            house: Arc::new(house),
            connections,
            stop,
        }
    }

    /// A new connection, which a thread of the server serves.
    pub fn connect(&self) -> Peer {
        let (ours, visitor) = self.visit();
        ours.set_nonblocking(true).expect("a socket of ours");
        let house = self.house.clone();
        RECEPTION
            .execute(Call { house, visitor })
            .expect("a thread");
        Peer {
            stream: ours,
            heard: Vec::new(),
            has_ended: false,
        }
    }

    /// Asks for one thing over a connection of its own; gives status and body. The answer comes
    /// from this thread: waking another one takes longer than all the rest.
    pub fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let (mut ours, visitor) = self.visit();
        let length = body.len();
        let all =
            format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut answer = String::new();
        ours.write_all(all.as_bytes()).expect("room for a request");
        ours.shutdown(net::Shutdown::Write)
            .expect("a socket of ours");
        self.house.receive(visitor);
        ours.read_to_string(&mut answer)
            .expect("we answer with text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    fn visit(&self) -> (UnixStream, Visitor) {
        let (ours, theirs) = UnixStream::pair().expect("descriptors for two sockets");
        set_socket_send_buffer_size(&ours, REQUEST_BUFFER).expect("a socket of ours");
        set_socket_send_buffer_size(&theirs, SEND_BUFFER).expect("a socket of ours");
        let socket = Socket::new(OwnedFd::from(theirs).into());
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let visitor = Visitor {
            slot: self.connections.admit(socket.clone()),
            socket,
            peer,
            stay: PerIpLimit::new(None, Networks::default()).enter(peer),
        };
        (ours, visitor)
    }

    /// Waits until everybody has left.
    pub fn drain(&self) {
        let is_empty = self.connections.wait_for_end(Instant::now() + PATIENCE);
        assert!(is_empty, "the server does not let go of a connection");
    }
}

/// The heartbeat ends with its server.
impl Drop for Server {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

/// A client's end of a connection.
pub struct Peer {
    stream: UnixStream,
    /// All that the server has sent.
    pub heard: Vec<u8>,
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
                    self.listen();
                }
                Err(_) => return, // the server has ended the connection
            }
        }
    }

    /// Takes what has come.
    pub fn listen(&mut self) {
        let mut part = [0; PIECE];
        while !self.has_ended {
            match self.stream.read(&mut part) {
                Ok(0) => self.has_ended = true,
                Ok(size) => self.heard.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What the server had not read when it left tells like a reset.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.has_ended = true,
                Err(error) => panic!("a socket of ours: {error}"),
            }
        }
    }

    /// Listens until what has been heard will do, or the server has ended.
    pub fn listen_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) {
        self.listen();
        while !self.has_ended && !is_enough(&self.heard) {
            self.wait(PollFlags::IN);
            self.listen();
        }
    }

    /// Ends the sending side, and listens to the end.
    pub fn finish(mut self) -> Vec<u8> {
        let _ = self.stream.shutdown(net::Shutdown::Write); // the server has ended already
        self.listen_until(|_| false);
        self.heard
    }

    fn wait(&self, interest: PollFlags) {
        let stream = self.stream.as_fd();
        let mut fds = [PollFd::new(&stream, interest)];
        let ready = wait(&mut fds, Some(Instant::now() + PATIENCE)).expect("a socket of ours");
        assert_eq!(ready, Wait::Ready, "the server hangs");
    }
}
