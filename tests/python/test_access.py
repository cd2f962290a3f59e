"""Who may ask, and what they get that may not."""

import re
import select
import socket
import time

import adbc_driver_manager
import pyarrow.flight
import pytest

from tamis import CORPUS, CORPUS_ROWS, Server, rows, tamis, value, wait_until

PASSWORDS = {"ada": "engine", "bob": "it's a : \"secret\""}


class Guarded:
    """A server with users, and what these log in with."""

    def __init__(self, folder, args=()):
        config, self.tokens = [], {}
        for name, password in PASSWORDS.items():
            hashed = tamis("user", "password", cache=folder, input=f"{password}\n")
            assert hashed.returncode == 0 and hashed.stdout.startswith('password = "$argon2id$'), hashed
            token = tamis("user", "token", cache=folder)
            assert token.returncode == 0, token
            self.tokens[name] = re.search(r"\b[0-9a-f]{32,}\b", token.stdout)[0]
            hashes = re.search(r"^tokens = .*$", token.stdout, re.M)[0]
            config += ["[[users]]", f'name = "{name}"', hashed.stdout.strip(), hashes, ""]
        config += ["[access]", 'models = "any"']
        self.server = Server(folder, args=args, config="\n".join(config))

    def log_in(self, name):
        return self.server.connect(user=name, password=PASSWORDS[name])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    yield guarded
    guarded.server.end()


def count(connection):
    """The rows of the corpus, counted by executors."""
    return value(connection, "SELECT count(*) FROM corpus WHERE length(uid) > 0")


def test_a_user_logs_in_with_a_password_or_a_token(guarded):
    for name in PASSWORDS:
        with guarded.log_in(name) as connection:
            assert count(connection) == CORPUS_ROWS
        with guarded.server.connect(token=guarded.tokens[name]) as connection:
            assert count(connection) == CORPUS_ROWS


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"user": "ada", "password": "Engine"},
        {"user": "ada", "password": ""},
        {"user": "eve", "password": "engine"},
        {"token": "0" * 64},
        {"token": "engine"},
    ],
    ids=str,
)
def test_others_are_refused(guarded, credentials):
    with pytest.raises(adbc_driver_manager.Error) as raised:
        with guarded.server.connect(**credentials) as connection:
            count(connection)
    assert raised.value.status_code in (
        adbc_driver_manager.AdbcStatusCode.UNAUTHENTICATED,
        adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED,
    )
    assert "credentials" in str(raised.value)


def test_metadata_and_prepared_statements_are_guarded_too(guarded):
    with guarded.server.connect() as connection:
        for asked in (
            lambda: connection.adbc_get_objects(depth="all").read_all(),
            lambda: connection.adbc_get_table_types(),
            lambda: connection.adbc_get_table_schema("corpus"),
            lambda: connection.cursor().adbc_prepare("SELECT 1"),
        ):
            with pytest.raises(adbc_driver_manager.Error, match="credentials"):
                asked()


@pytest.fixture
def brief(tmp_path):
    """The same, with sessions of a second."""
    guarded = Guarded(tmp_path, args=["--session", "1"])
    yield guarded
    guarded.server.end()


def test_a_session_ends(brief):
    def is_over():
        try:
            rows(connection, "SHOW tamis.cache.path")
        except adbc_driver_manager.Error as error:
            assert "log in again" in str(error)
            return True

    began = time.monotonic()
    with brief.log_in("ada") as connection:
        assert not is_over()
        wait_until(is_over, "the session ends", 10)
        assert time.monotonic() - began >= 1
    with brief.log_in("ada") as connection:
        assert not is_over()
    # A token of the configuration is good for as long as it stands there.
    with brief.server.connect(token=brief.tokens["ada"]) as connection:
        assert count(connection) == CORPUS_ROWS


def test_options_of_one_user_are_not_those_of_another(guarded):
    with guarded.log_in("ada") as ada, guarded.log_in("bob") as bob, guarded.log_in("ada") as again:
        with ada.cursor() as cursor:
            cursor.execute("SET tamis.scoring.prefetch = 7")
        assert rows(ada, "SHOW tamis.scoring.prefetch")[0]["value"] == "7"
        assert rows(bob, "SHOW tamis.scoring.prefetch")[0]["value"] == "64"
        assert rows(again, "SHOW tamis.scoring.prefetch")[0]["value"] == "64"


