//! Upload, download, thumbnails, quotas.
