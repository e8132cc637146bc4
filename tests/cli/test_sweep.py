"""The verb `sweep`, as a user meets it: begun, killed, joined by another process, and shown."""

import csv
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charlm
from charlm import cli

ROOT = Path(__file__).parents[2]
TEXT = "The cat sat on the mat, and the dog sat by the door.\nWhere is the cat? Where is the dog?\n" * 20
SMALL = ["--embedding-dim", "4", "--batch-size", "4", "--sequence-length", "16", "--cell", "gru"]
PNG = b"\x89PNG"

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="needs Optuna: pip install 'charlm[sweep]'"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "cats.txt").write_text(TEXT)
    (folder / "names.txt").write_text("".join(f"{a}{b}\n" for a in ("Ann", "Ber", "Car") for b in range(30)))
    (folder / "other").mkdir()
    (folder / "other" / "precious.txt").write_text("mine")
    return folder


def start(folder, *arguments):
    """Run the command in a process of its own, which can be killed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "charlm", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def accounted_for(rows, epochs, folder):
    """Make sure that every trial is there once, and was trained to its end once."""
    assert [row["trial"] for row in rows] == list(range(len(rows)))
    assert [row["state"] for row in rows] == ["finished"] * len(rows)
    assert len({(*row["settings"].values(), row["seed"]) for row in rows}) == len(rows)
    assert sorted(path.name for path in folder.glob("[0-9]*")) == sorted(row["folder"] for row in rows)
    for row in rows:
        history = charlm.Run.load(folder / row["folder"]).history()
        assert [epoch["epoch"] for epoch in history] == list(range(1, epochs + 1))
        assert row["loss"] == pytest.approx(min(epoch["val_loss"] for epoch in history), abs=1e-4)


KILLED = ["sweep", "cats.txt", "--vary", "dropout=0,0.3", "--epochs", 2, *SMALL, "--units", 4, "--full"]


@pytest.fixture(scope="module")
def swept(folder):
    """A sweep whose first process was killed in its first trial, and that another one has joined and ended."""
    process = start(folder, *KILLED)
    while not list(folder.glob("sweeps/cats/0000-*/checkpoints/0001-*.h5")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    kill(process)
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert cli.main([str(argument) for argument in KILLED]) == 0
    finally:
        os.chdir(before)
    return folder / "sweeps" / "cats"


@needs_optuna
def test_a_killed_process_loses_no_trial_and_the_same_command_goes_on(run, swept):
    code, shown, _ = run("sweep", "--show", swept, "--json")
    found = json.loads(shown)
    accounted_for(found["trials"], 2, swept)
    assert code == 0 and [len(row["processes"]) for row in found["trials"]] == [2, 1]
    assert found["spread"] is None and found["effects"][0]["setting"] == "dropout"


@needs_optuna
def test_table_and_picture_are_shown_and_written(run, swept):
    code, shown, errors = run("sweep", "--show", swept)
    assert code == 0 and errors == ""
    assert "2 trials: 2 finished; 1 of them taken up" in shown
    assert "Best run: 000" in shown and "How much each setting mattered" in shown
    with (swept / "table.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["trial"], row["state"], row["epochs"]) for row in rows] == [
        ("0", "finished", "2"),
        ("1", "finished", "2"),
    ]
    assert (swept / "sweep.png").read_bytes().startswith(PNG)


@needs_optuna
def test_other_verbs_take_a_trial_for_the_run_that_it_is(run, swept, monkeypatch):
    path = next(swept.glob("0001-*"))
    assert run("sample", path, "--length", 20)[0] == 0
    code, shown, _ = run("info", path)
    assert code == 0 and "GRU-4" in shown and "charlm train --resume" in shown
    monkeypatch.setattr("charlm.cli.verbs._report", lambda *_: None)
    code, shown, _ = run("train", "--resume", path, "--epochs", 3)
    assert code == 0 and "going on after epoch 2 of 3" in shown


@needs_optuna
def test_a_command_joins_the_sweep_that_it_describes_and_no_other(run, swept):
    code, shown, _ = run(*KILLED)
    assert code == 0 and "trial 0:" not in shown.split("Sweep folder")[1].split("\n\n")[0]
    for changed, named in (
        (["--seeds", 2], "seeds"),
        (["--weight-decay", 0.1], "weight_decay"),
        (["--limit", 900], "limit"),
    ):
        code, _, errors = run(*KILLED, *changed)
        assert code == 2 and errors.count("\n") == 1 and f"begun with {named}" in errors and "another --out" in errors


@needs_optuna
def test_minutes_are_shared_among_the_trials(run, monkeypatch):
    monkeypatch.setattr("charlm.cli.sweep._work", lambda *_: None)
    timed = ["sweep", "cats.txt", "--vary", "units=4,6", "--seeds", 2, *SMALL]
    code, shown, _ = run(*timed, "--minutes", 10, "--out", "shared")
    seconds = json.loads(Path("shared/sweep.json").read_text())["seconds"]
    assert code == 0 and 100 < seconds < 0.97 * 600 / 4 and "4 trials are left: the same command goes on" in shown
    assert run(*timed, "--trial-minutes", 2, "--out", "given")[0] == 0
    assert json.loads(Path("given/sweep.json").read_text())["seconds"] == 120
    assert run(*timed, "--epochs", 3, "--minutes", 10, "--out", "epochs")[0] == 0
    assert json.loads(Path("epochs/sweep.json").read_text())["seconds"] is None


@needs_optuna
def test_a_list_is_held_out_alike_for_every_seed(run, folder, monkeypatch):
    from charlm.anytext.job import go_on

    monkeypatch.setattr("charlm.anytext.job.Job.fit", lambda job, *_, **__: True)
    few = ["--epochs", 1, "--units", 4, "--embedding-dim", 4]
    code, shown, errors = run("sweep", "names.txt", "--seeds", 2, *few, "--feed", "lines", "--out", "listed")
    assert code == 0, errors
    jobs = [go_on(charlm.Run.load(path)) for path in sorted(Path("listed").glob("[0-9]*"))]
    assert [job.seed for job in jobs] == [0, 1]
    assert jobs[0].parts.validation.tolist() == jobs[1].parts.validation.tolist()


def bad_inputs():
    """Arguments, and what the one line must name."""
    sweep = ["sweep", "cats.txt", "--epochs", "1"]
    vary = ["--vary", "units=4,8"]
    yield ["sweep"], "Give either a text"
    yield ["sweep", "cats.txt", "--show", "sweeps/cats"], "Give either a text"
    yield ["sweep", "--show", "nowhere"], "sweep.json is missing"
    yield [*sweep], "Nothing varies"
    yield [*sweep, *vary, "--units", "8"], "--units"
    yield [*sweep, *vary, *vary], "units varies twice"
    yield [*sweep, "--vary", "units=8"], "--units for one"
    yield [*sweep, "--vary", "units"], "NAME=VALUE,VALUE"
    yield [*sweep, "--vary", "seed=1,2"], "the names are"
    yield [*sweep, "--vary", "validation=0.1,0.2"], "cannot vary"
    yield [*sweep, "--vary", "epochs=1,2"], "--epochs"
    yield [*sweep, *vary, "--seeds", "0"], "--seeds"
    yield [*sweep, *vary, "--seeds", "2000"], "too many"
    yield [*sweep, *vary, "--trials", "5"], "is for a range"
    yield [*sweep, *vary, "--init-from", "shakespeare"], "units cannot vary with --init-from"
    yield [*sweep, *vary, "--out", "other"], "something else than a sweep"
    yield [*sweep, *vary, "--out", "cats.txt"], "cats.txt"
    yield [*sweep, "--vary", "batch_size=4,5000", "--out", "large"], "batch_size 5000"
    yield ["sweep", "missing.txt", *vary, "--epochs", "1"], "no file"
    yield ["sweep", "cats.txt", *vary, "--out", "new"], "--trial-minutes or --epochs"
    yield ["sweep", "cats.txt", *vary, "--minutes", "0.4", "--out", "new"], "5 s are the least"
    yield ["sweep", "cats.txt", *vary, "--minutes", "0"], "--minutes"


@needs_optuna
@pytest.mark.parametrize(
    ("arguments", "named"), list(bad_inputs()), ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_clear_line(run, folder, arguments, named):
    code, _, errors = run(*arguments)
    assert code == 2
    assert errors.count("\n") == 1 and errors.startswith("charlm: ") and named in errors
    assert (folder / "other" / "precious.txt").read_text() == "mine" and not (folder / "large").exists()


def test_without_optuna_one_line_says_how_to_install_it(run, monkeypatch):
    monkeypatch.setattr("charlm.cli.sweep.importlib.util.find_spec", lambda name: None)
    code, _, errors = run("sweep", "cats.txt", "--vary", "units=4,8", "--epochs", 1)
    assert code == 2 and errors.count("\n") == 1 and "pip install 'charlm[sweep]'" in errors


@needs_optuna
@pytest.mark.deep
def test_a_sweep_that_is_killed_three_times_and_joined_by_another_process_has_every_trial_once(run, folder):
    command = [
        "sweep",
        "cats.txt",
        "--vary",
        "dropout=0,0.1,0.2",
        "--seeds",
        2,
        "--epochs",
        8,
        *SMALL,
        "--units",
        6,
        "--full",
    ]
    command += ["--out", "hunted"]
    chance, others = random.Random(int(os.environ.get("CHARLM_CHANCE", "0"))), []
    for number in range(3):
        process = start(folder, *command)
        if number == 1:
            others.append(start(folder, *command))  # joins while the first one is at work
        while not list(folder.glob(f"hunted/000{number}-*/run.json")):
            time.sleep(0.05)
            assert process.poll() is None, process.communicate()
        time.sleep(chance.uniform(0, 3))
        kill(process)
    for other in others:
        assert "Traceback" not in other.communicate(timeout=300)[0] and other.returncode == 0
    code, shown, errors = run(*command, "--json")
    assert code == 0, errors
    rows = json.loads(shown)["trials"]
    accounted_for(rows, 8, folder / "hunted")
    assert len(rows) == 6 and sum(len(row["processes"]) > 1 for row in rows) >= 1


@needs_optuna
@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_trial_and_the_same_command_goes_on(run, folder, number):
    command = ["sweep", "cats.txt", "--seeds", 2, "--epochs", 12, *SMALL, "--units", 6, "--out", f"asked-{number}"]
    process = start(folder, *command)
    while not list(folder.glob(f"asked-{number}/0000-*/checkpoints/*.h5")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    shown = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number and "The same command goes on" in shown and "Traceback" not in shown
    code, shown, errors = run(*command, "--json")
    assert code == 0, errors
    rows = json.loads(shown)["trials"]
    accounted_for(rows, 12, folder / f"asked-{number}")
    assert [len(row["processes"]) for row in rows] == [2, 1]
