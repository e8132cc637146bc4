"""Models: the network a learner reads, its arguments back, and its state."""

import math

import keras
import numpy as np
import pytest

import charlm
from charlm.models import (
    build_arguments,
    build_model,
    compile_arguments,
    compile_model,
    remember,
    reset_states,
    with_batch_size,
)
from charlm.support import machine as this_machine
from tests.deep import deep

VARIANTS = [
    {"cell": "gru", "layers": 1},
    {"cell": "lstm", "layers": 2, "dropout": 0.25},
    {"cell": "rnn", "layers": 3, "batch_size": 4, "stateful": True},
]


def test_the_defaults_are_the_tutorials_network():
    model = build_model(65)
    assert model.count_params() == 4_021_569
    assert [layer.count_params() for layer in model.layers] == [16_640, 3_938_304, 66_625]
    assert [type(layer).__name__ for layer in model.layers] == ["Embedding", "GRU", "Dense"]
    assert model(np.zeros((64, 100), int)).shape == (64, 100, 65)


def test_the_first_loss_is_that_of_a_uniform_guess():
    model = compile_model(build_model(65, units=256))
    random = np.random.default_rng(0).integers(65, size=(2, 64, 100))
    assert model.evaluate(random[0], random[1], verbose=0) == pytest.approx(math.log(65), abs=0.02)


@pytest.mark.parametrize("arguments", VARIANTS)
def test_build_arguments_brings_back_the_same_network(arguments):
    model = build_model(11, units=8, embedding_dim=4, **arguments)
    found = build_arguments(model)
    assert {name: found[name] for name in arguments} == arguments
    assert [w.shape for w in build_model(**found).weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": 0.003},
        {"learning_rate": 0.001, "weight_decay": 0.05, "clip_norm": 5.0},
        {"decay_steps": 500, "warmup_steps": 20},
        {"decay_steps": 30},  # too short for the default warm-up
    ],
)
def test_compile_arguments_brings_back_the_same_optimizer(arguments):
    model = compile_model(build_model(5, units=4), **arguments)
    again = compile_model(build_model(5, units=4), **compile_arguments(model))
    assert {**again.optimizer.get_config(), "name": ""} == {**model.optimizer.get_config(), "name": ""}


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.RMSprop(),
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.Adam(1e-3, clipnorm=1.0),
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 1000)),
        keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(1e-3, 1000, 0.9)),
    ],
)
def test_compile_arguments_does_not_claim_another_optimizer(optimizer):
    model = build_model(5, units=4)
    assert compile_arguments(model) is None
    model.compile(optimizer, "mse")
    assert compile_arguments(model) is None


def test_the_schedule_rises_peaks_and_falls_to_a_hundredth():
    rate = compile_model(build_model(5, units=4), 0.5, decay_steps=1000, warmup_steps=100).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 100, 1000)] == pytest.approx([0, 0.5, 0.005])


@pytest.mark.parametrize("cell", ["lstm", deep("gru"), deep("rnn")])
def test_another_batch_size_has_the_same_weights_and_output(small_model, cell):
    model = small_model(cell, layers=2, batch_size=4, stateful=True)
    text = np.arange(12).reshape(4, 3)
    copy = with_batch_size(model, 1, stateful=False)
    np.testing.assert_allclose(copy(text[2:3]), model(text)[2:3], atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", deep("lstm"), deep("rnn")])
def test_a_stateful_model_fed_in_pieces_gives_the_logits_of_one_long_pass(small_model, cell):
    model = small_model(cell, layers=2, batch_size=3, stateful=True)
    text = np.random.default_rng(1).integers(20, size=(3, 40))
    pieces = [model(text[:, start : start + 8]) for start in range(0, 40, 8)]
    whole = with_batch_size(model, 3, stateful=False)(text)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-5)


def test_reset_states_forgets_what_was_read(small_model):
    model = small_model(batch_size=1, stateful=True)
    first = np.array(model(np.array([[1, 2, 3]])))
    assert not np.allclose(model(np.array([[1, 2, 3]])), first)
    reset_states(model)
    np.testing.assert_array_equal(model(np.array([[1, 2, 3]])), first)


