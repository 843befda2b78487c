//! This and that and more of it.
