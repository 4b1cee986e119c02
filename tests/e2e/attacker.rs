//! A hostile node: it speaks the protocols with keys of its own, says whatever a test wants, and shows what comes back byte for byte.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::codec;
use nuthatch_format::keys::{ArchiveKeys, DeviceKeys};
use nuthatch_format::signed::KeyPair;
use nuthatch_format::statement::{Capabilities, Certificate, SignedStatement, Statement};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Timestamp};
use nuthatch_transport::{
    BulkStream, Config, ControlProtocol, Gate, OpenError, RequestError, Standing, Transport, node_from_text,
};
use nuthatch_wire::attest::{Attestation, Digest, Nonce};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::Frame;
use nuthatch_wire::claim::{ClaimProof, ClaimReply, ClaimRequest};
use nuthatch_wire::inventory::{InventoryPageRequest, InventoryRequest};
use nuthatch_wire::lease::LeaseRequest;
use nuthatch_wire::membership::{Invitation, JoinReply, JoinRequest, Name, Petition};
use nuthatch_wire::message::{
    Capabilities as NodeCapabilities, Hello, PutStatements, Reply, Request, RosterRequest, StatementsRequest,
    StripeLabelsRequest,
};
use tokio::runtime::Runtime;

use crate::harness::Node;

/// A victim that has not answered by then does not answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection may be closed just when something is asked on it.
const TRIES_MAX: usize = 5;

/// Lets everybody in.
struct Everybody;

impl Gate for Everybody {
    fn standing(&self, _: &NodeId) -> Standing {
        Standing::Member
    }
}

/// One hostile node.
pub(crate) struct Attacker {
    pub(crate) key: KeyPair,
    transport: Transport,
    runtime: Runtime,
}

impl Attacker {
    /// A node with the key of this number.
    pub(crate) fn new(number: u8) -> Self {
        let seed = [number; 32];
        let mut config = Config::new(seed, Vec::new());
        config.mdns = false;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let (transport, mut events) = Transport::start(config, Arc::new(Everybody)).expect("a transport");
        drop(entered);
        // It answers nothing: whoever asks hears that there is no answer.
        runtime.spawn(async move { while events.recv().await.is_some() {} });
        Self {
            key: KeyPair::from_seed(&seed),
            transport,
            runtime,
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId::from_bytes(self.key.public())
    }

    fn reach(&self, victim: &Node) -> NodeId {
        let node = id_of(victim);
        self.runtime
            .block_on(self.transport.dial(Some(node), victim.addresses.clone()))
            .expect("the victim can be reached");
        node
    }

    /// Asks; the answer as it came.
    pub(crate) fn ask(
        &self,
        victim: &Node,
        protocol: ControlProtocol,
        message: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let node = self.reach(victim);
            let asking = self.transport.request(node, protocol, message.to_vec(), PATIENCE);
            match self.runtime.block_on(asking) {
                Err(RequestError::Open(OpenError::NotConnected | OpenError::Lost) | RequestError::Lost)
                    if tries < TRIES_MAX => {}
                other => return other,
            }
        }
    }

    /// A control question; the answer as it came.
    pub(crate) fn control(&self, victim: &Node, request: &Request) -> Result<Vec<u8>, RequestError> {
        self.ask(victim, ControlProtocol::Control, &codec::encode(request))
    }

    /// A control question that is answered.
    #[track_caller]
    pub(crate) fn reply(&self, victim: &Node, request: &Request) -> Reply {
        let bytes = self.control(victim, request).expect("an answer");
        codec::decode(&bytes).expect("a reply")
    }

