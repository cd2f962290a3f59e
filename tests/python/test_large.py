"""A result that is larger than the server may hold, read slowly."""

import os
import time

import pyarrow.parquet

from tamis import CAPTIONS, CORPUS_ROWS

MIB = 2**20


def test_a_slow_reader_does_not_fill_the_servers_memory(serve):
    server = serve()
    before = server.memory()
    images = pyarrow.parquet.read_table(CAPTIONS, columns=["image"]).nbytes
    # Less than the result has: about 100 MiB are the program itself and what a query takes that has no result to speak of.
    wanted, allowed = (1000 * MIB, 500 * MIB) if os.environ.get("TAMIS_LARGE") == "1" else (300 * MIB, 250 * MIB)
    times = wanted // images + 1
    count = size = batches = 0
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT a.uid, n.value, a.image FROM corpus a CROSS JOIN generate_series(1, {times}) n")
        for batch in cursor.fetch_record_batch():
            count += batch.num_rows
            size += batch.nbytes
            batches += 1
            # Not to wait for something: the reader is slow.
            if batches % 50 == 0:
                time.sleep(0.2)
    assert count == CORPUS_ROWS * times
    assert size >= wanted
    grown = server.memory() - before
    print(f"{grown / MIB:.0f} MiB for a result of {size / MIB:.0f} MiB")
    assert grown < allowed
