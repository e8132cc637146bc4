"""Fine-tune a trained network on another text: the same weights, and new rows for characters it has not met."""

import numpy as np

from charlm.engine.rnn import recurrent_layers
from charlm.generation import Generator
from charlm.models import build_arguments, build_model
from charlm.runs import Run
from charlm.vocabulary import MARK, Vocabulary, count_characters

NEW_CHANCE = 1e-4  # initial probability of all new characters together, at an average place
MAY_DIFFER = {"dropout", "weight_dropout", "batch_size", "stateful", "precision"}


def extended_vocabulary(known, text, min_count=1):
    """Make a vocabulary of all characters of another, and those of a text.

    Args:
        known: a `Vocabulary`; its unknown token, if it has one, stays.
        text: string.
        min_count: characters of the text that occur less often are not added, as in `Vocabulary.from_text`.

    Raises:
        ValueError: `min_count` is below 1.
    """
    if min_count < 1:
        raise ValueError(f"min_count is {min_count}; it must be at least 1, which keeps every character.")
    found = {character for character, count in count_characters(text).items() if count >= min_count}
    mark = known.mark or (MARK if min_count > 1 else None)
    return Vocabulary("".join({*known.characters, *found, *(mark or "")}), mark)


def extend(run, vocabulary, **arguments):
    """Build a run's network for a larger vocabulary: what it knows stays, the new characters get rows of their own.

    Old rows of the embedding and of the output stay as they are. A new character's embedding is the mean of the
    old ones. Its logit does not depend on the state, and is so low that all new characters together have a
    probability of about 1 in 10,000: the loss on a text of old characters stays the same to about that.

    Args:
        run: a `Run`, or what `Run.load` takes, such as "shakespeare".
        vocabulary: from `extended_vocabulary`.
        **arguments: of `build_model`, where they are to differ: dropout, batch_size, stateful, precision.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: a character of the run is not in the vocabulary, `arguments` would change the network's shape, or
            as for `Run.model`.
    """
    run = run if isinstance(run, Run) else Run.load(run)
    shape = sorted(arguments.keys() - MAY_DIFFER)
    if shape:
        raise ValueError(f"{', '.join(shape)} cannot differ from the network's whose weights are taken. Leave it out.")
    places = Vocabulary(vocabulary.characters).encode(run.vocabulary.characters)
    old = run.model()
    model = build_model(**{**build_arguments(old), **arguments, "vocab_size": len(vocabulary)})
    for layer in recurrent_layers(old):
        model.get_layer(layer.name).set_weights(layer.get_weights())
    (embeddings,), (kernel, bias) = (old.get_layer(name).get_weights() for name in ("embedding", "logits"))
    rare = _typical_score(old, run.vocabulary) + np.log(NEW_CHANCE / max(len(vocabulary) - len(run.vocabulary), 1))
    size = len(vocabulary)
    model.get_layer("embedding").set_weights([_spread(embeddings, places, size, embeddings.mean(axis=0))])
    model.get_layer("logits").set_weights([_spread(kernel.T, places, size, 0).T, _spread(bias, places, size, rare)])
    return model


def _typical_score(model, vocabulary):
    """The mean log-sum-exp of the logits, in a text of the network's own: a logit as high would be a certain character's."""
    first = vocabulary.characters[0]
    ids = vocabulary.encode(Generator(model, vocabulary).generate(first, 200, seed=0))
    logits = np.asarray(model(ids[None].astype(np.int32)), np.float32)[0]
    highest = logits.max(axis=-1)
    return float(np.mean(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=-1))))


def _spread(rows, places, size, default):
    """Put rows at their new places among `size`, and `default` at the others."""
    spread = np.empty((size, *rows.shape[1:]), rows.dtype)
    spread[:] = default
    spread[places] = rows
    return spread
