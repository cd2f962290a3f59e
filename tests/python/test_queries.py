"""Results, schemas, what the server tells of itself, options, EXPLAIN and errors."""

import json
import re
import statistics
import time

import adbc_driver_manager
import pyarrow
import pyarrow.parquet
import pytest

from tamis import CAPTIONS, CORPUS_ROWS, FEW, rows, table, tamis, value


def test_scores_are_those_of_the_local_command(connection, few, tmp_path):
    query = f"SELECT uid, text, width, unifilter(image, text) AS quality FROM {{}} {FEW} ORDER BY uid"
    found = rows(connection, query.format("corpus"))
    local = tamis("sql", "-q", "--format", "ndjson", "-c", query.format(f"'{CAPTIONS}'"), cache=tmp_path)
    assert local.returncode == 0, local.stderr
    expected = [json.loads(line) for line in local.stdout.splitlines()]
    assert len(found) == len(expected) == few.num_rows > 20
    assert any(row["quality"] is None for row in expected) and any(row["quality"] is not None for row in expected)
    for row, other in zip(found, expected):
        # JSON leaves out what is NULL.
        other = dict.fromkeys(row) | other
        assert row.keys() == other.keys()
        assert row.pop("quality") == pytest.approx(other.pop("quality"), abs=1e-5)
        assert row == other


def test_images_come_as_they_lie_in_the_file(connection):
    images = table(connection, "SELECT uid, image FROM corpus ORDER BY uid")
    expected = pyarrow.parquet.read_table(CAPTIONS, columns=["uid", "image"]).sort_by("uid")
    # Byte strings have offsets of 64 bits, so that a sort or a group may hold more than 2 GiB of them.
    assert images["image"].type == pyarrow.large_binary()
    assert images["image"].combine_chunks().equals(expected["image"].cast(pyarrow.large_binary()).combine_chunks())


def test_dictionaries_are_sent_as_their_values(connection, tmp_path):
    words = pyarrow.array(["sea", "cat", None, "sea"]).dictionary_encode()
    lists = pyarrow.array([["a", "b"], None, [], ["a"]], pyarrow.large_list(pyarrow.string()))
    folder = tmp_path / "label=x"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3, 4], "word": words, "list": lists}), folder / "a.parquet")
    found = table(connection, f"SELECT n, word, list, label FROM '{tmp_path}' ORDER BY n")
    assert found["word"].to_pylist() == ["sea", "cat", None, "sea"]
    assert found["list"].to_pylist() == lists.to_pylist()
    assert found["label"].to_pylist() == ["x"] * 4
    assert found.schema.field("word").type == pyarrow.string()
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(f"SELECT word FROM '{tmp_path}'")
    assert schema.types == [pyarrow.string()]


def test_an_empty_result_has_its_columns(connection):
    empty = table(connection, "SELECT uid, width FROM corpus WHERE width < 0")
    assert empty.num_rows == 0
    assert empty.schema.names == ["uid", "width"]


def test_the_schema_comes_before_the_result(connection):
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT uid, width, unifilter(image, text) AS quality FROM corpus")
    assert schema.names == ["uid", "width", "quality"]
    assert schema.types == [pyarrow.string(), pyarrow.int32(), pyarrow.float32()]


def test_catalogs_schemas_tables_and_columns(connection):
    [catalog] = connection.adbc_get_objects(depth="catalogs").read_all().to_pylist()
    assert catalog["catalog_name"] == "datafusion"
    [catalog] = connection.adbc_get_objects(depth="db_schemas").read_all().to_pylist()
    assert "public" in [schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]]

    def tables(**options):
        found = connection.adbc_get_objects(**options).read_all().to_pylist()
        schemas = [schema for catalog in found for schema in catalog["catalog_db_schemas"] or []]
        return [table for schema in schemas for table in schema["db_schema_tables"] or []]

    [corpus] = tables(depth="tables", table_name_filter="corpus")
    assert (corpus["table_name"], corpus["table_type"]) == ("corpus", "TABLE")
    [corpus] = tables(depth="all", table_name_filter="corp%")
    columns = [column["column_name"] for column in corpus["table_columns"]]
    assert columns == pyarrow.parquet.read_schema(CAPTIONS).names
    [corpus] = tables(depth="all", table_name_filter="corpus", column_name_filter="image")
    assert [column["column_name"] for column in corpus["table_columns"]] == ["image"]
    assert tables(depth="tables", table_name_filter="nothing") == []
    # Byte strings are large, and any text may be NULL: one that is not UTF-8 is, where a model reads it.
    read = connection.adbc_get_table_schema("corpus")
    for field, expected in zip(read, pyarrow.parquet.read_schema(CAPTIONS), strict=True):
        is_image = expected.type == pyarrow.binary()
        assert (field.name, field.type) == (expected.name, pyarrow.large_binary() if is_image else expected.type)
        assert field.nullable or not (expected.nullable or expected.type == pyarrow.string())


