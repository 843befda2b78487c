//! Push gateways wired in: the port of `sync`, implemented by the crate with the network.
//!
//! It exists so that neither of the two knows the other. It knows nothing of what is pushed.

use std::sync::Arc;

use belfry_remote::{PushError, PushGateways};
use belfry_sync::{Gateway, GatewayError, Views};
use futures_util::future::BoxFuture;

/// Pushes by these gateways, if there is a way to them.
pub(crate) fn start(views: &Views, gateways: Option<PushGateways>) {
    if let Some(gateways) = gateways {
        views.push_by(Arc::new(Wired(gateways)));
    }
}

struct Wired(PushGateways);

impl Gateway for Wired {
    fn notify<'a>(
        &'a self,
        url: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<String>, GatewayError>> {
        Box::pin(async move {
            let answered = self.0.notify(url, body).await;
            answered.map_err(|error| match error {
                PushError::Unreachable(cause) => GatewayError::Unreachable(cause),
                PushError::Refused(cause) => GatewayError::Refused(cause),
            })
        })
    }
}
