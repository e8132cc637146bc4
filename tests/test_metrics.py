"""Metrics: the loss of one pass with carried state, whatever the pieces, and nothing else touched."""

import math

import numpy as np
import pytest
import tensorflow as tf

from charlm.engine.loop import Loop
from charlm.engine.rnn import recurrent_layers
from charlm.metrics import evaluate, evaluate_lines
from charlm.models import build_model
from tests.deep import deep


@pytest.mark.parametrize("cell", ["lstm", deep("gru"), deep("rnn")])
def test_evaluate_equals_a_step_by_step_loop(small_model, cell, ids):
    model = small_model(cell, 2, scale=1.0, batch_size=1, stateful=True)
    losses = evaluate(model, ids[:300]).losses
    step = tf.function(lambda at: model(tf.cast(ids[None], tf.int32)[:, at : at + 1])[0])
    logits = np.concatenate([step(tf.constant(at)) for at in range(299)])
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[1:300].astype(np.int32), logits)
    np.testing.assert_allclose(losses, expected, atol=1e-5)


def test_a_text_in_pieces_scores_as_in_one_pass(small_model, ids):
    model = small_model("lstm", 2)
    loop = Loop(model)
    state, losses = loop.start(1), []
    for piece in np.split(ids[:600], [1, 7, 130, 131, 400]):
        state, (part,) = loop.read(state, [piece])
        losses.append(part)
    np.testing.assert_allclose(np.concatenate(losses)[1:], evaluate(model, ids[:600]).losses, atol=1e-6)


def test_evaluate_leaves_the_models_state_alone(small_model, ids):
    model = small_model(batch_size=1, stateful=True)
    model(ids[None, :20].astype(np.int32))
    before = [state.numpy() for state in recurrent_layers(model)[0].states]
    evaluate(model, ids[:200])
    for state, kept in zip(recurrent_layers(model)[0].states, before, strict=True):
        np.testing.assert_array_equal(state.numpy(), kept)


def test_a_uniform_model_scores_ln_v(ids, vocabulary):
    model = build_model(len(vocabulary), units=4, embedding_dim=4)
    model.set_weights([weight * 0 for weight in model.get_weights()])
    found = evaluate(model, ids)
    assert found.nats == pytest.approx(math.log(len(vocabulary)), abs=1e-6)
    assert found.bpc == pytest.approx(math.log2(len(vocabulary)), abs=1e-6)
    assert found.perplexity == pytest.approx(len(vocabulary), rel=1e-5)
    assert found.standard_error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rows", [7, deep(2), deep(3)])
def test_rows_side_by_side_score_every_character_as_one_pass_does(small_model, ids, rows):
    model = small_model(scale=0.5)  # a network that forgets within the characters each row reads first
    np.testing.assert_allclose(evaluate(model, ids, rows).losses, evaluate(model, ids).losses, atol=1e-4)


def test_more_rows_than_characters_are_no_trouble(small_model, ids):
    assert evaluate(small_model(), ids[:5], rows=50).losses.shape == (4,)


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [([1], 1, "1 characters cannot be evaluated"), ([1, 200], 1, "holds id 200"), ([1, 2], 0, "rows is 0")],
)
def test_what_cannot_be_evaluated_is_refused(small_model, text, rows, message):
    with pytest.raises(ValueError, match=message):
        evaluate(small_model(), np.array(text), rows)


def test_each_line_is_scored_as_if_it_were_alone(small_model):
    model = small_model("gru", scale=1.0)
    lines = [[3, 1, 2], [4], [5, 5]] * 30
    ids = np.array([i for line in lines for i in [*line, 0]], np.uint8)
    alone = [evaluate(model, np.array([0, *line, 0], np.uint8)).losses for line in lines]
    np.testing.assert_allclose(evaluate_lines(model, ids, 0).losses, np.concatenate(alone), atol=1e-5)


def test_empty_lines_are_not_scored(small_model):
    model, ids = small_model(), np.array([3, 1, 0, 4, 0], np.uint8)
    spaced = np.array([0, 3, 1, 0, 0, 0, 4, 0], np.uint8)
    np.testing.assert_array_equal(evaluate_lines(model, spaced, 0).losses, evaluate_lines(model, ids, 0).losses)
    with pytest.raises(ValueError, match="no line"):
        evaluate_lines(model, np.zeros(5, np.uint8), 0)


def test_the_loss_that_fit_reports_on_lines_is_that_of_evaluate_lines(small_model):
    from charlm.models import compile_model
    from charlm.pipelines import lines

    model = compile_model(small_model("gru", scale=1.0))
    ids = np.array([i for line in ([3, 1, 2], [4], [5, 5], [1, 2, 3, 4]) for i in [*line, 0]], np.uint8)
    reported = model.evaluate(lines(ids, 0, 4), verbose=0)
    np.testing.assert_allclose(reported, evaluate_lines(model, ids, 0).nats, atol=1e-5)
