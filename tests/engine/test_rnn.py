import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.engine import rnn
from tests.deep import deep

PAIRS = {
    "gru": (keras.layers.GRU, rnn.GRU),
    "lstm": (keras.layers.LSTM, rnn.LSTM),
    "simple_rnn": (keras.layers.SimpleRNN, rnn.SimpleRNN),
}
every_cell = pytest.mark.parametrize("name", PAIRS)
# Where the cell makes no difference: the one of two states stands for all.
any_cell = pytest.mark.parametrize("name", ["lstm", deep("gru"), deep("simple_rnn")])


def first_for_every_cell(names, first, *others):
    """Parametrize a test: the first value meets every cell, the others the LSTM; the rest is for the deep tests."""
    cases = [(cell, first) for cell in PAIRS] + [("lstm", other) for other in others]
    return pytest.mark.parametrize(
        names, [*cases, *(deep(c, other) for c in ("gru", "simple_rnn") for other in others)]
    )


def pair(name, units=5, features=4, batch=3, steps=6, **arguments):
    """Keras' layer and ours with the same random weights, biases included."""
    layers = [cls(units, **arguments) for cls in PAIRS[name]]
    for layer in layers:
        layer.build((batch, steps, features))
    random = np.random.default_rng(7)
    weights = [random.normal(0, 0.5, weight.shape) for weight in layers[0].trainable_weights]
    for layer in layers:
        for variable, value in zip(layer.trainable_weights, weights):
            variable.assign(value)
    return layers


def random_inputs(layer, batch=3, steps=6, features=4):
    random = np.random.default_rng(11)
    shapes = [(batch, steps, features)] + [(batch, layer.units)] * len(layer.state_size)
    inputs, *states = [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]
    return inputs, states


def results(layer, inputs, states=None, jit_compile=False, training=False):
    """Outputs, last states, and the gradients of inputs, initial states and weights, in one flat list.

    Ours are those of a traced function, as in training; Keras' layer is called as it is, which traces nothing.
    """

    def run():
        with tf.GradientTape() as tape:
            tape.watch([inputs, states or []])
            outputs = tf.nest.flatten(layer(inputs, initial_state=states, training=training))
            loss = tf.add_n([tf.reduce_sum(tf.sin(tf.cast(out, tf.float32) + k)) for k, out in enumerate(outputs)])
        sources = [inputs, states or [], [variable.value for variable in layer.trainable_weights]]
        return outputs + tf.nest.flatten(tape.gradient(loss, sources))

    is_ours = type(layer) in [ours for _, ours in PAIRS.values()]
    found = tf.function(run, jit_compile=jit_compile)() if is_ours else run()
    return [tf.convert_to_tensor(value).numpy().astype("float32") for value in found]


def assert_close(actual, expected, relative=1e-5):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= relative * max(np.abs(other).max(), 1e-3)


def forbid_fast_loop(monkeypatch):
    def fail(*_):
        raise AssertionError("the fast loop ran")

    monkeypatch.setattr(rnn, "_recurrence", fail)


def forbid_keras_loop(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("Keras' loop ran")

    for stock, _ in PAIRS.values():
        monkeypatch.setattr(stock, "inner_loop", fail)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(PAIRS)),
    units=st.integers(1, 9),
    features=st.integers(1, 7),
    batch=st.integers(1, 5),
    steps=st.integers(1, 12),
    given_state=st.booleans(),
)
def test_outputs_and_gradients_equal_stock_keras_at_random_shapes(name, units, features, batch, steps, given_state):
    shape = {"batch": batch, "steps": steps, "features": features}
    stock, ours = pair(name, units, return_sequences=True, return_state=True, **shape)
    inputs, states = random_inputs(stock, **shape)
    states = states if given_state else None
    assert_close(results(ours, inputs, states), results(stock, inputs, states))


@first_for_every_cell("name, sizes", (3, 40), (1, 1))
def test_gradients_equal_stock_keras(name, sizes):
    batch, steps = sizes
    stock, ours = pair(name, batch=batch, steps=steps, return_sequences=True, return_state=True)
    inputs, states = random_inputs(stock, batch, steps)
    assert_close(results(ours, inputs, states), results(stock, inputs, states))