@pytest.mark.parametrize("path", ["/api/state", "/api/executors", "/api/jobs", "/api/progress", "/metrics"])
def test_rest_asks_for_credentials(guarded, path):
    server = guarded.server
    status, text = server.rest(path)
    assert status == 401 and "credentials" in text
    # The right password that follows lets wrong ones be forgotten.
    assert server.rest(path, user="bob", password="wrong")[0] == 401
    assert server.rest(path, token="0" * 64)[0] == 401
    assert server.rest(path, user="bob", password=PASSWORDS["bob"])[0] == 200
    assert server.rest(path, token=guarded.tokens["ada"])[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_seen_by_anyone(guarded, path):
    assert guarded.server.rest(path)[0] == 200


def test_the_configuration_of_a_query_is_not_shown(guarded):
    with guarded.log_in("ada") as connection:
        count(connection)
    ada = {"user": "ada", "password": PASSWORDS["ada"]}
    job = re.search(r'"job_id":"([^"]+)"', guarded.server.rest("/api/jobs", **ada)[1])[1]
    assert guarded.server.rest(f"/api/job/{job}", **ada)[0] == 200
    for path in (f"/api/job/{job}/config", f"/api/job/{job}/config/", f"/api/job/{job}/%63onfig", f"/api//job/{job}/config"):
        assert guarded.server.rest(path)[0] in (401, 404), path
        status, text = guarded.server.rest(path, **ada)
        assert status in (403, 404), (path, text)
    status, text = guarded.server.rest(f"/api/job/{job}/config", **ada)
    assert status == 403 and "secrets" in text


def test_what_is_told_of_a_query_does_not_hold_its_configuration(guarded):
    ada = {"user": "ada", "password": PASSWORDS["ada"]}
    with guarded.server.connect(token=guarded.tokens["ada"]) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET tamis.model.mine = 's3://key:sesame@bucket/model'")
        count(connection)
    jobs = re.findall(r'"job_id":"([^"]+)"', guarded.server.rest("/api/jobs", **ada)[1])
    assert jobs
    for job in jobs:
        for path in ("", "/stages", "/dot", "/progress"):
            assert "sesame" not in guarded.server.rest(f"/api/job/{job}{path}", **ada)[1], path


def test_no_secret_is_in_the_log(guarded):
    with guarded.log_in("bob") as connection:
        count(connection)
    log = guarded.server.log()
    assert " begins: " in log
    for secret in (*PASSWORDS.values(), *guarded.tokens.values()):
        assert secret not in log


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_an_open_address_needs_users(tmp_path, address):
    refused = tamis("serve", "--bind", f"{address}:0", "--table", CORPUS, cache=tmp_path)
    assert refused.returncode == 2, refused
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert line.startswith("error: ") and "credentials" in line and "--insecure" in line


def test_an_open_address_without_users_is_an_explicit_choice(serve):
    server = serve(bind="0.0.0.0:0", args=["--insecure"])
    server.address = f"127.0.0.1:{server.port}"
    with server.connect() as connection:
        assert count(connection) == CORPUS_ROWS


# Tickets, written by hand: what the protocol calls TicketStatementQuery, and what Ballista's executors understand.


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    """A field of a Protobuf message: a number, or what has a length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def statement(handle):
    kind = "type.googleapis.com/arrow.flight.protocol.sql.TicketStatementQuery"
    return field(1, kind) + field(2, field(1, handle))


def fetch(host, port):
    """Ballista's order to fetch the partition of a job from an executor."""
    partition = field(1, "a-job") + field(2, 1) + field(3, 0) + field(5, host) + field(6, port)
    return field(3, partition)


def tickets(port):
    order = fetch("127.0.0.1", port)
    kind = "type.googleapis.com/ballista.protobuf.Action"
    return {
        "as the frontend makes them": statement(b"\0" + order),
        "a local result": statement(b"\1" + b"a-result"),
        "without a tag": statement(order),
        "the order itself": order,
        "the order with its type": field(1, kind) + field(2, order),
        "nothing": b"",
        "text": b"tamis",
    }


@pytest.fixture
def trap():
    """A socket that nobody may come to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def was_visited(listening):
    return bool(select.select([listening], [], [], 0.2)[0])


def bearer(token):
    return pyarrow.flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=15)


@pytest.mark.parametrize("kind", tickets(0))
@pytest.mark.parametrize("is_guarded", [False, True], ids=["open", "guarded"])
def test_a_forged_ticket_leads_nowhere(request, trap, kind, is_guarded):
    server, options = request.getfixturevalue("server"), pyarrow.flight.FlightCallOptions(timeout=15)
    if is_guarded:
        guarded = request.getfixturevalue("guarded")
        server, options = guarded.server, bearer(guarded.tokens["ada"])
    ticket = pyarrow.flight.Ticket(tickets(trap.getsockname()[1])[kind])
    with pyarrow.flight.connect(server.uri) as client:
        with pytest.raises((pyarrow.flight.FlightError, pyarrow.ArrowException)) as raised:
            client.do_get(ticket, options).read_all()
    assert not was_visited(trap)
    assert not isinstance(raised.value, pyarrow.flight.FlightTimedOutError)


def test_the_trap_would_notice(trap):
    with socket.create_connection(trap.getsockname()):
        assert was_visited(trap)


def ask(client, sql, options):
    """The tickets of a query's result."""
    kind = "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    descriptor = pyarrow.flight.FlightDescriptor.for_command(field(1, kind) + field(2, field(1, sql)))
    return [endpoint.ticket for endpoint in client.get_flight_info(descriptor, options).endpoints]


def test_a_ticket_is_for_whom_it_was_made(guarded):
    ada, bob = (bearer(guarded.tokens[name]) for name in ("ada", "bob"))
    nobody = pyarrow.flight.FlightCallOptions(timeout=15)
    with pyarrow.flight.connect(guarded.server.uri) as client:
        [ticket] = ask(client, "SELECT count(*) AS n FROM corpus", ada)
        # Nothing in it tells where the result lies.
        assert b"127.0.0.1" not in ticket.ticket
        for other in (bob, nobody):
            with pytest.raises((pyarrow.flight.FlightError, pyarrow.ArrowException)):
                client.do_get(ticket, other).read_all()
        assert client.do_get(ticket, ada).read_all().to_pylist() == [{"n": CORPUS_ROWS}]


def test_the_executors_own_door_is_shut(guarded, trap):
    ada = {"user": "ada", "password": PASSWORDS["ada"]}
    port = int(re.search(r'"port":(\d+)', guarded.server.rest("/api/executors", **ada)[1])[1])
    with pyarrow.flight.connect(f"grpc://127.0.0.1:{port}") as client:
        for options in (pyarrow.flight.FlightCallOptions(timeout=15), bearer(guarded.tokens["ada"])):
            with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
                client.do_get(pyarrow.flight.Ticket(fetch("127.0.0.1", port)), options).read_all()
