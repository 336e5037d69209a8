//! The servers that Bifrost is compared with, configured to do what it does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::Result;

const NGINX_CONF: &str = include_str!("../peers/nginx.conf");
const NODE_WS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers/node-ws.mjs");

/// nginx with nchan, and the address that it is configured to listen on.
///
/// # Errors
/// When its configuration can't be written.
pub fn nchan(workers: u8) -> Result<(Command, SocketAddr)> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nchan-{workers}"));
    fs::create_dir_all(&directory)?;
    let address = free_address()?;
    let text = NGINX_CONF
        .replace("WORKERS", &workers.to_string())
        .replace("PORT", &address.port().to_string())
        .replace("FOLDER", &directory.display().to_string());
    let file = directory.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file);
    Ok((command, address))
}

/// Node with ws.
pub fn node_ws() -> Command {
    let mut command = Command::new("node");
    command.arg(NODE_WS);
    command
}

/// An address with a free port.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
