"""A person with one client, on either server: what it asks, and all that its syncs have told it.
Plain HTTP, so that what a scenario sends is what stands in it."""

import http.client
import itertools
import json
import time
from urllib.parse import quote, urlencode

PASSWORD = "correct horse battery"
# How long one request may take; a join waits for the other server.
REQUEST_MAX_S = 60
# How long one thing that is waited for may take, and one long-poll meanwhile.
STEP_MAX_S = 40
POLL_MS = 5_000
_numbers = itertools.count(1)


class Refused(Exception):
    """The server's answer was an error."""

    def __init__(self, asked, status, body):
        super().__init__(f"{asked}: {status} {body}")
        self.status = status
        self.body = body


class Told:
    """A room as the syncs of one client tell it."""

    def __init__(self):
        self.membership = None
        self.timeline = []
        self.state = {}
        self.stripped = []
        self.ephemeral = []
        self.gaps = 0

    def take(self, membership, section):
        self.membership = membership
        for event in section.get("state", {}).get("events", []):
            self._take_state(event)
        timeline = section.get("timeline", {})
        self.gaps += bool(timeline.get("limited"))
        for event in timeline.get("events", []):
            self.timeline.append(event)
            if "state_key" in event:
                self._take_state(event)
        self.ephemeral += section.get("ephemeral", {}).get("events", [])

    def _take_state(self, event):
        self.state[event["type"], event["state_key"]] = event

    def content(self, event_type, state_key=""):
        return self.state.get((event_type, state_key), {}).get("content")

    def membership_of(self, user_id):
        return (self.content("m.room.member", user_id) or {}).get("membership")

    def find(self, event_id):
        return next((event for event in self.timeline if event["event_id"] == event_id), None)

    def texts(self):
        return [event["content"].get("body") for event in self.timeline if is_text(event)]


def is_text(event):
    return event["type"] == "m.room.message" and "body" in event["content"]


