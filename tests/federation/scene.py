"""What a scenario is, and what it is given: two servers, one of them at home, and people on both."""

from dataclasses import dataclass

from person import Person, Refused

# Versions of rooms that both makes know and that are in use. 12 has ids without a server's name.
ROOM_VERSIONS = ("10", "11", "12")
NEWEST = ROOM_VERSIONS[-1]
_scenarios = []


@dataclass(frozen=True)
class Scenario:
    """A function, to be run with one server at home and the other away, and the other way round."""

    act: object
    version: str
    home: str

    @property
    def name(self):
        return f"{self.act.__name__}/v{self.version}/{self.home}"


def scenario(*versions, homes=("belfry", "synapse")):
    """Makes a function a scenario, once for each version of rooms and for each home."""

    def register(act):
        for version in versions or (NEWEST,):
            _scenarios.extend(Scenario(act, version, home) for home in homes)
        return act

    return register


def scenarios():
    """All of them, in the order in which their modules were read."""
    return list(_scenarios)


class Scene:
    """The stage of one scenario. Alice is at home, Bob is away; both are new."""

    def __init__(self, home, away, version):
        self.home = home
        self.away = away
        self.version = version
        self.alice = Person(home, "alice")
        self.bob = Person(away, "bob")

    def create_room(self, **options):
        """Alice's room, without anybody else."""
        return self.alice.create_room(self.version, **options)

    def meet(self, **options):
        """Alice's room with Bob in it, who was invited; both know that both are there."""
        alice, bob = self.alice, self.bob
        room = self.create_room(invite=[bob.user_id], **options)
        self.enter(room)
        return room

    def enter(self, room):
        """Bob, who is invited, joins, and both see it."""
        alice, bob = self.alice, self.bob
        bob.await_membership(room, "invite")
        bob.join(room, via=[alice])
        alice.await_member(room, bob, "join")
        bob.await_member(room, alice, "join")
        bob.await_membership(room, "join")


class Unavailable(Exception):
    """This machine does not have what the scenario needs."""


def pass_on(sender, reader, room, text="a word to wait for"):
    """A message that is waited for: what was sent before it has been dealt with by then."""
    event_id = sender.say(room, text)
    reader.await_event(room, event_id)
    return event_id


def expect_refusal(status, act, *arguments, **options):
    """The request must be refused with this status."""
    try:
        answer = act(*arguments, **options)
    except Refused as refused:
        assert refused.status == status, f"{refused} instead of {status}"
        return refused
    raise AssertionError(f"{arguments} was not refused, but answered with {answer}")


def check_equal(found, wanted, what):
    assert found == wanted, f"{what}:\n  found  {found}\n  wanted {wanted}"
