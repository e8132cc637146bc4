"""What notebook 07 measures gates by: the gradient that reaches a state k steps back, and the task to remember a bit."""

import numpy as np
import tensorflow as tf


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
    """Draw sequences of k + 1 bits of which one is marked, to be told after the last of them.

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


def restart(network, fresh):
    """Give a network the first weights of another one, and the optimizer's first state; what is compiled stays so.

    Building the same network anew for each seed would have TensorFlow trace and compile it each time.

    Args:
        network: a compiled Keras model.
        fresh: another one of the same make, compiled in the same way and not trained yet.
    """
    for model in (network, fresh):
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    network.set_weights(fresh.get_weights())
    for variable, first in zip(network.optimizer.variables, fresh.optimizer.variables, strict=True):
        variable.assign(first)


def units_for(parameters, cell, features=None):
    """Find the width at which a cell comes nearest to a number of parameters.

    Args:
        parameters: weights and biases that the cell may have.
        cell: a class that lists the names of its weights in `names`, W_x*, W_h* and b_*, as those of notebook 07.
        features: width of the inputs; None for as wide as the state.

    Returns:
        The number of units, at least 1.
    """

    names = " " + cell.names
    from_input, from_state, biases = (names.count(kind) for kind in (" W_x", " W_h", " b_"))

    def count(units):
        return units * (from_input * (features or units) + from_state * units + biases)

    return min(range(1, 2 + int(parameters**0.5)), key=lambda units: abs(count(units) - parameters))
