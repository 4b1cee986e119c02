//! Reading pages of the catalogue for the engine.

use std::sync::Arc;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{self, PackFacts};
use nuthatch_engine::boundary::{
    EndangeredPage, Input, PackKind, PackNumber, Stripe, StripeFacts, StripeQuery,
};
use nuthatch_engine::durability;
use nuthatch_engine::repair::{Due, HealthView};
use nuthatch_format::ArchiveId;

use crate::events::FaultKind;
use crate::node::Node;
use crate::ward::Ward;

/// Packs looked at for one page of weak ones.
const SCAN: usize = 512;

/// One page, as the input that answers `ReadStripes`. A catalogue that can't be read answers an empty last page.
pub(super) async fn read(
    node: &Arc<Node>,
    archive: ArchiveId,
    query: StripeQuery,
    after: Option<PackNumber>,
    limit: usize,
) -> Input {
    let reader = Arc::clone(node);
    let read = tokio::task::spawn_blocking(move || match reader.ward(&archive) {
        Some(ward) => page(&ward, query, after, limit).map_err(|error| error.to_string()),
        None => Ok((Vec::new(), None)),
    });
    let (page, next) = match read.await {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the catalogue can't be read: {error}"),
            );
            (Vec::new(), None)
        }
        Err(_) => (Vec::new(), None),
    };
    Input::Stripes {
        archive,
        query,
        page,
        next,
    }
}

type Page = (Vec<StripeFacts>, Option<PackNumber>);

fn page(
    ward: &Ward,
    query: StripeQuery,
    after: Option<PackNumber>,
    limit: usize,
) -> Result<Page, IndexError> {
    let mut page = Vec::new();
    let mut at = after.map(|number| catalogue::PackNumber(number.0));
    loop {
        let packs = match query {
            StripeQuery::Pending => ward.catalogue.pending_page(at, SCAN)?,
            StripeQuery::Weak { .. } => ward.catalogue.packs_page(at, SCAN)?,
        };
        let is_last = packs.len() < SCAN;
        for facts in packs {
            at = Some(facts.number);
            if is_wanted(ward, query, &facts) {
                page.push(as_engine(ward, &facts));
                if page.len() >= limit {
                    return Ok((page, at.map(|number| PackNumber(number.0))));
                }
            }
        }
        if is_last {
            return Ok((page, None));
        }
    }
}

/// Which part of the endangered stripes is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Losses that they can stand (count).
    pub(crate) margin: u8,
    /// Only packs after this one.
    pub(crate) after: Option<PackNumber>,
    /// At most so many (count).
    pub(crate) limit: usize,
}

/// One page of stripes that are to be rebuilt, as the input that answers `ReadEndangered`. A catalogue that can't be read answers an
/// empty last page.
pub(super) async fn read_endangered(
    node: &Arc<Node>,
    archive: ArchiveId,
    view: &Arc<HealthView>,
    part: Part,
) -> Input {
    let (reader, view) = (Arc::clone(node), Arc::clone(view));
    let read = tokio::task::spawn_blocking(move || match reader.ward(&archive) {
        Some(ward) => endangered(&ward, &view, part).map_err(|error| error.to_string()),
        None => Ok(EndangeredPage::default()),
    });
    let found = match read.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the catalogue can't be read: {error}"),
            );
            EndangeredPage::default()
        }
        Err(_) => EndangeredPage::default(),
    };
    Input::Endangered { archive, found }
}

/// Looks over packs until the page is full. What is staged is not looked at: it waits to be sent, and is sent by itself.
pub(crate) fn endangered(ward: &Ward, view: &HealthView, part: Part) -> Result<EndangeredPage, IndexError> {
    let mut found = EndangeredPage::default();
    let mut at = part.after.map(|number| catalogue::PackNumber(number.0));
    loop {
        let packs = ward.catalogue.packs_page(at, SCAN)?;
        let is_last = packs.len() < SCAN;
        for facts in packs {
            at = Some(facts.number);
            if ward.is_staged(&facts.id) {
                continue;
            }
            let facts = as_engine(ward, &facts);
            let Some(stripe) = &facts.stripe else { continue };
            let due = view.due(stripe.scheme, &stripe.holders);
            found.note(due, view.is_clumped(stripe.scheme, &stripe.holders), part.margin);
            if due != (Due::Rebuild { margin: part.margin }) {
                continue;
            }
            found.page.push(facts);
            if found.page.len() >= part.limit {
                found.next = at.map(|number| PackNumber(number.0));
                return Ok(found);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}

fn is_wanted(ward: &Ward, query: StripeQuery, facts: &PackFacts) -> bool {
    match query {
        StripeQuery::Pending => ward.is_staged(&facts.id),
        StripeQuery::Weak { hosts, target } => ward
            .current(facts)
            .is_some_and(|stripe| durability::is_weak(stripe.scheme, hosts, target)),
    }
}

fn as_engine(ward: &Ward, facts: &PackFacts) -> StripeFacts {
    let stripe = ward.current(facts).map(|stripe| Stripe {
        label: stripe.label,
        scheme: stripe.scheme,
        shard_len: stripe.shard_len,
        journal: ward.position_of(stripe),
        holders: stripe
            .holders
            .iter()
            .map(|holder| (holder.index, holder.node))
            .collect(),
    });
    StripeFacts {
        pack: PackNumber(facts.number.0),
        kind: match facts.kind {
            nuthatch_format::pack::PackKind::Data => PackKind::Data,
            nuthatch_format::pack::PackKind::Meta => PackKind::Meta,
        },
        pack_len: facts.len,
        stripe,
    }
}
