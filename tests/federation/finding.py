"""Scenarios: what one server asks the other about rooms, people and files."""

from person import is_text
from scene import check_equal, expect_refusal, pass_on, scenario


@scenario()
def directory(scene):
    """Bob resolves an alias of Alice's server and joins by it, before it is deleted."""
    alice, bob = scene.alice, scene.bob
    localpart = alice.user_id[1:].split(":", 1)[0]
    room = scene.create_room(preset="public_chat", room_alias_name=localpart)
    alias = f"#{localpart}:{alice.server.name}"
    found = bob.get(["directory", "room", alias])
    check_equal(found["room_id"], room, "what the alias means")
    assert alice.server.name in found["servers"], found
    check_equal(bob.join(alias), room, "the room that was joined")
    alice.await_member(room, bob, "join")
    alice.ask("DELETE", ["directory", "room", alias])
    expect_refusal(404, bob.get, ["directory", "room", alias])


@scenario()
def public_rooms(scene):
    """Bob finds Alice's room in the directory of her server, by a word as well."""
    alice, bob = scene.alice, scene.bob
    topic = f"Weather of {alice.user_id[1:8]}"
    room = scene.create_room(preset="public_chat", name="Bell tower", topic=topic)
    alice.put(["directory", "list", "room", room], {"visibility": "public"})
    listed = bob.get(["publicRooms"], server=alice.server.name)["chunk"]
    entry = next(each for each in listed if each["room_id"] == room)
    check_equal((entry["name"], entry["num_joined_members"]), ("Bell tower", 1), "the entry")
    search = {"filter": {"generic_search_term": topic}}
    found = bob.post(["publicRooms"], search, server=alice.server.name)["chunk"]
    check_equal([each["room_id"] for each in found], [room], "what is found by a word")


@scenario()
def profile(scene):
    """Bob looks Alice up, and in a shared room sees her take another name."""
    alice, bob = scene.alice, scene.bob
    room = scene.meet()
    avatar = f"mxc://{alice.server.name}/abcdef"
    alice.put(["profile", alice.user_id, "displayname"], {"displayname": "Alice ☀"})
    alice.put(["profile", alice.user_id, "avatar_url"], {"avatar_url": avatar})
    found = bob.get(["profile", alice.user_id])
    check_equal((found["displayname"], found["avatar_url"]), ("Alice ☀", avatar), "the profile")
    alone = bob.get(["profile", alice.user_id, "displayname"])
    check_equal(alone["displayname"], "Alice ☀", "the name alone")
    wanted = ("Alice ☀", avatar)

    def shown():
        member = bob.room(room).content("m.room.member", alice.user_id)
        return (member.get("displayname"), member.get("avatar_url")) == wanted

    bob.until("Alice's new name", shown)
    nobody = f"@nobody:{alice.server.name}"
    expect_refusal(404, bob.get, ["profile", nobody])


@scenario()
def hierarchy(scene):
    """Bob looks into a space of Alice's server, in which he is not."""
    alice, bob = scene.alice, scene.bob
    child = scene.create_room(preset="public_chat", name="Kitchen")
    space = scene.create_room(
        preset="public_chat", name="House", creation_content={"type": "m.space"}
    )
    alice.set_state(space, "m.space.child", {"via": [alice.server.name]}, child)
    bob.join(space, via=[alice])
    bob.await_membership(space, "join")
    found = bob.ask("GET", ["rooms", space, "hierarchy"], version="v1")["rooms"]
    names = [(each["room_id"], each.get("name")) for each in found]
    check_equal(names, [(space, "House"), (child, "Kitchen")], "what is in the space")


@scenario()
def media(scene):
    """A file that Alice sends is what Bob gets."""
    alice, bob = scene.alice, scene.bob
    data = bytes(range(256)) * 100
    status, answer = alice.fetch(
        "POST", "/_matrix/media/v3/upload", data, {"filename": "bell.bin"}, "application/octet-stream"
    )
    check_equal(status, 200, f"the upload, answered with {answer}")
    server, media_id = answer.decode().split("mxc://", 1)[1].split('"')[0].split("/")
    status, found = bob.fetch("GET", f"/_matrix/client/v1/media/download/{server}/{media_id}")
    check_equal((status, found), (200, data), "the file")


@scenario()
def timestamp_to_event(scene):
    """Bob, who has just joined, asks which event was the first after a moment before he came."""
    alice, bob = scene.alice, scene.bob
    room = scene.create_room(preset="public_chat")
    wanted = alice.event(room, alice.say(room, "First"))
    for number in range(30):
        alice.say(room, f"{number}")
    bob.join(room, via=[alice])
    pass_on(alice, bob, room)
    query = {"ts": wanted["origin_server_ts"], "dir": "f"}
    path = ["rooms", room, "timestamp_to_event"]
    found = bob.ask("GET", path, query=query, version="v1")
    # Others may have been sent in the same millisecond.
    check_equal(found["origin_server_ts"], wanted["origin_server_ts"], "the moment")
    assert is_text(wanted)
