//! A seeded random number generator, so that a failed run can be repeated, and the mutation of
//! bytes.

/// The seed unless `TORTURE_SEED` names another.
const SEED: u64 = 0x6269_6672_6F73_7421;

/// Splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub struct Rng(u64);

impl Rng {
    /// Starts from `TORTURE_SEED` or the default, and prints the seed: the output of a failed test
    /// shows it.
    pub fn new() -> Rng {
        let seed = match std::env::var("TORTURE_SEED") {
            Ok(text) => text.parse().expect("TORTURE_SEED is a number"),
            Err(_) => SEED,
        };
        println!("repeat with: TORTURE_SEED={seed}");
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Makes one to four changes: a byte replaced, flipped or inserted, a range removed or repeated,
    /// or the end cut off.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const SPECIAL: &[u8] = b"\0\r\n\t :;,=%\"\\{}[]/\x7f\x80\xff019azAZ";
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let range = at..(at + 1 + self.below(20)).min(bytes.len());
            match self.below(7) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] = *self.pick(SPECIAL),
                2 => bytes[at] ^= 1 << self.below(8),
                3 => bytes.insert(at, *self.pick(SPECIAL)),
                4 => drop(bytes.drain(range)),
                5 => {
                    let copy = bytes[range].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => bytes.truncate(at),
            }
        }
    }
}
