"""The cells of notebook 07, run from the notebook, against Keras' layers and against their published equations, and what measures them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lessons.conftest import taught

gates = taught("07_why_gates.ipynb")
CELLS = [gates.RNN, gates.GRU, gates.LSTM, gates.MUT1, gates.MUT2, gates.MUT3]
every_cell = pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)


def random_cell(kind, units=5, features=5, seed=0, **arguments):
    cell = kind(units, dtype="float64", **arguments)
    cell.build((None, features))
    random = np.random.default_rng(seed)
    cell.set_weights([random.normal(0, 0.6, weight.shape) for weight in cell.get_weights()])
    return cell


def named_weights(cell):
    return {name: getattr(cell, name).numpy() for name in cell.names.split()}


def stock_layer(kind, cell, features):
    """Keras' layer with a cell's weights: gate after gate side by side."""
    arguments = {"return_sequences": True, "dtype": "float64"}
    if kind is gates.GRU:
        arguments["reset_after"] = False
    layer = {gates.RNN: keras.layers.SimpleRNN, gates.GRU: keras.layers.GRU, gates.LSTM: keras.layers.LSTM}[kind](
        cell.units, **arguments
    )
    layer.build((None, None, features))
    weights = named_weights(cell)
    layer.set_weights(
        [
            np.concatenate([w for name, w in weights.items() if name.startswith(part)], -1)
            for part in ("W_x", "W_h", "b_")
        ]
    )
    return layer


@settings(max_examples=9, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([gates.RNN, gates.GRU, gates.LSTM]),
    units=st.integers(1, 6),
    features=st.integers(1, 5),
    batch=st.integers(1, 3),
    steps=st.integers(1, 9),
)
def test_vanilla_gru_and_lstm_equal_keras_layers_with_copied_weights(kind, units, features, batch, steps):
    cell = random_cell(kind, units, features)
    inputs = tf.constant(np.random.default_rng(1).normal(size=(batch, steps, features)))
    ours = keras.layers.RNN(cell, return_sequences=True, dtype="float64")(inputs)
    np.testing.assert_allclose(ours, stock_layer(kind, cell, features)(inputs), rtol=1e-5, atol=1e-9)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def published_step(kind, w, x, h):
    """One step of the equations of Jozefowicz et al. 2015, with columns for vectors, as they print them."""
    w = {name: value.T for name, value in w.items()}
    if kind is gates.MUT1:
        z = sigmoid(w["W_xz"] @ x + w["b_z"])
        r = sigmoid(w["W_xr"] @ x + w["W_hr"] @ h + w["b_r"])
        return np.tanh(w["W_hh"] @ (r * h) + np.tanh(x) + w["b_h"]) * z + h * (1 - z)
    if kind is gates.MUT2:
        z = sigmoid(w["W_xz"] @ x + w["W_hz"] @ h + w["b_z"])
        r = sigmoid(x + w["W_hr"] @ h + w["b_r"])
        return np.tanh(w["W_hh"] @ (r * h) + w["W_xh"] @ x + w["b_h"]) * z + h * (1 - z)
    z = sigmoid(w["W_xz"] @ x + w["W_hz"] @ np.tanh(h) + w["b_z"])
    r = sigmoid(w["W_xr"] @ x + w["W_hr"] @ h + w["b_r"])
    return np.tanh(w["W_hh"] @ (r * h) + w["W_xh"] @ x + w["b_h"]) * z + h * (1 - z)


@pytest.mark.parametrize("kind", [gates.MUT1, gates.MUT2, gates.MUT3], ids=lambda kind: kind.__name__)
def test_a_mutant_follows_its_published_equations_step_by_step(kind):
    cell = random_cell(kind)
    inputs = np.random.default_rng(2).normal(size=(3, 7, 5))
    outputs = keras.layers.RNN(cell, return_sequences=True, dtype="float64")(tf.constant(inputs)).numpy()
    for row in range(3):
        h = np.zeros(5)
        for t in range(7):
            h = published_step(kind, named_weights(cell), inputs[row, t], h)
            np.testing.assert_allclose(outputs[row, t], h, rtol=1e-10)


@every_cell
def test_every_weight_of_a_cell_takes_part(kind):
    cell = random_cell(kind)
    inputs = tf.constant(np.random.default_rng(3).normal(size=(2, 4, 5)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(keras.layers.RNN(cell, dtype="float64")(inputs) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in cell.weights])
    assert len(gradients) == len(cell.names.split())
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


def test_the_forget_bias_is_where_b_f_begins():
    for bias in (0.0, 1.0, 3.0):
        cell = gates.LSTM(4, forget_bias=bias)
        cell.build((None, 2))
        assert cell.b_f.numpy().tolist() == [bias] * 4
        assert not cell.b_i.numpy().any() and not cell.b_o.numpy().any()


@every_cell
def test_a_cell_is_made_again_from_its_configuration(kind):
    cell = kind(3, name="cell")
    assert kind.from_config(cell.get_config()).get_config() == cell.get_config()


def test_a_gradient_norm_is_that_of_the_product_of_jacobians():
    cell = random_cell(gates.RNN, units=4, features=3)
    inputs = np.random.default_rng(4).normal(size=(1, 6, 3))
    d_last = np.array([1.0, -2.0, 0.5, 3.0])
    norms = gates.gradient_norms(cell, tf.constant(inputs), lambda h: tf.linalg.matvec(h, d_last))
    w, h, jacobians = named_weights(cell), np.zeros(4), []
    for t in range(6):
        h = np.tanh(inputs[0, t] @ w["W_xh"] + h @ w["W_hh"] + w["b_h"])
        jacobians.append(np.diag(1 - h**2) @ w["W_hh"].T)
    gradient, expected = d_last, [np.linalg.norm(d_last)]
    for jacobian in jacobians[::-1]:
        gradient = gradient @ jacobian
        expected.append(np.linalg.norm(gradient))
    np.testing.assert_allclose(norms, expected, rtol=1e-10)


def test_the_gradient_norm_of_an_lstm_counts_hidden_and_cell_state():
    cell = random_cell(gates.LSTM, units=3, features=2)
    inputs = tf.constant(np.random.default_rng(5).normal(size=(1, 1, 2)))
    h, c = (tf.zeros((1, 3), tf.float64) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch([h, c])
        loss = tf.reduce_sum(cell(inputs[:, 0], [h, c])[0])
    expected = np.linalg.norm(np.concatenate([g.numpy() for g in tape.gradient(loss, [h, c])], -1))
    norms = gates.gradient_norms(cell, inputs, lambda out: tf.reduce_sum(out, -1))
    np.testing.assert_allclose(norms, [3**0.5, expected], rtol=1e-10)


def test_fifty_steps_back_a_vanilla_gradient_is_1e3_times_below_an_lstm_with_forget_bias_1():
    random = np.random.default_rng(6)
    inputs = tf.one_hot(random.integers(20, size=(4, 50)), 20, dtype="float64")
    norms = {}
    for kind in (gates.RNN, gates.LSTM):
        cell = kind(32, dtype="float64")
        cell.build((None, 20))
        for name in cell.names.split():
            if name.startswith("W"):
                getattr(cell, name).assign(random.uniform(-0.08, 0.08, getattr(cell, name).shape))
        norms[kind] = gates.gradient_norms(cell, inputs, lambda h: tf.reduce_sum(h, -1))
    assert norms[gates.RNN][50] * 1e3 < norms[gates.LSTM][50]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(k=st.integers(0, 30), seed=st.integers(0, 1000))
def test_the_answer_is_the_marked_bit_and_the_gap_its_distance_from_the_end(k, seed):
    inputs, answers, gaps = gates.bit_memory(k, 16, np.random.default_rng(seed))
    assert inputs.shape == (16, k + 1, 2) and answers.shape == (16, 1)
    assert (inputs[..., 1].sum(axis=1) == 1).all() and (np.abs(inputs[..., 0]) == 1).all()
    marked = inputs[..., 1].argmax(axis=1)
    assert (k - marked == gaps).all()
    assert (2 * answers[:, 0] - 1 == inputs[np.arange(16), marked, 0]).all()


def test_a_fixed_gap_is_the_same_in_all_sequences_and_must_fit():
    assert set(gates.bit_memory(9, 20, np.random.default_rng(0), gap=9)[2]) == {9}
    with pytest.raises(ValueError, match="gap is 10; it must be between 0 and k, which is 9"):
        gates.bit_memory(9, 20, np.random.default_rng(0), gap=10)


@every_cell
@pytest.mark.parametrize("parameters", [400, 20_000])
def test_units_for_comes_as_near_to_the_parameters_as_whole_units_can(kind, parameters):
    def count(units):
        cell = kind(units)
        cell.build((None, units))
        return cell.count_params()

    units = gates.units_for(parameters, kind)
    assert all(abs(count(units) - parameters) <= abs(count(other) - parameters) for other in (units - 1, units + 1))


def test_a_restarted_network_trains_as_a_fresh_one_does():
    def build(seed):
        keras.utils.set_random_seed(seed)
        network = keras.Sequential([keras.Input((4, 2)), keras.layers.GRU(3), keras.layers.Dense(1)])
        network.compile(keras.optimizers.Adam(0.1), "mse")
        return network

    def losses(network):
        inputs, answers, _ = gates.bit_memory(3, 64, np.random.default_rng(0))
        return network.fit(inputs, answers, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]

    network = build(0)
    first = losses(network)
    gates.restart(network, build(1))
    np.testing.assert_allclose(losses(network), losses(build(1)), rtol=1e-5)
    gates.restart(network, build(0))
    np.testing.assert_allclose(losses(network), first, rtol=1e-5)
