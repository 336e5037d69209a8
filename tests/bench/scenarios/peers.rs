//! Peers: the alternatives to Bifrost, driven by the same client.
//!
//! They are installed by `tests/bench/peers/install`.

use super::{CONNECTING, fan_out, firehose, with_log};
use crate::Result;
use crate::client::testbed::Testbed;
use crate::options::Options;
use crate::report::Report;
use crate::server::target::{Signer, Target};

/// Its name on the command line.
pub const NAME: &str = "peers";

const TARGETS: [Target; 5] = [
    Target::Reference,
    Target::Bifrost,
    Target::Nchan { workers: 1 },
    Target::Nchan { workers: 2 },
    Target::NodeWs,
];
const SUBSCRIBERS: usize = 1_000;
const PUBLISHERS: usize = 4;
const SIZE: usize = 128;
const CHANNEL: &str = "peers";

/// Measures a fan-out and a firehose with each.
///
/// # Errors
/// When one is not installed, or a message is lost, doubled, damaged or out of order.
pub fn run(options: &Options, report: &mut Report) -> Result {
    let signer = Signer::new();
    let subscribers = options.subscribers.unwrap_or(SUBSCRIBERS);
    let size = options.size.unwrap_or(SIZE);
    let mut testbeds = Vec::new();
    for target in TARGETS {
        let mut testbed = Testbed::start(target, &options.launch)?;
        let handshake = target.handshake(&signer, &[CHANNEL.to_owned()]);
        testbed
            .connect_subscribers(subscribers, CONNECTING, |_| handshake.clone())
            .map_err(|error| with_log(&testbed, error))?;
        testbed.connect_publishers(1)?;
        testbeds.push(testbed);
    }
    let cases = [
        fan_out::measure(options, &signer, &mut testbeds, size, CHANNEL)?.of(NAME),
        firehose::measure(options, &signer, &mut testbeds, PUBLISHERS, CHANNEL)?.of(NAME),
    ];
    report.show(&cases)
}
