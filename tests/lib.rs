//! Helpers shared by the black-box and simulation tests.
