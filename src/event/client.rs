//! Events as clients see them (Client-Server API, "Room event format").
//!
//! It exists so that serving an event copies text and reads none: the content goes out as it is
//! stored. It knows nothing of who may see what.

use ruma_events::TimelineEventType;
use serde_json::value::RawValue;

use crate::json::{Object, ObjectWriter, Value, write_string};
use crate::pdu::Pdu;
use crate::rules::Numbers;

/// What an event does not have of itself but a client gets with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientFormat<'a> {
    /// Whether to write `room_id`: not where the place in the answer says it, as in `/sync`.
    pub room_id: bool,
    /// The `unsigned` object: age, transaction ID, what was redacted by, aggregations.
    pub unsigned: Option<&'a RawValue>,
}

impl Pdu {
    /// Appends the event in the format for clients to `out`, as one JSON object.
    ///
    /// Redactions name their target in `content` and beside it, whatever the room version, as
    /// room version 11 asks for. Fields that clients have no use for are left out; a field
    /// `event_id` that the sender wrote into the event is, too.
    pub fn write_client_json(&self, format: ClientFormat<'_>, out: &mut String) {
        out.reserve(self.content_json().len() + 512);
        let mut writer = ObjectWriter::new(out);
        self.write_content(writer.member("content"));
        write_string(self.event_id().as_str(), writer.member("event_id"));
        let timestamp = self.origin_server_ts().get().to_string();
        writer.member("origin_server_ts").push_str(&timestamp);
        if let Some(target) = self.redacts() {
            write_string(target.as_str(), writer.member("redacts"));
        }
        if format.room_id {
            write_string(self.room_id().as_str(), writer.member("room_id"));
        }
        self.write_origin(&mut writer);
        if let Some(unsigned) = format.unsigned {
            writer.member("unsigned").push_str(unsigned.get());
        }
        writer.end();
    }

    /// The event in the format for clients, as by [`Self::write_client_json`].
    pub fn to_client_json(&self, format: ClientFormat<'_>) -> String {
        let mut out = String::new();
        self.write_client_json(format, &mut out);
        out
    }

    /// Appends the event as stripped state (Client-Server API, "Stripped state") to `out`: what
    /// somebody who is not in the room may see of it.
    pub fn write_stripped_json(&self, out: &mut String) {
        let mut writer = ObjectWriter::new(out);
        self.write_content(writer.member("content"));
        self.write_origin(&mut writer);
        writer.end();
    }

    fn write_origin(&self, writer: &mut ObjectWriter<'_>) {
        write_string(self.sender().as_str(), writer.member("sender"));
        if let Some(state_key) = self.state_key() {
            write_string(state_key, writer.member("state_key"));
        }
        write_string(&self.event_type().to_string(), writer.member("type"));
    }

    fn write_content(&self, out: &mut String) {
        match self.content_with_target() {
            Some(content) => content.write(out),
            None => out.push_str(self.content_json()),
        }
    }

    /// The content of a redaction whose room version has the target beside it.
    fn content_with_target(&self) -> Option<Object<'_>> {
        if self.rules().redacts_in_content()
            || *self.event_type() != TimelineEventType::RoomRedaction
        {
            return None;
        }
        let target = self.redacts()?;
        let mut content = Object::parse(self.content_json().as_bytes(), Numbers::Lax).ok()?;
        content.insert("redacts", Value::string(target.as_str()));
        Some(content)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
