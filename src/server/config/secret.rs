//! Secrets: read from a file of their own, never shown.
//!
//! A key that holds a secret does not exist; a key `..._file` names the file that does. So the
//! configuration can be shown to anybody, kept in version control and backed up.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use zeroize::Zeroizing;

use crate::message::Message;

/// Longest secret file.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Mode bits that a secret's file must not have: writing by the group, anything by others. The
/// group may read: `root:belfry 0640` and service managers' credentials are good practice.
const MODE_FORBIDDEN: u32 = 0o027;

/// A text that is wiped from memory when dropped and that no `{:?}` shows.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads the file, which nobody but its owner and group may be able to read. One line end at
    /// its end is not part of the secret.
    pub(crate) fn read(file: &Path) -> Result<Self, Message> {
        let refuse = |id, cause: &io::Error| {
            Message::new(id)
                .with("file", file)
                .with_text("cause", &cause)
        };
        let mut open = File::open(file).map_err(|cause| refuse("secret-unreadable", &cause))?;
        let metadata = open
            .metadata()
            .map_err(|cause| refuse("secret-unreadable", &cause))?;
        if metadata.mode() & MODE_FORBIDDEN != 0 {
            return Err(Message::new("secret-exposed")
                .with("file", file)
                .with("mode", format!("{:03o}", metadata.mode() & 0o777)));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(Message::new("secret-too-large").with("file", file));
        }
        let mut text = Zeroizing::new(String::new());
        open.by_ref()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|cause| refuse("secret-unreadable", &cause))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(Self(text))
    }

    /// The text itself, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
