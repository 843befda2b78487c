"""Scenarios: what is said in a shared room, what is changed in it, and what is read of it later."""

from person import is_text
from scene import NEWEST, ROOM_VERSIONS, check_equal, expect_refusal, pass_on, scenario

# More than one page of history, and more than is sent with a join.
HISTORY_TEXTS = 45


@scenario(*ROOM_VERSIONS)
def messages(scene):
    """A talk to and fro: both get every event once, in the order in which it was said."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    said = []
    for number in range(6):
        speaker, hearer = (alice, bob) if number % 2 == 0 else (bob, alice)
        text = f"Ünïcödé 🔔 {number}"
        said.append((pass_on(speaker, hearer, room, text), speaker.user_id, text))
        speaker.await_event(room, said[-1][0])
    for person in (alice, bob):
        heard = [
            (event["event_id"], event["sender"], event["content"]["body"])
            for event in person.room(room).timeline
            if is_text(event)
        ]
        check_equal(heard, said, f"what {person.user_id} has heard")


@scenario(*ROOM_VERSIONS)
def messages_at_once(scene):
    """Both say much without waiting for the other: all of it comes to both."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    said = [person.say(room, f"{number}") for number in range(15) for person in (alice, bob)]
    last = [alice.say(room, "Alice is done"), bob.say(room, "Bob is done")]
    for person in (alice, bob):
        for event_id in last:
            person.await_event(room, event_id)
        # One that was away from its client for so long tells the newest by /sync only.
        found = [event["event_id"] for event in person.history(room) if is_text(event)]
        check_equal(sorted(found), sorted(said + last), f"what {person.user_id} reads")
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)
    check_equal(bob.state_ids(room), alice.state_ids(room), "state on both servers")


@scenario("12")
def relations(scene):
    """An edit and a reaction to another server's message are found with it."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    event_id = pass_on(alice, bob, room, "Is teh bell rung?")
    annotation = {"rel_type": "m.annotation", "event_id": event_id, "key": "🔔"}
    reaction = bob.send(room, "m.reaction", {"m.relates_to": annotation})
    alice.await_event(room, reaction)
    edit = {
        "msgtype": "m.text",
        "body": "* Is the bell rung?",
        "m.new_content": {"msgtype": "m.text", "body": "Is the bell rung?"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }
    edited = alice.send(room, "m.room.message", edit)
    bob.await_event(room, edited)
    for person in (alice, bob):
        path = ["rooms", room, "relations", event_id]
        found = person.ask("GET", path, version="v1")["chunk"]
        check_equal({each["event_id"] for each in found}, {reaction, edited}, "related events")


@scenario(*ROOM_VERSIONS)
def history_before_join(scene):
    """Bob reads what was said before he came, all of it, in order, back to the room's creation."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(preset="public_chat")
    said = [f"{number}" for number in range(HISTORY_TEXTS)]
    for text in said:
        alice.say(room, text)
    bob.join(room, via=[alice])
    check_equal(bob.told_texts(room), said, "what Bob reads")
    check_equal(bob.history(room)[0]["type"], "m.room.create", "the first event")


@scenario(*ROOM_VERSIONS)
def history_hidden(scene):
    """What was said before Bob came is not for him if the room's rule is that."""
    alice, bob = scene.alice, scene.bob
    rule = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = scene.create_room(preset="public_chat", initial_state=[rule])
    secret = alice.say(room, "Before")
    bob.join(room, via=[alice])
    bob.await_membership(room, "join")
    pass_on(alice, bob, room, "After")
    check_equal(bob.told_texts(room), ["After"], "what Bob reads")
    expect_refusal(404, bob.event, room, secret)


@scenario(*ROOM_VERSIONS)
def state(scene):
    """State is set from both sides, by who may; both servers agree on all of it."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    event_id = alice.set_state(room, "m.room.topic", {"topic": "Alice's"})
    bob.await_event(room, event_id)
    expect_refusal(403, bob.set_state, room, "m.room.topic", {"topic": "Bob's"})
    powers = alice.get(["rooms", room, "state", "m.room.power_levels", ""])
    powers["users"] = powers.get("users", {}) | {bob.user_id: 50}
    bob.await_event(room, alice.set_state(room, "m.room.power_levels", powers))
    alice.await_event(room, bob.set_state(room, "m.room.topic", {"topic": "Bob's"}))
    alice.await_event(room, bob.set_state(room, "org.example.note", {"text": "Milk"}, "kitchen"))
    for person in (alice, bob):
        topic = person.get(["rooms", room, "state", "m.room.topic", ""])
        check_equal(topic["topic"], "Bob's", f"the topic for {person.user_id}")
    check_equal(bob.state_ids(room), alice.state_ids(room), "state on both servers")


@scenario(*ROOM_VERSIONS)
def redaction(scene):
    """Either takes a message of their own back, and Alice, who may, one of Bob's."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    for author, redactor in ((alice, alice), (bob, bob), (bob, alice)):
        reader = bob if author is alice else alice
        event_id = pass_on(author, reader, room, "Slander")
        by = redactor.redact(room, event_id, "Untrue")
        for person in (alice, bob):
            person.await_event(room, by)
            event = person.event(room, event_id)
            check_equal(event["content"], {}, f"what is left for {person.user_id}")
            check_equal(event["unsigned"]["redacted_because"]["event_id"], by, "what did it")


@scenario("10", "11")
def upgrade(scene):
    """Alice replaces the room; Bob is told where it goes on, joins there, and finds both ends."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat", name="Council")
    answer = alice.post(["rooms", room, "upgrade"], {"new_version": NEWEST})
    replacement = answer["replacement_room"]
    look = lambda: bob.room(room).content("m.room.tombstone")
    tombstone = bob.until("the tombstone", look)
    check_equal(tombstone["replacement_room"], replacement, "where it goes on")
    bob.join(replacement, via=[alice])
    bob.await_membership(replacement, "join")
    alice.await_member(replacement, bob, "join")
    create = bob.room(replacement).content("m.room.create")
    check_equal(create["room_version"], NEWEST, "the version")
    check_equal(create["predecessor"]["room_id"], room, "where it comes from")
    check_equal(bob.room(replacement).content("m.room.name"), {"name": "Council"}, "the name")
    pass_on(bob, alice, replacement)


@scenario(*ROOM_VERSIONS)
def server_acl(scene):
    """Bob's server is shut out: what it sends is not taken, nobody of it joins, and its typing is
    not told; once it is let in again it is heard again."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    other = scene.meet()
    everybody = {"allow": ["*"], "allow_ip_literals": True}
    # Without its port, and with a letter in another case.
    name = bob.server.name.rsplit(":", 1)[0].capitalize()
    shut = alice.set_state(room, "m.room.server_acl", everybody | {"deny": [name]})
    bob.await_event(room, shut)
    lost = bob.say(room, "Behind the door")
    bob.put(["rooms", room, "typing", bob.user_id], {"typing": True, "timeout": 30000})
    # One transaction comes after another.
    pass_on(bob, alice, other)
    expect_refusal(404, alice.event, room, lost)
    assert "Behind the door" not in alice.room(room).texts()
    typing = [user for each in alice.room(room).ephemeral for user in each["content"]["user_ids"]]
    assert bob.user_id not in typing, "typing came past the list"
    pass_on(alice, bob, room, "Said inside")
    bob.leave(room)
    expect_refusal(403, bob.join, room, via=[alice])
    alice.set_state(room, "m.room.server_acl", everybody | {"deny": []})
    bob.join(room, via=[alice])
    alice.await_member(room, bob, "join")
    pass_on(bob, alice, room)
