//! Coding a staged pack in strips, so that memory is bounded by the strip and not by the pack, and reading any range of any of its shards.
//!
//! Decides nothing: which scheme, and which shard goes where, is the engine's word.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nuthatch_disk::catalogue::{PackFacts, StripeFacts};
use nuthatch_erasure::{Coder, Scheme, ShardIndex, coder};
use nuthatch_format::DeviceId;
use nuthatch_format::slice::{Outboard, OutboardBuilder};

/// Bytes of each shard that are coded at a time. With the most shards a stripe of ours has (20) that is 5 MiB of buffers.
const STRIP_LEN: u64 = 256 * 1024;

/// The stripes of a pack that say where it stands, the newest last. Of a pack that is staged here only a label of our own counts, which was signed after the
/// staged bytes were checked: another device's label may name shards of anything, and the only copy must never go for it.
pub(crate) fn counted<'f>(
    facts: &'f PackFacts,
    own: &DeviceId,
    is_staged: bool,
) -> impl DoubleEndedIterator<Item = &'f StripeFacts> {
    let counts = move |stripe: &&StripeFacts| !is_staged || stripe.device == *own;
    facts.stripes.iter().filter(counts)
}

/// The newest of them.
pub(crate) fn current<'f>(facts: &'f PackFacts, own: &DeviceId, is_staged: bool) -> Option<&'f StripeFacts> {
    counted(facts, own, is_staged).next_back()
}

/// Why a staged pack can't be coded or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StripeError {
    /// Reading the pack or its parity, or writing parity, failed.
    #[error("a staged pack can't be read or coded")]
    Io(#[from] io::Error),
    /// The scheme and the bytes do not fit together.
    #[error("a staged pack can't be coded")]
    Code(#[from] nuthatch_erasure::ReconstructError),
}

/// A pack on this disk, seen as the shards of one scheme.
#[derive(Debug)]
pub(crate) struct StripeFile<'f> {
    pack: &'f File,
    pack_len: u64,
    scheme: Scheme,
}

impl<'f> StripeFile<'f> {
    /// The shards of `pack` under `scheme`.
    pub(crate) fn new(pack: &'f File, pack_len: u64, scheme: Scheme) -> Self {
        Self {
            pack,
            pack_len,
            scheme,
        }
    }

    /// Length of each shard in bytes.
    pub(crate) fn shard_len(&self) -> u64 {
        self.scheme.shard_len(self.pack_len)
    }

    /// Bytes `offset..offset + len` of one shard; the range must lie inside the shard.
    pub(crate) fn read(&self, index: ShardIndex, offset: u64, len: usize) -> Result<Vec<u8>, StripeError> {
        if index.0 < self.scheme.data() {
            return Ok(self.read_data(index.0, offset, len)?);
        }
        let data = self.data_strips(offset, len)?;
        Ok(coder(self.scheme).rebuild(&as_sources(&data), index)?)
    }

    /// The hash trees of all shards, data first; their roots are the shards' names.
    pub(crate) fn encode(&self) -> Result<Vec<Outboard>, StripeError> {
        let coder = coder(self.scheme);
        let shard_len = self.shard_len();
        let total = usize::from(self.scheme.total());
        let mut trees: Vec<_> = std::iter::repeat_with(OutboardBuilder::default)
            .take(total)
            .collect();
        let mut offset = 0;
        while offset < shard_len {
            let len = STRIP_LEN.min(shard_len - offset) as usize;
            self.encode_strip(&coder, offset, len, &mut trees)?;
            offset += len as u64;
        }
        Ok(trees.into_iter().map(OutboardBuilder::finish).collect())
    }

    fn encode_strip(
        &self,
        coder: &Coder,
        offset: u64,
        len: usize,
        trees: &mut [OutboardBuilder],
    ) -> Result<(), StripeError> {
        let data = self.data_strips(offset, len)?;
        let sources = as_sources(&data);
        for (place, tree) in trees.iter_mut().enumerate() {
            match data.get(place) {
                Some(strip) => tree.update(strip),
                None => tree.update(&coder.rebuild(&sources, ShardIndex(place as u8))?),
            }
        }
        Ok(())
    }

