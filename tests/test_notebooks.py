"""Notebooks, as learners use them: a cell is run again, or cells in another order."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAINS = re.compile(r"\bfit\(|\btrain\(|\btrain_|charlm train|%pip")

pytestmark = pytest.mark.skipif("CHARLM_DEEP" not in os.environ, reason="takes minutes: set CHARLM_DEEP")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Execute a notebook's code cells in an order of one's own."""
    monkeypatch.setenv("CHARLM_PROFILE", "fast")
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def call(notebook, cells):
        notebook.cells = [nbformat.v4.new_code_cell(cell.source) for cell in cells]
        client = NotebookClient(notebook, timeout=None, kernel_name="python3")
        client.resources = {"metadata": {"path": str(tmp_path)}}
        client.execute()

    return call


def read(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_can_be_run_twice_in_a_row(path, run):
    notebook, code = read(path)
    run(notebook, [cell for cell in code for _ in range(2)])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_that_do_not_train_can_be_run_in_reverse_once_all_have_run(path, run):
    notebook, code = read(path)
    run(notebook, [*code, *(cell for cell in reversed(code) if not TRAINS.search(cell.source))])