    /// Opens a bulk stream.
    pub(crate) fn open_bulk(&self, victim: &Node) -> Result<BulkStream, OpenError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let node = self.reach(victim);
            match self.runtime.block_on(self.transport.open_bulk(node)) {
                Err(OpenError::NotConnected | OpenError::Lost) if tries < TRIES_MAX => {}
                other => return other,
            }
        }
    }

    /// Says a frame and hears the next one; `None` when the stream ended or broke.
    pub(crate) fn say(&self, stream: &mut BulkStream, frame: &Frame) -> Option<Frame> {
        self.runtime.block_on(async {
            stream.send(frame).await.ok()?;
            stream.recv_within(PATIENCE).await.ok()?
        })
    }

    /// Says a frame and does not wait for anything.
    #[track_caller]
    pub(crate) fn send(&self, stream: &mut BulkStream, frame: &Frame) {
        self.runtime.block_on(stream.send(frame)).expect("a frame goes");
    }

    /// The next frame; `None` when the stream ended or broke.
    pub(crate) fn hear(&self, stream: &mut BulkStream) -> Option<Frame> {
        self.runtime.block_on(stream.recv_within(PATIENCE)).ok()?
    }

    /// One frame on a stream of its own, and what comes back.
    #[track_caller]
    pub(crate) fn bulk(&self, victim: &Node, frame: &Frame) -> Option<Frame> {
        let mut stream = self.open_bulk(victim).expect("a bulk stream");
        self.say(&mut stream, frame)
    }

    /// Who has something under a key, by the address tables.
    pub(crate) fn providers(&self, victim: &Node, key: [u8; 32]) -> Vec<NodeId> {
        self.reach(victim);
        self.runtime.block_on(self.transport.providers(key))
    }

    /// A fresh nonce, by the claiming protocol.
    #[track_caller]
    pub(crate) fn claim_nonce(&self, victim: &Node) -> Nonce {
        let hello = codec::encode(&ClaimRequest::Hello);
        let answer = self
            .ask(victim, ControlProtocol::Claim, &hello)
            .expect("an answer");
        match codec::decode(&answer) {
            Ok(ClaimReply::Nonce(nonce)) => nonce,
            other => panic!("no nonce: {other:?}"),
        }
    }

    /// The answer to a proof, as it came.
    #[track_caller]
    pub(crate) fn claim(&self, victim: &Node, proof: &Attestation<ClaimProof>) -> Vec<u8> {
        let message = codec::encode(&ClaimRequest::Proof(proof.clone()));
        self.ask(victim, ControlProtocol::Claim, &message)
            .expect("an answer")
    }

    /// A petition with a fresh nonce of this victim.
    #[track_caller]
    pub(crate) fn petition(&self, victim: &Node, line: &str) -> JoinRequest {
        let invitation = Invitation::parse_line(line).expect("an invitation");
        let hello = codec::encode(&JoinRequest::Hello(invitation.terms().circle));
        let answer = self
            .ask(victim, ControlProtocol::Join, &hello)
            .expect("an answer");
        let Ok(JoinReply::Nonce(nonce)) = codec::decode(&answer) else {
            panic!("no nonce");
        };
        let name = Name::cut("attacker");
        JoinRequest::Petition(Box::new(Petition {
            invitation: invitation.cert().clone(),
            proof: invitation
                .prove(self.node(), name, id_of(victim), nonce)
                .expect("a proof"),
            addresses: None,
            certificate: None,
        }))
    }

    /// The answer to a petition.
    #[track_caller]
    pub(crate) fn join(&self, victim: &Node, petition: &JoinRequest) -> JoinReply {
        let answer = self
            .ask(victim, ControlProtocol::Join, &codec::encode(petition))
            .expect("an answer");
        codec::decode(&answer).expect("a reply")
    }

    /// Fails unless control and bulk are closed to this node, whatever it asks.
    #[track_caller]
    pub(crate) fn assert_shut_out(&self, victim: &Node, archive: ArchiveId) {
        for request in questions(archive, LabelId::from_bytes([1; 32])) {
            let answer = self.control(victim, &request);
            assert!(
                matches!(answer, Err(RequestError::Open(OpenError::NotOffered))),
                "{request:?}: {answer:?}"
            );
        }
        let bulk = self.open_bulk(victim);
        assert!(matches!(bulk, Err(OpenError::NotOffered)), "{bulk:?}");
    }
}