def test_cudnns_conditions_hold():
    for cell in ("gru", "lstm"):
        layer = build_model(5, cell=cell, units=4).layers[1]
        assert layer.activation is keras.activations.tanh and layer.use_bias and not layer.unroll
        assert layer.recurrent_activation is keras.activations.sigmoid and layer.recurrent_dropout == 0
        assert cell == "lstm" or layer.reset_after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "GRU"}, "cell='GRU'.*rnn, gru, lstm"),
        ({"layers": 0}, "layers is 0; it must be at least 1"),
        ({"vocab_size": 1}, "vocab_size is 1: with one distinct character there is nothing to predict"),
        ({"units": 0}, "units is 0"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"embedding_dim": -1}, "embedding_dim is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"dropout": 1.0}, "dropout is 1.0.*below 1"),
        ({"stateful": True}, "needs a batch_size"),
        ({"precision": "fp16"}, "precision='fp16'.*float32, bfloat16, float16, auto"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(**{"vocab_size": 5, **arguments})


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "decay_steps"])
def test_training_settings_must_be_above_0(name):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be above 0"):
        compile_model(build_model(5, units=4), **{name: 0})


def test_a_training_step_is_traced_once(vocabulary, ids, monkeypatch):
    model, traced = compile_model(build_model(len(vocabulary), units=4, embedding_dim=4)), []
    step = model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: traced.append(data) or step(data))
    model.fit(charlm.streams(ids, 8, 4), shuffle=False, verbose=0)
    assert len(traced) == 1


def test_a_model_without_weights_yet_is_compiled_too(ids):
    model = compile_model(keras.Sequential([keras.layers.Embedding(65, 4), keras.layers.Dense(65)]))
    inputs, targets = ids[:8].reshape(2, 4), ids[1:9].reshape(2, 4)
    assert np.isfinite(model.train_on_batch(inputs, targets))


def test_profile_follows_the_environment(monkeypatch):
    for name in ("gpu", "cpu", "fast"):
        monkeypatch.setenv("CHARLM_PROFILE", name)
        assert charlm.profile() == name
    monkeypatch.setenv("CHARLM_PROFILE", "quick")
    with pytest.raises(ValueError, match="'quick'.*gpu, cpu, fast"):
        charlm.profile()


