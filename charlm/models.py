"""The network: Embedding → recurrent layers → Dense, a plain Keras model with a logit for every character."""

import contextlib

import keras
import numpy as np

from charlm.engine import rnn
from charlm.engine.rnn import cell_name, recurrent_layers
from charlm.support.machine import best_precision
from charlm.support.startup import start_xla

LAYERS = {"rnn": rnn.SimpleRNN, "gru": rnn.GRU, "lstm": rnn.LSTM}
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # Keras' dtype policies
FINAL_RATE = 0.01  # where a cosine schedule ends, as a share of the learning rate


def build_model(
    vocab_size,
    cell="gru",
    units=1024,
    layers=1,
    embedding_dim=256,
    dropout=0.0,
    weight_dropout=0.0,
    batch_size=None,
    stateful=False,
    precision=None,
):
    """Build a network that predicts the next character at every step.

    Inputs are (batch, time) ids, outputs (batch, time, vocab_size) logits. The defaults are those of TensorFlow's
    text generation tutorial and keep to what cuDNN can run on a GPU.

    Args:
        vocab_size: number of distinct characters, V, at least 2.
        cell: recurrent layer: "gru", "lstm" or "rnn" (tanh).
        units: width of each recurrent layer.
        layers: number of recurrent layers.
        embedding_dim: width of a character's vector.
        dropout, weight_dropout: shares of each recurrent layer's outputs, and of its recurrent kernel, that are dropped
            while training, 0 to below 1; the latter for a whole batch.
        batch_size: rows of every batch, where it is fixed.
        stateful: whether state carries over from batch to batch; needs `batch_size`.
        precision: of the products: "float32", "bfloat16", "float16", or "auto", which takes this machine's
            `best_precision` and prints it. Weights, states, logits and loss are float32 in each. None keeps to
            Keras' dtype policy, which is float32 where nobody set another.

    Returns:
        A `keras.Sequential` with its weights built; `compile_model` makes it ready to train.

    Raises:
        ValueError: an unknown cell or precision, a size below 1, dropout outside [0, 1), or stateful without a batch size.
    """
    sizes = {"vocab_size": vocab_size, "units": units, "layers": layers, "embedding_dim": embedding_dim}
    _check_arguments(cell, (dropout, weight_dropout), batch_size, stateful, precision, **sizes)
    start_xla()
    with _dtype_policy(precision):
        return _stack(vocab_size, cell, units, layers, embedding_dim, dropout, weight_dropout, batch_size, stateful)


def _stack(vocab_size, cell, units, layers, embedding_dim, dropout, weight_dropout, batch_size, stateful):
    kind = {"return_sequences": True, "stateful": stateful, "weight_dropout": weight_dropout}
    stack = [rnn.Embedding(vocab_size, embedding_dim, name="embedding")]
    for number in range(1, layers + 1):
        suffix = "" if layers == 1 else f"_{number}"
        stack.append(LAYERS[cell](units, name=cell + suffix, **kind))
        if dropout:
            stack.append(keras.layers.Dropout(dropout, name="dropout" + suffix))
    stack.append(keras.layers.Dense(vocab_size, dtype="float32", name="logits"))
    inputs = keras.Input(batch_shape=(batch_size, None), dtype="int32", name="characters")
    return keras.Sequential([inputs, *stack], name=f"char_{cell}")


