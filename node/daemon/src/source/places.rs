//! Where a pack may lie: its staged copy and its stripes, less what turned out not to give it.

use std::collections::BTreeSet;
use std::ops::Range;

use nuthatch_disk::catalogue::{PackFacts, PackRecord, StripeFacts};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ByteCount, PackId};
use nuthatch_jobs::{Origin, PackSource as _, Reading, SourceError};

use super::{HostSource, trust};

impl HostSource {
    /// A whole pack from its hosts, its hash checked. How long it is says a stripe that gives it, since the journal's claims of one pack
    /// may differ.
    pub(crate) async fn fetch_pack(&self, pack: &PackRecord) -> Result<Vec<u8>, SourceError> {
        let facts = self.facts(pack)?;
        let lens: BTreeSet<u64> = self
            .labels(&facts)
            .iter()
            .map(|(_, label)| label.label().pack_len)
            .collect();
        let mut failed = SourceError::Lost { pack: pack.id };
        for len in lens {
            let mut pack = pack.clone();
            pack.len = ByteCount(len);
            loop {
                let mut reading = match self.fetch(&pack, std::slice::from_ref(&(0..len))).await {
                    Ok(reading) => reading,
                    Err(error) => {
                        failed = error;
                        break;
                    }
                };
                let bytes = reading.parts.pop().unwrap_or_default();
                if PackId::from_bytes(*blake3::hash(&bytes).as_bytes()) == pack.id {
                    return Ok(bytes);
                }
                failed = SourceError::Damaged {
                    pack: pack.id,
                    host: reading.origin.host,
                };
                if !self.distrust(&pack, reading.origin) {
                    break;
                }
            }
        }
        Err(failed)
    }

    pub(super) fn facts(&self, pack: &PackRecord) -> Result<PackFacts, SourceError> {
        let facts = self.ward.catalogue.pack_facts(pack.number).ok().flatten();
        facts.ok_or(SourceError::Lost { pack: pack.id })
    }

    /// The stripes of a pack that can be read, the newest last.
    fn labels<'f>(&self, facts: &'f PackFacts) -> Vec<(&'f StripeFacts, SignedLabel)> {
        let label = |stripe: &'f StripeFacts| {
            let record = self.ward.catalogue.stripe(&stripe.label).ok().flatten()?;
            Some((stripe, record.signed_label().ok()?))
        };
        facts.stripes.iter().filter_map(label).collect()
    }

    /// The stripes that a pack as it is claimed here may be read from, the best first: the newest, unless bytes did not open; then that of
    /// whoever claims the pack, and our own.
    pub(super) fn stripes<'f>(
        &self,
        pack: &PackRecord,
        facts: &'f PackFacts,
    ) -> Vec<(&'f StripeFacts, SignedLabel)> {
        let mut stripes = self.labels(facts);
        stripes.retain(|(_, label)| label.label().pack_len == pack.len.0);
        stripes.reverse();
        let distrusted = self.distrusted.lock();
        if !distrusted.is_clear(pack.number) {
            let own = self.ward.owned.as_ref().map(|owned| owned.device.id());
            stripes.sort_by_key(|(stripe, _)| stripe.device != pack.device && Some(stripe.device) != own);
        }
        distrusted.left(pack.number, stripes, |(stripe, _)| Some(stripe.label))
    }

    /// Everywhere where a pack as it is claimed here may lie, our own disk first.
    pub(super) fn places(&self, pack: &PackRecord) -> Vec<trust::Place> {
        let mut places = Vec::new();
        if self.ward.is_staged(&pack.id) {
            places.push(None);
        }
        if let Ok(facts) = self.facts(pack) {
            let labels = self.labels(&facts);
            let fitting = labels
                .iter()
                .filter(|(_, label)| label.label().pack_len == pack.len.0);
            places.extend(fitting.map(|(stripe, _)| Some(stripe.label)));
        }
        places
    }

    pub(super) fn trusts_staging(&self, pack: &PackRecord) -> bool {
        if self.distrusted.lock().is_clear(pack.number) {
            return true;
        }
        let places = self.places(pack);
        let left = self.distrusted.lock().left(pack.number, places, |place| *place);
        left.contains(&None)
    }

    pub(super) fn read_staged(&self, pack: &PackRecord, ranges: &[Range<u64>]) -> Option<Reading> {
        let staging = self.ward.staging().filter(|staging| staging.contains(&pack.id))?;
        let read = |range: &Range<u64>| {
            staging
                .read_range(&pack.id, range.start, range.end - range.start)
                .ok()
        };
        Some(Reading {
            parts: ranges.iter().map(read).collect::<Option<_>>()?,
            origin: Origin::default(),
        })
    }
}
