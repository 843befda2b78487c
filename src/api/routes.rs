//! The route table: every endpoint that is served, with the body that it takes.

mod acts;
mod encryption;

use axum::Router;

use crate::{
    admin,
    client::{
        account, account_data, administration, device, directory, discovery, filter, media,
        membership, passing, profile, push_rule, pusher, reading, register, relation, room, server,
        session, sliding, sync_v4,
    },
    edge::{Routes, Rule},
    federation, partner,
    state::Api,
};

/// The versions of the client-server API that `/versions` claims. One is added when everything in
/// it that a server must do is in the table below, but for what stands in the short list that
/// `coverage_tests` holds to: mail, sign-in through others, application services, search.
pub const VERSIONS: &[&str] = &[
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11",
    "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17",
];

/// Drafts that `/versions` claims: those whose endpoints are in the table under unstable paths.
pub const UNSTABLE_FEATURES: &[&str] = &[
    "org.matrix.e2e_cross_signing",
    "org.matrix.msc2285.stable",
    "org.matrix.msc3391",
    "org.matrix.msc3440.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3773",
    "org.matrix.msc3814",
    "org.matrix.msc3827.stable",
    "org.matrix.msc3874",
    "org.matrix.msc3916.stable",
    "org.matrix.msc4140",
    "org.matrix.msc4140.stable",
    "org.matrix.msc4262",
    "org.matrix.msc4306",
    "org.matrix.simplified_msc3575",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
];

/// Everything that the server answers.
pub fn router(api: Api) -> Router {
    let mut routes = table();
    if api.users.has_shared_secret() {
        routes = registration_by_secret(routes);
    }
    if api.federation.is_on() {
        routes = federation::routes(routes);
        routes = partner::routes(routes);
    }
    routes.into_router(api)
}

/// Not in the table: without a secret there is no such path.
fn registration_by_secret(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, admin::registration_nonce)
        .serve(Rule::FORM, admin::register)
}

pub(crate) fn table() -> Routes<Api> {
    let routes = Routes::default();
    let routes = about_the_server(routes);
    let routes = signing_in_and_out(routes);
    let routes = other_accounts(routes);
    let routes = own_account(routes);
    let routes = own_data(routes);
    let routes = push_rules(routes);
    let routes = encryption::encryption(routes);
    let routes = reading_rooms(routes);
    let routes = related_events(routes);
    let routes = finding_rooms_and_users(routes);
    let routes = what_passes(routes);
    let routes = rooms(routes);
    let routes = acts::add(routes);
    let routes = media::routes(routes);
    room_directory(routes)
}

fn about_the_server(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, server::versions)
        .serve(Rule::NONE, server::capabilities)
}

fn signing_in_and_out(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, register::available)
        .serve(Rule::NONE, register::token_validity)
        .serve(Rule::FORM, register::register)
        .serve(Rule::NONE, session::login_types)
        .serve(Rule::FORM, session::login)
        .serve(Rule::FORM, session::refresh)
        .serve(Rule::OPTIONAL.even_locked(), session::logout)
        .serve(Rule::OPTIONAL.even_locked(), session::logout_all)
}

fn other_accounts(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, administration::locked)
        .serve(Rule::FORM, administration::set_locked)
        .serve(Rule::NONE, administration::suspended)
        .serve(Rule::FORM, administration::set_suspended)
        .serve(Rule::NONE, administration::whois)
}

fn own_account(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, account::whoami)
        .serve(Rule::FORM, account::change_password)
        .serve(Rule::OPTIONAL, account::deactivate)
        .serve(Rule::NONE, device::list)
        .serve(Rule::NONE, device::get)
        .serve(Rule::OPTIONAL, device::rename)
        .serve(Rule::OPTIONAL, device::delete)
        .serve(Rule::FORM, device::delete_many)
}

fn own_data(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, profile::get)
        .serve(Rule::NONE, profile::get_field)
        .serve(Rule::FORM, profile::set_field)
        .serve(Rule::NONE, profile::delete_field)
        .serve(Rule::NONE, account_data::get_global)
        .serve(Rule::FORM, account_data::set_global)
        .serve(Rule::NONE, account_data::get_in_room)
        .serve(Rule::FORM, account_data::set_in_room)
        .serve(Rule::NONE, account_data::remove_global)
        .serve(Rule::NONE, account_data::remove_in_room)
        .serve(Rule::FORM, filter::create)
        .serve(Rule::NONE, filter::get)
}

