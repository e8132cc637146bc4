"""Going on from a trained network with another text."""

import numpy as np
import pytest

import charlm
from charlm.anytext.transfer import extend, extended_vocabulary
from tests.deep import deep

NEW = "日本α"


@pytest.fixture
def run(tmp_path, small_model, vocabulary):
    model = charlm.compile_model(small_model(layers=2, dropout=0.2, scale=1.0))
    run = charlm.Run.create(tmp_path / "run", model, vocabulary)
    run.path.joinpath("checkpoints").mkdir(exist_ok=True)
    model.save_weights(run.path / "checkpoints" / "0001-2.0000.weights.h5")
    return run


def test_the_same_vocabulary_gives_the_same_network(run, ids):
    model = extend(run, run.vocabulary)
    assert charlm.evaluate(model, ids).nats == pytest.approx(charlm.evaluate(run, ids).nats, abs=1e-5)


def test_old_rows_stay_as_they_are(run):
    vocabulary = extended_vocabulary(run.vocabulary, NEW)
    assert set(vocabulary.characters) == set(run.vocabulary.characters) | set(NEW)
    old, model = run.model(), extend(run, vocabulary)
    places = vocabulary.encode(run.vocabulary.characters)
    for name in ("embedding", "logits"):
        for before, after in zip(old.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True):
            kept = after[..., places] if name == "logits" else after[places]
            np.testing.assert_array_equal(kept, before)
    for name in ("gru_1", "gru_2"):
        for before, after in zip(old.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(after, before)


def test_the_loss_on_old_characters_is_unchanged_at_step_0(run, ids):
    vocabulary = extended_vocabulary(run.vocabulary, NEW)
    text = run.vocabulary.decode(ids)
    before, after = charlm.evaluate(run, ids), charlm.evaluate(extend(run, vocabulary), vocabulary.encode(text))
    assert after.nats == pytest.approx(before.nats, abs=2e-3)


@pytest.mark.parametrize(
    "name", ["shakespeare", *map(deep, sorted({*charlm.runs.reference_models()} - {"shakespeare"}))]
)
def test_a_reference_model_keeps_its_loss(name):
    run = charlm.Run.load(name)
    text = charlm.load_corpus(name).text[:3000]
    vocabulary = extended_vocabulary(run.vocabulary, "éüß漢")
    before = charlm.evaluate(run, run.vocabulary.encode(text), rows=4).nats
    assert charlm.evaluate(extend(run, vocabulary), vocabulary.encode(text), rows=4).nats == pytest.approx(
        before, abs=1e-3
    )


def test_new_characters_are_learned(run, vocabulary):
    text = "日本α the dog " * 120
    larger = extended_vocabulary(vocabulary, text)
    model = charlm.compile_model(extend(run, larger, batch_size=4, stateful=True), 0.02)
    before = charlm.evaluate(model, larger.encode(text)).nats
    model.fit(charlm.streams(larger.encode(text), 16, 4), epochs=6, shuffle=False, verbose=0)
    assert charlm.evaluate(model, larger.encode(text)).nats < before / 2


def test_rare_new_characters_go_under_the_mark(vocabulary):
    larger = extended_vocabulary(vocabulary, "ααα日", min_count=2)
    assert larger.mark and "α" in larger and "日" not in larger
    assert larger.decode(larger.encode("日")) == larger.mark


def test_what_cannot_be_extended_is_refused_by_name(run, vocabulary):
    with pytest.raises(ValueError, match="units cannot differ"):
        extend(run, vocabulary, units=7)
    with pytest.raises(ValueError, match="Not in the vocabulary"):
        extend(run, charlm.Vocabulary("abc"))
    with pytest.raises(ValueError, match="min_count is 0"):
        extended_vocabulary(vocabulary, "abc", 0)
