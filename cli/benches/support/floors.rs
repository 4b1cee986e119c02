//! The least that whole commands can take on this machine at this hour: every part that the format and the protocol ask for is run
//! alone, on one thread, and its processor time is shared out evenly over the cores. Nothing here is a stage of the program.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::keys::{ArchiveKeys, ReaderKeys, RecoveryPhrase};
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::Fill;
use nuthatch_format::seal::{PackPlan, SealedPack};
use nuthatch_format::section::{Compressor, LEVEL_DEFAULT, SectionBuilder};
use nuthatch_transport::{BulkStream, Config, Event, Gate, Standing, Transport};
use nuthatch_wire::Opaque;
use nuthatch_wire::bulk::{Data, Frame, RANGE_LEN_MAX};

const MIB: usize = 1 << 20;

/// Bytes that each part is run over.
const PROBE_MIB: usize = 256;

/// Length of a pack's plaintext here, in sections of 1 MiB.
const SECTIONS: usize = 15;

/// Processor seconds for one MiB, of each part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// Chunking and naming of plaintext.
    chunk: f64,
    /// Compression, sealing, the hash over all that is sealed, and the pack's name.
    seal: f64,
    /// Reading what is cached.
    read: f64,
    /// Writing 8 MiB files, syncing each and giving back its pages.
    write: f64,
    /// A BLAKE3 over shards: naming at the owner, checking at the host.
    hash: f64,
    /// Moving between two nodes, both ends together.
    carry: f64,
    /// Opening sections.
    open: f64,
}

/// Floors, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floors {
    pub(crate) staging: f64,
    pub(crate) circle: f64,
    pub(crate) restore: f64,
}

impl Costs {
    /// Runs every part, in a directory on the disk that the commands use.
    pub(crate) fn measure(directory: &Path) -> io::Result<Self> {
        let data = noise(PROBE_MIB * MIB);
        let keys = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([7; 32])).reader_keys();
        let file = directory.join("probe");
        // With the pages given back, so that the next file goes into them: a page that the system has to find and clear first costs ten
        // times as much on some machines, and nothing asks for one.
        let write = per_mib(|| write_synced(directory, &data))?;
        fs::write(&file, &data)?;
        let read = per_mib(|| read_all(&file))?;
        fs::remove_file(&file)?;
        let chunk = per_mib(|| {
            chunk_all(&keys, &data);
            Ok(())
        })?;
        let seal = per_mib(|| seal_all(&keys, &data).map(drop))?;
        let open = per_mib_of(|| seal_all(&keys, &data), |packs| open_all(&keys, packs))?;
        let hash = per_mib(|| {
            blake3::hash(&data);
            Ok(())
        })?;
        let carry = carry()?;
        Ok(Self {
            chunk,
            seal,
            read,
            write,
            hash,
            carry,
            open,
        })
    }

    /// For `mib` of plaintext that does not compress, with `expansion` bytes stored at hosts for each.
    pub(crate) fn floors(&self, mib: f64, expansion: f64) -> Floors {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let staging = mib * (self.read + self.chunk + self.seal + self.write);
        // What is coded is hashed by both ends; coding itself is in no floor, for it is our own work.
        let sent = mib * expansion * (2.0 * self.hash + self.carry + self.write);
        // A host reads and proves, the owner checks, opens and names again what it writes.
        let back = mib * (self.read + 2.0 * self.hash + self.carry + self.open + self.write);
        Floors {
            staging: staging / cores,
            circle: (staging + sent) / cores,
            restore: back / cores,
        }
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, cost) in [
            ("read", self.read),
            ("chunk and name", self.chunk),
            ("compress and seal", self.seal),
            ("write and sync", self.write),
            ("hash a shard", self.hash),
            ("carry, both ends", self.carry),
            ("open", self.open),
        ] {
            writeln!(f, "  {name:<20} {:>8.0} MiB/s of one core", 1.0 / cost)?;
        }
        Ok(())
    }
}

/// Processor seconds of this process so far: user and system, of all its threads.
fn processor_seconds() -> io::Result<f64> {
    let usage = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = usage
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err(io::Error::other("no processor times"));
    };
    // proc(5): clock ticks, of which Linux has shown 100 a second on every machine since 2.6.
    Ok((user + system) / 100.0)
}

fn per_mib(part: impl Fn() -> io::Result<()>) -> io::Result<f64> {
    per_mib_of(|| Ok(()), |()| part())
}

