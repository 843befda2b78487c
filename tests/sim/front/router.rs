//! Acts as HTTP requests, and the answers to those.
//!
//! It exists so that a run can go through everything that a client's request goes through:
//! routes, tokens, policy, limits of bodies and times, the error table. It knows nothing of what
//! is behind the router.

use std::fmt::Write as _;

use axum::Router;
use axum::body::{Body, to_bytes};
use belfry_api::edge::Peer;
use belfry_room::{MemberAct, Preset};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::act::{Act, Creation};
use crate::door::{Answer, Refusal, Told};

/// More than any answer of an endpoint that the clients use.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn ask(router: &Router, token: &str, act: &Act, mark: &str) -> Answer {
    let (method, path, body) = endpoint(act, mark);
    let request = Request::builder()
        .method(method)
        .uri(format!("/_matrix/client/v3{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Peer::Local)
        .body(Body::from(body.to_string()))
        .expect("a request");
    let answered = router.clone().oneshot(request).await;
    let (parts, body) = answered.expect("routers answer").into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).expect("answers are JSON");
    let creates = matches!(act, Act::Create(_));
    answer(parts.status, &body, creates)
}

/// Method, path below the prefix, and body.
fn endpoint(act: &Act, mark: &str) -> (&'static str, String, Value) {
    match act {
        Act::Create(creation) => ("POST", "/createRoom".to_owned(), request(creation)),
        Act::Send {
            room,
            kind,
            txn,
            content,
        } => {
            let path = path(&["rooms", room.as_str(), "send", kind, txn]);
            ("PUT", path, content.clone())
        }
        Act::Redact { room, event, txn } => {
            let path = path(&["rooms", room.as_str(), "redact", event.as_str(), txn]);
            ("PUT", path, json!({"reason": mark}))
        }
        Act::State {
            room,
            kind,
            key,
            content,
        } => {
            let path = path(&["rooms", room.as_str(), "state", kind, key]);
            ("PUT", path, content.clone())
        }
        Act::Member { room, act, target } => {
            let (name, about) = match act {
                MemberAct::Knock => {
                    let path = path(&["knock", room.as_str()]);
                    return ("POST", path, json!({"reason": mark}));
                }
                MemberAct::Join | MemberAct::Show => ("join", None),
                MemberAct::Leave => ("leave", None),
                MemberAct::Invite => ("invite", Some(target)),
                MemberAct::Kick => ("kick", Some(target)),
                MemberAct::Ban => ("ban", Some(target)),
                MemberAct::Unban => ("unban", Some(target)),
            };
            let body = match about {
                Some(target) => json!({"user_id": target, "reason": mark}),
                None => json!({"reason": mark}),
            };
            ("POST", path(&["rooms", room.as_str(), name]), body)
        }
    }
}

fn request(creation: &Creation) -> Value {
    let mut request = json!({
        "room_version": creation.version,
        "preset": match creation.preset {
            Preset::PrivateChat => "private_chat",
            Preset::TrustedPrivateChat => "trusted_private_chat",
            Preset::PublicChat => "public_chat",
        },
        "name": creation.name,
        "invite": creation.invite,
        "is_direct": creation.is_direct,
    });
    if let Some(topic) = &creation.topic {
        request["topic"] = topic.as_str().into();
    }
    if let Some(alias) = &creation.alias {
        request["room_alias_name"] = alias.alias().into();
    }
    request
}

fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                write!(path, "%{byte:02X}").expect("memory suffices");
            }
        }
    }
    path
}

fn answer(status: StatusCode, body: &Value, creates: bool) -> Answer {
    let text = || format!("{status} {body}");
    let told = |name: &str| body[name].as_str();
    match status {
        StatusCode::OK => Answer::Done(match (told("event_id"), told("room_id")) {
            (Some(event), _) => Told::Event(event.try_into().expect("an event ID")),
            (None, Some(room)) if creates => Told::Room(room.try_into().expect("a room ID")),
            _ => Told::Nothing,
        }),
        StatusCode::TOO_MANY_REQUESTS => Answer::Later(text()),
        // The text says whether it was done; clients do not read it.
        StatusCode::SERVICE_UNAVAILABLE => Answer::Unsure,
        status if status.is_client_error() => Answer::Refused(Refusal {
            forbidden: status == StatusCode::FORBIDDEN,
            text: text(),
        }),
        _ => Answer::Broken(text()),
    }
}
