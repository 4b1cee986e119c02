//! Who belongs to a circle: signed objects that travel from node to node, and the set that they form.
//!
//! A circle's key signs its charter, which names admins; admins sign invitations; a joiner signs with the invitation's secret; any
//! member may sign the admission. Each object carries all its proof, so it does not matter who passes it on.

mod addresses;
mod charter;
mod invitation;

pub use addresses::{ADDRESS_LEN_MAX, ADDRESSES_MAX, Address, NodeAddresses};
pub use charter::{ADMINS_MAX, Charter, NAME_LEN_MAX, Name, Removal};
pub use invitation::{Admission, InvitationCert, JoinProof};
