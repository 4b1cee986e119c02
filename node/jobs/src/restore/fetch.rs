//! Gets a window of wanted chunks: pack by pack, several reads at a time, each chunk proven before it is delivered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::PackNumber;
use nuthatch_format::ChunkId;
use parking_lot::Mutex;

use super::plan::{self, PackRead, SectionWant, Want};
use super::ranges;
use crate::budget::ByteBudget;
use crate::cancel::Cancelled;
use crate::opener::{OpenPack, OpenPackError};
use crate::section_reader::{ChunkError, ClaimFault, SectionReader};

/// Takes proven chunks. Called from several threads at a time.
pub(crate) trait Deliver: Sync {
    /// The chunk that was wanted.
    fn deliver(&self, want: &Want, bytes: &[u8]);
}

/// Fetches chunks.
pub(crate) struct Fetcher<'a> {
    /// Reads and opens.
    pub(crate) sections: &'a SectionReader<'a>,
    /// For what is read and not opened yet.
    pub(crate) budget: &'a ByteBudget,
    /// Reads at a time; at least 1.
    pub(crate) reads_max: usize,
}

/// Wants that one round could not give, and why.
type Faults = Vec<(Want, ClaimFault)>;

/// What was tried of a chunk in vain.
struct Tried {
    packs: Vec<PackNumber>,
    error: ChunkError,
}

