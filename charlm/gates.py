"""Recurrent cells written out equation by equation, and what their gates are for: the code of notebook 07.

Owns cells for `keras.layers.RNN` (vanilla RNN, GRU, LSTM, MUT1 to MUT3), the norm of the gradient that reaches a
state k steps back, and the task of remembering a bit. `charlm.rnn` has the fast layers; these are to be read.

A cell's `call` reads as its equations do, vectors as rows: x·W_xz + h·W_hz + b_z is the sum inside gate z.
"""

import keras
import numpy as np
import tensorflow as tf
from keras.ops import sigmoid, tanh


class Cell(keras.layers.Layer):
    """A cell whose weights are named as in its equations; subclasses list the names and write `call`.

    W_x* is (features, units), Glorot uniform; W_h* is (units, units), orthogonal; b_* is (units,), 0.

    Args:
        units: width of the state.
        kwargs: a Keras layer's own arguments, such as `name` and `dtype`.
    """

    names = ""  # of the weights, in the order in which `get_weights` lists them

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        kinds = {"W_x": ((input_shape[-1], self.units), "glorot_uniform"), "b_": ((self.units,), "zeros")}
        kinds["W_h"] = ((self.units, self.units), "orthogonal")
        for name in self.names.split():
            shape, initializer = kinds[name[:-1]]
            setattr(self, name, self.add_weight(shape=shape, initializer=initializer, name=name))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class RNN(Cell):
    """The vanilla RNN (Elman 1990): h' = tanh(x·W_xh + h·W_hh + b_h)."""

    names = "W_xh W_hh b_h"

    def call(self, x, states):
        h = tanh(x @ self.W_xh + states[0] @ self.W_hh + self.b_h)
        return h, [h]


class GRU(Cell):
    """The gated recurrent unit of Cho et al. 2014: Keras' GRU with `reset_after=False`, in Keras' order z, r, h."""

    names = "W_xz W_xr W_xh W_hz W_hr W_hh b_z b_r b_h"

    def call(self, x, states):
        h = states[0]
        z = sigmoid(x @ self.W_xz + h @ self.W_hz + self.b_z)  # update gate
        r = sigmoid(x @ self.W_xr + h @ self.W_hr + self.b_r)  # reset gate
        candidate = tanh(x @ self.W_xh + (r * h) @ self.W_hh + self.b_h)
        h = z * h + (1 - z) * candidate
        return h, [h]