/// The better of two runs, so that the first touch of memory is not counted.
fn per_mib_of<T>(prepare: impl Fn() -> io::Result<T>, part: impl Fn(T) -> io::Result<()>) -> io::Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..2 {
        let input = prepare()?;
        let start = processor_seconds()?;
        part(input)?;
        best = best.min(processor_seconds()? - start);
    }
    Ok(best / PROBE_MIB as f64)
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[1; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn write_synced(directory: &Path, data: &[u8]) -> io::Result<()> {
    for (number, shard) in data.chunks(8 * MIB).enumerate() {
        let path = directory.join(format!("probe-{number}"));
        let mut file = File::create(&path)?;
        for range in shard.chunks(RANGE_LEN_MAX as usize) {
            file.write_all(range)?;
        }
        file.sync_data()?;
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    for number in 0..data.len().div_ceil(8 * MIB) {
        fs::remove_file(directory.join(format!("probe-{number}")))?;
    }
    Ok(())
}

fn read_all(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; MIB];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn chunk_all(keys: &ReaderKeys, data: &[u8]) {
    let chunker = Chunker::new(&keys.writer.chunker_key, ChunkerParams::DEFAULT);
    let mut rest = data;
    while let Some(len) = chunker.next_cut(rest, true) {
        let (chunk, later) = rest.split_at(len);
        std::hint::black_box(keys.writer.chunk_id(chunk));
        rest = later;
    }
}

fn seal_all(keys: &ReaderKeys, data: &[u8]) -> io::Result<Vec<SealedPack>> {
    let mut compressor = Compressor::new(LEVEL_DEFAULT).map_err(io::Error::other)?;
    let mut packs = Vec::new();
    for part in data.chunks(SECTIONS * MIB) {
        let mut plan = PackPlan::new(PackKind::Data);
        for section in part.chunks(MIB) {
            let id = keys.writer.chunk_id(section);
            let plain = SectionBuilder::new()
                .push(id, section)
                .ok_or_else(|| io::Error::other("a section of 1 MiB is a section of its own"))?;
            plan.push(compressor.compress(plain).map_err(io::Error::other)?);
        }
        packs.push(plan.seal(&keys.writer, Fill::Full).map_err(io::Error::other)?);
    }
    Ok(packs)
}

fn open_all(keys: &ReaderKeys, packs: Vec<SealedPack>) -> io::Result<()> {
    for pack in packs {
        let key = keys.pack_key(&pack.header).map_err(io::Error::other)?;
        for (number, entry) in (0..).zip(&pack.directory.sections) {
            let start = entry.offset as usize;
            let sealed = pack.bytes.get(start..start + entry.stored_len as usize);
            let plain = key
                .open_section(&pack.directory, number, sealed.unwrap_or_default().to_vec())
                .map_err(io::Error::other)?;
            std::hint::black_box(plain);
        }
    }
    Ok(())
}

struct Everybody;

impl Gate for Everybody {
    fn standing(&self, _: &nuthatch_format::NodeId) -> Standing {
        Standing::Member
    }
}

/// Frames of shard data between two nodes of this process, over TCP as the commands use it.
fn carry() -> io::Result<f64> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (one, mut first) = node(1)?;
        let (two, mut events) = node(2)?;
        tokio::spawn(async move { while first.recv().await.is_some() {} });
        let addresses = two.listen_addresses().await;
        one.dial(Some(two.node()), addresses)
            .await
            .map_err(io::Error::other)?;
        let mut here = one.open_bulk(two.node()).await.map_err(io::Error::other)?;
        let there = loop {
            match events.recv().await {
                Some(Event::Bulk { stream, .. }) => break stream,
                Some(_) => {}
                None => return Err(io::Error::other("the node has ended")),
            }
        };
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let start = processor_seconds()?;
        let receiving = tokio::spawn(receive(there));
        let slice = Opaque::new(vec![7; RANGE_LEN_MAX as usize]).map_err(io::Error::other)?;
        let frame = Frame::Data(Data {
            offset: 0,
            len: RANGE_LEN_MAX,
            slice,
        });
        for _ in 0..PROBE_MIB * MIB / RANGE_LEN_MAX as usize {
            here.send(&frame).await.map_err(io::Error::other)?;
        }
        receiving.await.map_err(io::Error::other)??;
        let cost = (processor_seconds()? - start) / PROBE_MIB as f64;
        drop(here);
        tokio::join!(one.shutdown(), two.shutdown());
        Ok(cost)
    })
}

fn node(seed: u8) -> io::Result<(Transport, tokio::sync::mpsc::Receiver<Event>)> {
    let mut config = Config::new([seed; 32], vec!["/ip4/127.0.0.1/tcp/0".to_owned()]);
    config.mdns = false;
    Transport::start(config, Arc::new(Everybody)).map_err(io::Error::other)
}

async fn receive(mut stream: BulkStream) -> io::Result<()> {
    let mut received = 0;
    while received < (PROBE_MIB * MIB) as u64 {
        let frame = stream.recv().await.map_err(io::Error::other)?;
        received += frame.map_or(u64::MAX, |frame| frame.payload_len());
    }
    Ok(())
}
