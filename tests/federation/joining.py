"""Scenarios: how people of another server come into a room, and how they get out of it."""

from person import Person
from scene import ROOM_VERSIONS, check_equal, expect_refusal, pass_on, scenario

KNOCKING = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}


@scenario(*ROOM_VERSIONS)
def invite(scene):
    """Bob is invited, sees to what and by whom, and joins."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(name="Council")
    alice.invite(room, bob)
    bob.await_membership(room, "invite")
    stripped = {(each["type"], each["state_key"]): each for each in bob.room(room).stripped}
    check_equal(stripped["m.room.name", ""]["content"], {"name": "Council"}, "the room's name")
    assert ("m.room.create", "") in stripped, stripped
    check_equal(stripped["m.room.member", bob.user_id]["sender"], alice.user_id, "who invited")
    scene.enter(room)
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)


@scenario(*ROOM_VERSIONS)
def invite_declined(scene):
    """Bob declines; Alice sees it, and he cannot join."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(invite=[bob.user_id])
    bob.await_membership(room, "invite")
    bob.leave(room)
    alice.await_member(room, bob, "leave")
    bob.await_membership(room, "leave")
    expect_refusal(403, bob.join, room, via=[alice])


@scenario("12")
def invite_withdrawn(scene):
    """Alice takes the invitation back before Bob's server is in the room; he is told."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(invite=[bob.user_id])
    bob.await_membership(room, "invite")
    alice.act_on("kick", room, bob)
    bob.await_membership(room, "leave")


@scenario(*ROOM_VERSIONS)
def join(scene):
    """Bob joins a public room of which nobody told him; his server knows all its state."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(preset="public_chat", topic="What is to be done")
    check_equal(bob.join(room, via=[alice]), room, "the room that was joined")
    bob.await_membership(room, "join")
    alice.await_member(room, bob, "join")
    bob.await_member(room, alice, "join")
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)
    check_equal(bob.state_ids(room), alice.state_ids(room), "state on both servers")
    topic = bob.get(["rooms", room, "state", "m.room.topic", ""])
    check_equal(topic["topic"], "What is to be done", "the topic")


@scenario(*ROOM_VERSIONS)
def join_second(scene):
    """Carol joins by Bob's server, which is in the room already: no handshake, but an event."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    carol = Person(scene.away, "carol")
    carol.join(room)
    alice.await_member(room, carol, "join")
    pass_on(alice, carol, room)
    pass_on(carol, alice, room)
    check_equal(carol.state_ids(room), alice.state_ids(room), "state on both servers")


@scenario("12")
def join_refused(scene):
    """A private room is not joined by who knows its id."""
    room = scene.create_room()
    expect_refusal(403, scene.bob.join, room, via=[scene.alice])


@scenario(*ROOM_VERSIONS)
def restricted_join(scene):
    """Who is in one room may enter the other, by the word of a server in it; Carol is not, and
    may not."""
    alice, bob = scene.alice, scene.bob
    club = scene.meet()
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": club}]}
    room = scene.create_room(
        initial_state=[{"type": "m.room.join_rules", "content": rule}],
    )
    carol = Person(scene.away, "carol")
    expect_refusal(403, carol.join, room, via=[alice])
    bob.join(room, via=[alice])
    alice.await_member(room, bob, "join")
    bob.await_membership(room, "join")
    member = alice.room(room).content("m.room.member", bob.user_id)
    check_equal(member["join_authorised_via_users_server"], alice.user_id, "who authorised")
    expect_refusal(403, carol.join, room, via=[alice])
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)


@scenario(*ROOM_VERSIONS)
def knock(scene):
    """Bob knocks, Alice hears it with his reason and invites him, and he joins."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(name="Council", initial_state=[KNOCKING])
    expect_refusal(403, bob.join, room, via=[alice])
    bob.knock(room, "It rains", via=[alice])
    bob.await_membership(room, "knock")
    names = [each["content"] for each in bob.room(room).stripped if each["type"] == "m.room.name"]
    check_equal(names, [{"name": "Council"}], "what who knocks is told")
    alice.await_member(room, bob, "knock")
    check_equal(alice.room(room).content("m.room.member", bob.user_id)["reason"], "It rains", "why")
    alice.invite(room, bob)
    scene.enter(room)
    pass_on(bob, alice, room)


# Synapse tells nobody that a knock of its users is withdrawn, nor its users that it was refused.
@scenario("12", homes=("synapse",))
def knock_withdrawn(scene):
    """Bob knocks and thinks better of it; his server has never been in the room."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(initial_state=[KNOCKING])
    bob.knock(room, "It rains", via=[alice])
    alice.await_member(room, bob, "knock")
    bob.leave(room)
    alice.await_member(room, bob, "leave")


@scenario(*ROOM_VERSIONS)
def leave(scene):
    """Bob leaves, Alice sees it, and what is said then is not for him; then he comes again."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    other = scene.meet()
    bob.leave(room)
    alice.await_member(room, bob, "leave")
    bob.await_membership(room, "leave")
    alice.say(room, "Now that he is gone")
    pass_on(alice, bob, other)
    assert "Now that he is gone" not in bob.room(room).texts()
    bob.join(room, via=[alice])
    alice.await_member(room, bob, "join")
    bob.await_membership(room, "join")
    pass_on(alice, bob, room)


@scenario(*ROOM_VERSIONS)
def kick(scene):
    """Alice sends Bob out: he is told, may say nothing more, and may come again."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    alice.act_on("kick", room, bob, "Too loud")
    bob.await_membership(room, "leave")
    gone = bob.room(room).state["m.room.member", bob.user_id]
    check_equal((gone["sender"], gone["content"]["reason"]), (alice.user_id, "Too loud"), "the kick")
    expect_refusal(403, bob.say, room, "But")
    bob.join(room, via=[alice])
    alice.await_member(room, bob, "join")
    pass_on(bob, alice, room)


@scenario(*ROOM_VERSIONS)
def ban(scene):
    """Alice bans Bob: he is told and stays out until the ban is lifted."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    alice.act_on("ban", room, bob, "Too loud")
    bob.await_membership(room, "leave")
    check_equal(bob.room(room).membership_of(bob.user_id), "ban", "what Bob is told")
    expect_refusal(403, bob.say, room, "But")
    expect_refusal(403, bob.join, room, via=[alice])
    alice.act_on("unban", room, bob)
    alice.await_member(room, bob, "leave")
    bob.join(room, via=[alice])
    alice.await_member(room, bob, "join")
    pass_on(bob, alice, room)
