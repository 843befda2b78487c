//! The data folder: made at first start, for the server's own user.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use crate::message::Message;

/// Mode of a folder that is made here.
const MODE: u32 = 0o700;
/// Who may write in a folder may replace what is in it.
const MODE_FORBIDDEN: u32 = 0o002;

/// Makes the folder if it is missing; refuses one in which anybody may write.
pub(crate) fn prepare(folder: &Path) -> Result<(), Message> {
    let unusable = |cause| {
        Message::new("folder-unusable")
            .with("folder", folder)
            .with_text("cause", &cause)
    };
    DirBuilder::new()
        .recursive(true)
        .mode(MODE)
        .create(folder)
        .map_err(unusable)?;
    let mode = fs::metadata(folder).map_err(unusable)?.mode();
    if mode & MODE_FORBIDDEN == 0 {
        Ok(())
    } else {
        Err(Message::new("folder-exposed").with("folder", folder))
    }
}

/// Refuses to work as another user than the one whose server made the database: files of the wrong
/// owner would keep that server from starting.
pub(crate) fn check_owner(database: &Path) -> Result<(), Message> {
    let own = rustix::process::geteuid().as_raw();
    match fs::metadata(database) {
        Ok(found) if found.uid() != own => Err(Message::new("folder-owner")
            .with("folder", database)
            .with("owner", u64::from(found.uid()))
            .with("own", u64::from(own))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_missing_folder_is_made_for_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        prepare(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
    }

    #[test]
    fn a_folder_in_which_anybody_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(prepare(folder.path()).unwrap_err().id, "folder-exposed");
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(prepare(file.path()).unwrap_err().id, "folder-unusable");
    }

    #[test]
    fn the_own_database_and_none_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        check_owner(folder.path()).unwrap();
        check_owner(&folder.path().join("absent")).unwrap();
    }
}
