"""Training: carried state, the run folder, and a resumed run that equals one that never stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import charlm
from charlm.engine.rnn import recurrent_layers
from charlm.runs import Run, checkpoints, resume
from charlm.training import CarriedState
from tests.deep import deep

ROOT = Path(__file__).parents[1]
LENGTH, ROWS = 8, 4


def compiled(vocabulary, **arguments):
    keras.utils.set_random_seed(0)
    arguments = {"batch_size": ROWS, "stateful": True, "dropout": 0.2, **arguments}
    model = charlm.build_model(len(vocabulary), units=8, embedding_dim=4, **arguments)
    return charlm.compile_model(model, 0.01, decay_steps=240, warmup_steps=10, weight_decay=0.01)


def fit(model, run, feed, ids, epochs, first=0, extra=()):
    train, validation = charlm.split(ids)
    shuffled = {"epoch": run.epoch} if feed is charlm.windows else {}
    return model.fit(
        feed(train, LENGTH, ROWS, **shuffled),
        validation_data=charlm.streams(validation, LENGTH, ROWS),
        initial_epoch=first,
        epochs=epochs,
        callbacks=[*run.callbacks(verbose=False), *extra],
        shuffle=False,
        verbose=0,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, vocabulary, ids):
    """The folder of a run of two epochs, to be copied, and its network."""
    model = compiled(vocabulary)
    run = Run.create(tmp_path_factory.mktemp("trained") / "run", model, vocabulary)
    fit(model, run, charlm.streams, ids, 2)
    return run.path, model


@pytest.fixture
def finished(tmp_path, trained):
    """A run of two epochs, of the test's own, and its network."""
    folder, model = trained
    return Run.load(shutil.copytree(folder, tmp_path / "run")), model


@pytest.mark.parametrize("feed", [charlm.streams, deep(charlm.windows)])
def test_resumed_after_epoch_2_of_4_the_weights_equal_an_uninterrupted_runs(tmp_path, vocabulary, ids, finished, feed):
    stateful = feed is charlm.streams
    whole = compiled(vocabulary, stateful=stateful)
    through = Run.create(tmp_path / "whole", whole, vocabulary)
    fit(whole, through, feed, ids, 4)
    run, _ = finished  # two epochs on streams
    if not stateful:
        model = compiled(vocabulary, stateful=False)
        run = Run.create(tmp_path / "half", model, vocabulary)
        fit(model, run, feed, ids, 2)
    keras.utils.set_random_seed(99)  # another process would have other random numbers
    model, epoch = resume(run.path)
    run = Run.load(run.path)
    fit(model, run, feed, ids, 4, first=epoch)
    assert epoch == 2
    for ours, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    compared = [[{**row, "seconds": 0} for row in r.history()] for r in (run, through)]
    assert [row["epoch"] for row in compared[0]] == [1, 2, 3, 4]
    np.testing.assert_allclose([list(r.values()) for r in compared[0]], [list(r.values()) for r in compared[1]], 1e-5)


