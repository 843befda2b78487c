"""A device that encrypts: its keys, as they are uploaded, looked up, checked and used (vodozemac).
Knows nothing of rooms."""

import base64
import json

from vodozemac import (
    Account,
    AnyOlmMessage,
    Curve25519PublicKey,
    Ed25519PublicKey,
    Ed25519Signature,
    GroupSession,
    InboundGroupSession,
    MegolmMessage,
    SessionKey,
)

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"


def canonical(value):
    """Canonical JSON without what is not signed."""
    signed = {key: each for key, each in value.items() if key not in ("signatures", "unsigned")}
    text = json.dumps(signed, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


class Device:
    """The keys of one person's device, uploaded."""

    def __init__(self, person, one_time_keys=2):
        self.person = person
        self.account = Account()
        self.keys = self._signed(
            {
                "user_id": person.user_id,
                "device_id": person.device_id,
                "algorithms": [OLM, MEGOLM],
                "keys": {
                    f"curve25519:{person.device_id}": self.account.curve25519_key.to_base64(),
                    f"ed25519:{person.device_id}": self.account.ed25519_key.to_base64(),
                },
            }
        )
        self.account.generate_one_time_keys(one_time_keys)
        self.account.generate_fallback_key()
        self.one_time_keys = self._key_objects(self.account.one_time_keys)
        self.fallback_key = self._key_objects(self.account.fallback_key, fallback=True)
        self.account.mark_keys_as_published()
        person.post(
            ["keys", "upload"],
            {
                "device_keys": self.keys,
                "one_time_keys": self.one_time_keys,
                "fallback_keys": self.fallback_key,
            },
        )

    def _key_objects(self, keys, **more):
        return {
            f"signed_curve25519:{key_id}": self._signed({"key": key.to_base64()} | more)
            for key_id, key in keys.items()
        }

    def _signed(self, value):
        signature = self.account.sign(canonical(value)).to_base64()
        key_id = f"ed25519:{self.person.device_id}"
        return value | {"signatures": {self.person.user_id: {key_id: signature}}}

    def look_up(self, other):
        """The keys of another person's device, as the own server tells them, checked."""
        answer = self.person.post(["keys", "query"], {"device_keys": {other.user_id: []}})
        keys = answer["device_keys"][other.user_id][other.device_id]
        self.check(other, keys, keys)
        return keys

    def claim(self, other):
        """One of their one-time keys: its id, and the key object."""
        wanted = {other.user_id: {other.device_id: "signed_curve25519"}}
        answer = self.person.post(["keys", "claim"], {"one_time_keys": wanted})
        [(key_id, key)] = answer["one_time_keys"][other.user_id][other.device_id].items()
        return key_id, key

    def check(self, other, keys, value):
        """The value must be signed by the device with these keys; raises if it is not."""
        key_id = f"ed25519:{other.device_id}"
        signature = Ed25519Signature.from_base64(value["signatures"][other.user_id][key_id])
        key = Ed25519PublicKey.from_base64(keys["keys"][key_id])
        key.verify_signature(canonical(value), signature)

    def encrypt_to(self, other, event_type, content):
        """The content of an encrypted to-device message for another person's device."""
        keys = self.look_up(other)
        _, claimed = self.claim(other)
        self.check(other, keys, claimed)
        identity = keys["keys"][f"curve25519:{other.device_id}"]
        session = self.account.create_outbound_session(
            Curve25519PublicKey.from_base64(identity),
            Curve25519PublicKey.from_base64(claimed["key"]),
        )
        payload = {"type": event_type, "content": content, "sender": self.person.user_id}
        kind, body = session.encrypt(json.dumps(payload).encode()).to_parts()
        return {
            "algorithm": OLM,
            "sender_key": self.account.curve25519_key.to_base64(),
            "ciphertext": {identity: {"type": kind, "body": _base64(body)}},
        }

    def decrypt(self, content):
        """What the first message of another device says."""
        mine = content["ciphertext"][self.account.curve25519_key.to_base64()]
        message = AnyOlmMessage.from_parts(mine["type"], _bytes(mine["body"])).to_pre_key()
        sender = Curve25519PublicKey.from_base64(content["sender_key"])
        _, text = self.account.create_inbound_session(sender, message)
        return json.loads(text)


class RoomKey:
    """A key for messages of a room, on the side of who made it."""

    def __init__(self, room):
        self._session = GroupSession()
        self.content = {
            "algorithm": MEGOLM,
            "room_id": room,
            "session_id": self._session.session_id,
            "session_key": self._session.session_key.to_base64(),
        }

    def encrypt(self, sender, event_type, content):
        payload = {"type": event_type, "content": content, "room_id": self.content["room_id"]}
        return {
            "algorithm": MEGOLM,
            "sender_key": sender.account.curve25519_key.to_base64(),
            "device_id": sender.person.device_id,
            "session_id": self.content["session_id"],
            "ciphertext": self._session.encrypt(json.dumps(payload).encode()).to_base64(),
        }


def decrypt_in_room(room_key, content):
    """What an encrypted event of a room says, by the key that was sent for it."""
    session = InboundGroupSession(SessionKey(room_key["session_key"]))
    message = MegolmMessage.from_base64(content["ciphertext"])
    return json.loads(session.decrypt(message).plaintext)


def _base64(data):
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))
