//! What the torture needs beside the vocabulary of the other tests: crowds, publishers that
//! don't give up, the kernel's view of the server, and dice.

pub mod crowd;
pub mod dice;
pub mod publisher;
pub mod vitals;
