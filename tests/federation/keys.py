"""Scenarios: the keys and the messages of devices of two servers, up to an encrypted message."""

import itertools

from device import Device, RoomKey, decrypt_in_room
from person import PASSWORD, Refused
from scene import check_equal, scenario


_numbers = itertools.count(1)


def _reset(person):
    person.devices_changed.clear()


@scenario()
def key_query(scene):
    """Bob's server asks for the keys of Alice's device; she has a name for it, which is hers."""
    alice, bob = scene.alice, scene.bob
    hers, his = Device(alice), Device(bob)
    found = his.look_up(alice)
    check_equal(found["keys"], hers.keys["keys"], "the keys")
    check_equal(found["algorithms"], hers.keys["algorithms"], "the algorithms")
    answer = bob.post(["keys", "query"], {"device_keys": {f"@nobody:{alice.server.name}": []}})
    assert not any(answer.get("device_keys", {}).values()), answer


@scenario()
def key_claim(scene):
    """Each one-time key of Alice's is given to Bob once; when there is none left, the fallback."""
    alice, bob = scene.alice, scene.bob
    hers, his = Device(alice, one_time_keys=2), Device(bob)
    keys = his.look_up(alice)
    claimed = [his.claim(alice) for _ in range(4)]
    for _, key in claimed:
        his.check(alice, keys, key)
    ids = [key_id for key_id, _ in claimed]
    check_equal(set(ids[:2]), set(hers.one_time_keys), "one-time keys")
    check_equal(ids[2:], list(hers.fallback_key) * 2, "fallback keys")


@scenario()
def device_lists(scene):
    """Bob is told when Alice gets another device, when that gets keys, and when it goes."""
    alice, bob = scene.alice, scene.bob
    scene.meet()
    Device(alice)
    query = lambda: bob.post(["keys", "query"], {"device_keys": {alice.user_id: []}})
    devices = lambda: set(query()["device_keys"].get(alice.user_id, {}))
    told = lambda: alice.user_id in bob.devices_changed
    bob.until("Alice's keys", told)
    check_equal(devices(), {alice.device_id}, "Alice's devices")

    _reset(bob)
    other = alice.elsewhere()
    Device(other)
    both = {alice.device_id, other.device_id}
    bob.until("her second device", lambda: told() and devices() == both)

    _reset(bob)
    other.post(["logout"])
    bob.until("the end of it", lambda: told() and devices() == {alice.device_id})


@scenario()
def cross_signing_keys(scene):
    """Bob is told that Alice has an identity, and finds its keys."""
    alice, bob = scene.alice, scene.bob
    scene.meet()
    device = Device(alice)
    bob.until("Alice's keys", lambda: alice.user_id in bob.devices_changed)
    _reset(bob)
    public = Device(alice.elsewhere()).account.ed25519_key.to_base64()
    master = {
        "user_id": alice.user_id,
        "usage": ["master"],
        "keys": {f"ed25519:{public}": public},
    }
    _upload_identity(alice, {"master_key": master})

    def found():
        answer = bob.post(["keys", "query"], {"device_keys": {alice.user_id: []}})
        master_keys = answer.get("master_keys", {}).get(alice.user_id, {})
        return master_keys.get("keys") == master["keys"]

    bob.until("Alice's identity", lambda: alice.user_id in bob.devices_changed and found())
    assert device.keys


def _upload_identity(person, keys):
    """With the password, if the server wants it."""
    path = ["keys", "device_signing", "upload"]
    try:
        person.post(path, keys)
    except Refused as refused:
        assert refused.status == 401, refused
        user = {"type": "m.id.user", "user": person.user_id}
        proof = {"type": "m.login.password", "identifier": user, "password": PASSWORD}
        person.post(path, keys | {"auth": proof | {"session": refused.body["session"]}})


def _send_to_device(sender, user, device_id, event_type, content):
    messages = {"messages": {user.user_id: {device_id: content}}}
    sender.put(["sendToDevice", event_type, f"m{next(_numbers)}"], messages)


@scenario()
def to_device(scene):
    """Messages to one device and to all of Bob's come once, in order, and to nobody else."""
    alice, bob = scene.alice, scene.bob
    other = bob.elsewhere()
    for number in range(3):
        _send_to_device(alice, bob, bob.device_id, "org.example.ping", {"number": number})
    _send_to_device(alice, bob, "*", "org.example.ping", {"number": "all"})
    for person, wanted in ((bob, [0, 1, 2, "all"]), (other, ["all"])):
        numbers = lambda: [each["content"]["number"] for each in person.to_device]
        person.until("the messages", lambda: "all" in numbers())
        check_equal(numbers(), wanted, f"messages to {person.device_id}")
        check_equal({each["sender"] for each in person.to_device}, {alice.user_id}, "the sender")


@scenario()
def encrypted_message(scene):
    """Alice looks Bob's device up, claims a key of it, sends it the key of the room by Olm, and says
    something by Megolm; Bob reads it."""
    alice, bob = scene.alice, scene.bob
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room = scene.meet(initial_state=[encryption])
    hers, his = Device(alice), Device(bob)
    key = RoomKey(room)
    sealed = hers.encrypt_to(bob, "m.room_key", key.content)
    _send_to_device(alice, bob, bob.device_id, "m.room.encrypted", sealed)
    content = {"msgtype": "m.text", "body": "Nobody else reads this"}
    event_id = alice.send(room, "m.room.encrypted", key.encrypt(hers, "m.room.message", content))

    event = bob.await_event(room, event_id)
    arrived = bob.until("the room's key", lambda: bob.to_device)
    opened = his.decrypt(arrived[0]["content"])
    check_equal(opened["type"], "m.room_key", "what came to the device")
    check_equal(decrypt_in_room(opened["content"], event["content"])["content"], content, "the text")
