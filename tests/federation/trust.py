"""Scenarios: who a server is, by its keys and its certificate, and what it is let do."""

import base64
import http.client
import json
import secrets
import ssl
import time

from person import Refused
from scene import check_equal, expect_refusal, pass_on, scenario

# How long one request to a server may take, and how long a renewed certificate until it is shown:
# its files are looked at once a minute.
REQUEST_MAX_S = 60
RENEWAL_MAX_S = 90
KEYS = "/_matrix/key/v2"


def _connect(server):
    host, port = server.name.split(":")
    context = ssl.create_default_context(cafile=server.authority)
    return http.client.HTTPSConnection(host, int(port), timeout=REQUEST_MAX_S, context=context)


def _ask(server, path, body=None):
    """What the server answers other servers, over TLS, to what needs no signature."""
    connection = _connect(server)
    try:
        text = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, f"{server.name} {path}: {answer.status} {data}"
        return json.loads(data)
    finally:
        connection.close()


def _certificate(server):
    """What the server shows, as it is on the wire."""
    connection = _connect(server)
    try:
        connection.connect()
        return connection.sock.getpeercert(binary_form=True)
    finally:
        connection.close()


@scenario()
def notary(scene):
    """Alice's server vouches for the keys of Bob's, and for its own: each asked for by itself, and
    both at once. (Synapse does not vouch for itself.)"""
    home, away = scene.home, scene.away
    # Without a key id, Synapse tells only of keys that it has needed itself.
    scene.meet()
    own = _ask(away, f"{KEYS}/server")
    both = {"server_keys": {away.name: {}, home.name: {}}}
    vouchers = {away.name, home.name} if home.make == "belfry" else {away.name}
    for path, body, names in (
        (f"{KEYS}/query/{away.name}", None, {away.name}),
        (f"{KEYS}/query", both, vouchers),
    ):
        found = {each["server_name"]: each for each in _ask(home, path, body)["server_keys"]}
        check_equal(set(found), names, f"who is vouched for by {path}")
        vouched = found[away.name]
        check_equal(vouched["verify_keys"], own["verify_keys"], "the keys")
        check_equal(set(vouched["signatures"]), {home.name, away.name}, "who signed")


@scenario(homes=("belfry",))
def partner_shut_out(scene):
    """Alice's server has an agreement with Bob's about profiles only, which it gives and does not
    ask for: nothing else passes, in either direction, until the agreement ends."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    alice.server.command("user", "promote", alice.user_id)
    path = f"/_belfry/admin/v1/partners/{bob.server.name}"
    agreement = json.dumps({"inbound": ["profile"], "outbound": []})
    check_equal(alice.fetch("PUT", path, agreement)[0], 200, "the agreement")
    try:
        bob.get(["profile", alice.user_id])
        expect_refusal(403, alice.get, ["profile", bob.user_id])
        expect_refusal(403, alice.get, ["publicRooms"], server=bob.server.name)
        try:
            # A page of a size nobody asked for: Bob's server keeps the pages it was given.
            answer = bob.get(["publicRooms"], server=alice.server.name, limit="7")
            raise AssertionError(f"the directory was given: {answer}")
        except Refused:
            pass
        unheard = [alice.say(room, "Can you hear me?"), bob.say(room, "Nobody answers")]
    finally:
        check_equal(alice.fetch("DELETE", path)[0], 200, "the end of the agreement")
    pass_on(alice, bob, room, "Now?")
    pass_on(bob, alice, room, "Now!")
    for person, event_id in ((bob, unheard[0]), (alice, unheard[1])):
        person.until("what was not heard", lambda: _is_there(person, room, event_id))


def _is_there(person, room, event_id):
    return any(event["event_id"] == event_id for event in person.history(room))


@scenario(homes=("belfry",))
def certificate_renewed(scene):
    """A renewed certificate is shown without a restart, and Bob's server goes on with it."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    before = _certificate(scene.home)
    scene.home.certificates.renew()
    deadline = time.monotonic() + RENEWAL_MAX_S
    while _certificate(scene.home) == before:
        assert time.monotonic() < deadline, f"no renewed certificate within {RENEWAL_MAX_S} s"
        time.sleep(1)
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)


@scenario(homes=("belfry",))
def key_rotated(scene):
    """Alice's server signs with a new key from now on. It publishes the old one, so that Bob, who
    comes later, reads what was signed with that; and both go on talking."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(preset="public_chat")
    old = alice.say(room, "Signed with the old key")
    (old_id, old_key), = _ask(scene.home, f"{KEYS}/server")["verify_keys"].items()
    scene.home.stop()
    seed = base64.b64encode(secrets.token_bytes(32)).decode()
    version = f"r_{secrets.token_hex(4)}"
    former = f"{old_id} {old_key['key']} {int(time.time() * 1000)}"
    scene.home.change_key(f"ed25519 {version} {seed}\n", former)
    scene.home.start()
    published = _ask(scene.home, f"{KEYS}/server")
    check_equal(list(published["verify_keys"]), [f"ed25519:{version}"], "the key in use")
    check_equal(published["old_verify_keys"][old_id]["key"], old_key["key"], "the old key")
    bob.join(room, via=[alice])
    pass_on(alice, bob, room, "Signed with the new key")
    pass_on(bob, alice, room)
    assert _is_there(bob, room, old), "what was signed with the old key is lost"
