"""Queries that are given up."""

import subprocess
import sys
import threading
import time

import adbc_driver_manager
import pytest

from tamis import CORPUS_ROWS, LONG, value, wait_until


@pytest.fixture
def quiet(serve):
    """A server that nobody else asks, so that no task is another's, and which remembers no scores."""
    return serve(args=["--set", "tamis.cache.path=off"])


def is_cancelled(server):
    jobs = [job["job_status"] for job in server.json("/api/jobs")]
    return any("Cancelled" in job for job in jobs) and not any("Running" in job for job in jobs)


def test_a_query_is_cancelled_from_another_thread(quiet):
    ended = {}

    def run(cursor):
        try:
            cursor.execute(LONG)
            cursor.fetchall()
        except adbc_driver_manager.Error as error:
            ended["error"] = error
        ended["at"] = time.monotonic()

    with quiet.connect() as connection:
        with connection.cursor() as cursor:
            thread = threading.Thread(target=run, args=[cursor])
            thread.start()
            wait_until(lambda: quiet.json("/api/progress")["total"]["rows_scored"], "a row is scored")
            asked = time.monotonic()
            cursor.adbc_cancel()
            thread.join(20)
            assert not thread.is_alive()
        assert ended["error"].status_code == adbc_driver_manager.AdbcStatusCode.CANCELLED
        assert ended["at"] - asked < 3
        wait_until(lambda: not quiet.tasks_running(), "the tasks end", 10)
        wait_until(lambda: is_cancelled(quiet), "its jobs are cancelled", 5)
        # The connection is still good, and nothing is in its way.
        assert value(connection, "SELECT count(*) FROM corpus") == CORPUS_ROWS


CLIENT = """
import sys
import adbc_driver_flightsql.dbapi
connection = adbc_driver_flightsql.dbapi.connect(sys.argv[1], autocommit=True)
cursor = connection.cursor()
cursor.execute(sys.argv[2])
cursor.fetchall()
"""


def test_the_query_of_a_killed_client_ends(quiet):
    client = subprocess.Popen([sys.executable, "-c", CLIENT, quiet.uri, LONG])
    try:
        wait_until(lambda: quiet.json("/api/progress")["total"]["rows_scored"], "a row is scored")
        assert client.poll() is None
    finally:
        client.kill()
        client.wait()
    wait_until(lambda: not quiet.tasks_running(), "the tasks end", 10)
    wait_until(lambda: is_cancelled(quiet), "its jobs are cancelled", 5)
    with quiet.connect() as connection:
        assert value(connection, "SELECT count(*) FROM corpus") == CORPUS_ROWS