def test_profile_asks_the_machine_where_nothing_is_set(monkeypatch):
    monkeypatch.delenv("CHARLM_PROFILE")
    for devices, expected in (([], "cpu"), (["a GPU"], "gpu")):
        monkeypatch.setattr(this_machine.tf.config, "list_physical_devices", lambda kind, found=devices: found)
        assert charlm.profile() == expected


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend to be a machine with these processor flags and GPUs of these compute capabilities."""

    def pretend(flags="", *capabilities):
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor : 0\nflags : fpu avx2 {flags}\n")
        monkeypatch.setattr(this_machine, "CPUINFO", file)
        details = {n: {"device_name": f"GPU {n}", "compute_capability": c} for n, c in enumerate(capabilities)}
        config = this_machine.tf.config
        monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: list(details))
        monkeypatch.setattr(config.experimental, "get_device_details", details.get)

    return pretend


@pytest.mark.parametrize(
    ("flags", "capabilities", "expected"),
    [
        ("", [], "float32"),
        ("avx512f avx512_bf16", [], "bfloat16"),
        ("amx_bf16", [], "bfloat16"),
        ("avx512_bf16", [(8, 0)], "float32"),
        ("", [(9, 0)], "float32"),
        ("avx512_bf16", [(7, 5)], "float16"),
        ("avx512_bf16", [(6, 1)], "float32"),
        ("", [(8, 6), (7, 0)], "float16"),
    ],
)
def test_the_best_precision_is_fast_and_safe_on_the_machine(machine, flags, capabilities, expected):
    machine(flags, *capabilities)
    assert this_machine.best_precision() == expected


def test_a_machine_without_cpuinfo_has_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(this_machine, "CPUINFO", tmp_path / "missing")
    assert not this_machine.native_bfloat16()


def test_auto_takes_the_best_precision_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(charlm.models, "best_precision", lambda: "bfloat16")
    model = build_model(5, units=4, precision="auto")
    assert capsys.readouterr().out == 'precision="auto": bfloat16 on this machine\n'
    assert build_arguments(model)["precision"] == "bfloat16"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_weights_and_logits_are_float32_in_every_precision(precision):
    model = compile_model(build_model(5, units=4, dropout=0.1, precision=precision))
    assert model.layers[1].compute_dtype == precision
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert model(np.zeros((2, 3), int)).dtype == "float32"
    assert hasattr(model.optimizer, "inner_optimizer") == (precision == "float16")  # loss scaling
    assert keras.config.dtype_policy().name == "float32"
    assert with_batch_size(model, 1).layers[1].compute_dtype == precision
    again = build_model(**build_arguments(model))
    assert again.dtype_policy.name == model.dtype_policy.name
    assert compile_arguments(model) == compile_arguments(compile_model(again))


@pytest.mark.deep
def test_a_run_trained_in_bfloat16_is_resumed_in_it(tmp_path, vocabulary):
    model = compile_model(build_model(len(vocabulary), units=4, batch_size=2, stateful=True, precision="bfloat16"))
    run = charlm.Run.create(tmp_path / "run", model, vocabulary)
    batches = charlm.streams(np.zeros(40, np.uint8), 4, 2)
    model.fit(batches, validation_data=batches, callbacks=run.callbacks(verbose=False), shuffle=False, verbose=0)
    assert charlm.resume(run)[0].layers[1].compute_dtype == "bfloat16"
    assert charlm.Run.load(run.path).model().layers[1].compute_dtype == "bfloat16"


def test_an_epoch_in_bfloat16_ends_where_float32_does(ids, vocabulary):
    losses = []
    for precision in ("float32", "bfloat16"):
        keras.utils.set_random_seed(0)
        model = build_model(len(vocabulary), units=16, embedding_dim=8, precision=precision)
        batches = charlm.streams(ids, 16, 8)
        compile_model(model, 0.01).fit(batches, shuffle=False, verbose=0)
        losses.append(model.evaluate(batches, verbose=0))
    assert losses[1] == pytest.approx(losses[0], abs=0.01)
    assert losses[0] < math.log(len(vocabulary))


def spans(model, number):
    """How long each unit of a layer remembers, by what is left of a state of ones after a step without any input."""
    layer = [layer for layer in model.layers if hasattr(layer, "cell")][number]
    biases = layer.get_weights()[-1]
    layer.set_weights([*(np.zeros_like(kernel) for kernel in layer.get_weights()[:-1]), biases])
    ones, zeros = np.ones((1, layer.units), "float32"), np.zeros((1, layer.units), "float32")
    states = [zeros, ones] if layer.name.startswith("lstm") else [ones]
    _, states = layer.cell(np.zeros((1, layer.cell.kernel.shape[0]), "float32"), states)
    kept = np.asarray(states[-1])[0]  # z, or the forget gate
    return kept / (1 - kept)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_units_that_remember_keep_their_state_for_one_to_so_many_characters(cell):
    model = remember(build_model(5, cell, units=2000, layers=2, embedding_dim=3), characters=300)
    for number in (0, 1):
        found = np.sort(spans(model, number))
        assert found[0] > 0.99 and found[-1] < 301
        assert abs(found - np.linspace(1, 300, 2000)).max() < 15  # evenly


def test_without_it_a_gru_keeps_half_of_its_state_at_each_step_and_an_lstm_three_quarters():
    assert spans(build_model(5, "gru", units=8), 0) == pytest.approx(1, abs=1e-5)  # 1 / (1 + 1) at each step
    assert spans(build_model(5, "lstm", units=8), 0) == pytest.approx(math.e, abs=1e-4)  # e / (1 + e)


def test_to_remember_changes_biases_of_gates_alone_and_a_seed_repeats_it():
    one, other, untouched = (build_model(5, "lstm", units=6, layers=2, embedding_dim=3) for _ in range(3))
    for model in (one, other):
        model.set_weights(untouched.get_weights())
        assert remember(model, 50, seed=3) is model
    changed = [np.any(a != b) for a, b in zip(one.get_weights(), untouched.get_weights())]
    assert [weight.path for weight, is_new in zip(one.weights, changed) if is_new] == [
        weight.path for weight in one.weights if weight.path.endswith("lstm_cell/bias")
    ]
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights()))
    first, second = (layer.cell.bias.numpy() for layer in one.layers if hasattr(layer, "cell"))
    assert not np.array_equal(first, second)
    of_input, of_forget, of_candidate, of_output = np.split(first, 4)
    assert np.array_equal(of_input, -of_forget) and not of_candidate.any() and not of_output.any()


def test_a_cell_without_gates_and_a_memory_of_nothing_are_refused():
    with pytest.raises(ValueError, match="rnn has no gate"):
        remember(build_model(5, "rnn", units=4), 10)
    with pytest.raises(ValueError, match="characters is 1"):
        remember(build_model(5, units=4), 1)