def test_table_types_and_what_the_server_is(connection):
    assert {"TABLE", "VIEW"} <= set(connection.adbc_get_table_types())
    info = connection.adbc_get_info()
    assert info["vendor_name"] and info["vendor_version"]


def test_options_belong_to_a_connection(server, connection):
    with server.connect() as other:
        before = rows(other, "SHOW tamis.scoring.on_error")
        assert before == [{"name": "tamis.scoring.on_error", "value": "null"}]
        with connection.cursor() as cursor:
            cursor.execute("SET tamis.scoring.on_error = 'fail'")
        assert rows(connection, "SHOW tamis.scoring.on_error") == [{"name": "tamis.scoring.on_error", "value": "fail"}]
        assert rows(other, "SHOW tamis.scoring.on_error") == before


def test_options_last_as_long_as_the_connection(connection):
    with connection.cursor() as cursor:
        cursor.execute("SET tamis.scoring.prefetch = 7")
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute("SHOW tamis.scoring.prefetch")
            assert cursor.fetchall() == [("tamis.scoring.prefetch", "7")]


def test_explain_shows_that_scores_are_a_node_of_the_plan(connection):
    plans = {row["plan_type"]: row["plan"] for row in rows(connection, "EXPLAIN SELECT uid, unifilter(image, text) FROM corpus")}
    assert {"logical_plan", "physical_plan"} <= plans.keys()
    assert "ScoreExec: unifilter(" in plans["physical_plan"]


def counters(connection, query):
    """The counters of the only ScoreExec in EXPLAIN ANALYZE, as they are written."""
    [row] = rows(connection, f"EXPLAIN ANALYZE {query}")
    [line] = [line for line in row["plan"].splitlines() if "ScoreExec:" in line]
    return dict(re.findall(r"(\w+)=([^,\]]+)", line.split("metrics=[")[1]))


def test_explain_analyze_counts_model_calls(connection):
    query = f"SELECT uid, unifilter(image, text) AS quality FROM corpus {FEW} AND level IS NULL"
    expected = rows(connection, query)
    with connection.cursor() as cursor:
        cursor.execute("SET tamis.cache.path = 'off'")
    found = counters(connection, query)
    # Plain integers: 1200, not 1.20 K.
    counted = {name: int(found[name]) for name in ("model_calls", "rows_scored", "cache_hits", "rows_failed")}
    failed = sum(row["quality"] is None for row in expected)
    assert int(found["output_rows"]) == len(expected)
    assert counted["rows_failed"] == failed
    assert counted["cache_hits"] == 0
    assert 0 < counted["model_calls"] <= counted["rows_scored"] <= len(expected) - failed


def test_explain_analyze_counts_remembered_scores(connection, few):
    found = counters(connection, f"SELECT uid, unifilter(image, text) AS quality FROM corpus {FEW}")
    assert (int(found["model_calls"]), int(found["rows_scored"])) == (0, 0)
    assert 0 < int(found["cache_hits"]) <= few.num_rows


@pytest.mark.parametrize(
    "query, told",
    [
        ("SELECT nope FROM corpus", "No field named nope"),
        ("SELECT * FROM nope", "table 'nope' not found"),
        ("SELECT * FROM '/nowhere/at_all.parquet'", "no such file or folder: /nowhere/at_all.parquet"),
        ("SELEC uid FROM corpus", "line 1, column 1: Expected: an SQL statement, found: SELEC"),
        ("SELECT unifilter(width, text) FROM corpus", "unifilter"),
        ("SELECT CAST(text AS INT) FROM corpus", "Cannot cast string"),
        ("SET tamis.nope = 1", "no session option tamis.nope"),
        ("SET tamis.scoring.on_error = 'perhaps'", "perhaps"),
        ("INSERT INTO corpus SELECT * FROM corpus", "does not support INSERT"),
    ],
)
def test_errors_say_what_is_wrong(connection, query, told):
    with pytest.raises(adbc_driver_manager.Error) as raised:
        rows(connection, query)
    assert told in str(raised.value)
    assert "panicked" not in str(raised.value)
    assert value(connection, "SELECT count(*) FROM corpus") == CORPUS_ROWS


def test_rows_that_cannot_be_scored_fail_a_query_that_asks_for_it(connection):
    with connection.cursor() as cursor:
        cursor.execute("SET tamis.scoring.on_error = 'fail'")
    with pytest.raises(adbc_driver_manager.Error) as raised:
        rows(connection, f"SELECT uid, unifilter(image, text) FROM corpus {FEW} OR width IS NULL")
    said = str(raised.value)
    assert "unifilter" in said and "image" in said
    # A sentence for people, not how Rust shows a value.
    assert not re.search(r"\bDataFusionError\(|\bExternal\(|RowFailed \{", said), said


def test_small_queries_are_answered_at_once(connection):
    def seconds(query):
        began = time.monotonic()
        rows(connection, query)
        return time.monotonic() - began

    for query in ("SELECT 1", "SELECT uid FROM corpus ORDER BY width LIMIT 3"):
        assert statistics.median(seconds(query) for _ in range(7)) < 0.5, query
