//! The keys of an archive in a home: founding one, adding one to a host's home, adopting one from its phrase.

use std::path::Path;

use nuthatch_disk::atomic::{self, Access};
use nuthatch_disk::home::{Home, HomeFiles, Secret};
use nuthatch_format::keys::{ArchiveKeys, DeviceKeys, OwnerSecrets, RecoveryPhrase, WriterKeys};
use nuthatch_format::signed::KeyPair;
use nuthatch_format::slot::{KeySlot, SlotParams};
use nuthatch_format::statement::{Capabilities, Certificate, STATEMENT_LEN_MAX, SignedStatement, Statement};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, codec};
use nuthatch_wire::attest::Attestation;
use nuthatch_wire::bounded::List;
use nuthatch_wire::membership::{Charter, Name};

use super::{
    NewNode, choose, create_home, damaged_key, disk_failure, finish_home, fresh, home_failure, load_identity,
    open_home,
};
use crate::api::{Exit, Failure, Secret as SecretText};
use crate::clock;
use crate::identity::Identity;

/// Name of the slot that `init` and `recover` make.
const FIRST_SLOT: &str = "main";

/// The certificate of this device, beside the keys: with it a home whose caches are gone is still a device of its archive.
const CERTIFICATE_FILE: &str = "device.certificate";

/// The charter of the circle that this owner can found, signed while the phrase was at hand.
const CHARTER_FILE: &str = "circle.charter";

/// An archive that was just founded.
#[derive(Debug)]
pub struct NewArchive {
    /// Its id.
    pub archive: ArchiveId,
    /// This device.
    pub device: nuthatch_format::DeviceId,
    /// This node.
    pub node: NodeId,
    /// The 24 words; to be shown once and kept by the person, never by us.
    pub phrase: SecretText,
}

/// What a home knows of its archive.
#[derive(Debug)]
pub(crate) struct OwnedKeys {
    pub(crate) writer: WriterKeys,
    pub(crate) device: DeviceKeys,
    pub(crate) certificate: SignedStatement,
    /// Signed by the circle key of this archive; used when this node founds a circle.
    pub(crate) charter: Option<Attestation<Charter>>,
}

/// Makes a home with a new archive in it.
pub fn create_archive(
    path: &Path,
    new: &NewNode,
    passphrase: Option<&SecretText>,
) -> Result<NewArchive, Failure> {
    let home = create_home(path)?;
    // The archive's keys need the node's id, the node's key makes the home: so the key is chosen first and written last.
    let (identity, (phrase, adoption)) = finish_home_after(&home, new, |identity| {
        let phrase = RecoveryPhrase::from_entropy(fresh()?);
        let adoption = Adoption::prepare(identity, &phrase)?;
        adoption.write(&home, passphrase)?;
        Ok((phrase, adoption))
    })?;
    Ok(NewArchive {
        archive: adoption.keys.archive_id(),
        device: adoption.device.id(),
        node: identity.node,
        phrase: SecretText::new(phrase.words().to_string()),
    })
}

/// Adds a new archive to a home that hosts, while no node runs in it.
pub fn add_archive(
    path: &Path,
    new: &NewNode,
    passphrase: Option<&SecretText>,
) -> Result<NewArchive, Failure> {
    let home = open_home(path)?;
    refuse_second_archive(&home)?;
    // Before the keys: once they are written nothing may keep the phrase from being shown.
    let config = choose(home.root(), new)?;
    let identity = load_identity(&home, &config)?;
    let phrase = RecoveryPhrase::from_entropy(fresh()?);
    let adoption = Adoption::prepare(&identity, &phrase)?;
    adoption.write(&home, passphrase)?;
    Ok(NewArchive {
        archive: adoption.keys.archive_id(),
        device: adoption.device.id(),
        node: identity.node,
        phrase: SecretText::new(phrase.words().to_string()),
    })
}

/// The 24 words, or what is wrong with them.
pub fn parse_phrase(text: &SecretText) -> Result<RecoveryPhrase, Failure> {
    RecoveryPhrase::parse(text.expose()).map_err(|error| {
        Failure::from_error(Exit::WrongSecret, "wrong_phrase", &error).with_hint(
            "a recovery phrase is 24 English words in their order; look for a word misread or left out",
        )
    })
}

/// A device that is about to belong to an archive: all its keys, not on disk yet.
#[derive(Debug)]
pub(crate) struct Adoption {
    pub(crate) keys: ArchiveKeys,
    pub(crate) device: DeviceKeys,
    pub(crate) certificate: SignedStatement,
    charter: Attestation<Charter>,
}

impl Adoption {
    /// A new device of the archive of this phrase, at this node: the same for a new archive and an old one.
    pub(crate) fn prepare(identity: &Identity, phrase: &RecoveryPhrase) -> Result<Self, Failure> {
        let keys = ArchiveKeys::derive(phrase);
        let device = DeviceKeys::generate(&fresh()?, &identity.name)
            .map_err(|error| Failure::from_error(Exit::Usage, "name", &error))?;
        let certificate = certify(&keys.signing, &device, identity.node)?;
        let charter = charter(&keys.circle, identity)?;
        Ok(Self {
            keys,
            device,
            certificate,
            charter,
        })
    }

