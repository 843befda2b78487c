//! Files between servers, and previews of pages, from a request of a client to the last address that
//! is dialled: two servers in one process, scripted servers of strangers, a web in memory.

mod exchange_tests;
mod net;
mod person;
mod preview_tests;
mod web;