def compile_model(model, learning_rate=2e-3, clip_norm=1.0, weight_decay=0.0, decay_steps=None, warmup_steps=100):
    """Make a model ready for `fit`: sparse cross-entropy from logits, in nats, and Adam.

    Args:
        model: from `build_model`, or another that ends in logits.
        learning_rate: the highest rate of the run.
        clip_norm: the gradient, all weights together, is scaled down to this norm where it is longer.
        weight_decay: decoupled weight decay (AdamW) per step, as a share of the learning rate; 0 for none.
        decay_steps: batches over which the rate falls by a cosine to 1 % of itself; None keeps it constant.
        warmup_steps: batches over which the rate first rises from 0, where `decay_steps` is set; a tenth of them at
            most.

    Returns:
        The same model.

    Raises:
        ValueError: a rate, norm or number of steps that is not above 0.
    """
    for name, value in (("learning_rate", learning_rate), ("clip_norm", clip_norm), ("decay_steps", decay_steps)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; it must be above 0.")
    optimizer = _optimizer(learning_rate, clip_norm, weight_decay, decay_steps, warmup_steps)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if model.built:  # TensorFlow traces a step twice in which variables are made
        model.optimizer.build(model.trainable_variables)
    return model


def remember(model, characters, seed=0):
    """Let a network begin with a memory: some units that keep their state for a character, some for up to `characters`.

    With Keras' first weights a GRU keeps about half of its state at each step, and an LSTM three quarters: of what stood
    ten characters ago little is left to learn from. Here the bias of each unit's forget gate (in a GRU the update
    gate) is ln t, and that of an LSTM's input gate -ln t, for a t drawn evenly from 1 to `characters` (Tallec and
    Ollivier 2018, "Can recurrent neural networks warp time?").

    Args:
        model: from `build_model`, or another with GRU or LSTM layers, before it is trained; it is changed in place.
        characters: the longest memory, at least 2.
        seed: integer at least 0 that decides which unit remembers for how long.

    Returns:
        The same model.

    Raises:
        ValueError: a cell without gates, or fewer than 2 characters.
    """
    if characters < 2:
        raise ValueError(f"characters is {characters}; a memory reaches back at least 2.")
    for number, layer in enumerate(recurrent_layers(model)):
        cell, units = cell_name(layer), layer.units
        if cell == "rnn":
            raise ValueError(f"{layer.name} has no gate that could let it remember: use a GRU or an LSTM.")
        spans = np.log(np.random.default_rng([seed, number]).uniform(1, characters, units))
        biases = layer.cell.bias.numpy()
        of_inputs = biases[0] if biases.ndim == 2 else biases  # a GRU that resets afterwards has biases of states, too
        of_inputs[: 2 * units if cell == "lstm" else units] = [*-spans, *spans] if cell == "lstm" else spans
        layer.cell.bias.assign(biases)
    return model


def with_batch_size(model, batch_size, stateful=None):
    """Build the same network, with a copy of the same weights, for another batch size.

    Args:
        model: from `build_model`.
        batch_size: rows of every batch, None for any.
        stateful: as in `build_model`; None keeps the model's own.

    Returns:
        A new model, not compiled; its states are zero.
    """
    changed = {"batch_size": batch_size} | ({} if stateful is None else {"stateful": stateful})
    copy = build_model(**build_arguments(model) | changed)
    copy.set_weights(model.get_weights())
    return copy


def build_arguments(model):
    """Read from a model the arguments with which `build_model` makes it again."""
    recurrent = recurrent_layers(model)
    dropouts = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    embedding = model.get_layer("embedding")
    return {
        "vocab_size": embedding.input_dim,
        "cell": cell_name(recurrent[0]),
        "units": recurrent[0].units,
        "layers": len(recurrent),
        "embedding_dim": embedding.output_dim,
        "dropout": dropouts[0] if dropouts else 0.0,
        "weight_dropout": getattr(recurrent[0], "weight_dropout", 0.0),
        "batch_size": model.input_shape[0],
        "stateful": recurrent[0].stateful,
        # None for Keras' other policies, which `build_model` does not set.
        "precision": next((name for name, policy in POLICIES.items() if policy == model.dtype_policy.name), None),
    }


def compile_arguments(model):
    """Read from a model the arguments of `compile_model`; None where it was compiled in another way, or not at all."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # what float16's loss scaling wraps
    if type(optimizer) is not keras.optimizers.Adam:
        return None
    config = optimizer.get_config()
    rate, schedule = config["learning_rate"], {}
    if isinstance(rate, dict):
        schedule = rate["config"]
        steps = {"decay_steps": schedule["decay_steps"] + (schedule.get("warmup_steps") or 0)}
        rate, schedule = schedule.get("warmup_target"), {**steps, "warmup_steps": schedule.get("warmup_steps")}
    if rate is None or None in schedule.values():
        return None
    found = {"learning_rate": float(rate), "clip_norm": config["global_clipnorm"]}
    found = {**found, "weight_decay": config["weight_decay"] or 0.0, **schedule}
    again = _optimizer(**found).get_config()
    return found if {**again, "name": ""} == {**config, "name": ""} else None


def reset_states(model):
    """Set the carried state of every stateful layer to zero."""
    for layer in recurrent_layers(model):
        if layer.stateful:
            layer.reset_state()


@contextlib.contextmanager
def _dtype_policy(precision):
    """Let Keras make layers in a precision of `build_model`, and the model with them, so that float16's loss is scaled."""
    if precision == "auto":
        precision = best_precision()
        print(f'precision="auto": {precision} on this machine')
    before = keras.config.dtype_policy()
    if precision is not None:
        keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _optimizer(learning_rate, clip_norm, weight_decay, decay_steps=None, warmup_steps=0):
    rate = learning_rate
    if decay_steps is not None:
        warmup_steps = max(1, min(warmup_steps, decay_steps // 10))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, decay_steps - warmup_steps), FINAL_RATE, warmup_target=learning_rate, warmup_steps=warmup_steps
        )
    return keras.optimizers.Adam(rate, weight_decay=weight_decay or None, global_clipnorm=clip_norm)


def _check_arguments(cell, dropouts, batch_size, stateful, precision, **sizes):
    if cell not in LAYERS:
        raise ValueError(f"cell={cell!r} is not known; choose one of {', '.join(LAYERS)}.")
    if precision not in (None, "auto", *POLICIES):
        raise ValueError(f"precision={precision!r} is not known; choose one of {', '.join(POLICIES)}, auto.")
    for name, value in {**sizes, "batch_size": batch_size}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if sizes["vocab_size"] == 1:
        raise ValueError("vocab_size is 1: with one distinct character there is nothing to predict. Use another text.")
    for name, share in zip(("dropout", "weight_dropout"), dropouts):
        if not 0 <= share < 1:
            raise ValueError(f"{name} is {share}; it is a share of what is dropped, at least 0 and below 1.")
    if stateful and batch_size is None:
        raise ValueError("stateful=True carries one state per row and so needs a batch_size; give one.")
