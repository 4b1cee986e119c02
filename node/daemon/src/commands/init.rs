//! `init` at a node that runs: it hosted, and now has an archive of its own too.

use std::sync::Arc;

use nuthatch_format::keys::RecoveryPhrase;
use parking_lot::Mutex;

use super::blocking;
use crate::api::{Failure, InitAnswer, InitArchive};
use crate::events::FaultKind;
use crate::node::Node;
use crate::setup::{self, Adoption};

/// One archive at a time is written into a home: whoever comes second finds the first one's keys.
static WRITING: Mutex<()> = Mutex::new(());

/// Founds an archive and opens it. From when its keys are written on the phrase is answered, whatever else goes wrong: it is
/// shown only once.
pub(crate) async fn run(node: &Arc<Node>, asked: &InitArchive) -> Result<InitAnswer, Failure> {
    let (writer, passphrase) = (Arc::clone(node), asked.passphrase.clone());
    let answer = blocking(move || {
        let _writing = WRITING.lock();
        writer.take_settings()?;
        let phrase = RecoveryPhrase::from_entropy(setup::fresh()?);
        let adoption = Adoption::prepare(&writer.identity, &phrase)?;
        adoption.write(&writer.home, passphrase.as_ref())?;
        Ok(InitAnswer {
            archive_id: adoption.keys.archive_id().to_string(),
            device_id: adoption.device.id().to_string(),
            peer_id: nuthatch_transport::peer_id_text(writer.identity.node),
            phrase: Some(phrase.words().to_string()),
        })
    })
    .await?;
    match node.open_archive().await {
        Ok(()) => {
            // Others learn whose node this is, so that the archive's other devices are members with it.
            node.members_changed();
            node.publish_addresses().await;
        }
        Err(failure) => {
            let message = format!(
                "the new archive is made, and can't be opened yet: {failure}; it is opened when the node starts again"
            );
            node.events.fault(FaultKind::OwnDisk, None, message);
        }
    }
    Ok(answer)
}
