"""A character RNN with nothing but NumPy: the code of notebook 00, so that tests can hold it to its word.

One hidden layer, one-hot inputs, vectors as rows (x·W, as in Keras):

    h_t = tanh(x_t·W_xh + h_{t-1}·W_hh + b_h)        y_t = h_t·W_hy + b_y        p_t = softmax(y_t)

The loss is that of one row: -ln p_t of the characters that came, summed over the T steps of a row, in nats, and
averaged over the rows read side by side. Shapes: B rows, T steps, V characters, H hidden units.
"""

import numpy as np


def init_weights(vocab_size, hidden_size, seed=0, dtype="float64"):
    """Draw small random weights; biases are 0.

    Args:
        vocab_size: characters in the vocabulary, V.
        hidden_size: hidden units, H.
        seed: decides the draw.
        dtype: "float64" to check gradients, "float32" to train fast.

    Returns:
        A dictionary of arrays: W_xh (V, H), W_hh (H, H), b_h (H,), W_hy (H, V), b_y (V,).

    Raises:
        ValueError: a size below 1.
    """
    if min(vocab_size, hidden_size) < 1:
        raise ValueError(f"vocab_size {vocab_size} and hidden_size {hidden_size} must be at least 1.")
    random = np.random.default_rng(seed)
    shapes = {"W_xh": (vocab_size, hidden_size), "W_hh": (hidden_size, hidden_size), "b_h": (hidden_size,)}
    shapes |= {"W_hy": (hidden_size, vocab_size), "b_y": (vocab_size,)}
    scales = {"W_xh": 0.1, "W_hh": 0.5 / np.sqrt(hidden_size), "W_hy": 0.01}
    return {name: (scales.get(name, 0) * random.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}


def forward(weights, inputs, h):
    """Read rows of characters.

    Args:
        weights: from `init_weights`.
        inputs: (B, T) ids.
        h: (B, H) hidden state before the first of them.

    Returns:
        Hidden states (T + 1, B, H), the given one first.
    """
    hidden = np.empty((inputs.shape[1] + 1, *h.shape), h.dtype)
    hidden[0] = h
    from_input = weights["W_xh"][inputs.T] + weights["b_h"]  # (T, B, H): a one-hot product picks a row
    for t in range(inputs.shape[1]):
        hidden[t + 1] = np.tanh(from_input[t] + hidden[t] @ weights["W_hh"])
    return hidden


def softmax(logits):
    """Turn logits (..., V) into probabilities that add up to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def loss_and_gradients(weights, inputs, targets, h):
    """Read rows of characters, and go back through time once.

    Args:
        weights: from `init_weights`.
        inputs: (B, T) ids.
        targets: (B, T) ids, the inputs one character on.
        h: (B, H) hidden state before the first of them; the gradient stops at it.

    Returns:
        The loss, nats for T characters; its gradients, a dictionary like `weights`; the last hidden state (B, H).
    """
    hidden = forward(weights, inputs, h)
    p = softmax(hidden[1:] @ weights["W_hy"] + weights["b_y"])  # (T, B, V)
    target = np.eye(p.shape[-1], dtype=p.dtype)[targets.T]  # (T, B, V) one-hot
    loss = -np.log((p * target).sum(axis=-1)).sum() / len(inputs)
    d_y = (p - target) / len(inputs)
    d_sum = backward(weights, hidden, d_y @ weights["W_hy"].T)
    x = np.eye(len(weights["W_xh"]), dtype=p.dtype)[inputs.T]
    gradients = {"W_xh": flat(x).T @ flat(d_sum), "W_hh": flat(hidden[:-1]).T @ flat(d_sum)}
    gradients |= {"b_h": flat(d_sum).sum(axis=0), "b_y": flat(d_y).sum(axis=0)}
    gradients["W_hy"] = flat(hidden[1:]).T @ flat(d_y)
    return loss, gradients, hidden[-1]


def backward(weights, hidden, d_output):
    """Go back through time.

    Args:
        weights: from `init_weights`.
        hidden: (T + 1, B, H) from `forward`.
        d_output: (T, B, H), gradient of each step's own loss with respect to its hidden state.

    Returns:
        (T, B, H), gradient of the whole loss with respect to what each step's tanh is taken of.
    """
    d_sum = np.empty_like(d_output)
    d_h = np.zeros_like(hidden[0])  # what later steps ask of this one
    for t in reversed(range(len(d_output))):
        d_sum[t] = (d_output[t] + d_h) * (1 - hidden[t + 1] ** 2)
        d_h = d_sum[t] @ weights["W_hh"].T
    return d_sum


def numerical_gradient(weights, name, inputs, targets, h, step=1e-5):
    """Measure the gradient of the loss by central differences, one entry after the other: two losses for each.

    Args:
        weights: from `init_weights`, float64.
        name: which of them to move.
        inputs: as for `loss_and_gradients`, and so are targets and h.
        targets: (B, T) ids.
        h: (B, H) hidden state.
        step: how far each entry is moved, up and down.

    Returns:
        An array like `weights[name]`.
    """
    weight, measured = weights[name], np.zeros_like(weights[name])
    for place in np.ndindex(weight.shape):
        kept, losses = weight[place], []
        for moved in (kept + step, kept - step):
            weight[place] = moved
            losses.append(loss_and_gradients(weights, inputs, targets, h)[0])
        weight[place] = kept
        measured[place] = (losses[0] - losses[1]) / (2 * step)
    return measured


def flat(array):
    """Line up the rows of all steps: (T, B, n) to (T * B, n)."""
    return array.reshape(-1, array.shape[-1])


def adagrad(weights, gradients, memory, rate=0.1, limit=5.0):
    """Take one step of Adagrad (Duchi, Hazan and Singer 2011), in place, every gradient clipped to ±`limit`.

    Args:
        weights: to be changed.
        gradients: from `loss_and_gradients`.
        memory: a dictionary of zeros like `weights`, before the first step; sums of squared gradients.
        rate: learning rate.
        limit: the largest size of one gradient.
    """
    for name, gradient in gradients.items():
        gradient = np.clip(gradient, -limit, limit)
        memory[name] += gradient**2
        weights[name] -= rate * gradient / np.sqrt(memory[name] + 1e-8)


def train(weights, ids, updates, rows=16, length=25, rate=0.1):
    """Train in place on streams: rows are long parts of the text, and hidden state is carried from update to update.

    Args:
        weights: from `init_weights`.
        ids: (characters,) text.
        updates: how many times to change the weights.
        rows: parts of the text read side by side, B.
        length: characters a row reads for each update, T; gradients reach back this far.
        rate: learning rate of Adagrad.

    Yields:
        For each update its number, from 1, and the smooth loss: 0.999 of the last one and 0.001 of this update's,
        nats for T characters, from T ln V on.

    Raises:
        ValueError: the text has fewer than B * T + 1 characters.
    """
    per_row = (len(ids) - 1) // (rows * length) * length
    if per_row == 0:
        raise ValueError(
            f"{len(ids):,} characters are too few; rows {rows} x length {length} needs one more than that."
        )
    inputs, targets = (ids[i : i + rows * per_row].reshape(rows, per_row) for i in (0, 1))
    memory = {name: np.zeros_like(weight) for name, weight in weights.items()}
    smooth = length * np.log(len(weights["b_y"]))
    for update in range(updates):
        start = update * length % per_row
        if start == 0:  # a new pass over the text
            h = np.zeros((rows, len(weights["b_h"])), weights["b_h"].dtype)
        part = slice(start, start + length)
        loss, gradients, h = loss_and_gradients(weights, inputs[:, part], targets[:, part], h)
        adagrad(weights, gradients, memory, rate)
        smooth += 0.001 * (loss - smooth)
        yield update + 1, smooth


def sample(weights, prompt, length, seed=0, greedy=False):
    """Let the network write: each character that it picks is its next input.

    Args:
        weights: from `init_weights`.
        prompt: (characters,) ids to read first, at least one.
        length: characters to write.
        seed: decides the draws.
        greedy: take the likeliest character (argmax) instead of drawing one.

    Returns:
        (length,) ids.
    """
    random, written = np.random.default_rng(seed), []
    h = forward(weights, prompt[None], np.zeros((1, len(weights["b_h"])), weights["b_h"].dtype))[-1]
    for _ in range(length):
        p = softmax((h @ weights["W_hy"] + weights["b_y"])[0].astype("float64"))
        written.append(p.argmax() if greedy else random.choice(len(p), p=p))
        h = forward(weights, np.array([[written[-1]]]), h)[-1]
    return np.array(written)
