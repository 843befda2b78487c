"""Synapse, from PyPI, with a configuration for a closed network: it believes the test's authority
besides no other, looks at no certificate less closely than it does in the world, and asks no
notary."""

import json
import select
import socket
import subprocess
import sys
import time

from process import PROCESS_MAX_S, Process, environment

# So high that no scenario meets it.
UNLIMITED = {"per_second": 100000, "burst_count": 100000}


class Synapse(Process):
    make = "synapse"

    def __init__(self, port, client_port, certificates):
        super().__init__(f"127.0.0.1:{port}", client_port)
        self.certificates = certificates
        self.authority = certificates.authority
        self._notices = self.folder / "notify"
        self._config = self.folder / "homeserver.yaml"
        # JSON is YAML as well.
        log = self.folder / "log.yaml"
        log.write_text(json.dumps(_log_settings()))
        settings = _settings(self.name, self.folder) | _federation(certificates) | _limits()
        settings["log_config"] = str(log)
        settings["listeners"] = [
            _listener(client_port, "client", tls=False),
            _listener(port, "federation", tls=True),
        ]
        self._config.write_text(json.dumps(settings))
        self._run("--generate-keys")

    def _run(self, *arguments):
        subprocess.run(
            [*self._command(), *arguments],
            cwd=self.folder,
            env=environment(),
            check=True,
            timeout=PROCESS_MAX_S,
            stdout=subprocess.DEVNULL,
        )

    def _command(self):
        return [sys.executable, "-m", "synapse.app.homeserver", "--config-path", str(self._config)]

    def _spawn(self, log):
        self._notices.unlink(missing_ok=True)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(self._notices))
        return subprocess.Popen(
            self._command(),
            cwd=self.folder,
            env=environment(NOTIFY_SOCKET=str(self._notices)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def _wait_ready(self):
        """Waits for the word that service managers wait for."""
        deadline = time.monotonic() + PROCESS_MAX_S
        with self._notified:
            while not self._notified_ready():
                assert not self._died(), f"synapse ended at its start: {self.marked_log()}"
                assert time.monotonic() < deadline, "synapse is not ready in time"

    def _notified_ready(self):
        readable, _, _ = select.select([self._notified], [], [], 0.2)
        return bool(readable) and b"READY=1" in self._notified.recv(4096)


def _listener(port, resource, tls):
    return {
        "port": port,
        "type": "http",
        "tls": tls,
        "bind_addresses": ["127.0.0.1"],
        "resources": [{"names": [resource] if resource == "federation" else ["client", "media"]}],
    }


def _settings(name, folder):
    return {
        "server_name": name,
        "pid_file": str(folder / "pid"),
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": "r",
        "macaroon_secret_key": "m",
        "form_secret": "f",
        "report_stats": False,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "url_preview_enabled": False,
    }


def _federation(certificates):
    return {
        "tls_certificate_path": str(certificates.certificate),
        "tls_private_key_path": str(certificates.key),
        "federation_verify_certificates": True,
        "federation_custom_ca_list": [str(certificates.authority)],
        "ip_range_blacklist": [],
        "trusted_key_servers": [],
        "allow_public_rooms_over_federation": True,
        "room_list_publication_rules": [{"action": "allow"}],
        # Milliseconds. A server that was away is tried again whenever there is something to tell,
        # so that an outage in a scenario does not last for minutes.
        "federation": {
            "client_timeout": 10000,
            "max_short_retries": 1,
            "max_short_retry_delay": 100,
            "max_long_retries": 1,
            "max_long_retry_delay": 100,
            "destination_min_retry_interval": 1,
            "destination_max_retry_interval": 1,
        },
    }


def _limits():
    names = ["rc_message", "rc_registration", "rc_joins_per_room", "rc_room_creation"]
    limits = {name: UNLIMITED for name in [*names, "rc_key_requests", "rc_reports"]}
    limits["rc_login"] = {name: UNLIMITED for name in ("address", "account", "failed_attempts")}
    limits["rc_joins"] = {"local": UNLIMITED, "remote": UNLIMITED}
    limits["rc_invites"] = {name: UNLIMITED for name in ("per_room", "per_user", "per_issuer")}
    limits["rc_presence"] = {"per_user": UNLIMITED}
    limits["rc_federation"] = {"sleep_limit": 100000, "reject_limit": 100000, "concurrent": 100}
    return limits


def _log_settings():
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["stream"]},
        "disable_existing_loggers": False,
    }
