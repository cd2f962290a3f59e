"""Servers for the tests."""

import contextlib

import pytest

import tamis


@pytest.fixture
def serve(tmp_path_factory):
    """Starts servers, which end with the test, and then with status 0. See tamis.Server for what can be chosen."""
    started = []

    def start(**options):
        server = tamis.Server(tmp_path_factory.mktemp("server"), **options)
        started.append(server)
        return server

    with contextlib.ExitStack() as ends:
        yield start
        for server in started:
            ends.callback(server.end)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that tests share: it knows the corpus, and remembers its scores."""
    server = tamis.Server(tmp_path_factory.mktemp("server"))
    yield server
    server.end()


@pytest.fixture
def connection(server):
    """A connection to the shared server."""
    with server.connect() as connection:
        yield connection


@pytest.fixture(scope="session")
def few(server):
    """Scores a few rows of the corpus once, so that the tests that look at them are quick."""
    with server.connect() as connection:
        return tamis.table(connection, f"SELECT uid, unifilter(image, text) AS quality FROM corpus {tamis.FEW} ORDER BY uid")
