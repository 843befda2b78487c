"""Belfry and a real Synapse over TLS: runs every scenario with either server at home, says which
passed, and ends both servers by their ids.

`failing` names the scenarios that are known to fail, with the reason. Such a one counts as skipped
while it fails; one that passes must leave the list, so it counts as failed. Nothing is retried.

    main.py LOGS [PART...]    LOGS is where the logs of scenarios that failed are put; with PARTs only
                              scenarios run whose name has one of them
"""

import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

# Each registers its scenarios; outages come last, as they restart the servers.
import joining  # noqa: F401
import talking  # noqa: F401
import finding  # noqa: F401
import passing  # noqa: F401
import keys  # noqa: F401
import trust  # noqa: F401
import delegation  # noqa: F401
import outage  # noqa: F401
from belfry import Belfry
from certificate import Certificates
from process import free_ports
from scene import Scene, Unavailable, scenarios
from synapse import Synapse

FAILING = Path(__file__).with_name("failing")


class Tally:
    """What came of the scenarios."""

    def __init__(self, logs):
        self._logs = logs
        self.passed = self.failed = self.skipped = 0
        self._known = _known_failures()

    def unknown(self, names):
        """Names in the list that no scenario has."""
        return sorted(set(self._known) - set(names))

    def take(self, name, error, servers, seconds):
        """One scenario has ended, with an error or without."""
        known = self._known.get(name)
        if isinstance(error, Unavailable):
            self.skipped += 1
            print(f"test {name} ... ignored, {error} ({seconds:.1f} s)", flush=True)
            return
        if error is None and known is None:
            self.passed += 1
            verdict = "ok"
        elif error is None:
            self.failed += 1
            verdict = "FAILED: it passes, so take it off the list of failing ones"
        elif known is not None:
            self.skipped += 1
            verdict = f"ignored, {known}"
        else:
            self.failed += 1
            verdict = "FAILED"
        print(f"test {name} ... {verdict} ({seconds:.1f} s)", flush=True)
        if error is not None:
            self._keep(name, error, servers, quiet=known is not None)

    def _keep(self, name, error, servers, quiet):
        text = "".join(traceback.format_exception(error))
        folder = self._logs / name.replace("/", "-")
        folder.mkdir(parents=True)
        (folder / "error").write_text(text)
        for server in servers:
            (folder / f"{server.make}.log").write_text(server.marked_log())
        if not quiet:
            print(f"{text}The servers' logs of it: {folder}", flush=True)


def _known_failures():
    """The list: a name and a reason on a line."""
    known = {}
    for line in FAILING.read_text().splitlines():
        if line and not line.startswith("#"):
            name, reason = line.split("\t", 1)
            known[name] = reason
    return known


def run(scenario, servers):
    """Runs one scenario; the error with which it ended, if it did."""
    home, away = sorted(servers, key=lambda server: server.make != scenario.home)
    try:
        for server in servers:
            server.ensure_running()
            server.mark_log()
        scenario.act(Scene(home, away, scenario.version))
    except Exception as error:  # Whatever it is, it is the result.
        return error
    return None


def check_log(server):
    """Belfry finds no fault in itself, whatever the other server did or did not do."""
    faults = [line for line in server.log().splitlines() if " ERROR " in line]
    if faults:
        return AssertionError("the log has errors:\n" + "\n".join(faults[:10]))
    return None


def run_all(servers, chosen, logs):
    tally = Tally(logs)
    for scenario in chosen:
        begin = time.monotonic()
        error = run(scenario, servers)
        tally.take(scenario.name, error, servers, time.monotonic() - begin)
    for server in servers:
        server.mark_log()
    tally.take("log/belfry", check_log(servers[0]), servers, 0)
    return tally


def choose(parts):
    everything = scenarios()
    return [each for each in everything if not parts or any(part in each.name for part in parts)]


def main(logs, parts):
    # Whoever ends us must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    ports = free_ports(4)
    certificates = Certificates(logs)
    servers = []
    try:
        servers.append(Belfry(*ports[:2], certificates))
        servers.append(Synapse(*ports[2:], certificates))
        tally = run_all(servers, choose(parts), logs)
    finally:
        for server in servers:
            server.end()
            shutil.rmtree(server.folder)
        certificates.key.unlink()
    names = [each.name for each in scenarios()] + ["log/belfry"]
    for name in tally.unknown(names):
        tally.failed += 1
        print(f"test {name} ... FAILED: it is listed as failing, and there is no such scenario")
    verdict = "FAILED" if tally.failed else "ok"
    counts = f"{tally.passed} passed; {tally.failed} failed; {tally.skipped} ignored"
    print(f"\ntest result: {verdict}. {counts}")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
