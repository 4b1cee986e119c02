//! Content that is the same at every run and looks like nobody's: text that compresses, noise that does not.

/// Words of the texts.
const WORDS: [&str; 32] = [
    "seed",
    "tree",
    "bark",
    "winter",
    "hide",
    "find",
    "crevice",
    "acorn",
    "branch",
    "forest",
    "beak",
    "blue",
    "grey",
    "climb",
    "down",
    "head",
    "first",
    "again",
    "neighbour",
    "remember",
    "every",
    "place",
    "under",
    "snow",
    "north",
    "quiet",
    "morning",
    "light",
    "wing",
    "return",
    "nest",
    "mud",
];

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): enough for test content.
#[derive(Debug)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; zero for no bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Another generator, whose use does not change what this one gives.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Appends a line of text.
    pub(super) fn text_line(&mut self, line: &mut Vec<u8>) {
        let words = 4 + self.below(10);
        for _ in 0..words {
            let at = self.below(WORDS.len() as u64) as usize;
            line.extend_from_slice(WORDS.get(at).copied().unwrap_or_default().as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(self.below(1_000_000).to_string().as_bytes());
        line.push(b'\n');
    }

    /// Appends so many bytes of noise, rounded up to eight.
    pub(super) fn bytes(&mut self, bytes: &mut Vec<u8>, len: usize) {
        for _ in 0..len.div_ceil(8) {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
    }
}
