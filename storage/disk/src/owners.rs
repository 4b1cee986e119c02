//! The names of users and groups, and the numbers they have on this machine.
//!
//! Reads `/etc/passwd` and `/etc/group` once. It does not ask network directories: a user known only there keeps the number and
//! has no name, which restores right on machines that share the directory.

use std::collections::BTreeMap;
use std::path::Path;

use crate::atomic;

/// Longest account file that is read, in bytes; a longer one is treated as absent.
const ACCOUNT_FILE_LEN_MAX: u64 = 16 << 20;

/// The accounts of this machine.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    users: Names,
    groups: Names,
}

#[derive(Debug, Clone, Default)]
struct Names {
    name_of: BTreeMap<u32, String>,
    number_of: BTreeMap<String, u32>,
}

impl Owners {
    /// Reads the accounts of this machine. What cannot be read is as if it were not there: numbers always work.
    pub fn load() -> Self {
        Self {
            users: Names::read(Path::new("/etc/passwd")),
            groups: Names::read(Path::new("/etc/group")),
        }
    }

    /// The user's name, or nothing when the machine knows none.
    pub fn user_name(&self, uid: u32) -> &str {
        self.users.name_of.get(&uid).map_or("", String::as_str)
    }

    /// The group's name, or nothing when the machine knows none.
    pub fn group_name(&self, gid: u32) -> &str {
        self.groups.name_of.get(&gid).map_or("", String::as_str)
    }

    /// The number that this name has here, or else the number that it had where it was backed up.
    pub fn uid_here(&self, name: &str, uid_there: u32) -> u32 {
        self.users.number_of.get(name).copied().unwrap_or(uid_there)
    }

    /// The number that this group has here, or else the number that it had where it was backed up.
    pub fn gid_here(&self, name: &str, gid_there: u32) -> u32 {
        self.groups.number_of.get(name).copied().unwrap_or(gid_there)
    }
}

impl Names {
    fn read(path: &Path) -> Self {
        match atomic::read_file(path, ACCOUNT_FILE_LEN_MAX) {
            Ok(Some(bytes)) => Self::parse(&String::from_utf8_lossy(&bytes)),
            Ok(None) => Self::default(),
            Err(error) => {
                tracing::warn!(%error, "names of users or groups are not known");
                Self::default()
            }
        }
    }

    /// Lines `name:password:number:...`; as the C library does, the first line with a name or a number counts.
    fn parse(text: &str) -> Self {
        let mut names = Self::default();
        for line in text.lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(_), Some(Ok(number))) =
                (fields.next(), fields.next(), fields.next().map(str::parse::<u32>))
            else {
                continue;
            };
            if name.is_empty() || name.starts_with(['#', '+', '-']) {
                continue;
            }
            names.name_of.entry(number).or_insert_with(|| name.to_owned());
            names.number_of.entry(name.to_owned()).or_insert(number);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_name_or_number_counts_and_nonsense_is_skipped() {
        let owners = Owners {
            users: Names::parse(
                "# note\nroot:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\nme:x:1000:1\nme:x:7:1\nbad\nx:y:z\n",
            ),
            groups: Names::parse("staff:x:50:me,root\n"),
        };
        assert_eq!(owners.user_name(0), "root");
        assert_eq!(owners.user_name(4), "");
        assert_eq!(owners.group_name(50), "staff");
        assert_eq!(owners.uid_here("me", 5), 1000);
        assert_eq!(owners.uid_here("toor", 5), 0);
        assert_eq!(owners.uid_here("", 5), 5);
        assert_eq!(owners.gid_here("gone", 6), 6);
    }
}