@any_cell
def test_the_last_output_alone_equals_stock_keras(name):
    stock, ours = pair(name)
    inputs, states = random_inputs(stock)
    assert_close(results(ours, inputs, states), results(stock, inputs, states))


@every_cell
def test_gradients_inside_an_xla_compiled_step_equal_stock_keras(name):
    stock, ours = pair(name, return_sequences=True)
    inputs, states = random_inputs(stock)
    assert_close(results(ours, inputs, states, jit_compile=True), results(stock, inputs, states))


@any_cell
def test_eager_calls_equal_stock_keras(name):
    stock, ours = pair(name, return_sequences=True)
    inputs, states = random_inputs(stock)
    assert_close([ours(inputs, initial_state=states).numpy()], [stock(inputs, initial_state=states).numpy()])


@any_cell
def test_a_stateful_layer_carries_stock_keras_state(name):
    stock, ours = pair(name, return_sequences=True, stateful=True)
    inputs, _ = random_inputs(stock)
    for _ in range(2):
        assert_close(results(ours, inputs), results(stock, inputs))
    assert_close([s.numpy() for s in ours.states], [s.numpy() for s in stock.states])
    ours.reset_state()
    assert not any(np.any(state.numpy()) for state in ours.states)


@any_cell
def test_input_dropout_draws_stock_keras_mask(name):
    stock, ours = pair(name, return_sequences=True, dropout=0.5, seed=3)
    inputs, states = random_inputs(stock)
    assert_close(results(ours, inputs, states, training=True), results(stock, inputs, states, training=True))


