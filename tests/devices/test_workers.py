"""Several workers learn what one device would, and lose nothing that was finished when one of them dies."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.devices.local import free_ports
from charlm.runs import restore
from tests.deep import deep
from tests.devices import member

ROOT = Path(__file__).parents[2]
LONGEST = 600  # seconds for all that workers do here, on a machine with other work; one that hangs fails its test


def start(count, folder, *parts):
    """Start workers, as a script on several machines would."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARLM_OFFLINE": "1", "CHARLM_WAIT": "300"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as `import charlm` sets it, but Keras is imported first there
    command = [sys.executable, "-m", "tests.devices.member", str(folder), *parts]
    for rank in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        yield subprocess.Popen(
            command, cwd=ROOT, env={**environment, "TF_CONFIG": json.dumps(config)}, stderr=subprocess.PIPE, text=True
        )


def end(workers):
    """Wait for workers: exit codes, and what they wrote to stderr."""
    try:
        said = [worker.communicate(timeout=LONGEST)[1] for worker in workers]
        return [worker.returncode for worker in workers], said
    finally:
        for worker in workers:
            worker.kill()


def check_lost(codes, said):
    """Each worker that lost another ended with one line that says so."""
    assert set(codes) == {1}, said
    for line in said:
        assert "lost touch with another worker" in line.splitlines()[-1] and "Traceback" not in line


@pytest.fixture(scope="module", params=[2, deep(3)])
def lost(request, tmp_path_factory):
    """A folder with the run of two workers, or of three, of whom the last was killed; and how they ended."""
    folder = tmp_path_factory.mktemp("lost")
    return folder, *end([*start(request.param, folder, "killed")])


@pytest.mark.deep
def test_two_workers_learn_what_one_device_does_with_the_whole_batch(tmp_path):
    codes, said = end([*start(2, tmp_path, "streams", "windows", "lines")])
    assert codes == [0, 0], said
    for kind, rank in itertools.product(("streams", "windows", "lines"), range(2)):
        history, model = member.train(kind)
        with np.load(tmp_path / f"{kind}-{rank}.npz") as found:
            for name, losses in history.items():
                np.testing.assert_allclose(found[name], losses, atol=1e-5)
            for n, weight in enumerate(model.get_weights()):
                np.testing.assert_allclose(found[f"{n}"], weight, atol=1e-5)


def test_workers_that_lose_one_say_so_in_a_line_and_end(lost):
    _, codes, said = lost
    assert codes[-1] == -signal.SIGKILL
    check_lost(codes[:-1], said[:-1])


@pytest.mark.deep
def test_workers_end_when_one_of_them_does_nothing_any_more(tmp_path):
    *others, stopped = start(3, tmp_path, "stopped")
    try:
        check_lost(*end(others))
    finally:
        stopped.kill()
        stopped.communicate()


LOGICAL = """
import numpy as np, tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
import charlm
ids = np.random.default_rng(0).integers(0, 9, 2000)
strategies = {8: tf.distribute.get_strategy(), 4: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
found = {}
for rows, strategy in strategies.items():
    with strategy.scope():
        model = charlm.build_model(9, units=12, embedding_dim=6, batch_size=rows, stateful=True)
        model.set_weights([np.sin(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
        charlm.compile_model(model, 0.01, clip_norm=1e9)
    history = model.fit(charlm.streams(ids, 16, 8), epochs=2, shuffle=False, verbose=0).history["loss"]
    found[rows] = [np.array(history), *model.get_weights()]
for one, two in zip(found[8], found[4]):
    np.testing.assert_allclose(one, two, atol=1e-5)
"""


@pytest.mark.deep
def test_keras_own_fit_on_two_logical_devices_learns_what_one_does_where_it_does_not_clip():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", LOGICAL], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_workers_learn_from_streams_what_one_device_does_which_goes_on_where_one_was_killed(lost, tmp_path):
    whole = charlm.Run.create(tmp_path / "whole", member.first_model("killed"), member.VOCABULARY)
    _, uninterrupted = member.train("killed", callbacks=whole.callbacks(verbose=False))
    run = charlm.Run.load(shutil.copytree(lost[0] / "run", tmp_path / "run"))
    position = run.store.position()
    assert position.epoch == member.LOST_AT[0] and position.batch in (member.LOST_AT[1], member.LOST_AT[1] + 1)
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


def test_only_the_chief_writes_samples(lost):
    assert (lost[0] / "run" / "samples.txt").read_text(encoding="utf-8").count("--- after epoch") == 1
