"""Scenarios: a server that is somewhere else than its name says.

Port 443 of this machine is needed for that: where it cannot be had, the scenarios are not run.
"""

import contextlib
import shutil
import socket

from belfry import Belfry
from person import Person
from process import free_ports
from scene import Unavailable, check_equal, pass_on, scenario

# Where the file is looked for that says where a server is. No server may say otherwise.
WELL_KNOWN_PORT = 443
# What the server is called: a name without a port, which is that of this machine.
NAME = "localhost"


def _check_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", WELL_KNOWN_PORT))
        except OSError as error:
            raise Unavailable(f"port {WELL_KNOWN_PORT} cannot be had: {error.strerror}") from None


@contextlib.contextmanager
def _delegated(certificates):
    """A third server, which says at port 443 that it speaks to others at another."""
    _check_port()
    port, client_port = free_ports(2)
    here = f'well_known.server = "{NAME}:{port}"'
    server = Belfry(port, client_port, certificates, NAME, [WELL_KNOWN_PORT], here)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.end()
        shutil.rmtree(server.folder)


@scenario()
def delegated(scene):
    """Alice invites Bob, whose server is found by its `.well-known` file, and they talk."""
    with _delegated(scene.home.certificates) as server:
        bob = Person(server, "bob")
        check_equal(bob.user_id.split(":", 1)[1], NAME, "the server's name")
        alice = scene.alice
        room = scene.create_room(invite=[bob.user_id])
        bob.await_membership(room, "invite")
        bob.join(room, via=[alice])
        alice.await_member(room, bob, "join")
        pass_on(alice, bob, room)
        pass_on(bob, alice, room)
