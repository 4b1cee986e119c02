//! Getting the reading key of a home: from the unwrapped file, or from a key slot with a passphrase.

use std::path::Path;

use nuthatch_disk::home::{HomeFiles, Secret};
use nuthatch_format::ArchiveId;
use nuthatch_format::codec;
use nuthatch_format::keys::{OwnerSecrets, ReaderKeys, SealingSecret};
use nuthatch_format::signed::KeyPair;
use nuthatch_format::slot::{KeySlot, SlotError};

use super::{damaged_key, disk_failure, home_failure, no_home, parse_phrase};
use crate::api::{Exit, Failure, Secret as SecretText};

/// How the secrets of a home are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Under a passphrase.
    Passphrase,
    /// In clear: no passphrase is needed.
    Open,
}

impl Locked {
    /// How the secrets of this home are kept; a node may be running in it.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let home = look(path)?;
        match home
            .read_secret(Secret::OwnerUnwrapped)
            .map_err(|error| disk_failure(&error))?
        {
            Some(_) => Ok(Self::Open),
            None => Ok(Self::Passphrase),
        }
    }
}

/// The reading key of a home, in the form that requests carry it. A node may be running in the home.
pub fn unlock(path: &Path, passphrase: Option<&SecretText>) -> Result<SecretText, Failure> {
    let home = look(path)?;
    let secrets = owner_secrets(&home, passphrase)?;
    Ok(SecretText::from_key(secrets.sealing.to_bytes().as_slice()))
}

/// The signing key of a home's archive, in the form that requests carry. A node may be running in the home.
pub fn unlock_signing(path: &Path, passphrase: Option<&SecretText>) -> Result<SecretText, Failure> {
    let home = look(path)?;
    let secrets = owner_secrets(&home, passphrase)?;
    Ok(SecretText::from_key(secrets.signing.seed().as_slice()))
}

/// The same from the 24 words.
pub fn signing_key_of_phrase(phrase: &SecretText) -> Result<SecretText, Failure> {
    let secrets = OwnerSecrets::derive(&parse_phrase(phrase)?);
    Ok(SecretText::from_key(secrets.signing.seed().as_slice()))
}

/// The key to sign statements with, from the form that requests carry. It must be the key of this archive.
pub(crate) fn signing_key(key: &SecretText, archive: &ArchiveId) -> Result<KeyPair, Failure> {
    let bytes = key
        .expose_key()
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| damaged_key("signing key"))?;
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    seed.copy_from_slice(&bytes);
    let signing = KeyPair::from_seed(&seed);
    if signing.public() != *archive.as_bytes() {
        return Err(Failure::new(
            Exit::WrongSecret,
            "wrong_key",
            "this is not the key of this archive",
        ));
    }
    Ok(signing)
}

/// The keys to read with, from the form that requests carry. It must be the key of this archive.
pub(crate) fn reader_keys(
    key: Option<&SecretText>,
    writer: &nuthatch_format::keys::WriterKeys,
) -> Result<ReaderKeys, Failure> {
    let key = key.ok_or_else(|| {
        Failure::new(
            Exit::WrongSecret,
            "locked",
            "reading needs the passphrase of this home",
        )
        .with_hint("give it with --passphrase-file, or at the prompt")
    })?;
    let bytes = key
        .expose_key()
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| damaged_key("reader key"))?;
    let mut secret = zeroize::Zeroizing::new([0; 32]);
    secret.copy_from_slice(&bytes);
    let sealing = SealingSecret::from_bytes(*secret);
    if sealing.public() != writer.sealing_public {
        return Err(Failure::new(
            Exit::WrongSecret,
            "wrong_key",
            "this is not the key of this archive",
        ));
    }
    Ok(ReaderKeys {
        writer: writer.clone(),
        sealing,
    })
}

fn owner_secrets(home: &HomeFiles, passphrase: Option<&SecretText>) -> Result<OwnerSecrets, Failure> {
    if let Some(bytes) = home
        .read_secret(Secret::OwnerUnwrapped)
        .map_err(|error| disk_failure(&error))?
    {
        let bytes =
            <&[u8; OwnerSecrets::LEN]>::try_from(bytes.as_slice()).map_err(|_| damaged_key("owner.keys"))?;
        return Ok(OwnerSecrets::from_bytes(bytes));
    }
    let names = home.slots().map_err(|error| disk_failure(&error))?;
    if names.is_empty() {
        return Err(
            Failure::new(Exit::NothingHere, "no_archive", "this home has no archive")
                .with_hint("begin one with 'nuthatch init', or bring one back with 'nuthatch recover'"),
        );
    }
    let passphrase = passphrase.ok_or_else(|| {
        Failure::new(
            Exit::WrongSecret,
            "locked",
            "the keys of this home are under a passphrase",
        )
        .with_hint("give it with --passphrase-file or NUTHATCH_PASSPHRASE_FILE, or at the prompt")
    })?;
    let mut damaged = false;
    for name in names {
        let slot = home
            .read_slot(&name)
            .map_err(|error| Failure::from_error(Exit::Failed, "slot", &error))?;
        let Some(slot) = slot.and_then(|bytes| codec::decode::<KeySlot>(&bytes).ok()) else {
            damaged = true;
            continue;
        };
        match slot.open(passphrase.expose().as_bytes()) {
            Ok(secrets) => return Ok(secrets),
            Err(SlotError::WrongPassphrase) => {}
            Err(_) => damaged = true,
        }
    }
    if damaged {
        return Err(damaged_key("key slot"));
    }
    Err(Failure::new(
        Exit::WrongSecret,
        "wrong_passphrase",
        "the passphrase opens none of this home's key slots",
    )
    .with_hint("try again; if it is lost, 'nuthatch recover' with the 24 words makes a new home"))
}

fn look(path: &Path) -> Result<HomeFiles, Failure> {
    let home = HomeFiles::look(path).map_err(|error| home_failure(&error))?;
    match home.read_secret(Secret::Node) {
        Ok(Some(_)) => Ok(home),
        Ok(None) => Err(no_home()),
        Err(error) => Err(disk_failure(&error)),
    }
}
