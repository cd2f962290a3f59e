"""Prepared statements with parameters."""

import datetime
import decimal
import math

import adbc_driver_manager
import pyarrow
import pytest

from tamis import CORPUS_ROWS, FEW, rows, value


def test_a_threshold_is_a_parameter(connection, few):
    query = f"SELECT uid FROM corpus {FEW} AND unifilter(image, text) >= ? ORDER BY uid"
    scores = few.to_pylist()
    with connection.cursor() as cursor:
        for threshold in (0.0, 1.5, 2):
            cursor.execute(query, (threshold,))
            kept = [uid for (uid,) in cursor.fetchall()]
            assert kept == [row["uid"] for row in scores if row["quality"] is not None and row["quality"] >= threshold]


@pytest.mark.parametrize(
    "given",
    [
        0,
        -(2**63),
        2**63 - 1,
        1.5,
        -1e-9,
        1e300,
        math.inf,
        -math.inf,
        math.nan,
        "",
        "it's \"quoted\"; DROP TABLE corpus --",
        "back\\slash, new\nline, ?, $1, 日本語 \N{GRINNING FACE}",
        b"\x00\xff'",
        b"",
        True,
        False,
        None,
        datetime.date(2026, 2, 28),
        datetime.datetime(1999, 12, 31, 23, 59, 59, 123456),
        decimal.Decimal("-12.50"),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was_given(connection, given):
    found = value(connection, "SELECT ? AS given", (given,))
    if isinstance(given, float) and math.isnan(given):
        assert math.isnan(found)
    else:
        assert found == given


def test_parameters_of_several_types_go_to_their_places(connection):
    query = "SELECT count(*) FROM corpus WHERE (width > ? OR ?) AND (text <> ? OR text IS NULL) AND (level = ? OR ? IS NULL)"
    assert value(connection, query, (0, True, "it's", None, None)) == CORPUS_ROWS
    assert value(connection, query, (100, False, "it's", 3, "x")) == value(
        connection, "SELECT count(*) FROM corpus WHERE width > 100 AND level = 3"
    )
    assert rows(connection, "SELECT $2 AS b, $1 AS a, $2 AS c", (1, "two")) == [{"b": "two", "a": 1, "c": "two"}]


def test_text_in_quotes_is_compared_as_it_is(connection):
    text = value(connection, "SELECT min(text) FROM corpus WHERE text LIKE '%''%'")
    assert "'" in text
    assert value(connection, "SELECT count(*) FROM corpus WHERE text = ?", (text,)) >= 1
    assert value(connection, "SELECT count(*) FROM corpus WHERE text = ?", ("' OR '1' = '1",)) == 0


def test_a_prepared_statement_tells_its_parameters(connection):
    with connection.cursor() as cursor:
        schema = cursor.adbc_prepare("SELECT uid FROM corpus WHERE width > ? AND text = ?")
    assert schema.types == [pyarrow.int32(), pyarrow.string()]


@pytest.mark.parametrize("given", [(), (1,), (1, 2, 3)], ids=len)
def test_the_wrong_number_of_parameters_is_an_error(connection, given):
    with pytest.raises(adbc_driver_manager.Error) as raised:
        rows(connection, "SELECT uid FROM corpus WHERE width > ? AND height > ?", given)
    said = str(raised.value)
    assert "parameter" in said, said


def test_a_parameter_of_the_wrong_type_is_an_error(connection):
    with pytest.raises(adbc_driver_manager.Error, match="Cannot cast string 'wide'"):
        rows(connection, "SELECT uid FROM corpus WHERE width = ?", ("wide",))


def test_many_rows_of_parameters_are_refused(connection):
    with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error, match="one"):
        cursor.adbc_prepare("SELECT ? AS x")
        cursor.execute("SELECT ? AS x", pyarrow.record_batch({"x": [1, 2]}))
        cursor.fetchall()