impl Fetcher<'_> {
    /// Delivers every chunk that can be had. Answers those that cannot, each with the reason that gives most hope.
    pub(crate) fn run(
        &self,
        wants: Vec<Want>,
        to: &dyn Deliver,
    ) -> Result<Vec<(Want, ChunkError)>, ChunkError> {
        let mut failed = Vec::new();
        let mut tried: HashMap<(ChunkId, u32), Tried> = HashMap::new();
        let mut pending = wants;
        while !pending.is_empty() {
            let faults = self.round(std::mem::take(&mut pending), to)?;
            for (want, fault) in faults {
                let mut error = ChunkError::from(fault);
                let mut packs = vec![want.pack];
                if let Some(before) = tried.remove(&(want.id, want.slot)) {
                    error = before.error.or(error);
                    packs.extend(before.packs);
                }
                match self.next_claim(&want, &packs)? {
                    Some(next) => {
                        tried.insert((want.id, want.slot), Tried { packs, error });
                        pending.push(next);
                    }
                    None => failed.push((want, error)),
                }
            }
        }
        Ok(failed)
    }

    /// Another claim of the same chunk, in a pack that was not tried yet. One of another length would not fit where it is wanted.
    fn next_claim(&self, want: &Want, tried: &[PackNumber]) -> Result<Option<Want>, IndexError> {
        let places = self.sections.book.catalogue().lookup_all(&want.id)?;
        let next = places
            .iter()
            .find(|place| place.len == want.len && !tried.contains(&place.pack));
        Ok(next.map(|place| Want {
            pack: place.pack,
            section: place.section,
            offset: place.offset,
            ..*want
        }))
    }

    fn round(&self, wants: Vec<Want>, to: &dyn Deliver) -> Result<Faults, ChunkError> {
        let mut reads = Vec::new();
        let mut faults = Vec::new();
        for (pack, sections) in plan::by_pack(wants) {
            let wants = sections.into_values().flatten().collect();
            self.plan_pack(pack, wants, &mut reads, &mut faults)?;
        }
        let faults = Mutex::new(faults);
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(read) = reads.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.read(read, to, &faults)?;
            }
            Ok::<(), ChunkError>(())
        };
        let threads = self.reads_max.clamp(1, reads.len().max(1));
        let ends = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running
                .into_iter()
                .map(join)
                .collect::<Vec<Result<(), ChunkError>>>()
        });
        ends.into_iter().collect::<Result<(), ChunkError>>()?;
        Ok(faults.into_inner())
    }

    fn plan_pack(
        &self,
        number: PackNumber,
        wants: Vec<Want>,
        reads: &mut Vec<PackRead>,
        faults: &mut Faults,
    ) -> Result<(), ChunkError> {
        let pack = match self.sections.book.pack(number) {
            Ok(pack) => pack,
            Err(OpenPackError::Index(error)) => return Err(error.into()),
            Err(error) => {
                if let OpenPackError::Unusable { record, reason } = &error {
                    self.sections
                        .accuse(record, &format!("an unusable directory ({reason})"));
                }
                faults.extend(wants.into_iter().map(|want| (want, ClaimFault::False)));
                return Ok(());
            }
        };
        let mut sections: Vec<SectionWant> = Vec::new();
        for want in wants {
            match (sections.last_mut(), pack.range(want.section)) {
                (_, None) => faults.push((want, ClaimFault::False)),
                (Some(last), _) if last.index == want.section => last.wants.push(want),
                (_, Some(at)) => sections.push(SectionWant {
                    index: want.section,
                    at,
                    wants: vec![want],
                }),
            }
        }
        reads.extend(plan::reads(number, self.sections.shape(&pack.record), sections));
        Ok(())
    }

    fn read(&self, read: &PackRead, to: &dyn Deliver, faults: &Mutex<Faults>) -> Result<(), ChunkError> {
        let _held = self
            .budget
            .take(ranges::total(&read.ranges), self.sections.cancel)?;
        let pack = match self.sections.book.pack(read.pack) {
            Ok(pack) => pack,
            Err(OpenPackError::Index(error)) => return Err(error.into()),
            Err(OpenPackError::Unknown | OpenPackError::Unusable { .. }) => return Err(ChunkError::Damaged),
        };
        let got = match self.sections.read(&pack.record, &read.ranges) {
            Ok(got) => got,
            Err(crate::SourceError::Cancelled) => return Err(Cancelled.into()),
            Err(error) => {
                let wants = read.sections.iter().flat_map(|section| &section.wants);
                faults
                    .lock()
                    .extend(wants.map(|want| (*want, ClaimFault::Source(error.clone()))));
                return Ok(());
            }
        };
        for section in &read.sections {
            self.sections.cancel.check()?;
            let sealed = ranges::slice(&read.ranges, &got.parts, &section.at).unwrap_or_default();
            match self.sections.open(&pack, section.index, (sealed, got.origin)) {
                Ok(plain) => self.hand_out(&pack, section, &plain, (to, faults)),
                Err(ClaimFault::Source(error)) => faults.lock().extend(
                    section
                        .wants
                        .iter()
                        .map(|want| (*want, ClaimFault::Source(error.clone()))),
                ),
                Err(ClaimFault::Damaged(host)) => {
                    faults.lock().extend(
                        section
                            .wants
                            .iter()
                            .map(|want| (*want, ClaimFault::Damaged(host))),
                    );
                }
                Err(ClaimFault::False) => {
                    self.sections.accuse(&pack.record, "a section that is not");
                    faults
                        .lock()
                        .extend(section.wants.iter().map(|want| (*want, ClaimFault::False)));
                }
            }
        }
        self.sections.source.give_back(got.parts);
        Ok(())
    }

    fn hand_out(
        &self,
        pack: &OpenPack,
        section: &SectionWant,
        plain: &[u8],
        (to, faults): (&dyn Deliver, &Mutex<Faults>),
    ) {
        let mut proven: Option<(ChunkId, u32)> = None;
        for want in &section.wants {
            let at = want.offset as usize..want.offset as usize + want.len as usize;
            // Wants of the same chunk often follow each other: it is proven once.
            let bytes = if proven == Some((want.id, want.offset)) {
                plain.get(at).ok_or(ClaimFault::False)
            } else {
                self.sections.prove(&want.id, plain, at)
            };
            match bytes {
                Ok(bytes) => {
                    proven = Some((want.id, want.offset));
                    to.deliver(want, bytes);
                }
                Err(fault) => {
                    self.sections.accuse(&pack.record, "a chunk that is not");
                    faults.lock().push((*want, fault));
                }
            }
        }
    }
}
