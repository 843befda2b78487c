"""Scenarios: what is not kept in rooms: who types, who has read what, who is there."""

from scene import check_equal, pass_on, scenario


@scenario()
def typing(scene):
    """Bob sees that Alice types, and that she has stopped; and the other way round."""
    room = scene.meet()
    for writer, reader in ((scene.alice, scene.bob), (scene.bob, scene.alice)):

        def typists():
            told = reader.room(room).ephemeral
            typing = [each["content"]["user_ids"] for each in told if each["type"] == "m.typing"]
            return typing[-1] if typing else None

        path = ["rooms", room, "typing", writer.user_id]
        writer.put(path, {"typing": True, "timeout": 30000})
        reader.until("typing", lambda: typists() == [writer.user_id])
        writer.put(path, {"typing": False})
        reader.until("the end of typing", lambda: typists() == [])


def _readers(person, room, event_id, kind):
    """Who has read up to the event, as this person was told."""
    told = person.room(room).ephemeral
    found = [each["content"].get(event_id, {}) for each in told if each["type"] == "m.receipt"]
    return {user_id for each in found for user_id in each.get(kind, {})}


@scenario()
def receipts(scene):
    """Each sees up to where the other has read."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    for writer, reader in ((alice, bob), (bob, alice)):
        event_id = pass_on(writer, reader, room)
        reader.post(["rooms", room, "receipt", "m.read", event_id])
        look = lambda: reader.user_id in _readers(writer, room, event_id, "m.read")
        writer.until("the receipt", look)


@scenario()
def receipts_private(scene):
    """A receipt that is for Bob alone stays on his server."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    first = pass_on(alice, bob, room)
    second = pass_on(alice, bob, room)
    bob.post(["rooms", room, "receipt", "m.read.private", second])
    bob.post(["rooms", room, "receipt", "m.read", first])
    alice.until("the receipt", lambda: bob.user_id in _readers(alice, room, first, "m.read"))
    pass_on(bob, alice, room)
    for kind in ("m.read", "m.read.private"):
        check_equal(_readers(alice, room, second, kind), set(), f"who has read by {kind}")


@scenario()
def presence(scene):
    """Bob sees what Alice says of herself; and the other way round."""
    scene.meet()
    wanted = ("unavailable", "In a meeting")
    for shown, watcher in ((scene.alice, scene.bob), (scene.bob, scene.alice)):
        path = ["presence", shown.user_id, "status"]
        shown.put(path, {"presence": wanted[0], "status_msg": wanted[1]})

        def seen():
            found = watcher.presence.get(shown.user_id, {})
            return (found.get("presence"), found.get("status_msg")) == wanted

        watcher.until(f"{shown.user_id} away", seen)