    /// Writes the keys into an open home that has no archive.
    pub(crate) fn write(&self, home: &Home, passphrase: Option<&SecretText>) -> Result<(), Failure> {
        refuse_second_archive(home)?;
        let write = |file: &str, bytes: &[u8]| {
            atomic::write_file(&home.root().join(file), bytes, Access::Private)
                .map_err(|error| disk_failure(&error))
        };
        write(CERTIFICATE_FILE, self.certificate.bytes())?;
        write(CHARTER_FILE, &self.charter.to_bytes())?;
        wrap_secrets(home, &self.keys.owner_secrets(), passphrase)?;
        let secret = |kind, bytes: &[u8]| {
            home.write_secret(kind, bytes)
                .map_err(|error| disk_failure(&error))
        };
        secret(Secret::Device, &codec::encode_secret(&self.device))?;
        // The writer keys come last: they are what makes the home an owner's.
        secret(Secret::Writer, &codec::encode_secret(&self.keys.writer))
    }
}

/// The archive's keys in a home; `None` at a node that only hosts.
pub(crate) fn load_owned(home: &HomeFiles) -> Result<Option<OwnedKeys>, Failure> {
    let read = |secret| home.read_secret(secret).map_err(|error| disk_failure(&error));
    let Some(writer) = read(Secret::Writer)? else {
        return Ok(None);
    };
    let writer = codec::decode(&writer).map_err(|_| damaged_key("writer.keys"))?;
    let device = read(Secret::Device)?.ok_or_else(|| damaged_key("device.keys"))?;
    let device = codec::decode(&device).map_err(|_| damaged_key("device.keys"))?;
    let file = |name: &str| {
        atomic::read_file(&home.root().join(name), STATEMENT_LEN_MAX as u64)
            .map_err(|error| disk_failure(&error))
    };
    let certificate = file(CERTIFICATE_FILE)?.ok_or_else(|| damaged_key(CERTIFICATE_FILE))?;
    let certificate = SignedStatement::parse(&certificate).map_err(|_| damaged_key(CERTIFICATE_FILE))?;
    let charter = match file(CHARTER_FILE)? {
        Some(bytes) => Some(Attestation::from_bytes(&bytes).map_err(|_| damaged_key(CHARTER_FILE))?),
        None => None,
    };
    Ok(Some(OwnedKeys {
        writer,
        device,
        certificate,
        charter,
    }))
}

/// The failure of founding an archive in a home that has one; a node may be running in it.
pub fn refuse_archive(path: &Path) -> Result<(), Failure> {
    refuse_second_archive(&HomeFiles::look(path).map_err(|error| home_failure(&error))?)
}

fn refuse_second_archive(home: &HomeFiles) -> Result<(), Failure> {
    match home.read_secret(Secret::Writer) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(
            Failure::new(Exit::Failed, "archive_exists", "this home has an archive already")
                .with_hint("use it ('nuthatch backup'), or make another home with --home"),
        ),
        Err(error) => Err(disk_failure(&error)),
    }
}

/// Makes a node around what `fill` writes, with the node's key written last.
fn finish_home_after<T>(
    home: &Home,
    new: &NewNode,
    fill: impl FnOnce(&Identity) -> Result<T, Failure>,
) -> Result<(Identity, T), Failure> {
    // Left by a making that was cut short: its keys were never shown to anybody.
    for secret in [Secret::Writer, Secret::Device, Secret::OwnerUnwrapped] {
        home.remove_secret(secret).map_err(|error| disk_failure(&error))?;
    }
    finish_home(home, new, fill)
}

fn certify(signing: &KeyPair, device: &DeviceKeys, node: NodeId) -> Result<SignedStatement, Failure> {
    let certificate = Certificate {
        device: device.id(),
        exchange_public: device.exchange_public(),
        node,
        name: device.name().to_owned(),
        capabilities: Capabilities::DEFAULT,
        byte_budget: ByteCount(u64::MAX),
    };
    SignedStatement::by_archive(Statement::Certified { certificate }, signing, clock::now())
        .map_err(|error| Failure::from_error(Exit::Usage, "name", &error))
}

fn charter(circle: &KeyPair, identity: &Identity) -> Result<Attestation<Charter>, Failure> {
    let charter = Charter {
        circle: nuthatch_format::CircleId::from_bytes(circle.public()),
        epoch: 0,
        name: Name::cut(&identity.name),
        admins: List::first_of([identity.node]),
    };
    Attestation::sign(&charter, circle).map_err(|error| Failure::from_error(Exit::Failed, "charter", &error))
}

fn wrap_secrets(home: &Home, secrets: &OwnerSecrets, passphrase: Option<&SecretText>) -> Result<(), Failure> {
    let Some(passphrase) = passphrase else {
        return home
            .write_secret(Secret::OwnerUnwrapped, secrets.to_bytes().as_slice())
            .map_err(|error| disk_failure(&error));
    };
    let slot = KeySlot::wrap(
        secrets,
        passphrase.expose().as_bytes(),
        FIRST_SLOT,
        fresh()?,
        SlotParams::DEFAULT,
    )
    .map_err(|error| Failure::from_error(Exit::Failed, "slot", &error))?;
    home.write_slot(FIRST_SLOT, &codec::encode(&slot))
        .map_err(|error| Failure::from_error(Exit::Failed, "slot", &error))
}