def test_a_validation_between_two_steps_changes_nothing_in_the_third(vocabulary, ids):
    train, validation = (charlm.streams(part, LENGTH, ROWS) for part in charlm.split(ids))

    def third_loss(validate):
        model = compiled(vocabulary)
        callback = CarriedState()
        callback.set_model(model)
        losses = []
        for step, (inputs, targets) in enumerate(train.take(3)):
            if step == 2 and validate:
                model.evaluate(validation, verbose=0, callbacks=[callback])
            model.reset_metrics()  # Keras 3.8 would mix the validation's loss into the step's
            losses.append(model.train_on_batch(inputs, targets))
        return losses[2], model.get_weights()

    (loss, weights), (validated_loss, validated_weights) = third_loss(False), third_loss(True)
    assert loss == validated_loss
    for ours, theirs in zip(weights, validated_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_validation_begins_from_zero_state_each_time(vocabulary, ids):
    model, callback = compiled(vocabulary), CarriedState()
    callback.set_model(model)
    validation = charlm.streams(ids, LENGTH, ROWS)
    model.set_weights([weight * 5 for weight in model.get_weights()])  # so that state weighs in
    from_zero, after_reading = (model.evaluate(validation, verbose=0) for _ in range(2))
    guarded = [model.evaluate(validation, verbose=0, callbacks=[callback]) for _ in range(2)]
    assert guarded == [from_zero, from_zero] and after_reading != from_zero


def test_state_is_zero_at_each_epochs_start_and_carried_within(vocabulary, ids, tmp_path):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(("epoch", self.state()))

        def on_train_batch_begin(self, batch, logs=None):
            seen.append((batch, self.state()))

        def state(self):
            return float(np.abs(recurrent_layers(self.model)[0].states[0].numpy()).max())

    model = compiled(vocabulary)
    fit(model, Run.create(tmp_path / "run", model, vocabulary), charlm.streams, ids, 2, extra=[Watch()])
    assert all(state == 0 for when, state in seen if when in ("epoch", 0))
    assert all(state > 0 for when, state in seen if when not in ("epoch", 0))


@pytest.mark.deep
def test_a_new_process_loads_the_folder_and_generates_at_batch_1_and_5(finished):
    run, _ = finished
    code = (
        "import charlm, sys; run = charlm.Run.load(sys.argv[1]);"
        "assert [run.model(n).input_shape[0] for n in (1, 5)] == [1, 5];"
        "one = run.generator().generate('the', 40, seed=3);"
        "five = charlm.Generator(run.model(5), run.vocabulary).generate(['the'] * 5, 40, seed=3);"
        "assert five[0] == one and len(set(five)) == 5; print(one, end='')"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(run.path)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert shown.stdout == run.generator().generate("the", 40, seed=3), shown.stderr
    assert shown.stderr == ""


def test_best_and_last_checkpoint_are_kept_and_no_other(tmp_path, vocabulary, ids):
    model = compiled(vocabulary)
    run = Run.create(tmp_path / "run", model, vocabulary)
    callback = checkpoints(run)
    callback.set_model(model)
    for epoch, loss in enumerate([3.0, 2.5, 2.7, 2.6]):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 2.0, "val_loss": loss})
    names = ["0002-2.5000.weights.h5", "0004-2.6000.weights.h5"]
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == sorted(
        [*names, *(name + ".sha256" for name in names)]
    )
    assert isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_weights_only
    assert [row["val_loss"] for row in run.history()] == [3.0, 2.5, 2.7, 2.6]


def test_a_checkpoint_holds_the_weights_of_its_epoch(finished):
    run, model = finished
    for ours, theirs in zip(run.model(checkpoint="last").get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_samples_are_written_after_each_epoch(finished):
    text = (finished[0].path / "samples.txt").read_text(encoding="utf-8")
    assert "--- after epoch 1 ---\n" in text and "--- after epoch 2 ---\n" in text


def test_a_run_on_lines_samples_whole_lines_from_zero_state(tmp_path, vocabulary, ids):
    model = compiled(vocabulary, batch_size=None, stateful=False)
    run = Run.create(tmp_path / "run", model, vocabulary, data={"feed": "lines"})
    end = int(vocabulary.encode("\n")[0])
    feed = charlm.lines(np.where(np.arange(len(ids)) % 9 == 8, end, ids), end, ROWS)
    model.fit(feed, validation_data=feed, callbacks=run.callbacks(verbose=False), shuffle=False, verbose=0)
    written = run.generator().generate([""] * 10, stop="\n", seed=0)
    lines = "".join(line.rstrip("\n") + "\n" for line in written)
    assert (run.path / "samples.txt").read_text(encoding="utf-8") == f"--- after epoch 1 ---\n{lines}\n\n"


def test_no_run_overwrites_another(tmp_path, vocabulary):
    model = compiled(vocabulary)
    paths = [Run.create(tmp_path / "run", model, vocabulary).path.name for _ in range(3)]
    assert paths == ["run", "run-2", "run-3"]


def test_the_folder_notes_the_corpus_and_the_data(tmp_path, vocabulary):
    text = tmp_path / "text.txt"
    text.write_text(vocabulary.characters, encoding="utf-8")
    corpus = charlm.load_corpus(str(text))
    run = Run.create(tmp_path / "run", compiled(vocabulary), vocabulary, corpus, {"validation": 0.1})
    noted = json.loads((run.path / "run.json").read_text())
    assert noted["corpus"] == {"name": "text", "sha256": corpus.sha256, "standin": False, "as_bytes": False}
    assert noted["data"] == {"validation": 0.1} and noted["training"]["weight_decay"] == 0.01


def test_nan_stops_training_and_makes_no_checkpoint(tmp_path, vocabulary, ids):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])

    model = compiled(vocabulary)
    run = Run.create(tmp_path / "run", model, vocabulary)
    fit(model, run, charlm.streams, ids, 5, extra=[Spoil()])
    assert [checkpoint.epoch for checkpoint in run.checkpoints()] == [1]
    assert np.isfinite(run.model(checkpoint="last").get_weights()[0]).all()


