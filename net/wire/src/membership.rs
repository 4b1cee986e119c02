//! Who belongs to a circle: signed objects that travel from node to node, and the set that they form.
//!
//! A circle's key signs its charter, which names admins; admins sign invitations; a joiner signs with the invitation's secret; any
//! member by itself may sign the admission. Each object carries all its proof, so it does not matter who passes it on.

mod addresses;
mod charter;
#[cfg(test)]
mod fixture;
mod invitation;
mod join;
mod line;
mod roster;

pub use addresses::{ADDRESS_LEN_MAX, ADDRESSES_MAX, Address, NodeAddresses};
pub use charter::{ADMINS_MAX, Charter, NAME_LEN_MAX, Name, Removal};
pub use invitation::{Admission, InvitationCert, JoinProof};
pub use join::{Admit, JoinFacts, JoinRefusal, JoinReply, JoinRequest, Petition, WaitReason};
pub use line::{
    INVITATION_ADDRESSES_MAX, INVITATION_LINE_LEN_MAX, Invitation, InviteError, InviteTerms, ParseLineError,
};
pub use roster::{
    ADMISSIONS_MAX, CIRCLE_MEMBERS_MAX, Changes, ItemError, REMOVALS_MAX, ROSTER_ITEMS_MAX, Roster,
    STATEMENTS_PER_ARCHIVE_MAX, Standing,
};
