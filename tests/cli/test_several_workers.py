"""The `charlm` command where several workers train: started here or elsewhere, refused where they differ, stopped, resumed."""

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.anytext.job import begin, go_on
from charlm.anytext.settings import suggest
from charlm.anytext.split import cut, encode
from charlm.cli import workers as several
from charlm.corpora import resolve_source
from charlm.devices import workers as connected
from charlm.devices.local import free_ports
from charlm.devices.meeting import Place

ROOT = Path(__file__).parents[2]
WORDS = "the cat sat on the mat and a dog sat by the door; where is it?".split()
TEXT = " ".join(WORDS[i] for i in np.random.default_rng(0).integers(len(WORDS), size=8000))
SMALL = {
    "units": 8,
    "embedding_dim": 4,
    "batch_size": 7,
    "sequence_length": 16,
    "epochs": 3,
    "dropout": 0.0,
    "precision": "float32",
}


def options(**changed):
    given = {"text": "a.txt", "resume": None, "units": 8, "minutes": 1.0, "out": None, "json": False, "devices": None}
    return argparse.Namespace(**{**given, "arguments": [], "began": 0.0, "run": None, "init_from": None, **changed})


@pytest.fixture
def gather(tmp_path, monkeypatch):
    """Let workers gather in threads, each with options and a text; returns the text's length, or the error, of each."""
    monkeypatch.setenv("CHARLM_WAIT", "10")
    monkeypatch.setattr(connected, "Workers", lambda place: place.rank)

    def call(*each):
        addresses, found = tuple(f"127.0.0.1:{port}" for port in free_ports(len(each))), {}

        def one(rank, given, text):
            file = tmp_path / f"{rank}.txt"
            file.write_text(text)
            given.text = str(file)
            try:
                source = resolve_source(given.text)
                _, corpus = several.gather(given, Place(addresses, rank), lambda: source, lambda found: found.load())
                found[rank] = len(corpus.text)
            except ValueError as error:
                found[rank] = str(error)

        threads = [
            threading.Thread(target=one, args=(rank, *who), name=f"worker {rank}") for rank, who in enumerate(each)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [
            re.sub(r" \([\d.:]+\)", "", said) if isinstance(said, str) else said for _, said in sorted(found.items())
        ]

    return call


def test_workers_may_have_their_text_elsewhere_and_be_told_apart_by_what_is_their_own(gather):
    assert gather((options(), "abc" * 9), (options(out="x", json=True, devices=2), "abc" * 9)) == [27, 27]


def test_workers_with_other_options_are_refused_in_the_same_words(gather):
    found = gather((options(), "abc"), (options(), "abc"), (options(units=9), "abc"))
    assert found == ["--units is 8 on the chief and 9 on worker 2. Give all workers the same options."] * 3


def test_workers_with_another_text_are_refused_in_the_same_words(gather):
    found = gather((options(), "abc"), (options(), "abd"))
    assert found[0] == found[1] and found[0].startswith("The text's sha256 is ") and "same text" in found[0]


def test_workers_of_another_version_are_refused_in_the_same_words(gather, monkeypatch):
    here = {"worker 0": "2.21.0", "worker 1": "2.18.1"}
    monkeypatch.setattr(connected, "versions", lambda: {"tensorflow": here[threading.current_thread().name]})
    found = gather((options(), "abc"), (options(), "abc"))
    assert (
        found
        == ["tensorflow is 2.21.0 on the chief and 2.18.1 on worker 1. Install the same version for all workers."] * 2
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def command(*arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARLM_OFFLINE": "1", "CHARLM_WAIT": "300"}
    shell = [sys.executable, "-m", "charlm", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(shell, cwd=folder, env=environment, **pipes)


@pytest.mark.deep
def test_two_devices_stopped_by_a_signal_go_on_as_one_or_two_to_what_one_learns_alone(folder):
    given = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", value)]
    process = command("train", "text.txt", "--out", "two", "--devices", 2, *given, folder=folder)
    while not (folder / "two" / "history.csv").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    shown, said = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM and "Stopped, and saved" in shown, (shown, said)

    again = command("train", "--resume", "two", "--devices", 2, folder=folder)
    shown, said = again.communicate(timeout=600)
    assert again.returncode == 0 and "this network" in shown, (shown, said)
    run = charlm.Run.load(folder / "two")
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]

    parts, source = encode(cut(TEXT, "streams")), resolve_source(str(folder / "text.txt"))
    settings = suggest(TEXT, None, 60e9, feed="streams", **SMALL)
    alone = begin(folder / "one", charlm.load_corpus(folder / "text.txt"), settings, parts, source=source)
    assert alone.fit(progress=False)
    losses = [[(row["loss"], row["val_loss"]) for row in each.history()] for each in (alone.run, run)]
    np.testing.assert_allclose(*losses, atol=1e-4)
    assert go_on(run).over
