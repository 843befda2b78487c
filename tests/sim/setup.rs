//! What a test may put in the place of the right thing, to see a checker fail.
//!
//! It exists so that mistakes are made from outside: nothing in a run asks whether it is one of
//! those. It knows no mistake.

use std::sync::Arc;

use belfry_data::Engine;
use belfry_env::{Env, SimulatedWall};
use belfry_kv::Memory;

/// Makes what stands between the server's disk and the memory engine.
type MakeEngine = dyn Fn(&Arc<Memory>) -> Arc<dyn Engine>;

/// See the module; by default everything is right.
#[derive(Clone)]
pub(crate) struct Setup {
    engine: Arc<MakeEngine>,
    beside: fn(&Env, &SimulatedWall),
}

impl Default for Setup {
    fn default() -> Self {
        Self::with_engine(|memory| Arc::clone(memory) as Arc<dyn Engine>)
    }
}

impl Setup {
    /// With another engine in front of the memory engine.
    pub(crate) fn with_engine(make: impl Fn(&Arc<Memory>) -> Arc<dyn Engine> + 'static) -> Self {
        Self {
            engine: Arc::new(make),
            beside: |_, _| {},
        }
    }

    /// With something that is done when the world begins.
    pub(crate) fn with_beside(beside: fn(&Env, &SimulatedWall)) -> Self {
        Self {
            beside,
            ..Self::default()
        }
    }

    /// The engine in front of this one.
    pub(crate) fn engine(&self, memory: &Arc<Memory>) -> Arc<dyn Engine> {
        (self.engine)(memory)
    }

    /// The world begins.
    pub(crate) fn begin(&self, env: &Env, wall: &SimulatedWall) {
        (self.beside)(env, wall);
    }
}
