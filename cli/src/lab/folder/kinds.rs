//! One directory with everything that a file system can hold and a backup can get wrong.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::noise::Noise;

/// Depth of the deepest directory.
const DEPTH: usize = 40;

/// Length of the file with holes, in bytes.
const SPARSE_LEN: u64 = 24 << 20;

/// Makes the directory. Answers what could not be made here.
pub(super) fn every_kind(root: &Path, noise: &mut Noise) -> io::Result<Vec<String>> {
    fs::create_dir(root)?;
    let mut left_out = Vec::new();
    names(&root.join("names"), &mut left_out)?;
    shapes(&root.join("shapes"), noise)?;
    links(&root.join("links"))?;
    modes(&root.join("modes"))?;
    attributes(&root.join("attributes"), &mut left_out)?;
    special(&root.join("special"), &mut left_out)?;
    owners(&root.join("owners"), &mut left_out)?;
    Ok(left_out)
}

/// Notes what was refused, and goes on: another user or file system may not have it.
fn attempt(what: &str, result: io::Result<()>, left_out: &mut Vec<String>) {
    if let Err(error) = result {
        left_out.push(format!("{what} ({error})"));
    }
}

/// Names that are hard to write down.
fn names(root: &Path, left_out: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir(root)?;
    let plain = [
        " leading space",
        "trailing space ",
        "-dash",
        ".hidden",
        "new\nline",
        "tab\there",
        "quote'\"`$*?[]{}",
        "back\\slash",
        "ümläut",
        "雪の中",
        "e\u{301}",
        "\u{202e}gnp.exe",
    ];
    for name in plain {
        fs::write(root.join(name), name)?;
    }
    fs::write(root.join("n".repeat(255)), b"longest")?;
    let raw = root.join(OsStr::from_bytes(b"raw-\xff\xfe\x80"));
    attempt("a name that is not UTF-8", fs::write(raw, b"raw"), left_out);
    Ok(())
}

/// Files of strange lengths, holes, a very deep directory, an empty one.
fn shapes(root: &Path, noise: &mut Noise) -> io::Result<()> {
    fs::create_dir(root)?;
    fs::create_dir(root.join("empty directory"))?;
    for len in [0usize, 1, 4095, 4096, 4097, 65_536, 1_048_577] {
        let mut bytes = Vec::new();
        noise.bytes(&mut bytes, len);
        bytes.truncate(len);
        fs::write(root.join(format!("{len} bytes")), bytes)?;
    }
    fs::write(root.join("zeros"), vec![0; 3 << 20])?;
    let sparse = File::create_new(root.join("holes"))?;
    sparse.set_len(SPARSE_LEN)?;
    sparse.write_all_at(b"in the middle", SPARSE_LEN / 2)?;
    File::create_new(root.join("only a hole"))?.set_len(SPARSE_LEN)?;
    let mut deep = root.join("deep");
    fs::create_dir(&deep)?;
    for level in 0..DEPTH {
        deep.push(format!("level {level}"));
        fs::create_dir(&deep)?;
    }
    fs::write(deep.join("bottom"), b"found")
}

/// Symbolic links to everything and nothing, hard links across directories.
fn links(root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    fs::create_dir(root.join("far"))?;
    fs::write(root.join("one"), b"one file, three names")?;
    fs::hard_link(root.join("one"), root.join("two"))?;
    fs::hard_link(root.join("one"), root.join("far/three"))?;
    symlink("one", root.join("to a file"))?;
    symlink("far", root.join("to a directory"))?;
    symlink("nothing here", root.join("to nothing"))?;
    symlink("/etc/../absolute", root.join("absolute"))?;
    symlink("x".repeat(1000), root.join("long"))?;
    symlink("round", root.join("round"))
}

fn modes(root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    for mode in [0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o4755, 0o2755] {
        let path = root.join(format!("file {mode:o}"));
        fs::write(&path, format!("{mode:o}"))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    for mode in [0o500, 0o700, 0o1777, 0o2755] {
        let path = root.join(format!("directory {mode:o}"));
        fs::create_dir(&path)?;
        fs::write(path.join("inside"), b"inside")?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Extended attributes, an access list, a capability.
fn attributes(root: &Path, left_out: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir(root)?;
    let path = root.join("tagged");
    fs::write(&path, b"tagged")?;
    let tags = [
        ("user.empty", Vec::new()),
        ("user.text", b"seen twice".to_vec()),
        ("user.raw", (0..=255).collect::<Vec<u8>>()),
    ];
    let tagged = tags
        .iter()
        .try_for_each(|(name, value)| xattr::set(&path, name, value));
    attempt("extended attributes", tagged, left_out);
    attempt(
        "extended attributes of a directory",
        xattr::set(root, "user.directory", b"yes"),
        left_out,
    );
    let listed = root.join("access list");
    fs::write(&listed, b"shared")?;
    attempt(
        "an access list",
        xattr::set(&listed, "system.posix_acl_access", &access_list()),
        left_out,
    );
    if rustix::process::geteuid().is_root() {
        let capable = root.join("capable");
        fs::write(&capable, b"#!")?;
        attempt(
            "a capability",
            xattr::set(&capable, "security.capability", &capability()),
            left_out,
        );
    }
    Ok(())
}

/// `user::rw- user:1:r-- group::r-- mask::r-- other::---` as Linux keeps it: version 2, then tag, permissions and id of each entry
/// (include/uapi/linux/posix_acl_xattr.h).
fn access_list() -> Vec<u8> {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, none),
        (0x02, 4, 1),
        (0x04, 4, none),
        (0x10, 4, none),
        (0x20, 0, none),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// `cap_net_bind_service=p` in revision 2 (include/uapi/linux/capability.h).
fn capability() -> Vec<u8> {
    [0x0200_0000u32, 1 << 10, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// A pipe, a socket, and for the superuser devices.
fn special(root: &Path, left_out: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir(root)?;
    let make = |name: &str, kind, device| -> io::Result<()> {
        Ok(mknodat(
            CWD,
            root.join(name),
            kind,
            Mode::from_raw_mode(0o640),
            device,
        )?)
    };
    attempt("a named pipe", make("pipe", FileType::Fifo, 0), left_out);
    let socket = make("socket", FileType::Socket, 0).or_else(|_| bind_socket(root));
    attempt("a socket", socket, left_out);
    if !rustix::process::geteuid().is_root() {
        left_out.push("devices (only the superuser can make them)".to_owned());
        return Ok(());
    }
    attempt(
        "a character device",
        make("null", FileType::CharacterDevice, makedev(1, 3)),
        left_out,
    );
    attempt(
        "a block device",
        make("loop", FileType::BlockDevice, makedev(7, 259)),
        left_out,
    );
    Ok(())
}

fn bind_socket(root: &Path) -> io::Result<()> {
    UnixListener::bind(root.join("socket")).map(drop)
}

/// Files of other people.
fn owners(root: &Path, left_out: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir(root)?;
    if !rustix::process::geteuid().is_root() {
        left_out.push("files of other owners (only the superuser can make them)".to_owned());
        return Ok(());
    }
    for (user, group) in [(1, 1), (1000, 1000), (4_000_000, 12)] {
        let path = root.join(OsString::from(format!("{user} {group}")));
        fs::write(&path, b"not mine")?;
        attempt(
            "a file of another owner",
            std::os::unix::fs::chown(&path, Some(user), Some(group)),
            left_out,
        );
    }
    Ok(())
}
