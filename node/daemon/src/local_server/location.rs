//! Where the socket is: in the home, or, where that path is too long for a socket, in a directory of this user for running
//! programs, with its path noted in the home's `node.json`.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nuthatch_disk::atomic::{self, Access, FileError};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in a home.
const SOCKET_NAME: &str = "node.sock";

/// Name of the note in a home that says where the socket is instead.
const NOTE_NAME: &str = "node.json";

/// Longest path of a socket in bytes. Systems have room for 104 or 108, the end mark included.
const SOCKET_PATH_LEN_MAX: usize = 100;

/// Longest note, in bytes.
const NOTE_LEN_MAX: usize = 4096;

/// Why there is no place for the socket.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The directory for sockets can't be used.
    #[error("can't use {path} for the node's socket: {reason}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The note can't be written.
    #[error(transparent)]
    Note(#[from] FileError),
    /// The system gives no random name.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(#[from] getrandom::Error),
}

#[derive(Serialize, Deserialize)]
struct Note {
    socket: PathBuf,
}

/// Chooses the socket's path for a node that is starting, and notes it where it is not in the home.
pub(super) fn prepare(home: &Path) -> Result<PathBuf, LocateError> {
    let inside = home.join(SOCKET_NAME);
    if inside.as_os_str().len() <= SOCKET_PATH_LEN_MAX {
        return Ok(inside);
    }
    let directory = runtime_directory();
    make_private(&directory)?;
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    let socket = directory.join(format!("{}.sock", data_encoding::HEXLOWER.encode(&name)));
    if let Some(old) = known_socket(home).filter(|old| old.parent() == Some(&directory)) {
        drop(fs::remove_file(old));
    }
    let note = serde_json::to_vec(&Note {
        socket: socket.clone(),
    })
    .map_err(|error| LocateError::Directory {
        path: directory,
        reason: error.to_string(),
    })?;
    atomic::write_file(&home.join(NOTE_NAME), &note, Access::Private)?;
    Ok(socket)
}

/// Where a running node of this home would answer.
pub(crate) fn known_socket(home: &Path) -> Option<PathBuf> {
    let inside = home.join(SOCKET_NAME);
    if inside.as_os_str().len() <= SOCKET_PATH_LEN_MAX {
        return Some(inside);
    }
    let bytes = fs::read(home.join(NOTE_NAME))
        .ok()
        .filter(|bytes| bytes.len() <= NOTE_LEN_MAX)?;
    serde_json::from_slice::<Note>(&bytes)
        .ok()
        .map(|note| note.socket)
}

/// Binds the socket, for this user only, in place of one that an ended process left.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(socket) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(socket)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "what lies there is not a socket",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the other end runs as this user, or as the superuser.
pub(crate) fn is_same_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|other| other.uid() == own || other.uid() == 0)
}

fn runtime_directory() -> PathBuf {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match given
        .filter(|dir| dir.is_absolute() && dir.as_os_str().as_bytes().len() <= SOCKET_PATH_LEN_MAX - 40)
    {
        Some(dir) => dir.join("nuthatch"),
        None => PathBuf::from(format!("/tmp/nuthatch-{}", rustix::process::geteuid().as_raw())),
    }
}

/// Makes a directory that only this user can enter; one that somebody else has put there is refused.
fn make_private(directory: &Path) -> Result<(), LocateError> {
    let refused = |reason: String| LocateError::Directory {
        path: directory.to_owned(),
        reason,
    };
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error.to_string())),
    }
    let meta = fs::symlink_metadata(directory).map_err(|error| refused(error.to_string()))?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(refused(
            "it is not a directory that only this user can enter".to_owned(),
        ));
    }
    Ok(())
}