class Person:
    """An account that is made for one scenario."""

    def __init__(self, server, name):
        self.server = server
        self._localpart = f"{name}-{next(_numbers)}"
        self._connection = None
        self.token = None
        answer = self.post(
            ["register"],
            {
                "username": self._localpart,
                "password": PASSWORD,
                "auth": {"type": "m.login.dummy"},
            },
        )
        self._sign_in(answer)

    def _sign_in(self, answer):
        self.user_id = answer["user_id"]
        self.device_id = answer["device_id"]
        self.token = answer["access_token"]
        self._since = None
        self.rooms = {}
        self.to_device = []
        self.presence = {}
        self.devices_changed = []
        self.sync(0)

    def elsewhere(self):
        """Another client of the same account, newly signed in."""
        other = Person.__new__(Person)
        other.server, other._localpart = self.server, self._localpart
        other._connection = other.token = None
        user = {"type": "m.id.user", "user": self._localpart}
        form = {"type": "m.login.password", "identifier": user, "password": PASSWORD}
        other._sign_in(other.post(["login"], form))
        return other

    # Requests.

    def get(self, path, **query):
        return self.ask("GET", path, None, query)

    def put(self, path, body, **query):
        return self.ask("PUT", path, body, query)

    def post(self, path, body=None, **query):
        return self.ask("POST", path, body or {}, query)

    def ask(self, method, path, body=None, query=None, version="v3"):
        """The answer to one request below /_matrix/client; raises [`Refused`] if it is an error."""
        text = None if body is None else json.dumps(body)
        target = f"/_matrix/client/{version}/" + "/".join(quote(part, safe="") for part in path)
        status, data = self.fetch(method, target, text, query)
        answer = json.loads(data)
        if status != 200:
            raise Refused(f"{self.user_id_or_name()} {method} {target}", status, answer)
        return answer

    def fetch(self, method, target, body=None, query=None, content_type="application/json"):
        """Status and body of one answer; nothing is asked twice."""
        headers = {"Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if query:
            target += "?" + urlencode(query, doseq=True)
        port = self.server.client_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_MAX_S)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def user_id_or_name(self):
        return getattr(self, "user_id", self._localpart)

    # What is told.

    def sync(self, timeout_ms=POLL_MS):
        query = {"timeout": timeout_ms}
        if self._since:
            query["since"] = self._since
        answer = self.get(["sync"], **query)
        self._since = answer["next_batch"]
        rooms = answer.get("rooms", {})
        for membership in ("join", "leave"):
            for room, section in rooms.get(membership, {}).items():
                self.room(room).take(membership, section)
        for membership in ("invite", "knock"):
            for room, section in rooms.get(membership, {}).items():
                told = self.room(room)
                told.membership = membership
                told.stripped = section[f"{membership}_state"]["events"]
        self.to_device += answer.get("to_device", {}).get("events", [])
        self.devices_changed += answer.get("device_lists", {}).get("changed", [])
        for event in answer.get("presence", {}).get("events", []):
            self.presence[event["sender"]] = event["content"]

    def room(self, room_id):
        return self.rooms.setdefault(room_id, Told())

    def until(self, what, look):
        """Syncs until `look` finds something in what was told, and returns that."""
        deadline = time.monotonic() + STEP_MAX_S
        while not (found := look()):
            left_ms = int((deadline - time.monotonic()) * 1000)
            assert left_ms > 0, f"{self.user_id}: {what} does not come within {STEP_MAX_S} s"
            self.sync(min(POLL_MS, left_ms))
        return found

    def await_membership(self, room, membership):
        """Waits until the room is told as one that this person is in, invited to and so on."""
        self.until(f"{membership} of {room}", lambda: self.room(room).membership == membership)

    def await_member(self, room, user, membership):
        """Waits until another person's membership is told."""
        user_id = user.user_id
        look = lambda: self.room(room).membership_of(user_id) == membership
        self.until(f"{membership} of {user_id} in {room}", look)

    def await_event(self, room, event_id):
        """Waits for one event of the timeline."""
        return self.until(f"event {event_id}", lambda: self.room(room).find(event_id))

    # Acts in rooms.

    def create_room(self, version, **options):
        body = {"room_version": version, "preset": "private_chat"} | options
        return self.post(["createRoom"], body)["room_id"]

    def invite(self, room, user):
        self.post(["rooms", room, "invite"], {"user_id": user.user_id})

    def join(self, room, *, via=()):
        """By id or alias; `via` are people whose servers are in the room."""
        servers = [person.server.name for person in via]
        query = {"via": servers, "server_name": servers} if servers else {}
        return self.post(["join", room], **query)["room_id"]

    def knock(self, room, reason, *, via):
        servers = [person.server.name for person in via]
        query = {"via": servers, "server_name": servers}
        return self.post(["knock", room], {"reason": reason}, **query)["room_id"]

    def leave(self, room):
        self.post(["rooms", room, "leave"])

    def act_on(self, act, room, user, reason=None):
        """Kicks, bans or lifts a ban."""
        reason = {"reason": reason} if reason else {}
        self.post(["rooms", room, act], {"user_id": user.user_id} | reason)

    def send(self, room, event_type, content):
        path = ["rooms", room, "send", event_type, f"t{next(_numbers)}"]
        return self.put(path, content)["event_id"]

    def say(self, room, text):
        return self.send(room, "m.room.message", {"msgtype": "m.text", "body": text})

    def set_state(self, room, event_type, content, state_key=""):
        return self.put(["rooms", room, "state", event_type, state_key], content)["event_id"]

    def redact(self, room, event_id, reason):
        path = ["rooms", room, "redact", event_id, f"t{next(_numbers)}"]
        return self.put(path, {"reason": reason})["event_id"]

    # What is read.

    def event(self, room, event_id):
        return self.get(["rooms", room, "event", event_id])

    def state_ids(self, room):
        """The current state: event ids by type and state key."""
        events = self.get(["rooms", room, "state"])
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    def history(self, room):
        """All events that are to be had, the oldest first; pages from the newest back."""
        events, query = [], {"dir": "b", "limit": 20}
        for _ in range(50):
            page = self.get(["rooms", room, "messages"], **query)
            events += page["chunk"]
            if "end" not in page:
                return events[::-1]
            query["from"] = page["end"]
        raise AssertionError(f"the history of {room} has no beginning")

    def told_texts(self, room):
        """The texts of the whole history, the oldest first."""
        return [event["content"]["body"] for event in self.history(room) if is_text(event)]
