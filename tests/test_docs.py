"""What README and the docs show can be typed in: their commands and their Python run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from charlm import cli
from charlm.cli.parser import command_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN_TO_RUN = [ROOT / "README.md", ROOT / "docs" / "any_text.md", ROOT / "docs" / "samples.md"]
NO_COMMANDS = {"make", "pip", "export", ".venv/bin/python", "CHARLM_OFFLINE=1", "CHARLM_PROFILE=fast"}
SHORT = ["--epochs", "1"]
SMALL = ["--units", "8", "--embedding-dim", "4", *SHORT]


def blocks(path, language):
    """The code that a document shows in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(path):
    """The commands that a document shows, as lists of words, without the settings before them."""
    lines = "".join(blocks(path, "bash")).splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def is_charlm(words):
    return words[0] == "charlm"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_commands_of_a_document_are_as_the_command_line_takes_them(path):
    for words in commands(path):
        if is_charlm(words) and words[1:] != ["--help"]:
            assert callable(command_parser().parse_args(words[1:]).run)
        elif words[0] == "make":
            assert set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) & {*words[1:]}
        else:
            assert words[0] in {*NO_COMMANDS, "charlm"}, words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_python_of_a_document_is_python(path):
    for block in blocks(path, "python"):
        compile(block, str(path), "exec")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of somebody who types in what a document shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARLM_CACHE", os.environ.get("CHARLM_CACHE", str(tmp_path / "cache")))
    for name in ("recipes.txt", "other.txt", "big.txt"):
        (tmp_path / name).write_text("Take two eggs, and beat them well; add the flour.\n" * 200, encoding="utf-8")
    return tmp_path


@pytest.mark.deep
@pytest.mark.parametrize("path", SHOWN_TO_RUN, ids=lambda path: path.stem)
def test_commands_of_a_document_run_one_after_the_other(path, folder, capsys):
    for words in filter(is_charlm, commands(path)):
        if words[1] in ("--help", "sweep"):  # a sweep has tests of its own, and needs Optuna
            continue
        if words[1] == "train" and "--resume" not in words:
            words = [*words, *(SMALL if "--init-from" not in words else SHORT)]
        if "--devices" in words:  # which connects workers before TensorFlow computes anything: in a process of its own
            subprocess.run(
                [sys.executable, "-m", *words], cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        else:
            assert cli.main(words[1:]) == 0, (words, capsys.readouterr().err)


@pytest.mark.deep
@pytest.mark.parametrize("path", SHOWN_TO_RUN, ids=lambda path: path.stem)
def test_python_of_a_document_runs(path, folder, capsys):
    names = {}
    for block in blocks(path, "python"):
        exec(compile(block, str(path), "exec"), names)
    assert len(capsys.readouterr().out) > 100
