"""A Belfry server for one script: its own data folder, its own port, started, stopped and killed
by its process id. It knows nothing of Matrix clients."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

# How long a server may take to say where it is, or to end; and how long a command may take.
PROCESS_MAX_S = 30


class Server:
    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="belfry-nio-"))
        self._config = self._folder / "belfry.toml"
        self._process = None
        self._port = 0
        # Where it is reached, from its own words.
        self.url = ""
        # The registration token that its first start printed.
        self.first_token = None

    async def start(self):
        """Starts it and waits until it has said where it is. A restart listens on the same port."""
        self._config.write_text(f'listen.addresses = ["127.0.0.1:{self._port}"]\n')
        with (self._folder / "log").open("ab") as log:
            self._process = await self._spawn(stdout=asyncio.subprocess.PIPE, stderr=log)
        first = self._port == 0
        self.url = ""
        await asyncio.wait_for(self._read_greeting(first), PROCESS_MAX_S)
        self._port = int(self.url.rsplit(":", 1)[1])

    async def _read_greeting(self, first):
        """Reads what it prints as far as it matters: a URL and, of an empty server, a token."""
        while not self.url or (first and not self.first_token):
            line = (await self._process.stdout.readline()).decode()
            assert line, f"the server ended without a greeting: {self.log()}"
            if url := re.search(r"http://\S+", line):
                self.url = url.group()
            if token := re.search(r"registration token .* (\S+)$", line):
                self.first_token = token.group(1)

    async def command(self, *arguments):
        """Runs a command of the program beside the running server; what it printed."""
        process = await self._spawn(*arguments, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), PROCESS_MAX_S)
        assert process.returncode == 0, f"{arguments} failed"
        return out.decode().strip()

    async def stop(self):
        """Asks it to end, as a service manager does. It must end well."""
        assert await self._end(signal.SIGTERM) == 0, self.log()

    async def kill(self):
        """Takes it away in the middle of whatever it does."""
        assert await self._end(signal.SIGKILL) == -signal.SIGKILL

    async def _end(self, number):
        process, self._process = self._process, None
        process.send_signal(number)
        # Until the pipe is read to its end, the process does not count as ended.
        ended = asyncio.gather(process.wait(), process.stdout.read())
        return (await asyncio.wait_for(ended, PROCESS_MAX_S))[0]

    def log(self):
        return (self._folder / "log").read_text()

    async def clear(self):
        """Ends what runs and removes what it left, whatever happened before."""
        if self._process and self._process.returncode is None:
            await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _spawn(self, *arguments, **streams):
        env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        return await asyncio.create_subprocess_exec(
            os.environ["BELFRY_BIN"],
            "--config",
            str(self._config),
            *arguments,
            cwd=self._folder,
            env=env | {"LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            **streams,
        )