/// The id of a victim.
pub(crate) fn id_of(victim: &Node) -> NodeId {
    node_from_text(&victim.peer_id).expect("a node's id")
}

/// Every question of the control protocol that reads something of an archive.
pub(crate) fn reading(archive: ArchiveId, label: LabelId) -> Vec<Request> {
    vec![
        Request::Inventory(InventoryRequest {
            archive,
            nonce: Nonce([7; 32]),
        }),
        Request::InventoryPage(InventoryPageRequest {
            archive,
            prefix: 0,
            after: None,
        }),
        Request::JournalHeads(archive),
        Request::Statements(StatementsRequest { archive, after: None }),
        Request::Introductions(archive),
        Request::StripeLabels(StripeLabelsRequest {
            archive,
            labels: List::first_of([label]),
        }),
    ]
}

/// Every question of the control protocol.
pub(crate) fn questions(archive: ArchiveId, label: LabelId) -> Vec<Request> {
    let mut all = reading(archive, label);
    all.extend([
        Request::Hello(Hello {
            circle: None,
            roster: Digest([0; 32]),
            name: Name::cut("attacker"),
            agent: Name::cut("attacker"),
            capabilities: NodeCapabilities::default(),
            free: ByteCount(0),
            certificate: None,
            at: Timestamp(0),
        }),
        Request::Roster(RosterRequest {
            circle: nuthatch_format::CircleId::from_bytes([2; 32]),
            after: None,
        }),
        Request::PutRoster(List::empty()),
        Request::Lease(LeaseRequest {
            archive,
            certificate: Opaque::new(vec![0]).expect("short"),
            bytes: ByteCount(1 << 20),
        }),
        Request::PutStatements(PutStatements {
            archive,
            statements: List::empty(),
        }),
    ]);
    all
}

/// A device that an archive has certified, at a node of its own.
pub(crate) struct Device {
    pub(crate) attacker: Attacker,
    pub(crate) keys: DeviceKeys,
    pub(crate) archive: ArchiveId,
    pub(crate) certificate: SignedStatement,
}

impl Device {
    /// The device and the node of this number, certified by an archive's key.
    pub(crate) fn of(archive: &ArchiveKeys, number: u8) -> Self {
        let attacker = Attacker::new(number);
        let keys = DeviceKeys::generate(&[number; 64], "a device").expect("a name");
        let certificate = certificate(archive, &keys, attacker.node());
        Self {
            attacker,
            keys,
            archive: archive.archive_id(),
            certificate,
        }
    }

    /// A proof of this device for any node, host and nonce.
    pub(crate) fn prove(&self, claimant: NodeId, host: NodeId, nonce: Nonce) -> Attestation<ClaimProof> {
        let proof = ClaimProof {
            archive: self.archive,
            device: self.keys.id(),
            claimant,
            host,
            nonce,
            certificate: Opaque::new(self.certificate.bytes().to_vec()).expect("short"),
        };
        Attestation::sign(&proof, &self.keys.signing).expect("a proof")
    }

    /// Claims as it should.
    #[track_caller]
    pub(crate) fn claims(&self, victim: &Node) -> Vec<u8> {
        let nonce = self.attacker.claim_nonce(victim);
        let proof = self.prove(self.attacker.node(), id_of(victim), nonce);
        self.attacker.claim(victim, &proof)
    }
}

/// The word of an archive's key on a device at a node.
pub(crate) fn certificate(archive: &ArchiveKeys, device: &DeviceKeys, node: NodeId) -> SignedStatement {
    let certificate = Certificate {
        device: device.id(),
        exchange_public: device.exchange_public(),
        node,
        name: device.name().to_owned(),
        capabilities: Capabilities::DEFAULT,
        byte_budget: ByteCount(u64::MAX),
    };
    SignedStatement::by_archive(
        Statement::Certified { certificate },
        &archive.signing,
        Timestamp(1),
    )
    .expect("a statement")
}
