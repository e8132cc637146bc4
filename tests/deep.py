"""Marks what `make test` can do without: cases of which another stands for all, and tests that take minutes."""

import pytest


def deep(*values):
    """Return a case of a parametrized test that runs where the environment variable CHARLM_DEEP is set."""
    return pytest.param(*values, marks=pytest.mark.deep)
