"""matrix-nio against Belfry: two people sign up, meet, chat, and find everything again after a
restart and after a kill; then they sign out. Their syncs go on from the tokens that they had, so
that what is told twice or not at all is seen."""

import asyncio
import sys
import traceback

from nio import (
    AsyncClient,
    AsyncClientConfig,
    JoinResponse,
    LoginResponse,
    LogoutResponse,
    RegisterResponse,
    RoomCreateResponse,
    RoomInviteResponse,
    RoomMessageText,
    RoomPreset,
    RoomSendResponse,
    SyncResponse,
    WhoamiError,
)

from server import Server

# How long one long-poll lasts if nothing comes, in milliseconds, and how long one step may take.
POLL_MS = 20_000
STEP_MAX_S = 30
# Syncs in one step; what is waited for is in the first or the second.
SYNCS_MAX = 10
# How long all of it may take.
ALL_MAX_S = 120
PASSWORD = "correct horse battery"


class Person:
    """A client, the token of its last sync, and every message that its syncs have told."""

    def __init__(self, url, name):
        config = AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, encryption_enabled=False)
        self.client = AsyncClient(url, f"@{name}:localhost", device_id=None, config=config)
        self.name = name
        self.since = None
        self.heard = []

    @property
    def user_id(self):
        return f"@{self.name}:localhost"

    async def ask(self, wanted, request):
        """The answer, which must be of the wanted kind."""
        answer = await asyncio.wait_for(request, STEP_MAX_S)
        assert isinstance(answer, wanted), f"{self.name}: {answer}"
        return answer

    async def sign_up(self, token):
        """Registers with the token in the client's own way."""
        asked = self.client.register_with_token(self.name, PASSWORD, token, device_name="nio")
        answer = await self.ask(RegisterResponse, asked)
        assert answer.user_id == self.user_id
        assert self.client.access_token == answer.access_token

    async def sync(self, timeout_ms=POLL_MS):
        request = self.client.sync(timeout=timeout_ms, since=self.since, full_state=False)
        answer = await self.ask(SyncResponse, request)
        assert answer.next_batch, "a sync without a token"
        self.since = answer.next_batch
        for joined in answer.rooms.join.values():
            assert not joined.timeline.limited or not self.heard, "a gap in the timeline"
            texts = [event for event in joined.timeline.events if isinstance(event, RoomMessageText)]
            self.heard += [(event.event_id, event.sender, event.body) for event in texts]
        return answer

    async def until(self, what, look):
        """Syncs until `look` finds something in the answer or in what the client has."""
        for _ in range(SYNCS_MAX):
            if found := look(await self.sync()):
                return found
        raise AssertionError(f"{self.name}: {what} does not come")

    async def send(self, room_id, body, txn):
        content = {"msgtype": "m.text", "body": body}
        request = self.client.room_send(room_id, "m.room.message", content, tx_id=txn)
        answer = await self.ask(RoomSendResponse, request)
        return (answer.event_id, self.user_id, body)

    def rebind(self, url):
        """The same session against the server's new start."""
        self.client.homeserver = url

    async def sign_out(self):
        token = self.client.access_token
        await self.ask(LogoutResponse, self.client.logout())
        self.client.access_token = token
        error = await self.ask(WhoamiError, self.client.whoami())
        assert error.status_code == "M_UNKNOWN_TOKEN", error


async def meet(alice, bob):
    """Alice makes a room, Bob is invited, sees it and joins."""
    request = alice.client.room_create(
        name="Council", topic="What is to be done", preset=RoomPreset.private_chat
    )
    room_id = (await alice.ask(RoomCreateResponse, request)).room_id
    await alice.ask(RoomInviteResponse, alice.client.room_invite(room_id, bob.user_id))
    await bob.until("the invitation", lambda answer: room_id in answer.rooms.invite)
    assert bob.client.invited_rooms[room_id].name == "Council"
    await bob.ask(JoinResponse, bob.client.join(room_id))
    await bob.until("the room", lambda answer: room_id in answer.rooms.join)
    await alice.until("Bob", lambda _: bob.user_id in alice.client.rooms[room_id].users)
    return room_id


async def say(sender, reader, room_id, said, body):
    """Sends and waits until both have got it by their syncs."""
    message = await sender.send(room_id, body, f"{sender.name}-{len(said)}")
    said.append(message)
    for person in (reader, sender):
        await person.until(body, lambda _, person=person: message in person.heard)
        assert person.heard == said, (person.name, person.heard, said)


async def find_again(url, person, room_id, said):
    """The room by a new client of the same session, which remembers nothing by itself."""
    fresh = Person(url, person.name)
    client = person.client
    fresh.client.restore_login(person.user_id, client.device_id, client.access_token)
    try:
        await check_room(fresh, room_id, said)
    finally:
        await fresh.client.close()


async def check_room(person, room_id, said):
    await person.sync(timeout_ms=0)
    room = person.client.rooms[room_id]
    assert room.name == "Council", room.name
    assert room.topic == "What is to be done", room.topic
    assert sorted(room.users) == ["@alice:localhost", "@bob:localhost"], room.users
    assert person.heard == said, (person.heard, said)


async def come_back(server, people, room_id, said):
    """What a restart must leave: everything to new clients, and nothing new to old ones."""
    await server.start()
    for person in people:
        person.rebind(server.url)
        await find_again(server.url, person, room_id, said)
        await person.sync(timeout_ms=0)
        assert person.heard == said, (person.name, person.heard, said)


async def sign_in_elsewhere(server, room_id, said):
    """Another device, by password, finds the same."""
    other = Person(server.url, "bob")
    try:
        await other.ask(LoginResponse, other.client.login(PASSWORD, device_name="another"))
        await check_room(other, room_id, said)
        await other.sign_out()
    finally:
        await other.client.close()


async def run(server, people):
    await server.start()
    assert server.first_token, "no registration token was printed"
    alice, bob = (Person(server.url, name) for name in ("alice", "bob"))
    people += [alice, bob]
    await alice.sign_up(server.first_token)
    token = await server.command("registration-token", "create", "--uses", "1")
    await bob.sign_up(token)
    for person in people:
        await person.sync(timeout_ms=0)

    said = []
    room_id = await meet(alice, bob)
    await say(alice, bob, room_id, said, "Is the bell rung?")
    await say(bob, alice, room_id, said, "At noon. Ünïcödé too: 🔔")

    await server.stop()
    await come_back(server, people, room_id, said)
    await say(bob, alice, room_id, said, "After the restart")

    last = await bob.send(room_id, "The last word before the kill", "kill")
    await server.kill()
    said.append(last)
    await come_back(server, people, room_id, said)
    again = await bob.send(room_id, "The last word before the kill", "kill")
    assert again == last, "the same transaction is the same event"
    await say(alice, bob, room_id, said, "After the kill")
    await sign_in_elsewhere(server, room_id, said)

    secrets = [PASSWORD, token] + [person.client.access_token for person in people]
    for person in people:
        await person.sign_out()
    await server.stop()
    log = server.log()
    assert " WARN " not in log and " ERROR " not in log, log
    assert not any(secret in log for secret in secrets), "the log tells a secret"


async def main():
    server, people = Server(), []
    try:
        await asyncio.wait_for(run(server, people), ALL_MAX_S)
    except Exception:
        traceback.print_exc()
        print(server.log(), file=sys.stderr)
        return 1
    finally:
        for person in people:
            await person.client.close()
        await server.clear()
    return 0


sys.exit(asyncio.run(main()))
