//! Matrix over HTTP.
