"""Reference models: small, whole, and as good as their cards say."""

import hashlib
import os
import re

import h5py
import numpy as np
import pytest

import charlm
from charlm.runs import REFERENCES, reference_models
from tests.deep import deep
from tools.reference import MOST_BYTES, RECIPES, save_halved

NAMES = reference_models()
WHOLE, BEGINNING = 1e-3, 0.2  # how far, in nats, the loss on a whole text and on its beginning may be from the card's


def test_every_corpus_of_the_course_has_a_reference_model():
    course = {"shakespeare", "paul_graham", "wikipedia", "linux", "baby_names", "war_and_peace"}
    assert course <= set(NAMES) <= set(RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_model_is_a_run_folder_of_at_most_3_megabytes(name):
    folder = REFERENCES / name
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= MOST_BYTES
    (checkpoint,) = charlm.Run.load(name).checkpoints()
    noted = checkpoint.path.with_name(checkpoint.path.name + ".sha256").read_text()
    assert noted == hashlib.sha256(checkpoint.path.read_bytes()).hexdigest()
    sizes = []
    with h5py.File(checkpoint.path) as file:
        file.visititems(lambda _, item: sizes.append(item.dtype.itemsize) if isinstance(item, h5py.Dataset) else None)
    assert set(sizes) == {2}


@pytest.mark.parametrize(
    "name", ["shakespeare", "baby_names", *map(deep, sorted({*NAMES} - {"shakespeare", "baby_names"}))]
)
def test_a_reference_model_writes_its_alphabet(name):
    run = charlm.Run.load(name)
    written = run.generator().generate(length=100, seed=0, include_prompt=False)
    assert len(written) == 100 and set(written) <= set(run.vocabulary.characters)
    assert len(set(written)) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_model_card_has_corpus_split_command_and_figures(name):
    run, card = charlm.Run.load(name), (REFERENCES / name / "README.md").read_text(encoding="utf-8")
    assert run.settings["corpus"]["sha256"] in card and not run.settings["corpus"]["standin"]
    assert RECIPES[name].command(name) in card
    for fact in ("licence", "split", "validation", "Kneser-Ney", "Temperature 0.5", "Temperature 1.0"):
        assert fact in card


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"paul_graham"}))
def test_a_reference_model_is_better_than_counting_by_its_card(name):
    network, counting = figures(name)[:2]
    assert network < counting


def figures(name):
    """The losses on a card: of the network, the best n-gram, both together, and both while they learn."""
    card = (REFERENCES / name / "README.md").read_text(encoding="utf-8")
    return [float(found) for found in re.findall(r"\| \**(\d\.\d{4})[ ±\d.]* nats", card)]


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_model_and_its_ngrams_are_better_together_by_its_card(name):
    network, counting, together, *learning = figures(name)
    assert together < min(network, counting)
    assert all(found < together for found in learning) and len(learning) == (name != "baby_names")


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_models_mixture_needs_its_text_on_this_machine(name, monkeypatch, tmp_path):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    assert charlm.together(name) is None


@pytest.mark.skipif("CHARLM_DATA" not in os.environ, reason="needs the real texts: set CHARLM_DATA")
def test_a_reference_model_is_as_good_together_as_its_card_says():
    run, ids = charlm.Run.load("paul_graham"), charlm.load_corpus("paul_graham").text
    ids = charlm.split(run.vocabulary.encode(ids))[1]
    # The weights that are kept were fitted on this very text, those of the card on its other quarters.
    assert charlm.evaluate(charlm.together(run), ids).nats == pytest.approx(figures("paul_graham")[2], abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_the_loss_that_evaluate_finds_on_the_real_text(name):
    if not os.environ.get("CHARLM_DATA"):
        pytest.skip("needs the real texts: set CHARLM_DATA")
    from tools.reference import read

    (_, texts), run = read(name), charlm.Run.load(name)
    card = (REFERENCES / name / "README.md").read_text(encoding="utf-8")
    stated = float(re.search(r"\*\*(\d\.\d{4}) ±", card)[1])
    if texts.end is not None:
        assert charlm.evaluate_lines(run, texts.validation, texts.end).nats == pytest.approx(stated, abs=WHOLE)
    elif "CHARLM_DEEP" in os.environ:
        assert charlm.evaluate(run, texts.validation).nats == pytest.approx(stated, abs=WHOLE)
    else:
        assert charlm.evaluate(run, texts.validation[:20_000]).nats == pytest.approx(stated, abs=BEGINNING)


def test_a_folder_goes_before_a_reference_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = charlm.compile_model(charlm.build_model(3, units=4, embedding_dim=2))
    charlm.Run.create("shakespeare", model, charlm.Vocabulary("abc"))
    assert len(charlm.Run.load("shakespeare").vocabulary) == 3
    with pytest.raises(FileNotFoundError, match=r"name of a reference model: .*shakespeare"):
        charlm.Run.load("shakespear")


def test_halved_weights_load_as_the_nearest_halves(tmp_path):
    model = charlm.build_model(7, cell="lstm", units=8, layers=2, embedding_dim=3)
    save_halved(model, tmp_path / "halved.weights.h5")
    expected = [weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()]
    fresh = charlm.build_model(7, cell="lstm", units=8, layers=2, embedding_dim=3)
    fresh.load_weights(tmp_path / "halved.weights.h5")
    for found, wanted in zip(fresh.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert os.listdir(tmp_path) == ["halved.weights.h5"]


def test_a_reference_model_cannot_be_resumed_and_says_so():
    with pytest.raises(ValueError, match="does not know its optimizer"):
        charlm.resume("shakespeare")
