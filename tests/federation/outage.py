"""Scenarios: one server is away while something happens on the other, and comes again."""

from person import Person
from scene import check_equal, pass_on, scenario

# More than one transaction holds, and more than one answer to a question about missing events.
MISSED_TEXTS = 60


# Not with Synapse at home: if Belfry is back before Synapse has given a transaction up, Synapse says
# nothing more until a minute has passed, however often it has cause to.
@scenario("10", "12", homes=("belfry",))
def outage(scene):
    """While Bob's server is away much is said in two rooms. When it is there again, the next word
    brings all that was missed: nothing is lost, nothing comes twice, and the order is right."""
    alice, bob = scene.alice, scene.bob
    rooms = [scene.meet(), scene.meet()]
    scene.away.stop()
    said = [f"{number}" for number in range(MISSED_TEXTS)]
    for text in said:
        alice.say(rooms[0], text)
    alice.say(rooms[1], "Meanwhile")
    topic = alice.set_state(rooms[1], "m.room.topic", {"topic": "Set meanwhile"})
    scene.away.start()
    pass_on(alice, bob, rooms[0], "Welcome back")
    bob.await_event(rooms[1], topic)
    check_equal(bob.told_texts(rooms[0]), [*said, "Welcome back"], "the first room")
    check_equal(bob.told_texts(rooms[1]), ["Meanwhile"], "the second room")
    for room in rooms:
        pass_on(bob, alice, room, "Here I am")
        check_equal(bob.state_ids(room), alice.state_ids(room), "state on both servers")


@scenario()
def outage_ends_on_contact(scene):
    """Bob's server was away and speaks first: what waits for it is sent without any other cause."""
    alice, bob = scene.alice, scene.bob
    room, other = scene.meet(), scene.meet()
    scene.away.stop()
    missed = [alice.say(room, f"{number}") for number in range(3)]
    scene.away.start()
    pass_on(bob, alice, other, "I am here again")
    bob.await_event(room, missed[-1])
    check_equal(bob.told_texts(room), ["0", "1", "2"], "what Bob reads")


@scenario("10", "12")
def outage_on_both_sides(scene):
    """Each speaks while the other's server is away: afterwards both have both, and agree."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    powers = alice.get(["rooms", room, "state", "m.room.power_levels", ""])
    powers["users"] = powers.get("users", {}) | {bob.user_id: 50}
    bob.await_event(room, alice.set_state(room, "m.room.power_levels", powers))
    scene.away.stop()
    hers = [alice.say(room, f"Alice {number}") for number in range(3)]
    hers.append(alice.set_state(room, "m.room.topic", {"topic": "Alice's"}))
    scene.home.stop()
    scene.away.start()
    his = [bob.say(room, f"Bob {number}") for number in range(3)]
    his.append(bob.set_state(room, "m.room.topic", {"topic": "Bob's"}))
    scene.home.start()
    pass_on(alice, bob, room)
    pass_on(bob, alice, room)
    for person in (alice, bob):
        found = [event["event_id"] for event in person.history(room)]
        for events in (hers, his):
            check_equal([each for each in found if each in events], events, person.user_id)
    check_equal(bob.state_ids(room), alice.state_ids(room), "state on both servers")


@scenario()
def outage_to_device(scene):
    """Messages for Bob's device wait for his server, even if Alice's stops meanwhile."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    scene.away.stop()
    for number in range(3):
        messages = {bob.user_id: {bob.device_id: {"number": number}}}
        path = ["sendToDevice", "org.example.ping", f"{alice.device_id}-{number}"]
        alice.put(path, {"messages": messages})
    scene.home.stop()
    scene.home.start()
    scene.away.start()
    pass_on(alice, bob, room)
    numbers = lambda: [each["content"]["number"] for each in bob.to_device]
    bob.until("the messages", lambda: len(numbers()) >= 3)
    check_equal(numbers(), [0, 1, 2], "messages")


@scenario()
def outage_join(scene):
    """Carol joins while Bob's server is away; he learns it."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet(preset="public_chat")
    scene.away.stop()
    carol = Person(scene.home, "carol")
    carol.join(room)
    carol.say(room, "Is nobody here?")
    scene.away.start()
    pass_on(alice, bob, room)
    bob.await_member(room, carol, "join")
    check_equal(bob.told_texts(room)[0], "Is nobody here?", "what Bob reads")