fn push_rules(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, push_rule::all)
        .serve(Rule::NONE, push_rule::global)
        .serve(Rule::NONE, push_rule::get)
        .serve(Rule::FORM, push_rule::set)
        .serve(Rule::NONE, push_rule::delete)
        .serve(Rule::NONE, push_rule::get_enabled)
        .serve(Rule::FORM, push_rule::set_enabled)
        .serve(Rule::NONE, push_rule::get_actions)
        .serve(Rule::FORM, push_rule::set_actions)
}

fn reading_rooms(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve_within(reading::SYNC_TIME_MAX, Rule::NONE, reading::sync)
        .serve_within(reading::SYNC_TIME_MAX, Rule::OPTIONAL, sliding::sync)
        .serve_within(reading::SYNC_TIME_MAX, Rule::OPTIONAL, sync_v4::sync)
        .serve(Rule::NONE, sync_v4::thread_subscriptions)
        .serve(Rule::NONE, reading::messages)
        .serve(Rule::NONE, reading::context)
        .serve(Rule::NONE, reading::event)
        .serve(Rule::NONE, reading::state)
        .serve(Rule::NONE, reading::state_event)
        .serve(Rule::NONE, reading::members)
        .serve(Rule::NONE, reading::joined_members)
}

fn what_passes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::FORM, passing::set_typing)
        .serve(Rule::OPTIONAL, passing::set_receipt)
        .serve(Rule::FORM, passing::set_markers)
        .serve(Rule::FORM, passing::set_status)
        .serve(Rule::NONE, pusher::pushers)
        .serve(Rule::FORM, pusher::set)
        .serve(Rule::NONE, pusher::notifications)
        .serve(Rule::NONE, passing::get_status)
}

fn related_events(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, relation::all)
        .serve(Rule::NONE, relation::by_type)
        .serve(Rule::NONE, relation::by_types)
        .serve(Rule::NONE, relation::threads)
        .serve(Rule::NONE, relation::moment)
}

fn finding_rooms_and_users(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, discovery::public_rooms)
        .serve(Rule::OPTIONAL, discovery::filtered_public_rooms)
        .serve(Rule::NONE, discovery::summary)
        .serve(Rule::NONE, discovery::hierarchy)
        .serve(Rule::FORM, discovery::search_users)
        .serve(Rule::NONE, discovery::mutual_rooms)
        .serve(Rule::NONE, discovery::mutual_rooms_unstable)
}

fn rooms(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::FORM, room::create)
        .serve(Rule::FORM, room::send)
        .serve(Rule::FORM, room::send_state)
        .serve(Rule::OPTIONAL, room::redact)
        .serve(Rule::OPTIONAL, membership::join)
        .serve(Rule::OPTIONAL, membership::join_any)
        .serve(Rule::OPTIONAL, membership::leave)
        .serve(Rule::FORM, membership::invite)
        .serve(Rule::FORM, membership::kick)
        .serve(Rule::FORM, membership::ban)
        .serve(Rule::FORM, membership::unban)
        .serve(Rule::NONE, membership::joined_rooms)
}

fn room_directory(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::FORM, directory::create)
        .serve(Rule::NONE, directory::get)
        .serve(Rule::NONE, directory::delete)
        .serve(Rule::NONE, directory::aliases)
        .serve(Rule::NONE, directory::get_listed)
        .serve(Rule::FORM, directory::set_listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_free_of_conflicts_and_serves_each_template_once() {
        let table = table();
        let mut served: Vec<_> = table
            .served()
            .iter()
            .map(|(method, path)| format!("{method} {path}"))
            .collect();
        let all = served.len();
        served.sort_unstable();
        served.dedup();
        assert_eq!(served.len(), all);
        assert!(served.contains(&"GET /_matrix/client/v3/account/whoami".to_owned()));
    }
}
