//! From plain sections to packs in staging. Workers compress in parallel; sections enter packs in the order of the walk.
//!
//! A worker that completes a pack seals and stages it itself, outside all locks. Bytes for that are taken before the pack leaves its lane, so
//! that when sealing or the disk falls behind, the lanes stand still and with them everything before them.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::Receiver;
use nuthatch_disk::staging::StagePackError;
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::{Fill, PACK_LEN};
use nuthatch_format::seal::{PackPlan, SealedPack};
use nuthatch_format::section::{CompressedSection, Compressor, PlainSection};
use parking_lot::Mutex;

use super::BackupError;
use super::env::Env;
use super::outlet::Space;
use crate::budget::Held;

/// How long one wait for staging to empty lasts before the job looks whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(200);

/// A section to be compressed and packed.
pub(crate) struct SectionJob<'e> {
    /// Which packs it belongs in.
    pub(crate) kind: PackKind,
    /// Its place among the sections of its kind, from 0, without gaps.
    pub(crate) sequence: u64,
    /// The section.
    pub(crate) section: PlainSection,
    /// Its share of the budget for sections.
    pub(crate) held: Held<'e>,
}

/// The two lanes in which packs are filled.
pub(crate) struct Packer<'e> {
    env: &'e Env<'e>,
    data: Mutex<Lane<'e>>,
    meta: Mutex<Lane<'e>>,
}

struct Lane<'e> {
    kind: PackKind,
    next: u64,
    /// Compressed ahead of their turn; bounded by the budget for sections.
    early: BTreeMap<u64, (CompressedSection, Held<'e>)>,
    plan: PackPlan,
}

/// A pack that is complete, and the bytes to seal and write it.
struct FullPack<'e> {
    plan: PackPlan,
    fill: Fill,
    /// Dropped once the pack is staged.
    _held: Held<'e>,
}

impl<'e> Packer<'e> {
    /// Two empty lanes.
    pub(crate) fn new(env: &'e Env<'e>) -> Self {
        Self {
            env,
            data: Mutex::new(Lane::new(PackKind::Data, env)),
            meta: Mutex::new(Lane::new(PackKind::Meta, env)),
        }
    }

    /// Compresses and packs sections until there are no more, or until the backup ends.
    pub(crate) fn work(&self, jobs: &Receiver<SectionJob<'e>>) {
        if let Err(error) = self.try_work(jobs) {
            self.env.fail(error);
        }
    }

    fn try_work(&self, jobs: &Receiver<SectionJob<'e>>) -> Result<(), BackupError> {
        let mut compressor = Compressor::new(self.env.level)?;
        for job in jobs {
            self.env.cancel.check()?;
            let section = compressor.compress(job.section)?;
            let lane = match job.kind {
                PackKind::Data => &self.data,
                PackKind::Meta => &self.meta,
            };
            let full = lane.lock().take_in(job.sequence, section, job.held, self.env)?;
            for pack in full {
                self.seal(pack)?;
            }
        }
        Ok(())
    }

    /// Seals and stages what the lanes still hold. No worker may be at work any more.
    pub(crate) fn finish(self) -> Result<(), BackupError> {
        for lane in [&self.data, &self.meta] {
            let last = lane.lock().take_last(self.env)?;
            if let Some(pack) = last {
                self.seal(pack)?;
            }
        }
        Ok(())
    }

    fn seal(&self, pack: FullPack<'e>) -> Result<(), BackupError> {
        let FullPack { plan, fill, _held } = pack;
        let sealed = plan.seal(self.env.keys, fill)?;
        if !self.env.is_dry_run {
            self.stage(&sealed)?;
            self.env.outlet.pack_staged(&sealed)?;
        }
        self.env.staged(sealed.id, sealed.bytes.len() as u64);
        self.env.buffers.lock().push(sealed.bytes);
        Ok(())
    }

    /// Writes a pack into staging; when that is full, waits as long as somebody is taking packs out of it.
    fn stage(&self, sealed: &SealedPack) -> Result<(), BackupError> {
        loop {
            match self.env.staging.put_pack(sealed) {
                Ok(()) => return Ok(()),
                Err(StagePackError::Full { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.env.cancel.check()?;
            if self.env.outlet.wait_for_space(PATIENCE) == Space::Never {
                return Err(BackupError::StagingFull {
                    needed: sealed.bytes.len() as u64,
                });
            }
        }
    }
}

impl<'e> Lane<'e> {
    fn new(kind: PackKind, env: &Env<'_>) -> Self {
        Self {
            kind,
            next: 0,
            early: BTreeMap::new(),
            plan: env.new_plan(kind),
        }
    }

    /// Takes a section at its turn, and whatever it was holding up. Answers the packs that this completes.
    fn take_in(
        &mut self,
        sequence: u64,
        section: CompressedSection,
        held: Held<'e>,
        env: &'e Env<'e>,
    ) -> Result<Vec<FullPack<'e>>, BackupError> {
        self.early.insert(sequence, (section, held));
        let mut full = Vec::new();
        while let Some((section, held)) = self.early.remove(&self.next) {
            self.next += 1;
            if !self.plan.fits(&section) {
                full.push(self.take_out(Fill::Full, env)?);
            }
            self.plan.push(section);
            drop(held);
        }
        Ok(full)
    }

    fn take_last(&mut self, env: &'e Env<'e>) -> Result<Option<FullPack<'e>>, BackupError> {
        if self.plan.is_empty() {
            return Ok(None);
        }
        self.take_out(Fill::Last, env).map(Some)
    }

    fn take_out(&mut self, fill: Fill, env: &'e Env<'e>) -> Result<FullPack<'e>, BackupError> {
        let held = env.packs.take(PACK_LEN as u64, &env.cancel)?;
        let plan = std::mem::replace(&mut self.plan, env.new_plan(self.kind));
        Ok(FullPack {
            plan,
            fill,
            _held: held,
        })
    }
}
