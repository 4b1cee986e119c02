//! Statements as bytes: signed by the archive or a device, parsed and verified by anybody, never encoded again.

use minicbor::{Decode, Encode};

use super::{
    EPOCH_GRANT_LEN_MAX, EPOCH_GRANTS_MAX, REVOKED_LINES_MAX, STATEMENT_LABELS_MAX, STATEMENT_LEN_MAX,
    Statement,
};
use crate::codec::{self, Canonical, DecodeError, Suite, Version};
use crate::id::{ArchiveId, DeviceId, LabelId, StatementId};
use crate::keys::DeviceKeys;
use crate::signed::{Context, KeyPair, Signed};
use crate::units::Timestamp;

/// Whose signature a statement bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub enum Signer {
    /// The archive's key.
    #[n(0)]
    Archive,
    /// A device's key; only for [`Statement::Keep`].
    #[n(1)]
    Device {
        /// The device.
        #[n(0)]
        device: DeviceId,
    },
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Body {
    #[n(0)]
    pub(super) version: Version,
    #[n(1)]
    pub(super) suite: Suite,
    #[n(2)]
    pub(super) archive: ArchiveId,
    #[n(3)]
    pub(super) signer: Signer,
    #[n(4)]
    pub(super) time: Timestamp,
    #[n(5)]
    pub(super) statement: Statement,
}

impl Canonical for Body {
    const WHAT: &'static str = "statement";
    const LEN_MAX: usize = STATEMENT_LEN_MAX - 80;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        let by_archive = matches!(self.signer, Signer::Archive);
        if !by_archive && !matches!(self.statement, Statement::Keep { .. }) {
            return Err("only `keep` may be stated by a device");
        }
        self.statement.check()
    }
}

/// Whatever passes `check` also fits.
const _: () = assert!(
    Body::LEN_MAX >= 512 + STATEMENT_LABELS_MAX * 34
        && Body::LEN_MAX >= 512 + REVOKED_LINES_MAX * 68
        && Body::LEN_MAX >= 512 + EPOCH_GRANTS_MAX * (EPOCH_GRANT_LEN_MAX + 48)
        && STATEMENT_LEN_MAX <= Signed::LEN_MAX
);

/// Why a statement can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement can't be made: {0}")]
pub struct MakeStatementError(&'static str);

/// Why a statement is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement is not signed by its signer")]
pub struct VerifyStatementError;

/// A statement with its signature, as it is stored and passed on. Nothing in it may be believed before [`SignedStatement::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    bytes: Vec<u8>,
    id: StatementId,
    pub(super) body: Body,
}

impl SignedStatement {
    /// A statement by the archive's key.
    pub fn by_archive(
        statement: Statement,
        signing: &KeyPair,
        time: Timestamp,
    ) -> Result<Self, MakeStatementError> {
        Self::sign(
            Body {
                version: Version,
                suite: Suite,
                archive: ArchiveId::from_bytes(signing.public()),
                signer: Signer::Archive,
                time,
                statement,
            },
            signing,
        )
    }

    /// A `keep` by a device.
    pub fn keep_by_device(
        labels: Vec<LabelId>,
        archive: ArchiveId,
        device: &DeviceKeys,
        time: Timestamp,
    ) -> Result<Self, MakeStatementError> {
        Self::sign(
            Body {
                version: Version,
                suite: Suite,
                archive,
                signer: Signer::Device { device: device.id() },
                time,
                statement: Statement::Keep { labels },
            },
            &device.signing,
        )
    }

    fn sign(body: Body, pair: &KeyPair) -> Result<Self, MakeStatementError> {
        body.check().map_err(MakeStatementError)?;
        let signed = pair.sign(Context::Statement, body.archive.as_bytes(), codec::encode(&body));
        let bytes = codec::encode(&signed);
        Ok(Self {
            id: Self::id_of(&bytes),
            bytes,
            body,
        })
    }

    /// Reads a statement's shape; its signature is not checked yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > STATEMENT_LEN_MAX {
            return Err(DecodeError {
                what: Body::WHAT,
                at: STATEMENT_LEN_MAX,
                reason: codec::DecodeReason::TooLong {
                    found: bytes.len(),
                    max: STATEMENT_LEN_MAX,
                },
            });
        }
        let signed: Signed = codec::decode(bytes)?;
        Ok(Self {
            body: codec::decode(&signed.body)?,
            bytes: bytes.to_vec(),
            id: Self::id_of(bytes),
        })
    }

    /// Checks the signature and gives what is stated.
    pub fn verify(&self) -> Result<&Statement, VerifyStatementError> {
        let signed: Signed = codec::decode(&self.bytes).map_err(|_| VerifyStatementError)?;
        let public = match &self.body.signer {
            Signer::Archive => self.body.archive.as_bytes(),
            Signer::Device { device } => device.as_bytes(),
        };
        signed
            .verify(public, Context::Statement, self.body.archive.as_bytes())
            .map_err(|_| VerifyStatementError)?;
        Ok(&self.body.statement)
    }

    /// Its name: BLAKE3 of its bytes.
    pub fn id(&self) -> StatementId {
        self.id
    }

    /// The exact bytes, to be stored and passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The archive that it is about.
    pub fn archive(&self) -> ArchiveId {
        self.body.archive
    }

    /// Whose signature it claims to bear.
    pub fn signer(&self) -> Signer {
        self.body.signer
    }

    /// When its signer says that it was made.
    pub fn time(&self) -> Timestamp {
        self.body.time
    }

    /// What is stated, before anything is verified: for display only.
    pub fn unverified(&self) -> &Statement {
        &self.body.statement
    }

    fn id_of(bytes: &[u8]) -> StatementId {
        StatementId::from_bytes(*blake3::hash(bytes).as_bytes())
    }
}