def test_a_checkpoint_without_validation_says_what_is_missing(tmp_path, vocabulary, ids):
    model = compiled(vocabulary)
    run = Run.create(tmp_path / "run", model, vocabulary)
    with pytest.raises(ValueError, match="pass it validation_data"):
        model.fit(charlm.streams(ids, LENGTH, ROWS), callbacks=[checkpoints(run)], shuffle=False, verbose=0)


TRAIN_FOREVER = """
import sys
sys.path.insert(0, "tests")
import numpy as np, charlm
from charlm.support.startup import start_light
start_light()
import tensorflow
from test_training import compiled, fit
vocabulary = charlm.Vocabulary("abcdefgh\\n")
ids = np.random.default_rng(0).integers(9, size=6000).astype(np.uint8)
model = compiled(vocabulary)
run = charlm.Run.create(sys.argv[1], model, vocabulary)
fit(model, run, charlm.streams, ids, 100_000)
"""


def test_killed_in_the_middle_of_an_epoch_it_resumes_at_the_last_finished_one(tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", TRAIN_FOREVER, str(folder)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while (
            not ((folder / "run.json").exists() and len(Run.load(folder).history()) >= 3)
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    run = Run.load(folder)
    model, epoch = resume(run)
    assert epoch >= 2 and len(run.history()) in (epoch, epoch + 1)
    assert not list(folder.rglob("unfinished-*"))
    ids = np.random.default_rng(0).integers(9, size=6000).astype(np.uint8)
    fit(model, run, charlm.streams, ids, epoch + 1, first=epoch)
    assert [row["epoch"] for row in run.history()] == list(range(1, epoch + 2))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.run\.json is missing"):
        Run.load(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"vocabulary": {"characters": "ab"}}', "\x00\xff"])
def test_a_damaged_run_json_is_named(finished, content):
    run, _ = finished
    (run.path / "run.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        Run.load(run.path)


def test_a_vocabulary_of_another_network_is_refused(finished):
    run, _ = finished
    file = run.path / "run.json"
    file.write_text(json.dumps({**run.settings, "vocabulary": {"characters": "ab"}}))
    with pytest.raises(ValueError, match="vocabulary has 2 characters and the network"):
        Run.load(run.path)


def test_weights_that_are_cut_off_or_of_another_network_are_named(finished):
    run, _ = finished
    last = run.checkpoints()[-1].path
    file = run.path / "run.json"
    wider = {**run.settings, "model": {**run.settings["model"], "units": 9}}
    file.write_text(json.dumps(wider))
    with pytest.raises(ValueError, match="damaged or belongs to another network"):
        Run.load(run.path).model(checkpoint="last")
    last.write_bytes(last.read_bytes()[:3000])
    with pytest.raises(ValueError, match="damaged or belongs to another network"):
        run.model(checkpoint="last")


def test_a_run_without_a_finished_epoch_says_so(tmp_path, vocabulary):
    run = Run.create(tmp_path / "run", compiled(vocabulary), vocabulary)
    for use in (run.model, run.generator, lambda: resume(run)):
        with pytest.raises(FileNotFoundError, match="no epoch was finished. Train first"):
            use()


def test_unknown_settings_in_run_json_are_named(finished):
    run, _ = finished
    (run.path / "run.json").write_text(json.dumps({**run.settings, "model": {**run.settings["model"], "wings": 2}}))
    with pytest.raises(ValueError, match="does not fit this version of charlm.*wings"):
        Run.load(run.path).model()


def test_a_checkpoint_is_best_or_last(finished):
    with pytest.raises(ValueError, match="checkpoint='first'; choose 'best' or 'last'"):
        finished[0].model(checkpoint="first")


def test_resume_needs_an_optimizer_it_knows(finished):
    run, _ = finished
    run.settings["training"] = None
    with pytest.raises(ValueError, match="does not know its optimizer"):
        resume(run)


def test_progress_ends_each_epoch_with_a_line_of_losses_and_bits(tmp_path, vocabulary, ids, capsys):
    model = compiled(vocabulary)
    run = Run.create(tmp_path / "run", model, vocabulary)
    train, validation = (charlm.streams(part, LENGTH, ROWS) for part in charlm.split(ids))
    model.fit(train, validation_data=validation, epochs=2, callbacks=run.callbacks(), shuffle=False, verbose=0)
    row = run.history()[1]
    shown = capsys.readouterr().out
    expected = (
        f"epoch 2/2: loss {row['loss']:.4f}, val_loss {row['val_loss']:.4f} ({row['val_loss'] / np.log(2):.3f} bpc)"
    )
    assert expected in shown


def test_a_second_fit_on_a_finished_run_is_refused(finished, ids):
    run, model = finished
    with pytest.raises(ValueError, match="has finished 2 epochs, and fit begins at 0. Pass initial_epoch=2"):
        fit(model, run, charlm.streams, ids, 3)
    assert [checkpoint.epoch for checkpoint in run.checkpoints()][-1] == 2


def test_interrupted_by_ctrl_c_it_resumes_after_the_last_finished_epoch(tmp_path, vocabulary, ids):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 1.5 * self.params["steps"]:
                raise KeyboardInterrupt

    model = compiled(vocabulary)
    run = Run.create(tmp_path / "run", model, vocabulary)
    with pytest.raises(KeyboardInterrupt):
        fit(model, run, charlm.streams, ids, 4, extra=[Interrupt()])
    shuffled = [next(iter(charlm.windows(ids, LENGTH, ROWS, epoch=epoch)))[0].numpy() for epoch in (None, lambda: 0)]
    np.testing.assert_array_equal(*shuffled)  # the order of another dataset does not depend on the epoch it stopped in
    model, epoch = resume(run)
    fit(model, run, charlm.streams, ids, 2, first=epoch)
    assert epoch == 1 and [row["epoch"] for row in run.history()] == [1, 2]


def test_a_write_that_fails_leaves_the_files_before_it(finished, ids, monkeypatch):
    run, _ = finished
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    model, epoch = resume(run)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        fit(model, run, charlm.streams, ids, 3, first=epoch)
    assert {path: path.read_bytes() for path in before} == before


def test_a_single_wrong_byte_in_a_checkpoint_is_noticed(finished):
    run, _ = finished
    path = run.checkpoints()[-1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged.*sha256"):
        run.model(checkpoint="last")


def test_a_damaged_history_is_named_before_training_goes_on(finished):
    run, _ = finished
    (run.path / "history.csv").write_text("epoch,loss\n1,x\n")
    with pytest.raises(ValueError, match=r"history\.csv is damaged"):
        resume(run)


def test_a_resumed_run_can_be_made_longer(finished):
    model, _ = resume(finished[0], decay_steps=1000)
    assert float(model.optimizer._learning_rate(500)) > 0.002


def test_an_unknown_prompt_is_refused_before_training(finished):
    with pytest.raises(ValueError, match="'%'"):
        finished[0].callbacks(prompt="100%")


def test_a_text_without_line_breaks_has_a_prompt_too(tmp_path):
    vocabulary = charlm.Vocabulary("ab")
    run = Run.create(tmp_path / "{run}", compiled(vocabulary), vocabulary)
    fit(resumable := compiled(vocabulary), run, charlm.streams, np.zeros(600, np.uint8), 1)
    assert len(run.checkpoints()) == 1 and resumable.stop_training is False


@pytest.mark.parametrize("policy", ["mixed_float16", deep("mixed_bfloat16")])
def test_a_run_keeps_its_precision(tmp_path, vocabulary, ids, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(vocabulary)
    finally:
        keras.config.set_dtype_policy("float32")
    run = Run.create(tmp_path / "run", model, vocabulary)
    fit(model, run, charlm.streams, ids, 1)
    again, _ = resume(run)
    assert again.dtype_policy.name == policy and keras.config.dtype_policy().name == "float32"
    for ours, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_is_evaluated_at_its_best_checkpoint(finished, ids):
    run, _ = finished
    assert charlm.evaluate(run, ids[:200]).nats == charlm.evaluate(run.model(checkpoint="best"), ids[:200]).nats