    fn data_strips(&self, offset: u64, len: usize) -> io::Result<Vec<Vec<u8>>> {
        (0..self.scheme.data())
            .map(|index| self.read_data(index, offset, len))
            .collect()
    }

    /// A range of a data shard. What the pack does not fill is zeros.
    fn read_data(&self, index: u8, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let start = u64::from(index) * self.shard_len() + offset;
        let there = self.pack_len.saturating_sub(start).min(len as u64) as usize;
        if let Some(part) = bytes.get_mut(..there) {
            self.pack.read_exact_at(part, start)?;
        }
        Ok(bytes)
    }
}

fn as_sources(data: &[Vec<u8>]) -> Vec<(ShardIndex, &[u8])> {
    data.iter()
        .enumerate()
        .map(|(index, strip)| (ShardIndex(index as u8), strip.as_slice()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nuthatch_disk::catalogue::PackNumber;
    use nuthatch_format::pack::PackKind;
    use nuthatch_format::{ByteCount, LabelId, LineId, PackId};

    use super::*;

    #[test]
    fn what_is_staged_goes_only_for_a_label_of_our_own() {
        let stripe = |label: u8, device: u8| StripeFacts {
            label: LabelId::from_bytes([label; 32]),
            scheme: Scheme::new(1, 0).unwrap(),
            shard_len: ByteCount(1),
            device: DeviceId::from_bytes([device; 32]),
            line: LineId::from_bytes([device; 16]),
            sequence: 0,
            holders: Vec::new(),
        };
        let mut facts = PackFacts {
            number: PackNumber(0),
            id: PackId::from_bytes([0; 32]),
            kind: PackKind::Data,
            len: ByteCount(1),
            stripes: vec![stripe(1, 7), stripe(2, 7), stripe(3, 8)],
        };
        let own = DeviceId::from_bytes([7; 32]);
        let labels = |is_staged| -> Vec<u8> {
            let counted = counted(&facts, &own, is_staged);
            counted.map(|stripe| stripe.label.as_bytes()[0]).collect()
        };
        assert_eq!((labels(true), labels(false)), (vec![1, 2], vec![1, 2, 3]));
        let current = |facts: &PackFacts, is_staged| {
            let found = current(facts, &own, is_staged);
            found.map(|stripe| stripe.label.as_bytes()[0])
        };
        assert_eq!(
            (current(&facts, true), current(&facts, false)),
            (Some(2), Some(3))
        );
        facts.stripes.drain(..2);
        assert_eq!((current(&facts, true), current(&facts, false)), (None, Some(3)));
    }

    #[test]
    fn strips_hash_and_read_the_same_shards_as_whole_packs() {
        for (data, parity, pack_len) in [
            (1, 0, 70_000),
            (1, 1, 70_001),
            (2, 3, 1_100_000),
            (7, 4, 4_000_003),
        ] {
            let scheme = Scheme::new(data, parity).unwrap();
            let pack: Vec<u8> = (0..pack_len)
                .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&pack).unwrap();
            let stripe = StripeFile::new(&file, u64::from(pack_len), scheme);
            let trees = stripe.encode().unwrap();
            let mut whole: Vec<Vec<u8>> = (0..data)
                .map(|index| {
                    nuthatch_erasure::geometry::data_shard(scheme, &pack, ShardIndex(index))
                        .unwrap()
                        .into_owned()
                })
                .collect();
            whole.extend(coder(scheme).parity_of(&pack));
            for (index, shard) in whole.iter().enumerate() {
                assert_eq!(trees[index], Outboard::of(shard));
                let index = ShardIndex(index as u8);
                let (offset, len) = (shard.len() / 3, shard.len() / 2);
                let wanted = &shard[offset..offset + len];
                assert_eq!(stripe.read(index, offset as u64, len).unwrap(), wanted);
            }
        }
    }
}
