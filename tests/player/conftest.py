"""Networks that several tests of the player use: each is made, and compiled, once."""

import functools

import pytest
from pages import halved

import charlm


@pytest.fixture(scope="session")
def scored(small_model, vocabulary, ids):
    """Make a network of a cell and a depth, once, and score 300 characters: (generator, text, score)."""

    @functools.lru_cache
    def scored(cell, layers):
        generator = charlm.Generator(halved(small_model(cell, layers, units=13, embedding_dim=5)), vocabulary)
        text = vocabulary.decode(ids[:300])
        return generator, text, generator.score(text)

    return scored
