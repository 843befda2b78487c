"""Belfry, as it is shipped, with a configuration for a closed network."""

import json
import os
import selectors
import subprocess
import time

from process import PROCESS_MAX_S, Process, environment

# Limits that would slow scenarios down; they are tested elsewhere.
RATE_LIMITS = (
    "message",
    "registration",
    "login_network",
    "login_account",
    "login_failed",
    "room_creation",
    "join_local",
    "join_room",
    "invite_room",
    "invite_user",
    "invite_issuer",
    "key_claim",
)


class Belfry(Process):
    make = "belfry"

    def __init__(self, port, client_port, certificates, name=None, ports=(), more=""):
        """`port` and `ports` are those on which it speaks to other servers; `name` is its name, if
        that is not where it is; `more` is more of its configuration."""
        super().__init__(name or f"localhost:{port}", client_port)
        self.certificates = certificates
        # Keys that it signed with before.
        self._formers = []
        self.authority = certificates.authority
        self._config = self.folder / "belfry.toml"
        addresses = json.dumps([f"127.0.0.1:{each}" for each in (port, *ports)])
        limits = "\n".join(f'{name} = "off"' for name in RATE_LIMITS)
        self._config.write_text(
            f"""
server_name = "{self.name}"
listen.addresses = ["127.0.0.1:{client_port}"]
listen.tls_addresses = {addresses}
listen.tls_certificate_file = "{certificates.certificate}"
listen.tls_key_file = "{certificates.key}"
accounts.registration = "open"
accounts.password_hash_memory_mib = 8
accounts.password_hash_passes = 1
log.level = "debug"
{more}

[federation]
mode = "on"
allow_private_networks = ["127.0.0.0/8", "::1/128"]
authority_files = ["{certificates.authority}"]
retry_max_minutes = 1

[rate_limits]
{limits}
"""
        )

    def command(self, *words):
        """One command of the program, while the server runs."""
        subprocess.run(
            [os.environ["BELFRY_BIN"], "--config", str(self._config), *words],
            cwd=self.folder,
            env=environment(),
            check=True,
            timeout=PROCESS_MAX_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def change_key(self, line, former):
        """From the next start on it signs with this key; `former` tells of the one before."""
        file = self.folder / "data" / "signing.key"
        assert file.exists(), f"{file} is not where the key is"
        file.write_text(line)
        self._formers.append(former)
        kept = [each for each in self._config.read_text().splitlines() if "former_" not in each]
        place = kept.index("[federation]") + 1
        kept.insert(place, f"former_signing_keys = {json.dumps(self._formers)}")
        self._config.write_text("\n".join(kept) + "\n")

    def _spawn(self, log):
        return subprocess.Popen(
            [os.environ["BELFRY_BIN"], "--config", str(self._config)],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )

    def _wait_ready(self):
        """Reads what it prints until it says where it is, which it does once it listens."""
        deadline = time.monotonic() + PROCESS_MAX_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            said = b""
            while f"http://127.0.0.1:{self.client_port}".encode() not in said:
                assert selector.select(deadline - time.monotonic()), "belfry is not ready in time"
                piece = os.read(self._process.stdout.fileno(), 4096)
                assert piece, f"belfry ended at its start: {self.marked_log()}"
                said += piece
