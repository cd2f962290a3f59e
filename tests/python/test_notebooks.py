"""The notebooks, against a live server."""

import base64
import io
import re

import nbclient
import nbformat
import pyarrow.parquet
import pytest
from PIL import Image

from tamis import ROOT, rows

NOTEBOOKS = ROOT / "examples/notebooks"
EXPLORE = NOTEBOOKS / "explore_scores.ipynb"


def outputs(notebook, kind):
    """What cells have shown of a kind, and by the cell that has shown it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if kind in output.get("data", {}):
                yield cell, output["data"][kind]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell.source


def test_scores_are_explored_and_the_kept_uids_exported(server, connection, tmp_path, monkeypatch):
    monkeypatch.setenv("TAMIS_SERVER", server.uri)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("TAMIS_USER", "TAMIS_PASSWORD", "TAMIS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.read(EXPLORE, as_version=4)
    run = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    # A cell that fails raises an error here.
    run.execute()
    warned = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert not warned, warned

    pictures = {
        name: Image.open(io.BytesIO(base64.b64decode(data)))
        for cell, data in outputs(notebook, "image/png")
        for name in ("histogram", "curve", "gallery")
        if {"histogram": ".hist(", "curve": "fill_between(", "gallery": "imshow("}[name] in cell.source
    }
    assert pictures.keys() == {"histogram", "curve", "gallery"}
    for name, picture in pictures.items():
        assert min(picture.size) > 200, name
        assert len(picture.convert("RGB").getcolors(2**24)) > 50, f"{name} is empty"

    [told] = {
        int(count.replace(",", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for count in re.findall(r"keeps ([\d,]+) rows", output.get("text", ""))
    }
    scores = rows(connection, "SELECT uid, unifilter(image, text) AS quality FROM corpus WHERE unifilter(image, text) IS NOT NULL")
    best = sorted(scores, key=lambda row: -row["quality"])[:told]
    exported = pyarrow.parquet.read_table(tmp_path / "kept_uids.parquet").to_pylist()
    kept = {row["uid"]: row["quality"] for row in best}
    assert {row["uid"]: row["quality"] for row in exported} == pytest.approx(kept, abs=1e-5)
    # The best 30 %, but for what rounding the threshold does.
    assert told == pytest.approx(0.3 * len(scores), abs=0.05 * len(scores))
