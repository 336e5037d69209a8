//! `bifrost secret`: prints a new random secret.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

use super::outcome::{CommandError, Status};
use super::output;

/// Random bytes in a secret. In hexadecimal they are 64 characters: as long as the longest
/// hash, and safe in every shell and file.
const RANDOM_BYTES: usize = 32;

/// Prints a new secret alone on a line.
///
/// # Errors
/// When there are no random numbers, or it can't be written.
pub fn run() -> Result<Status, CommandError> {
    let secret = random().map_err(CommandError::system("no random numbers"))?;
    output::line(&secret).map(|_| Status::Good)
}

/// A random secret of 64 hexadecimal characters.
///
/// # Errors
/// When the kernel has no random numbers.
pub fn random() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn secrets_are_hexadecimal_and_differ() {
        let secrets: HashSet<String> = (0..100).map(|_| random().unwrap()).collect();
        assert_eq!(secrets.len(), 100);
        for secret in secrets {
            assert_eq!(secret.len(), 64);
            assert!(secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
