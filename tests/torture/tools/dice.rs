//! Chance that can be had again: a seeded generator, and what it does to bytes.

/// The seed of every run that names no other.
const SEED: u64 = 0x6269_6672_6F73_7421;

/// Splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub struct Dice(u64);

impl Dice {
    /// Prints its seed, which a failed test shows; `TORTURE_SEED` takes another one.
    pub fn new() -> Dice {
        let seed = match std::env::var("TORTURE_SEED") {
            Ok(text) => text.parse().expect("TORTURE_SEED is a number"),
            Err(_) => SEED,
        };
        println!("again with: TORTURE_SEED={seed}");
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to just below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.roll(choices.len())]
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Changes a few places: other bytes, missing ones, extra ones, a piece again, an early end.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: &[u8] = b"\0\r\n\t :;,=%\"\\{}[]/\x7f\x80\xff019azAZ";
        for _ in 0..=self.roll(4) {
            if bytes.is_empty() {
                return;
            }
            let place = self.roll(bytes.len());
            let piece = place..(place + 1 + self.roll(20)).min(bytes.len());
            match self.roll(7) {
                0 => bytes[place] = self.next() as u8,
                1 => bytes[place] = *self.pick(TELLING),
                2 => bytes[place] ^= 1 << self.roll(8),
                3 => bytes.insert(place, *self.pick(TELLING)),
                4 => drop(bytes.drain(piece)),
                5 => {
                    let again = bytes[piece].to_vec();
                    bytes.splice(place..place, again);
                }
                _ => bytes.truncate(place),
            }
        }
    }
}
