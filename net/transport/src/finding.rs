//! Look-ups in the distributed address tables: which are under way and who waits for them. Everything found is a hint.

use std::collections::{BTreeSet, HashMap};

use libp2p::kad::{GetClosestPeersError, GetClosestPeersOk, GetProvidersOk, PeerInfo, QueryId, QueryResult};
use libp2p::{Multiaddr, PeerId};
use nuthatch_format::NodeId;
use tokio::sync::oneshot;

use crate::address::{node_of, rank, split_peer};
use crate::config::{PEER_ADDRESSES_MAX, QUERIES_MAX};

/// Nodes that one look-up may find (count).
const FOUND_MAX: usize = 64;

/// A look-up under way.
#[derive(Debug)]
pub(crate) enum Query {
    /// Where is this peer?
    Node(PeerId, oneshot::Sender<Vec<Multiaddr>>),
    /// Who has this key?
    Providers(BTreeSet<NodeId>, oneshot::Sender<Vec<NodeId>>),
    /// Tell others that we have this key.
    Provide(oneshot::Sender<()>),
}

/// All look-ups of ours.
#[derive(Debug, Default)]
pub(crate) struct Queries(HashMap<QueryId, Query>);

impl Queries {
    /// Whether another may be started. Those that nobody waits for any more still run, and count.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < QUERIES_MAX
    }

    pub(crate) fn started(&mut self, id: QueryId, query: Query) {
        self.0.insert(id, query);
    }

    /// A look-up found something, or has ended.
    pub(crate) fn progressed(&mut self, id: QueryId, result: QueryResult, last: bool) {
        if let (
            Some(Query::Providers(found, _)),
            QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })),
        ) = (self.0.get_mut(&id), &result)
        {
            found.extend(
                providers
                    .iter()
                    .filter_map(node_of)
                    .take(FOUND_MAX.saturating_sub(found.len())),
            );
        }
        if !last {
            return;
        }
        // Whoever asked may have given up meanwhile.
        match (self.0.remove(&id), result) {
            (Some(Query::Node(peer, asker)), QueryResult::GetClosestPeers(result)) => {
                let peers = match result {
                    Ok(GetClosestPeersOk { peers, .. })
                    | Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                let _ = asker.send(addresses_of(&peer, peers));
            }
            (Some(Query::Providers(found, asker)), _) => {
                let _ = asker.send(found.into_iter().collect());
            }
            (Some(Query::Provide(asker)), _) => {
                let _ = asker.send(());
            }
            (Some(Query::Node(..)) | None, _) => {}
        }
    }
}

fn addresses_of(peer: &PeerId, found: Vec<PeerInfo>) -> Vec<Multiaddr> {
    let of_peer = found.into_iter().filter(|info| info.peer_id == *peer);
    let addresses: BTreeSet<_> = of_peer
        .flat_map(|info| info.addrs)
        .map(|address| split_peer(address).0)
        .collect();
    let mut addresses: Vec<_> = addresses.into_iter().take(PEER_ADDRESSES_MAX).collect();
    addresses.sort_by_key(rank);
    addresses
}
