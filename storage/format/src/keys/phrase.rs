//! The recovery phrase: 256 bits as 24 English words of BIP-39, with its checksum and no extra word.
//!
//! The words are only a way to write the bits: BIP-39's seed stretching is not used.

use bip39::{Error, Language, Mnemonic};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Words in a phrase.
pub const PHRASE_WORD_COUNT: usize = 24;

/// The archive's whole secret, as a person writes it down.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryPhrase {
    entropy: [u8; 32],
}

/// Why words are not a recovery phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Not 24 of them.
    #[error("a recovery phrase has {PHRASE_WORD_COUNT} words, not {found}")]
    WordCount {
        /// Words given.
        found: usize,
    },
    /// A word that is not in the list.
    #[error("word {position}, \"{word}\", is not in the English word list")]
    UnknownWord {
        /// Which one, from 1.
        position: usize,
        /// The word, in lower case.
        word: String,
    },
    /// All words are known, but together they are not a phrase: one is wrong, or two are swapped.
    #[error("the words do not fit together: one of them is another word, or two are swapped")]
    Checksum,
}

impl RecoveryPhrase {
    /// The phrase for 32 random bytes.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self { entropy }
    }

    /// Reads words as a person types them: any case, any white space between and around.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let text = Zeroizing::new(text.to_lowercase());
        let found = text.split_whitespace().count();
        if found != PHRASE_WORD_COUNT {
            return Err(PhraseError::WordCount { found });
        }
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &text).map_err(|error| match error {
                Error::UnknownWord(index) => PhraseError::UnknownWord {
                    position: index + 1,
                    word: text
                        .split_whitespace()
                        .nth(index)
                        .unwrap_or_default()
                        .chars()
                        .take(32)
                        .collect(),
                },
                Error::BadWordCount(found) => PhraseError::WordCount { found },
                Error::BadEntropyBitCount(_) | Error::InvalidChecksum | Error::AmbiguousLanguages(_) => {
                    PhraseError::Checksum
                }
            })?;
        let (mut padded, length) = mnemonic.to_entropy_array();
        let mut entropy = [0; 32];
        assert_eq!(length, entropy.len(), "24 words carry 32 bytes");
        entropy.copy_from_slice(&padded[..32]);
        padded.zeroize();
        Ok(Self { entropy })
    }

    /// The 24 words, separated by single spaces.
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = match Mnemonic::from_entropy_in(Language::English, &self.entropy) {
            Ok(mnemonic) => mnemonic,
            Err(error) => unreachable!("32 bytes always make a phrase: {error}"),
        };
        // The longest English word has 8 letters: nothing is copied while this grows.
        let mut words = Zeroizing::new(String::with_capacity(PHRASE_WORD_COUNT * 9));
        for word in mnemonic.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    pub(super) fn entropy(&self) -> &[u8; 32] {
        &self.entropy
    }
}

impl std::fmt::Debug for RecoveryPhrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryPhrase(24 words)")
    }
}
