//! The part of the route table about encryption.

use crate::{
    client::{backup, dehydrated, keys, to_device},
    edge::{Routes, Rule},
    state::Api,
};

pub(super) fn encryption(routes: Routes<Api>) -> Routes<Api> {
    let routes = routes
        .serve(Rule::OPTIONAL, keys::upload)
        .serve(Rule::FORM, keys::query)
        .serve(Rule::FORM, keys::claim)
        .serve(Rule::NONE, keys::changes)
        .serve(Rule::FORM, keys::upload_signing_keys)
        .serve(Rule::FORM, keys::upload_signatures)
        .serve(Rule::FORM, to_device::send)
        .serve(Rule::FORM, dehydrated::put)
        .serve(Rule::NONE, dehydrated::get)
        .serve(Rule::NONE, dehydrated::delete)
        .serve(Rule::OPTIONAL, dehydrated::events);
    backups(routes)
}

fn backups(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::FORM, backup::create)
        .serve(Rule::NONE, backup::get_latest)
        .serve(Rule::NONE, backup::get)
        .serve(Rule::FORM, backup::update)
        .serve(Rule::NONE, backup::delete)
        .serve(Rule::FORM, backup::put_all)
        .serve(Rule::FORM, backup::put_room)
        .serve(Rule::FORM, backup::put_session)
        .serve(Rule::NONE, backup::get_all)
        .serve(Rule::NONE, backup::get_room)
        .serve(Rule::NONE, backup::get_session)
        .serve(Rule::NONE, backup::delete_all)
        .serve(Rule::NONE, backup::delete_room)
        .serve(Rule::NONE, backup::delete_session)
}