class LSTM(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000), order i, f, g, o as in Keras.

    Args:
        units: width of the hidden state h and of the cell state c.
        forget_bias: what b_f begins with.
        kwargs: a Keras layer's own arguments.
    """

    names = "W_xi W_xf W_xg W_xo W_hi W_hf W_hg W_ho b_i b_f b_g b_o"

    def __init__(self, units, forget_bias=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size, self.forget_bias = [units, units], forget_bias

    def build(self, input_shape):
        super().build(input_shape)
        self.b_f.assign(self.b_f + self.forget_bias)

    def call(self, x, states):
        h, c = states
        i = sigmoid(x @ self.W_xi + h @ self.W_hi + self.b_i)  # input gate
        f = sigmoid(x @ self.W_xf + h @ self.W_hf + self.b_f)  # forget gate
        o = sigmoid(x @ self.W_xo + h @ self.W_ho + self.b_o)  # output gate
        c = f * c + i * tanh(x @ self.W_xg + h @ self.W_hg + self.b_g)
        h = o * tanh(c)
        return h, [h, c]

    def get_config(self):
        return {**super().get_config(), "forget_bias": self.forget_bias}


class MUT1(Cell):
    """MUT1 of Jozefowicz, Zaremba and Sutskever 2015; inputs are as wide as the state."""

    names = "W_xz W_xr W_hr W_hh b_z b_r b_h"

    def call(self, x, states):
        h = states[0]
        z = sigmoid(x @ self.W_xz + self.b_z)
        r = sigmoid(x @ self.W_xr + h @ self.W_hr + self.b_r)
        h = tanh((r * h) @ self.W_hh + tanh(x) + self.b_h) * z + h * (1 - z)
        return h, [h]


class MUT2(Cell):
    """MUT2 of Jozefowicz, Zaremba and Sutskever 2015; inputs are as wide as the state."""

    names = "W_xz W_hz W_hr W_hh W_xh b_z b_r b_h"

    def call(self, x, states):
        h = states[0]
        z = sigmoid(x @ self.W_xz + h @ self.W_hz + self.b_z)
        r = sigmoid(x + h @ self.W_hr + self.b_r)
        h = tanh((r * h) @ self.W_hh + x @ self.W_xh + self.b_h) * z + h * (1 - z)
        return h, [h]


class MUT3(Cell):
    """MUT3 of Jozefowicz, Zaremba and Sutskever 2015."""

    names = "W_xz W_hz W_xr W_hr W_hh W_xh b_z b_r b_h"

    def call(self, x, states):
        h = states[0]
        z = sigmoid(x @ self.W_xz + tanh(h) @ self.W_hz + self.b_z)
        r = sigmoid(x @ self.W_xr + h @ self.W_hr + self.b_r)
        h = tanh((r * h) @ self.W_hh + x @ self.W_xh + self.b_h) * z + h * (1 - z)
        return h, [h]


def gradient_norms(cell, inputs, loss):
    """Measure how much of the gradient of the last step's loss reaches the states before it.

    The norm of dL/ds_{T-k}, where s is all that a cell hands on: h, or h and c together. It is the last step's
    gradient times the product of k Jacobians ds_t/ds_{t-1} (Bengio, Simard and Frasconi 1994).

    Args:
        cell: a built Keras cell.
        inputs: (batch, T, features) vectors.
        loss: takes the last output (batch, units); returns (batch,) nats.

    Returns:
        (T + 1,) mean norm over the batch, for k = 0 to T.
    """
    sizes = tf.nest.flatten(cell.state_size)
    history = [[tf.zeros((inputs.shape[0], size), inputs.dtype) for size in sizes]]
    with tf.GradientTape() as tape:
        tape.watch(history[0])
        for t in range(inputs.shape[1]):
            _, states = cell(inputs[:, t], history[-1])
            history.append([tf.identity(state) for state in states])
        # The output is h itself, the first state: taken from there, its gradient passes through the history.
        final = loss(history[-1][0])
    gradients = tape.gradient(final, history, unconnected_gradients="zero")
    norms = [tf.norm(tf.concat(states, axis=-1), axis=-1) for states in gradients]
    return np.array([float(tf.reduce_mean(norm)) for norm in norms[::-1]])


def bit_memory(k, count, random, gap=None):
    """Draw sequences of k + 1 bits of which a mark names one, to be told after the last of them.

    The unmarked bits are there to be ignored. Without a fixed gap, the marked one is as likely the last as any other.

    Args:
        k: the farthest that the marked bit can lie back.
        count: sequences.
        random: a `numpy.random.Generator`.
        gap: steps from the marked bit to the end, the same in all sequences; None for a chance one, 0 to k.

    Returns:
        Inputs (count, k + 1, 2) float32: a bit as -1 or 1, and 1 at the marked one, 0 elsewhere; answers (count, 1)
        float32, 0 or 1; and gaps (count,).

    Raises:
        ValueError: `gap` is not between 0 and k.
    """
    if gap is not None and not 0 <= gap <= k:
        raise ValueError(f"gap is {gap}; it must be between 0 and k, which is {k}.")
    gaps = random.integers(k + 1, size=count) if gap is None else np.full(count, gap)
    rows, places = np.arange(count), k - gaps
    inputs = np.zeros((count, k + 1, 2), "float32")
    inputs[..., 0] = 2 * random.integers(2, size=(count, k + 1)) - 1
    inputs[rows, places, 1] = 1
    return inputs, (inputs[rows, places, :1] + 1) / 2, gaps


def units_for(parameters, cell, features=None):
    """Find the width at which a cell comes nearest to a number of parameters.

    Args:
        parameters: weights and biases that the cell may have.
        cell: a class of this module.
        features: width of the inputs; None for as wide as the state.

    Returns:
        The number of units, at least 1.
    """

    names = " " + cell.names
    from_input, from_state, biases = (names.count(kind) for kind in (" W_x", " W_h", " b_"))

    def count(units):
        return units * (from_input * (features or units) + from_state * units + biases)

    return min(range(1, 2 + int(parameters**0.5)), key=lambda units: abs(count(units) - parameters))
