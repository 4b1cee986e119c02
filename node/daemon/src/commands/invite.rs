//! `invite`: a line that admits a node. The first one founds the circle, with the charter that the archive's phrase signed when it was at
//! hand.

use std::sync::Arc;

use nuthatch_format::{CircleId, Span};
use nuthatch_wire::membership::{Address, Invitation, InviteError, InviteTerms};
use nuthatch_wire::message::RosterItem;

use super::blocking;
use crate::api::{Exit, Failure, Invite, InviteAnswer, rfc3339};
use crate::circle::CircleError;
use crate::membership::announced;
use crate::node::Node;
use crate::{clock, setup};

/// Makes an invitation.
pub(crate) async fn run(node: &Arc<Node>, asked: &Invite) -> Result<InviteAnswer, Failure> {
    if asked.expires_ms == 0 {
        return Err(Failure::new(
            Exit::Usage,
            "expires",
            "an invitation that has expired already admits nobody",
        )
        .with_hint("give a time such as --expires 7d"));
    }
    let circle = match node.circle.id() {
        Some(circle) => circle,
        None => found(node).await?,
    };
    let epoch = as_admin(node, "invite")?;
    let addresses = reachable_at(node).await;
    if addresses.is_empty() {
        return Err(no_address());
    }
    let expires = clock::now().after(Span::from_millis(asked.expires_ms));
    let terms = InviteTerms {
        circle,
        epoch,
        expires,
        uses: asked.uses,
        addresses,
    };
    let secret = zeroize::Zeroizing::new(setup::fresh::<32>()?);
    let invitation =
        Invitation::issue(terms, &node.identity.key, &secret).map_err(|error| refused(&error))?;
    let expires = rfc3339(expires);
    node.events.say(
        "invited",
        None,
        format!(
            "made an invitation for {} that expires {expires}",
            nodes(asked.uses)
        ),
    );
    Ok(InviteAnswer {
        invitation: invitation.to_line(),
        expires,
    })
}

/// Where the joiner finds this node: where it listens now, else where it last said that it does.
async fn reachable_at(node: &Node) -> Vec<Address> {
    let addresses = announced(node.transport.listen_addresses().await);
    if !addresses.is_empty() {
        return addresses;
    }
    let own = node.identity.node;
    let said = node
        .circle
        .read(|roster| roster.addresses(&own).map(|said| said.addresses.to_vec()));
    said.flatten().unwrap_or_default()
}

fn nodes(count: u32) -> String {
    if count == 1 {
        "one node".to_owned()
    } else {
        format!("{count} nodes")
    }
}

/// Founds the circle of this node's archive.
async fn found(node: &Arc<Node>) -> Result<CircleId, Failure> {
    let home = Arc::clone(node);
    let owned = blocking(move || setup::load_owned(&home.home)).await?;
    let charter = owned.and_then(|owned| owned.charter).ok_or_else(cannot_found)?;
    let circle = charter
        .open()
        .map_err(|_| setup::damaged_key("circle.charter"))?
        .circle;
    let mut items = vec![RosterItem::Charter(charter)];
    let own = node.own_items(circle).await;
    items.extend(own.map_err(|error| Failure::from_error(Exit::Failed, "sign", &error))?);
    let enterer = Arc::clone(node);
    blocking(move || {
        enterer
            .circle
            .enter(circle, items)
            .map_err(|error| circle_failure(&error))
    })
    .await?;
    node.members_changed();
    node.publish_addresses().await;
    node.events.say(
        "circle_founded",
        None,
        format!("founded the circle {}", circle.short()),
    );
    Ok(circle)
}

/// The charter's epoch, where this node is an admin; else who is, for what is to be done.
pub(super) fn as_admin(node: &Node, what: &str) -> Result<u32, Failure> {
    let own = node.identity.node;
    let asked = node.circle.read(|roster| {
        let admins: Vec<String> = roster
            .charter()
            .into_iter()
            .flat_map(|charter| charter.admins.iter())
            .filter(|admin| roster.is_admin(admin))
            .map(|admin| roster.name(admin).map_or_else(|| admin.short(), str::to_owned))
            .collect();
        if roster.is_admin(&own) {
            Ok(roster.epoch())
        } else {
            Err(admins)
        }
    });
    match asked {
        Some(Ok(epoch)) => Ok(epoch),
        Some(Err(admins)) if admins.is_empty() => Err(Failure::new(
            Exit::Failed,
            "not_admin",
            format!("this circle has no admin who could {what}"),
        )
        .with_hint(
            "found another circle: make a new home with 'nuthatch init --home DIR' and invite from there",
        )),
        Some(Err(admins)) => Err(Failure::new(
            Exit::Failed,
            "not_admin",
            format!("only an admin of the circle can {what}"),
        )
        .with_hint(format!("ask {}", admins.join(" or ")))),
        None => Err(cannot_found()),
    }
}

fn cannot_found() -> Failure {
    Failure::new(Exit::Failed, "no_circle", "this node has no circle, and only an owner of an archive can found one")
        .with_hint("run 'nuthatch init' here first, or ask the friend whose backups this node is to keep for an invitation")
}

fn no_address() -> Failure {
    Failure::new(Exit::Failed, "no_address", "this node can be reached at no address, so nobody could use the invitation")
        .with_hint(
            "connect this machine to a network, or listen at an address that others reach: nuthatch up --listen /ip4/ADDRESS/tcp/24480",
        )
}

fn refused(error: &InviteError) -> Failure {
    match error {
        InviteError::NoUses => {
            Failure::from_error(Exit::Usage, "uses", error).with_hint("give --uses 1 or more")
        }
        InviteError::Attest(_) => Failure::from_error(Exit::Failed, "sign", error),
    }
}

/// Why the circle could not be entered.
pub(super) fn circle_failure(error: &CircleError) -> Failure {
    match error {
        CircleError::OtherCircle => Failure::from_error(Exit::Failed, "other_circle", error)
            .with_hint("a node belongs to one circle: make another home for this one with --home DIR"),
        CircleError::File(error) => setup::disk_failure(error),
    }
}

/// As texts, for dialling.
pub(super) fn texts(addresses: &[Address]) -> Vec<String> {
    addresses
        .iter()
        .map(|address| address.as_str().to_owned())
        .collect()
}
