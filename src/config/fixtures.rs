//! Variables for unit tests.

use crate::config::{Given, Variables};

/// Variables as if each pair had been found in the environment.
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
