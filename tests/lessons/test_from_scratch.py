"""The NumPy model of notebook 00, run from its own cells: its gradients, its twin in Keras, and that it learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lessons.conftest import taught

scratch = taught("00_from_scratch.ipynb")


def small_case(vocab_size=7, hidden_size=6, rows=2, steps=9, seed=0):
    """Weights large enough to bend tanh, inputs, targets, and a state that is not zero."""
    random = np.random.default_rng(seed)
    weights = {
        name: 0.6 * random.normal(size=w.shape) for name, w in scratch.init_weights(vocab_size, hidden_size).items()
    }
    inputs, targets = random.integers(vocab_size, size=(2, rows, steps))
    return weights, inputs, targets, np.tanh(random.normal(size=(rows, hidden_size)))


def relative_error(one, other):
    return np.linalg.norm(one - other) / (np.linalg.norm(one) + np.linalg.norm(other))


def keras_network(weights, dtype="float64"):
    vocab_size, hidden_size = weights["W_xh"].shape
    rnn = keras.layers.SimpleRNN(hidden_size, return_sequences=True, return_state=True, dtype=dtype)
    dense = keras.layers.Dense(vocab_size, dtype=dtype)
    rnn.build((None, None, vocab_size))
    dense.build((None, None, hidden_size))
    rnn.set_weights([weights["W_xh"], weights["W_hh"], weights["b_h"]])
    dense.set_weights([weights["W_hy"], weights["b_y"]])
    return rnn, dense


@pytest.mark.parametrize("name", ["W_xh", "W_hh", "b_h", "W_hy", "b_y"])
def test_gradients_equal_central_differences_to_1e_6_for_every_entry(name):
    weights, *data = small_case()
    _, gradients, _ = scratch.loss_and_gradients(weights, *data)
    measured = scratch.numerical_gradient(weights, name, *data)
    assert measured.shape == weights[name].shape and np.linalg.norm(measured) > 0.01
    assert relative_error(gradients[name], measured) < 1e-6


@settings(max_examples=6, deadline=None, derandomize=True)
@given(rows=st.integers(1, 4), steps=st.integers(1, 12), hidden_size=st.integers(1, 9), seed=st.integers(0, 99))
def test_loss_gradients_and_state_equal_keras(rows, steps, hidden_size, seed):
    weights, inputs, targets, h = small_case(7, hidden_size, rows, steps, seed)
    loss, gradients, last = scratch.loss_and_gradients(weights, inputs, targets, h)
    rnn, dense = keras_network(weights)
    with tf.GradientTape() as tape:
        hidden, final = rnn(tf.one_hot(inputs, 7, dtype="float64"), initial_state=tf.constant(h))
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, dense(hidden))
        theirs = tf.reduce_sum(nats) / rows
    variables = rnn.trainable_weights + dense.trainable_weights
    of_theirs = tape.gradient(theirs, [variable.value for variable in variables])
    np.testing.assert_allclose(loss, float(theirs), rtol=1e-6)
    np.testing.assert_allclose(last, final, rtol=1e-6)
    for name, gradient in zip(("W_xh", "W_hh", "b_h", "W_hy", "b_y"), of_theirs):
        assert relative_error(gradients[name], gradient.numpy()) < 1e-6


def test_two_parts_with_carried_state_lose_what_the_whole_loses():
    weights, inputs, targets, h = small_case(steps=10)
    whole, _, last = scratch.loss_and_gradients(weights, inputs, targets, h)
    first, _, carried = scratch.loss_and_gradients(weights, inputs[:, :4], targets[:, :4], h)
    second, _, end = scratch.loss_and_gradients(weights, inputs[:, 4:], targets[:, 4:], carried)
    np.testing.assert_allclose([first + second, *end.flat], [whole, *last.flat], rtol=1e-12)


def test_the_first_loss_is_that_of_a_uniform_guess():
    weights = scratch.init_weights(65, 32)
    inputs, targets = np.random.default_rng(0).integers(65, size=(2, 4, 25))
    loss, _, _ = scratch.loss_and_gradients(weights, inputs, targets, np.zeros((4, 32)))
    assert loss / 25 == pytest.approx(np.log(65), abs=0.01)


def test_adagrad_clips_each_gradient_and_divides_by_the_root_of_its_squares():
    weights, memory = {"w": np.zeros(2)}, {"w": np.zeros(2)}
    for gradient in ([100.0, 3.0], [-5.0, 4.0]):
        scratch.adagrad(weights, {"w": np.array(gradient)}, memory, rate=0.1)
    np.testing.assert_allclose(memory["w"], [50, 25])
    np.testing.assert_allclose(weights["w"], [-0.1 + 0.5 / 50**0.5, -0.1 - 0.4 / 5], rtol=1e-6)


def test_training_carries_the_hidden_state_from_update_to_update_and_resets_it_at_a_new_pass(monkeypatch):
    seen = []

    def spy(weights, inputs, targets, h):
        seen.append((inputs.tolist(), targets.tolist(), h.copy()))
        return 0.0, {name: np.zeros_like(weight) for name, weight in weights.items()}, h + 1

    monkeypatch.setattr(scratch, "loss_and_gradients", spy)
    list(scratch.train(scratch.init_weights(13, 2), np.arange(13), updates=4, rows=2, length=2))
    assert [inputs for inputs, _, _ in seen[:3]] == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    assert [targets for _, targets, _ in seen[:1]] == [[[1, 2], [7, 8]]]
    assert [h.mean() for _, _, h in seen] == [0, 1, 2, 0]


def test_smooth_loss_starts_at_a_uniform_guess_and_falls_far_on_a_text_with_a_rule():
    ids = np.tile(np.array([0, 1, 2, 2, 3]), 200)
    weights = scratch.init_weights(4, 12)
    losses = [smooth for _, smooth in scratch.train(weights, ids, updates=1200, rows=2, length=10)]
    assert losses[0] == pytest.approx(10 * np.log(4), rel=0.01)
    assert losses[-1] < 0.5 * losses[0]
    assert scratch.sample(weights, ids[:4], 6, temperature=0).tolist() == [3, 0, 1, 2, 2, 3]


def test_a_text_too_short_to_train_on_is_refused():
    with pytest.raises(ValueError, match="20 characters are too few; rows 2 x length 10"):
        next(scratch.train(scratch.init_weights(4, 3), np.zeros(20, int), updates=1, rows=2, length=10))


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="hidden_size 0"):
        scratch.init_weights(4, 0)


def test_samples_repeat_with_their_seed_and_argmax_needs_none():
    weights = small_case()[0]
    prompt = np.array([1, 2])
    assert scratch.sample(weights, prompt, 20, seed=1).tolist() == scratch.sample(weights, prompt, 20, seed=1).tolist()
    assert scratch.sample(weights, prompt, 20, seed=1).tolist() != scratch.sample(weights, prompt, 20, seed=2).tolist()
    greedy = [scratch.sample(weights, prompt, 20, seed=seed, temperature=0).tolist() for seed in (1, 2)]
    assert greedy[0] == greedy[1]


def test_feeding_the_sample_back_by_hand_gives_the_same_argmax():
    weights = small_case()[0]
    written = [1, 2]
    for _ in range(5):
        h = scratch.forward(weights, np.array([written]), np.zeros((1, 6)))[-1]
        written.append(int((h @ weights["W_hy"] + weights["b_y"]).argmax()))
    assert scratch.sample(weights, np.array([1, 2]), 5, temperature=0).tolist() == written[2:]
