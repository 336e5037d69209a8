//! Variables for unit tests.

use super::{Given, Variables};

/// As if each of these had been found in the environment.
pub fn variables(pairs: &[(&'static str, &str)]) -> Variables {
    let given = |&(name, value): &(&'static str, &str)| {
        let given = Given {
            name: name.into(),
            value: value.into(),
        };
        (name, given)
    };
    pairs.iter().map(given).collect()
}