@first_for_every_cell("name, policy", "mixed_bfloat16", "mixed_float16")
def test_half_precision_is_as_close_to_float32_as_stock_keras(name, policy):
    rounding = {"mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}[policy]
    exact, _ = pair(name, return_sequences=True)
    stock, ours = pair(name, return_sequences=True, dtype=policy)
    inputs, states = random_inputs(exact)
    expected, reference, actual = (results(layer, inputs, states) for layer in (exact, stock, ours))
    for true, theirs, mine in zip(expected, reference, actual):
        scale = np.abs(true).max()
        assert np.abs(mine - true).max() <= 2 * np.abs(theirs - true).max() + 4 * rounding * scale


@any_cell
def test_one_model_accepts_any_batch_and_length(name):
    stock, ours = pair(name, return_sequences=True)
    inputs = keras.Input((None, 4))
    models = [keras.Model(inputs, layer(inputs)) for layer in (ours, stock)]
    for batch, steps in [(2, 3), (5, 1), (1, 8)]:
        batch_inputs = np.random.default_rng(5).normal(size=(batch, steps, 4)).astype("float32")
        assert_close(*[[model.predict_on_batch(batch_inputs)] for model in models])


@any_cell
def test_fit_follows_stock_keras(name):
    ids = np.random.default_rng(2).integers(0, 7, (8, 6))
    losses = []
    for layer in pair(name, return_sequences=True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Embedding(7, 4), layer, keras.layers.Dense(7)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses.append(model.fit(ids, ids, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@every_cell
def test_weights_files_go_both_ways(name, tmp_path):
    models = []
    for layer in pair(name, return_sequences=True):
        models.append(keras.Sequential([keras.layers.Embedding(7, 4), layer, keras.layers.Dense(7)]))
        models[-1].build((3, 6))
    ids = np.arange(18).reshape(3, 6) % 7
    for source, target in (models, models[::-1]):
        path = tmp_path / f"{source.layers[1].__class__.__module__}.weights.h5"
        for weight in source.weights:
            weight.assign(weight + 0.1)
        source.save_weights(path)
        target.load_weights(path)
        assert_close([target.predict_on_batch(ids)], [source.predict_on_batch(ids)])


@every_cell
def test_variable_names_are_stock_keras_names(name):
    keras.utils.clear_session()
    stock, ours = (cls(3, name="layer") for cls in PAIRS[name])
    for layer in (stock, ours):
        layer.build((2, 3, 4))
    assert [w.path for w in ours.weights] == [w.path for w in stock.weights]
    assert type(ours).__name__ == type(stock).__name__


@every_cell
def test_a_saved_model_loads_with_the_fast_layer(name, tmp_path):
    _, ours = pair(name, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 4)), ours])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs, _ = random_inputs(ours)
    assert type(loaded.layers[0]) is type(ours)
    assert_close([loaded.predict_on_batch(inputs)], [model.predict_on_batch(inputs)])


@every_cell
def test_the_fast_loop_runs_on_a_cpu(name, monkeypatch):
    _, ours = pair(name)
    monkeypatch.setattr(rnn, "_gpu_available", lambda: False)
    forbid_keras_loop(monkeypatch)
    assert rnn.covers(ours)
    ours(random_inputs(ours)[0])


@any_cell
def test_keras_loop_runs_where_a_gpu_is_reported(name, monkeypatch):
    stock, ours = pair(name)
    monkeypatch.setattr(rnn, "_gpu_available", lambda: True)
    forbid_fast_loop(monkeypatch)
    inputs, _ = random_inputs(ours)
    assert not rnn.covers(ours)
    np.testing.assert_array_equal(ours(inputs), stock(inputs))


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("gru", {"reset_after": False}),
        ("gru", {"recurrent_dropout": 0.2}),
        ("gru", {"activation": "relu"}),
        ("gru", {"recurrent_activation": "hard_sigmoid"}),
        ("gru", {"implementation": 1}),
        ("gru", {"dtype": "float64"}),
        ("lstm", {"go_backwards": True}),
        ("lstm", {"unroll": True}),
        ("lstm", {"use_bias": False}),
        ("simple_rnn", {"activation": "relu"}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_keras_loop_runs_where_the_configuration_is_not_covered(name, arguments, monkeypatch):
    forbid_fast_loop(monkeypatch)
    stock, ours = pair(name, return_sequences=True, **arguments)
    inputs, _ = random_inputs(ours)
    assert not rnn.covers(ours)
    assert_close([ours(inputs).numpy()], [stock(inputs).numpy()])


@any_cell
def test_keras_loop_runs_where_a_mask_is_given(name, monkeypatch):
    forbid_fast_loop(monkeypatch)
    stock, ours = pair(name, return_sequences=True)
    inputs, _ = random_inputs(ours)
    mask = tf.constant([[True] * 6, [True] * 4 + [False] * 2, [True] * 6])
    assert_close([ours(inputs, mask=mask).numpy()], [stock(inputs, mask=mask).numpy()])


@every_cell
def test_step_functions_walk_through_the_layer_outputs(name):
    stock, _ = pair(name, return_sequences=True)
    inputs, states = random_inputs(stock)
    expected = stock(inputs, initial_state=states)
    weights = rnn.recurrent_weights(stock)
    kernel, *bias = [weight for weight in weights[2:] if weight is not None]
    for t in range(inputs.shape[1]):
        products = rnn.input_projection(inputs[:, t], weights), tf.matmul(states[0], kernel)
        output, states = rnn.cell_step(rnn.cell_name(stock), *products, states, *bias)
        assert_close([output.numpy()], [expected[:, t].numpy()])


def test_recurrent_weights_refuses_a_gru_with_reset_before():
    layer = keras.layers.GRU(3, reset_after=False, name="old_gru")
    layer.build((1, 2, 4))
    with pytest.raises(ValueError, match="'old_gru' has reset_after=False"):
        rnn.recurrent_weights(layer)


@first_for_every_cell("name, steps", 67, 64)
def test_a_sequence_in_parts_equals_stock_keras(name, steps):
    stock, ours = pair(name, steps=steps, return_sequences=True, return_state=True)
    inputs, states = random_inputs(stock, steps=steps)
    assert_close(results(ours, inputs, states), results(stock, inputs, states))


@given(st.integers(1, 2000))
def test_parts_are_equal_and_cover_the_sequence(steps):
    parts = rnn._parts(steps)
    assert [end for _, end in parts[:-1]] == [begin for begin, _ in parts[1:]]
    assert len({end - begin for begin, end in parts}) <= 1
    assert len(parts) <= rnn.MOST_PARTS and (parts[0][0], parts[-1][1]) == (0, steps)


@first_for_every_cell("name, dtype", "float32", "mixed_bfloat16")
def test_looked_up_characters_give_stock_keras_gradients(name, dtype):
    ids = np.random.default_rng(3).integers(0, 7, (4, 32))
    stock, ours = pair(name, steps=32, return_sequences=True, dtype=dtype)
    found = []
    for embed, layer in ((keras.layers.Embedding, stock), (rnn.Embedding, ours)):
        keras.utils.set_random_seed(4)
        embedding = embed(7, 4, dtype=dtype)
        model = keras.Sequential([embedding, layer])
        model.build((4, 32))

        @tf.function
        def run(model=model):
            with tf.GradientTape() as tape:
                outputs = tf.cast(model(ids), tf.float32)
                loss = tf.reduce_sum(tf.sin(outputs))
            return outputs, *tape.gradient(loss, [variable.value for variable in model.trainable_variables])

        found.append([tf.convert_to_tensor(value).numpy() for value in run()])
    assert_close(found[1], found[0], 1e-5 if dtype == "float32" else 0.1)


def test_the_fast_layer_multiplies_each_character_once(monkeypatch):
    read, project = [], rnn._project
    monkeypatch.setattr(rnn, "_project", lambda inputs, weights: read.append(inputs.dtype) or project(inputs, weights))
    for vocabulary, expected in ((7, tf.int32), (200, tf.float32)):  # more characters than places: no table
        keras.Sequential([rnn.Embedding(vocabulary, 4), rnn.GRU(3)])(np.zeros((2, 8), int))
        assert set(read) == {expected}
        read.clear()


def test_dropout_on_the_vectors_goes_past_the_table():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([rnn.Embedding(7, 4), keras.layers.Dropout(0.5), rnn.GRU(3)])
    ids = np.zeros((2, 8), int)
    assert not np.allclose(model(ids, training=True), model(ids))


@any_cell
def test_an_eager_tape_gives_the_compiled_gradients(name):
    stock, ours = pair(name, steps=20, return_sequences=True)
    inputs, _ = random_inputs(stock, steps=20)
    found = []
    for layer in (stock, ours):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(tf.constant(inputs))))
        found.append(tape.gradient(loss, [variable.value for variable in layer.trainable_variables]))
    assert_close(found[1], found[0])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("fast", [True, False])
