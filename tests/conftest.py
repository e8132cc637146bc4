"""Shared by all tests: a small text, a small network, and no network connection."""

import os

os.environ["CHARLM_OFFLINE"] = "1"
os.environ.setdefault("CHARLM_PROFILE", "fast")

import numpy as np
import pytest
from hypothesis import settings

import charlm

settings.register_profile("charlm", deadline=None)  # a busy machine is no failure
settings.load_profile("charlm")


def pytest_configure(config):
    config.addinivalue_line("markers", "deep: what `make test` can do without; CHARLM_DEEP=1 runs it, too")


def pytest_collection_modifyitems(config, items):
    """Take out what is for the deep tests alone."""
    if "CHARLM_DEEP" in os.environ:
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("deep")])
    items[:] = [item for item in items if not item.get_closest_marker("deep")]


TEXT = "the quick brown fox jumps over the lazy dog,\nand the dog only sighs: “oh, again?”\n"


@pytest.fixture(scope="session")
def vocabulary():
    return charlm.Vocabulary.from_text(TEXT)


@pytest.fixture(scope="session")
def ids(vocabulary):
    """About 2,000 characters of text with some order in it and some chance."""
    words = TEXT.split()
    order = np.random.default_rng(0).integers(len(words), size=400)
    return vocabulary.encode(" ".join(words[i] for i in order) + "\n")


@pytest.fixture(scope="session")
def small_model(vocabulary):
    """Make a small network with random weights that give characters clearly different chances."""

    def make(cell="gru", layers=1, scale=2.0, seed=0, **arguments):
        arguments = {"units": 12, "embedding_dim": 6, **arguments}
        model = charlm.build_model(len(vocabulary), cell=cell, layers=layers, **arguments)
        random = np.random.default_rng(seed)
        model.set_weights([scale * random.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in model.get_weights()])
        return model

    return make
