"""Shared by the tests of the command; each file has its own `folder`, the user's."""

import pytest

from charlm import cli


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run the command in this process, in the user's folder: returns exit code, output and errors."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return call
