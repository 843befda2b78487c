//! The folder of users' files.

use std::io;

use belfry_blob::Files;

use crate::{config::Config, message::Message};

/// Opens the folder, which is made at first start.
pub(crate) fn open(config: &Config) -> Result<Files, Message> {
    Files::open(config.media_folder()).map_err(unusable(config))
}

/// Removes what uploads left that a crash cut off. Only for the one process that has the database
/// open.
pub(crate) fn tidy(config: &Config, files: &Files) -> Result<(), Message> {
    files.remove_unfinished().map_err(unusable(config))
}

fn unusable(config: &Config) -> impl FnOnce(io::Error) -> Message {
    let folder = config.media_folder();
    move |cause| {
        Message::new("media-folder-unusable")
            .with("folder", folder.as_path())
            .with_text("cause", &cause)
    }
}
