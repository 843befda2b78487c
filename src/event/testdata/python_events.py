"""Writes python_events.tsv: signed events of every room version, made from the specification's
example code, apart from the crate under test.

Columns: room version, the event as it might come over the wire, its event ID. Signed by the
appendices' key: server `domain`, key `ed25519:1`.
"""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED = base64.b64decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA0=")
KEY = Ed25519PrivateKey.from_private_bytes(SEED)

ROOT = {"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures",
        "depth", "prev_events", "auth_events", "origin_server_ts"}
POWER = {"ban", "events", "events_default", "kick", "redact", "state_default", "users",
         "users_default"}


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True,
                      allow_nan=False).encode("UTF-8")


def unpadded(data, urlsafe=False):
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(data).decode().rstrip("=")


def redact(version, event):
    root = ROOT | (set() if version >= 11 else {"prev_state", "origin", "membership"})
    content = {
        "m.room.member": {"membership"}
        | ({"join_authorised_via_users_server"} if version >= 9 else set()),
        "m.room.create": {"creator"},
        "m.room.join_rules": {"join_rule"} | ({"allow"} if version >= 8 else set()),
        "m.room.power_levels": POWER | ({"invite"} if version >= 11 else set()),
        "m.room.history_visibility": {"history_visibility"},
        "m.room.aliases": {"aliases"} if version < 6 else set(),
        "m.room.redaction": {"redacts"} if version >= 11 else set(),
    }.get(event["type"], set())
    redacted = {name: value for name, value in event.items() if name in root}
    if not (event["type"] == "m.room.create" and version >= 11):
        redacted["content"] = {n: v for n, v in event["content"].items() if n in content}
    invite = event["content"].get("third_party_invite")
    if event["type"] == "m.room.member" and version >= 11 and isinstance(invite, dict):
        redacted["content"]["third_party_invite"] = {
            n: v for n, v in invite.items() if n == "signed"}
    return redacted


def without(event, *names):
    return {name: value for name, value in event.items() if name not in names}


def sign(version, event):
    content_hash = hashlib.sha256(canonical(without(event, "unsigned", "signatures", "hashes")))
    event["hashes"] = {"sha256": unpadded(content_hash.digest())}
    essential = canonical(without(redact(version, event), "signatures", "unsigned"))
    event["signatures"] = {"domain": {"ed25519:1": unpadded(KEY.sign(essential))}}
    return "$" + unpadded(hashlib.sha256(essential).digest(), urlsafe=version > 3)


def base(version, seed):
    ids = ["$" + unpadded(hashlib.sha256(b"%d %d" % (seed, n)).digest(), version > 3)
           for n in range(3)]
    room = "!" + unpadded(hashlib.sha256(b"room").digest(), True) if version >= 12 else "!r:domain"
    return {"room_id": room, "sender": "@u:domain", "origin_server_ts": 1700000000000 + seed,
            "depth": 7, "prev_events": ids[:1], "auth_events": ids[1:],
            "unsigned": {"age": 12}}


EVENTS = [
    {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "Grüße \u0000\t\"日本\" \U0001f600"}},
    {"type": "m.room.member", "state_key": "@u:domain", "membership": "join", "origin": "domain",
     "content": {"membership": "join", "displayname": "U",
                 "third_party_invite": {"display_name": "u", "signed": {"token": "t"}}}},
    {"type": "m.room.join_rules", "state_key": "",
     "content": {"join_rule": "restricted", "allow": [{"type": "m.room_membership"}]}},
    {"type": "m.room.power_levels", "state_key": "",
     "content": {"users": {"@u:domain": 100}, "ban": 50, "invite": 0, "notifications": {}}},
    {"type": "m.room.history_visibility", "state_key": "",
     "content": {"history_visibility": "shared", "other": 1}},
    {"type": "m.room.aliases", "state_key": "domain", "content": {"aliases": ["#a:domain"]}},
    {"type": "m.room.topic", "state_key": "", "content": {"topic": "t"}, "prev_state": [],
     "event_id": "$wrong", "extra": {"b": [1, 2], "a": None}},
]
LAX = [
    {"n": 50.57}, {"n": 1e22, "m": -0.0}, {"n": 123456789012345678901234567890},
    {"n": [1e-7, 5.114698E4, 9007199254740993, -9007199254740993]},
]


def wire(event):
    """As another server might write it: with white space and escapes."""
    return json.dumps(event, ensure_ascii=True)


rows = []
for version in range(3, 13):
    for seed, fields in enumerate(EVENTS):
        event = {**base(version, seed), **fields}
        event_id = sign(version, event)
        rows.append((version, wire(event), event_id))
    create = {**base(version, 99), "type": "m.room.create", "state_key": "", "prev_events": [],
              "auth_events": [], "content": {"creator": "@u:domain", "room_version": str(version)}}
    if version >= 12:
        del create["room_id"]
    event_id = sign(version, create)
    rows.append((version, wire(create), event_id))
    redaction = {**base(version, 100), "type": "m.room.redaction", "content": {"reason": "r"}}
    target = redaction["prev_events"][0]
    (redaction["content"] if version >= 11 else redaction)["redacts"] = target
    event_id = sign(version, redaction)
    rows.append((version, wire(redaction), event_id))
for version in (3, 4, 5):
    for seed, content in enumerate(LAX):
        event = {**base(version, 200 + seed), "type": "m.room.power_levels", "state_key": "",
                 "content": {"users": content}}
        event_id = sign(version, event)
        rows.append((version, wire(event), event_id))
    deep = {**base(version, 300), "type": "m.x", "content": {}, "depth": 2**63 - 1}
    event_id = sign(version, deep)
    rows.append((version, wire(deep), event_id))
with open("python_events.tsv", "w") as out:
    for row in rows:
        out.write("%d\t%s\t%s\n" % row)
