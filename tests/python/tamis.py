"""Running the command and its server, and asking the server."""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi
from adbc_driver_flightsql import DatabaseOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAMIS = os.environ.get("TAMIS", str(ROOT / "target/debug/tamis"))
CAPTIONS = "examples/corpus/captions.parquet"
CORPUS = f"corpus={CAPTIONS}"
CORPUS_ROWS = 242
# Rows whose pictures are small: scored in a second or two.
FEW = "WHERE width <= 96"
# What the machine's owner has set must not decide what a test sees.
HIDDEN = re.compile(r"^(TAMIS_|HF_|RUST_LOG$|XDG_CACHE_HOME$)")


def environment(cache, **more):
    kept = {name: value for name, value in os.environ.items() if not HIDDEN.match(name)}
    return kept | {"XDG_CACHE_HOME": str(cache)} | more


def tamis(*args, cache, **options):
    """Runs the command to its end."""
    command = [TAMIS, *args]
    return subprocess.run(command, cwd=ROOT, env=environment(cache), text=True, capture_output=True, timeout=120, **options)


def wait_until(condition, what, seconds=20):
    """Waits until the condition holds, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found


class Server:
    """A `tamis serve` of its own process, from the repository's root, with a cache folder of its own."""

    def __init__(self, folder, args=(), tables=(CORPUS,), config=None, bind="127.0.0.1:0", env=None):
        self.folder = folder
        command = [TAMIS, "serve", "--bind", bind, *args]
        for table in tables:
            command += ["--table", table]
        if config is not None:
            (folder / "tamis.toml").write_text(config)
            command += ["--config", str(folder / "tamis.toml")]
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(folder / "cache", **(env or {})),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            self.address = wait_until(self._address, "the server is ready", 30)
        except BaseException:
            self.process.kill()
            raise

    def _address(self):
        assert self.process.poll() is None, f"the server has ended: {self.log()}"
        ready = re.search(r"ready: listening at https?://(\S+)\n", self.log())
        return ready and ready[1]

    def log(self):
        return self.stderr.read_text(errors="replace")

    @property
    def uri(self):
        return f"grpc://{self.address}"

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def end(self):
        """Ends the server as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert status == 0, self.log()
        assert "panicked" not in self.log(), self.log()

    def connect(self, user=None, password=None, token=None, **options):
        """A connection of the ADBC driver; one that asks for no credentials if none are given."""
        if user is not None:
            options |= {"username": user, "password": password}
        if token is not None:
            options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
        return adbc_driver_flightsql.dbapi.connect(self.uri, db_kwargs=options, autocommit=True)

    def rest(self, path, user=None, password=None, token=None):
        """The status and the text of a REST answer."""
        request = urllib.request.Request(f"http://{self.address}{path}")
        if user is not None:
            credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path):
        status, text = self.rest(path)
        assert status == 200, text
        return json.loads(text)

    def tasks_running(self):
        return sum(executor["tasks_running"] for executor in self.json("/api/progress")["executors"])

    def memory(self):
        """The bytes of memory that the process has had at most."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


def rows(connection, sql, parameters=None):
    """The rows of a query as dictionaries."""
    return table(connection, sql, parameters).to_pylist()


def table(connection, sql, parameters=None):
    """The result of a query as an Arrow table."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def value(connection, sql, parameters=None):
    """The only value of a query."""
    [row] = rows(connection, sql, parameters)
    [only] = row.values()
    return only


# Scores the corpus a thousand times, no two times the same: it takes minutes.
LONG = (
    "SELECT c.uid, unifilter(c.image, c.text || CAST(n.value AS VARCHAR)) AS quality "
    "FROM corpus c CROSS JOIN generate_series(1, 1000) n"
)
