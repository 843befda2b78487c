//! Registers endpoints with the router under all the paths that they ever had.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Request, State},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, on},
};
use bytes::BytesMut;
use futures_util::stream;
use http::{
    HeaderValue, Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use ruma_common::api::{
    IncomingRequest, Metadata, OutgoingResponse, OutgoingResponseExt as _,
    path_builder::PathBuilder as _,
};

use super::{Authenticate, Call, Ctx, Door, Edge, REQUEST_TIME_MAX, Rule, gate};
use crate::error::{ApiError, EdgeError};

/// What a handler answers with: the endpoint's response type, or its JSON as text.
pub trait Answer: Send {
    /// The HTTP response, 200 unless the type says otherwise.
    fn respond(self) -> Response;
}

impl<R: OutgoingResponse + Send> Answer for R {
    fn respond(self) -> Response {
        match self.try_into_http_response::<BytesMut>() {
            Ok(response) => response.map(|body| body.freeze().into()),
            Err(error) => ApiError::fault(error).into_response(),
        }
    }
}

/// JSON that was put together as text, for answers whose events are not to be parsed again.
#[derive(Debug, Clone)]
pub struct JsonText(pub String);

impl Answer for JsonText {
    fn respond(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, json)], self.0).into_response()
    }
}

/// The same in pieces, for answers that are too large to be put together.
#[derive(Debug, Clone)]
pub struct JsonPieces(pub Vec<String>);

impl Answer for JsonPieces {
    fn respond(self) -> Response {
        let length: usize = self.0.iter().map(String::len).sum();
        let json = HeaderValue::from_static("application/json");
        let headers = [(CONTENT_TYPE, json), (CONTENT_LENGTH, length.into())];
        let pieces = self.0.into_iter().map(Ok::<_, Infallible>);
        (headers, Body::from_stream(stream::iter(pieces))).into_response()
    }
}

