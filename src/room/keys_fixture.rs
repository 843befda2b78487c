//! Keys of the servers of tests: each has one, by its name.
//!
//! It knows nothing of the lines between them.

use belfry_data::BoxFuture;
use belfry_event::{KeyRing, SigningKey};
use ruma_common::{MilliSecondsSinceUnixEpoch, ServerName};

use crate::federation_fixture::Line;
use crate::peers::{KeyWanted, Keys};

pub(crate) fn key_of(server: &ServerName) -> SigningKey {
    let mut seed = [9; 32];
    for (byte, of) in seed.iter_mut().zip(server.as_bytes()) {
        *byte = *of;
    }
    SigningKey::from_seed(&seed, "k1").unwrap()
}

impl Keys for Line {
    fn held<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        Box::pin(async {
            let mut ring = KeyRing::default();
            for wanted in wanted.iter().filter(|it| it.server != "keyless.example") {
                let key = key_of(&wanted.server);
                let until = MilliSecondsSinceUnixEpoch(js_int::UInt::MAX);
                let public = key.public_key().clone();
                ring.insert(wanted.server.clone(), key.key_id(), public, until)
                    .unwrap();
            }
            ring
        })
    }

    fn fetch<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        self.held(wanted)
    }
}
