"""Small sweeps on a small text."""

import dataclasses

import pytest

import charlm
from charlm.anytext.settings import suggest
from charlm.corpora import resolve_source
from charlm.sweeps.space import Choices, Space

TEXT = "The cat sat on the mat, and the dog sat by the door.\nWhere is the cat? Where is the dog?\n" * 20
TINY = {"cell": "gru", "embedding_dim": 4, "batch_size": 4, "sequence_length": 16, "precision": "float32"}
SPACE = Space.of([("units", Choices((4, 6))), ("dropout", Choices((0.0, 0.3)))], [0, 1])


@pytest.fixture(scope="session")
def make_plan():
    """Make the plan of a sweep on `TEXT`."""
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'charlm[sweep]'")
    from charlm.sweeps.study import Plan

    def make(space=SPACE, seconds=None, stopping=True, **given):
        settings = suggest(TEXT, None, units=4, **{**TINY, "epochs": 2, **given})
        settings = dataclasses.replace(settings, minutes=seconds and seconds / 60)
        return Plan({}, space, settings, "cats", "0" * 64, None, 0, seconds, stopping)

    return make


@pytest.fixture(scope="session")
def read(tmp_path_factory):
    """Return the text as a process has read it."""
    from charlm.sweeps.work import Text

    file = tmp_path_factory.mktemp("text") / "cats.txt"
    file.write_text(TEXT)
    return lambda plan: Text(resolve_source(str(file)), charlm.load_corpus(file), plan.encoded(TEXT))