/// A handler: an async function of up to three handles (whatever [`FromRef`] makes of the state)
/// and a [`Call`], which answers with the endpoint's response or with [`JsonText`].
pub trait Endpoint<S, T, Handles>: Clone + Send + Sync + 'static
where
    T: IncomingRequest,
    T::Authentication: Authenticate,
{
    /// What it answers with.
    type Answer: Answer;

    /// Runs the handler.
    fn answer(
        &self,
        state: &S,
        call: Call<T>,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

macro_rules! endpoint {
    ($($handle:ident)*) => {
        impl<S, T, F, Fut, R, $($handle),*> Endpoint<S, T, ($($handle,)*)> for F
        where
            T: IncomingRequest,
            T::Authentication: Authenticate,
            F: Fn($($handle,)* Call<T>) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<R, ApiError>> + Send,
            R: Answer,
            $($handle: FromRef<S>,)*
        {
            type Answer = R;

            fn answer(
                &self,
                _state: &S,
                call: Call<T>,
            ) -> impl Future<Output = Result<R, ApiError>> + Send {
                self($($handle::from_ref(_state),)* call)
            }
        }
    };
}

endpoint!();
endpoint!(A);
endpoint!(A B);
endpoint!(A B C);

/// The route table under construction.
#[derive(Debug)]
pub struct Routes<S> {
    router: Router<S>,
    served: Vec<(Method, &'static str)>,
}

impl<S> Default for Routes<S>
where
    S: Door,
{
    fn default() -> Self {
        Self {
            router: Router::new(),
            served: Vec::new(),
        }
    }
}

impl<S: Door> Routes<S> {
    /// Adds an endpoint. Its paths, stable, `r0` and unstable, are those of its request type.
    ///
    /// # Panics
    /// If one of its paths is served already with the same method.
    #[must_use]
    pub fn serve<T, H, E>(self, rule: Rule, handler: E) -> Self
    where
        T: IncomingRequest + Send + 'static,
        T::Authentication: Authenticate,
        H: 'static,
        E: Endpoint<S, T, H>,
    {
        self.serve_within(REQUEST_TIME_MAX, rule, handler)
    }

    /// As [`Self::serve`], for an endpoint that may take longer or less long: a long poll, say.
    ///
    /// # Panics
    /// If one of its paths is served already with the same method.
    #[must_use]
    pub fn serve_within<T, H, E>(mut self, time_max: Duration, rule: Rule, handler: E) -> Self
    where
        T: IncomingRequest + Send + 'static,
        T::Authentication: Authenticate,
        H: 'static,
        E: Endpoint<S, T, H>,
    {
        let method = on(
            filter::<T>(),
            async move |State(state): State<S>, request: Request| {
                serve(&state, (time_max, rule), &handler, request).await
            },
        );
        for path in paths::<T>() {
            self.router = self.router.route(path, method.clone());
            self.served.push((T::METHOD, path));
        }
        self
    }

    /// Adds an endpoint that has no request type: the handler reads the request itself.
    ///
    /// # Panics
    /// If the path is served already with the same method.
    #[must_use]
    pub(crate) fn serve_by<F, Fut>(
        mut self,
        method: &Method,
        path: &'static str,
        time_max: Duration,
        handler: F,
    ) -> Self
    where
        F: Fn(S, Ctx, Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonText, ApiError>> + Send,
    {
        let methods = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let route = on(
            methods,
            async move |State(state): State<S>, request: Request| {
                let answer = |ctx, request| handler(state.clone(), ctx, request);
                timed(&state, time_max, request, answer).await
            },
        );
        self.router = self.router.route(path, route);
        self.served.push((method.clone(), path));
        self
    }

    /// Adds an endpoint that reads or writes more than fits in memory: it is given the request as it
    /// is, and sees to authentication and to its own limits.
    ///
    /// # Panics
    /// If the path is served already with the same method.
    #[must_use]
    pub fn serve_raw<E, Fut>(mut self, method: Method, path: &'static str, handler: E) -> Self
    where
        E: Fn(S, Ctx, Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let serve = async move |State(state): State<S>, request: Request| {
            let Some(ctx) = request.extensions().get::<Ctx>().cloned() else {
                return ApiError::fault("a route stands outside the gate").into_response();
            };
            match handler(state, ctx, request).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            }
        };
        self.router = self.router.route(path, on(filter, serve));
        self.served.push((method, path));
        self
    }

    /// What is served so far: methods and path templates.
    pub fn served(&self) -> &[(Method, &'static str)] {
        &self.served
    }

    /// The router, behind all that the edge does, answering 404 and 405 in Matrix's words.
    pub fn into_router(self, state: S) -> Router {
        let edge: Edge = state.edge().clone();
        self.router
            .fallback(async || ApiError::from(EdgeError::UnknownPath))
            .method_not_allowed_fallback(async || ApiError::from(EdgeError::WrongMethod))
            .layer(axum::middleware::from_fn_with_state(edge, gate::pass))
            .with_state(state)
    }
}

/// Every path of the endpoint, once. Ruma takes a state event's empty key as a missing last
/// segment, which a router sees as two more paths.
fn paths<T: Metadata>() -> Vec<&'static str> {
    let mut paths: Vec<&'static str> = T::PATH_BUILDER.all_paths().collect();
    paths.sort_unstable();
    paths.dedup();
    for index in 0..paths.len() {
        let path = paths[index];
        if let Some(with_slash) = path.strip_suffix("{state_key}") {
            paths.push(with_slash);
            paths.extend(with_slash.strip_suffix('/'));
        }
    }
    paths
}

fn filter<T: Metadata>() -> MethodFilter {
    // Matrix knows no other methods; one that axum knows neither could not be asked for.
    MethodFilter::try_from(T::METHOD).unwrap_or(MethodFilter::GET)
}

async fn serve<S, T, H, E>(
    state: &S,
    (time_max, rule): (Duration, Rule),
    handler: &E,
    request: Request,
) -> Response
where
    S: Door,
    T: IncomingRequest,
    T::Authentication: Authenticate,
    E: Endpoint<S, T, H>,
{
    let answer = |ctx, request| async move {
        let call = Call::<T>::accept(state, rule, ctx, request).await?;
        handler.answer(state, call).await
    };
    timed(state, time_max, request, answer).await
}

/// The answer, or that it took too long.
async fn timed<S, R, Fut>(
    state: &S,
    time_max: Duration,
    request: Request,
    answer: impl FnOnce(Ctx, Request) -> Fut,
) -> Response
where
    S: Door,
    R: Answer,
    Fut: Future<Output = Result<R, ApiError>>,
{
    let Some(mut ctx) = request.extensions().get::<Ctx>().cloned() else {
        return ApiError::fault("a route stands outside the gate").into_response();
    };
    let clock = state.edge().clock();
    ctx.deadline = clock.now() + time_max;
    // On the heap: every layer around it would hold it twice, and a request that waits is to be small.
    let answer = Box::pin(answer(ctx, request));
    match clock.within(time_max, answer).await {
        Ok(Ok(answer)) => answer.respond(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::from(EdgeError::Late).into_response(),
    }
}
