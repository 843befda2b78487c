//! What an answer holds besides rooms and account data: presence, and what concerns a device.
//!
//! It exists so that classic and sliding sync tell the same, each in its own shape: a section is
//! read here once, and written by either. It knows nothing of rooms' timelines and state.

use std::collections::BTreeMap;

use belfry_data::{Snapshot, Stamp};
use ruma_common::{DeviceId, OwnedUserId, UserId};

use crate::{
    error::Fault,
    filter::EventFilter,
    json::{EventList, Object, write_string},
    views::Shared,
};

/// Who asks for sections, and what they have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) user: &'a UserId,
    /// Without one nothing of a device is told.
    pub(crate) device: Option<&'a DeviceId>,
    /// What the device has seen; nothing without it.
    pub(crate) since: Option<Stamp>,
    /// What it will have seen after this.
    pub(crate) until: Stamp,
    /// Up to where it has got messages to it; none without it.
    pub(crate) to_device: Option<Stamp>,
    /// Whether nothing came behind `to_device`.
    pub(crate) no_messages: bool,
    /// Whose presence is wanted.
    pub(crate) presence: &'a EventFilter,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    /// `m.presence` events.
    pub presence: EventList,
    /// Messages to this device.
    pub to_device: EventList,
    /// Up to where these go: not all that there are, if it is before the answer's end.
    pub to_device_until: Option<Stamp>,
    /// Whose device lists changed.
    pub device_lists: DeviceLists,
    /// How many one-time keys the server holds for the device, by algorithm. Told whenever the
    /// device is known; no reason to answer by itself.
    pub one_time_keys: Option<BTreeMap<String, u64>>,
    /// The algorithms of which an unused fallback key is there. As `one_time_keys`.
    pub fallback_keys: Option<Vec<String>>,
}

/// Whose device lists changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceLists {
    /// Look at these again.
    pub changed: Vec<OwnedUserId>,
    /// No room is shared with these any more.
    pub left: Vec<OwnedUserId>,
}

impl DeviceLists {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }

    pub(crate) fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        for (name, users) in [("changed", &self.changed), ("left", &self.left)] {
            write_strings(users.iter().map(|user| user.as_str()), object.member(name));
        }
        object.end();
    }
}

impl Sections {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.presence.is_empty() && self.to_device.is_empty() && self.device_lists.is_empty()
    }

    /// As members of classic sync's answer.
    pub(crate) fn write(&self, answer: &mut Object<'_>) {
        answer.events("presence", &self.presence);
        answer.events("to_device", &self.to_device);
        if !self.device_lists.is_empty() {
            self.device_lists.write(answer.member("device_lists"));
        }
        self.write_keys(answer);
    }

    /// The two members about keys, which both syncs have.
    pub(crate) fn write_keys(&self, answer: &mut Object<'_>) {
        if let Some(counts) = &self.one_time_keys {
            let mut object = Object::new(answer.member("device_one_time_keys_count"));
            for (algorithm, count) in counts {
                object.plain(algorithm, count);
            }
            object.end();
        }
        if let Some(algorithms) = &self.fallback_keys {
            let out = answer.member("device_unused_fallback_key_types");
            write_strings(algorithms.iter().map(String::as_str), out);
        }
    }
}

pub(crate) fn write_strings<'a>(texts: impl Iterator<Item = &'a str>, out: &mut String) {
    out.push('[');
    for (number, text) in texts.enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_string(text, out);
    }
    out.push(']');
}

impl Shared {
    /// What is to be told besides rooms. Whoever adds a section reads it here.
    pub(crate) async fn sections(
        &self,
        snapshot: &dyn Snapshot,
        asker: Asker<'_>,
    ) -> Result<Sections, Fault> {
        let mut sections = Sections {
            presence: self.presence(snapshot, asker).await?,
            ..Sections::default()
        };
        self.add_encryption(snapshot, asker, &mut sections).await?;
        Ok(sections)
    }
}
