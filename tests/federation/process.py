"""A server as a process: started, asked to stop, and ended by its id; its log, and which part of it
belongs to which scenario. Knows nothing of which make it is."""

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

# How long a server may take to be ready, or to end.
PROCESS_MAX_S = 60


def free_ports(count):
    """Ports of the loopback interface that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Process:
    """One server with its own folder. Whoever inherits says what is run and when it is ready."""

    # The make, as scenarios and logs call it.
    make = ""

    def __init__(self, name, client_port):
        # The name of the server, behind the colon of its users' ids.
        self.name = name
        self.client_port = client_port
        self.folder = Path(tempfile.mkdtemp(prefix=f"federation-{self.make}-"))
        self._log = self.folder / "log"
        self._process = None
        self._marked = 0

    def start(self):
        """Starts it, on the same ports as ever, and waits until it serves."""
        assert self._process is None, f"{self.make} runs already"
        with self._log.open("ab") as log:
            self._process = self._spawn(log)
        self._wait_ready()

    def stop(self):
        """Asks it to end, as a service manager does, and waits until it has."""
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PROCESS_MAX_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.make} does not end; see its log") from None
        assert code == 0, f"{self.make} ended with {code}; see its log"

    def ensure_running(self):
        """Starts it if a scenario that failed has left it stopped."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is None:
            self.start()

    def end(self):
        """Takes it away, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def mark_log(self):
        """What is logged from now on belongs to the next scenario."""
        self._marked = self._log.stat().st_size if self._log.exists() else 0

    def marked_log(self):
        """What was logged since the mark."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(self._marked)
            return log.read().decode(errors="replace")

    def log(self):
        """All that was logged."""
        return self._log.read_text(errors="replace")

    def _died(self):
        return self._process.poll() is not None

    def _spawn(self, log):
        raise NotImplementedError

    def _wait_ready(self):
        raise NotImplementedError


def environment(**more):
    """The environment of a server: ours, without what belongs to whoever started us."""
    env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return env | {"LC_ALL": "C.UTF-8"} | more