def test_weight_dropout_computes_with_a_thinned_recurrent_kernel_and_only_in_training(cell, fast, monkeypatch):
    layer = {"rnn": rnn.SimpleRNN, "gru": rnn.GRU, "lstm": rnn.LSTM}[cell](6, return_sequences=True, weight_dropout=0.5)
    inputs = tf.random.stateless_normal((2, 5, 3), (0, 1))
    still = layer(inputs)
    dropped = []

    def dropout(kernel, rate, seed):
        dropped.append(keras.ops.convert_to_tensor(kernel) * (np.arange(6) % 2)[:, None] / (1 - rate))
        return dropped[-1]

    monkeypatch.setattr(rnn.keras.random, "dropout", dropout)
    if not fast:
        monkeypatch.setattr(rnn, "covers", lambda *_: False)
    np.testing.assert_allclose(layer(inputs), still, atol=1e-6)
    thinned = layer(inputs, training=True)
    assert len(dropped) == 1
    kept = layer.cell.recurrent_kernel
    kept.assign(dropped[0])
    np.testing.assert_allclose(thinned, layer(inputs), atol=1e-6)


def test_weight_dropout_changes_from_batch_to_batch_and_lets_gradients_through():
    layer = rnn.LSTM(6, weight_dropout=0.5)
    inputs = tf.random.stateless_normal((2, 5, 3), (0, 1))
    layer(inputs)
    first, second = (layer(inputs, training=True) for _ in range(2))
    assert not np.allclose(first, second)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=True))
    gradient = tape.gradient(loss, layer.cell.recurrent_kernel.value).numpy()
    assert 0.2 < np.mean(gradient == 0) < 0.8  # of what was dropped
    assert rnn.LSTM.from_config(layer.get_config()).weight_dropout == 0.5
