//! The part of the table about what people do in rooms, to rooms and about rooms beside talking.

use crate::{
    client::{
        delayed, knock, membership, openid, report, subscription, tag, thirdparty, upgrade, voip,
        well_known,
    },
    edge::{Routes, Rule},
    notice,
    state::Api,
};

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let routes = about_the_server(routes);
    let routes = lookups(routes);
    let routes = drafts(routes);
    routes
        .serve(Rule::NONE, membership::forget)
        .serve(Rule::OPTIONAL, knock::knock)
        .serve(Rule::FORM, upgrade::upgrade)
        .serve(Rule::NONE, tag::all)
        .serve(Rule::OPTIONAL, tag::set)
        .serve(Rule::NONE, tag::delete)
        .serve(Rule::OPTIONAL, report::room)
        .serve(Rule::OPTIONAL, report::event)
        .serve(Rule::OPTIONAL, report::user)
}

fn about_the_server(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, well_known::client)
        .serve(Rule::NONE, well_known::server)
        .serve(Rule::NONE, well_known::support)
        .serve(Rule::NONE, voip::turn_server)
        .serve(Rule::OPTIONAL, openid::request_token)
}

fn drafts(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::FORM, delayed::schedule)
        .serve(Rule::OPTIONAL, delayed::act)
        .serve(Rule::FORM, delayed::old_act)
        .serve(Rule::NONE, delayed::look)
        .serve(Rule::NONE, delayed::look_at_all)
        .serve(Rule::OPTIONAL, subscription::subscribe)
        .serve(Rule::NONE, subscription::unsubscribe)
        .serve(Rule::NONE, subscription::get)
        .serve(Rule::FORM, notice::send)
        .serve(Rule::FORM, notice::send_once)
}

fn lookups(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, thirdparty::protocols)
        .serve(Rule::NONE, thirdparty::protocol)
        .serve(Rule::NONE, thirdparty::locations)
        .serve(Rule::NONE, thirdparty::locations_of_alias)
        .serve(Rule::NONE, thirdparty::users)
        .serve(Rule::NONE, thirdparty::users_of_id)
}
