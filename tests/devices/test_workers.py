"""Several workers learn what one device would, and lose nothing that was finished when one of them dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.devices.local import free_ports
from charlm.runs import restore
from tests.devices import member

ROOT = Path(__file__).parents[2]
LONGEST = 120  # seconds for all that workers do here; a worker that hangs fails its test


def start(count, folder, *parts):
    """Start workers, as a script on several machines would."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARLM_OFFLINE": "1", "CHARLM_WAIT": "60"}
    command = [sys.executable, "-m", "tests.devices.member", str(folder), *parts]
    for rank in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        yield subprocess.Popen(
            command, cwd=ROOT, env={**environment, "TF_CONFIG": json.dumps(config)}, stderr=subprocess.PIPE, text=True
        )


def end(workers):
    """Wait for all of them: exit codes, and what they wrote to stderr."""
    try:
        said = [worker.communicate(timeout=LONGEST)[1] for worker in workers]
        return [worker.returncode for worker in workers], said
    finally:
        for worker in workers:
            worker.kill()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder with what three workers learned, of whom the last was killed in another training; and how they ended."""
    folder = tmp_path_factory.mktemp("three")
    return folder, *end([*start(3, folder, "streams", "lines", "killed")])


def check_like_one_device(folder, kind, count):
    history, model = member.train(kind)
    for rank in range(count):
        with np.load(folder / f"{kind}-{rank}.npz") as found:
            for name, losses in history.items():
                np.testing.assert_allclose(found[name], losses, atol=1e-5)
            for n, weight in enumerate(model.get_weights()):
                np.testing.assert_allclose(found[f"{n}"], weight, atol=1e-5)


@pytest.mark.parametrize("kind", ["streams", "lines"])
def test_three_workers_learn_what_one_device_does_with_the_whole_batch(three, kind):
    check_like_one_device(three[0], kind, 3)


@pytest.mark.deep
def test_two_workers_learn_what_one_device_does_with_the_whole_batch(tmp_path):
    codes, said = end([*start(2, tmp_path, "streams", "windows", "lines")])
    assert codes == [0, 0], said
    for kind in ("streams", "windows", "lines"):
        check_like_one_device(tmp_path, kind, 2)


def test_workers_that_lose_one_say_so_in_a_line_and_end(three):
    _, codes, said = three
    assert codes == [1, 1, -9], said
    for line in said[:2]:
        assert "lost touch with another worker" in line.splitlines()[-1] and "Traceback" not in line


def test_a_training_whose_worker_was_killed_goes_on_from_the_last_batch_that_all_finished(three, tmp_path):
    whole = charlm.Run.create(tmp_path / "whole", member.first_model("killed"), member.VOCABULARY)
    _, uninterrupted = member.train("killed", callbacks=whole.callbacks(verbose=False))
    run = charlm.Run.load(three[0] / "run")
    position = run.store.position()
    assert position.epoch == member.KILLED_AT[0] and position.batch in (member.KILLED_AT[1], member.KILLED_AT[1] + 1)
    assert run.settings["model"]["batch_size"] == member.ROWS
    epoch, batch = position[:2]
    model, (data, held_out) = restore(run, position), member.feed("killed")
    callbacks = run.callbacks(verbose=False, begin=position)
    model.fit(
        data.skip(batch),
        validation_data=held_out,
        initial_epoch=epoch,
        epochs=epoch + 1,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    for there, here in zip(uninterrupted.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-5)
    losses = [[(row["loss"], row["val_loss"]) for row in each.history()] for each in (whole, run)]
    np.testing.assert_allclose(*losses, atol=1e-5)


def test_only_the_chief_writes_samples(three):
    assert (three[0] / "run" / "samples.txt").read_text(encoding="utf-8").count("--- after epoch") == 1
