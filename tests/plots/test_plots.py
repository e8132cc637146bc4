"""Plots and pages: what is drawn, by its data."""

import html.parser
import re
import shutil
import subprocess
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import charlm
from charlm.evaluation.ladder import ladder
from charlm.inspection.search import Cell, Saturation, Search
from charlm.inspection.trace import Trace, Unit
from charlm.lessons.evolution import Evolution, Sample
from charlm.plots.diagrams import DRAWINGS, draw_scores, drawing
from charlm.plots.history import plot_evolution, plot_history, plot_ladder
from charlm.plots.neurons import plot_cells, plot_gates, plot_neuron
from charlm.plots.pages import LEVELS, neuron_page
from charlm.plots.passage import plot_passage
from charlm.plots.predictions import plot_predictions
from charlm.plots.sweep import plot_sweep
from charlm.plots.text import GLYPHS, glyph, is_dark, value_scale

matplotlib.use("Agg")
UNIT = (1, "hidden", 7)
TEXT = 'if (a < b)\n\treturn "</pre><script>x&amp;$_$";\n\x00é'
HISTORY = [{"epoch": 1, "loss": 3.0, "val_loss": 2.5}, {"epoch": 2, "loss": 2.2, "val_loss": 2.1}]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def traced():
    """A trace of `TEXT` by two units: unit 7 rises from -1 to 1, unit 9 falls."""
    vocabulary = charlm.Vocabulary.from_text(TEXT)
    rise = np.linspace(-1, 1, len(TEXT))
    chances = np.random.default_rng(0).dirichlet(np.ones(len(vocabulary)) / 4, len(TEXT))
    columns = np.stack([rise, -rise], axis=1)
    return Trace(TEXT, vocabulary, {(1, "hidden"): columns}, np.array([7, 9]), chances)


def test_the_curves_hold_the_history_and_the_lines_their_level():
    axes = plot_history(HISTORY, {"Kneser-Ney": 1.5})
    assert [
        line.get_ydata()[:2].tolist() if hasattr(line.get_ydata(), "tolist") else list(line.get_ydata()[:2])
        for line in axes.get_lines()
    ] == [[3.0, 2.2], [2.5, 2.1], [1.5, 1.5]]
    assert [text.get_text() for text in axes.get_legend().get_texts()][2] == "Kneser-Ney: 1.500"


def test_no_history_is_refused():
    with pytest.raises(ValueError, match="no epoch to draw"):
        plot_history([])


def test_the_ladder_has_a_bar_for_each_row_and_a_colour_for_each_kind():
    text = np.random.default_rng(0).integers(5, size=3000)
    rungs = ladder(text[:2700], text[2700:], 5, orders=range(1, 4), models={"ours": 1.0})
    bars = plot_ladder(rungs).patches
    assert [bar.get_width() for bar in bars] == pytest.approx([row.bpc for row in rungs.rows])
    assert len({bar.get_facecolor() for bar in bars}) == len({row.kind for row in rungs.rows}) == 3


def drawn(axes):
    """The characters of a picture by their row and column, and the colours below them."""
    signs = {(int(y), int(x)): text.get_text() for text in axes.texts for x, y in [text.get_position()]}
    return signs, axes.images[0].get_array()


def test_predictions_show_each_character_and_below_it_the_five_likeliest(traced):
    axes = plot_predictions(traced, UNIT, start=2, length=30, width=16)
    signs, colours = drawn(axes)
    assert colours.shape == (6 + 1 + 6, 16, 4)
    ids, chances = traced.predictions()
    scale = value_scale(traced, UNIT)
    for at in range(30):
        row, column = at // 16 * 7, at % 16
        character = traced.text[2 + at]
        assert signs.get((row, column), " ") == (" " if character == " " else glyph(character))
        np.testing.assert_allclose(colours[row, column], scale.to_rgba(traced.values(UNIT)[2 + at]))
        for place in range(5):
            guess = traced.vocabulary.characters[ids[2 + at, place]]
            assert signs[row + 1 + place, column] == glyph(guess)
            redness = colours[row + 1 + place, column]
            np.testing.assert_allclose(redness, plt.colormaps["Reds"](chances[2 + at, place]))
    labels = [bar.get_xlabel() for bar in axes.figure.axes]
    assert labels[1:] == ["layer 1 hidden 7", "probability of a prediction"]


def test_the_condensed_text_breaks_where_the_text_does(traced):
    signs, colours = drawn(plot_neuron(traced, UNIT, width=20))
    rows = ["".join(signs.get((row, column), " ") for column in range(20)).rstrip() for row in range(len(colours))]
    assert rows == ["if (a < b)↵", '⇥return "</pre><scri', 'pt>x&amp;$_$";↵', "□é"]


def test_cells_have_a_row_each_between_the_same_limits(traced):
    axes = plot_cells(traced, {"rising": UNIT, "falling": (1, "hidden", 9)}, width=40)
    signs, colours = drawn(axes)
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == ["0", "rising", "falling"]
    assert "".join(signs.get((0, column), " ") for column in range(10)) == TEXT[:10]
    quiet, excited = value_scale(traced, UNIT).to_rgba([-1.0, 1.0])
    np.testing.assert_allclose(colours[1:3, 0], [quiet, excited], atol=0.01)


@pytest.mark.parametrize("found", [lambda cell: cell, lambda cell: Search("AUC", (cell,), 0.5, 2)])
def test_a_unit_that_is_low_where_its_feature_holds_is_turned_over_so_that_dark_is_on(traced, found):
    falling = found(Cell(Unit(1, "hidden", 9), 0.9, 0.9, -1, 0.0))
    first, last = value_scale(traced, UNIT).to_rgba([-1.0, 1.0])
    axes = plot_cells(traced, {"rising": UNIT, "falling": falling}, width=len(TEXT))
    colours = drawn(axes)[1]
    np.testing.assert_allclose(colours[1], colours[2], atol=0.01)
    np.testing.assert_allclose(colours[2, [0, -1]], [first, last], atol=0.01)
    assert [label.get_text()[:2] for label in axes.figure.axes[1].get_xticklabels()] == ["of", "on"]
    for draw in (plot_neuron, plot_predictions):
        bar = draw(traced, falling).figure.axes[1]
        assert bar.xaxis_inverted() and bar.get_xlabel() == "layer 1 hidden 9, turned over: low is dark"
    page = neuron_page(traced, falling).html
    tones = [attributes["class"] for tag, attributes in Reader(page).elements if "title" in attributes]
    assert "turned over" in page and (tones[0], tones[-1]) == (f"v{LEVELS - 1}", "v0")
    assert is_dark(to_rgba(re.search(r"\.v0 { background: (#\w+)", page)[1]))


@pytest.mark.parametrize("palette", ["blue-green", "cividis"])
def test_a_palettes_brightness_runs_one_way_so_that_hue_is_not_all(traced, palette):
    tones = value_scale(traced, UNIT, palette).get_cmap()(np.linspace(0, 1, 50))
    steps = np.diff(tones[:, :3] @ [0.299, 0.587, 0.114])
    assert (steps < 0.003).all() or (steps > -0.003).all()
    assert abs(steps.sum()) > 0.4


def test_letters_are_light_on_dark_and_dark_on_light(traced):
    axes = plot_neuron(traced, UNIT)
    assert {text.get_color() for text in axes.texts} == {"black", "white"}
    assert is_dark([0, 0, 0.5, 1]) and not is_dark([1, 1, 0.5, 1])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda t: plot_neuron(t, (1, "hidden", 8)), "does not hold unit 8; it holds 2 units: 7, 9"),
        (lambda t: plot_neuron(t, (2, "hidden", 7)), "'hidden' of layer 2"),
        (lambda t: plot_neuron(t, UNIT, start=1000), "Characters 1,000 to 1,600 are not in the traced text"),
        (lambda t: plot_neuron(t, UNIT, start=-1), "not in the traced text"),
        (lambda t: plot_neuron(t, UNIT, palette="rainbows"), "'rainbows' is not known"),
        (lambda t: plot_predictions(t._replace(probabilities=None), UNIT), "no probabilities"),
        (lambda t: plot_cells(t, []), "no unit to draw"),
        (lambda t: neuron_page(t, UNIT, start=99), "start is 99"),
        (lambda t: plot_evolution([]), "no sample to draw"),
    ],
)
def test_what_cannot_be_drawn_is_refused(traced, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(traced)


def test_gates_are_points_of_time_shut_and_time_open():
    shares = {(layer, gate): Saturation(np.array([0.1, 0.2]), np.array([0.3, layer / 4])) for layer in (1, 2) for gate in ("update", "reset")}  # fmt: skip
    panels = plot_gates(shares)
    assert [axes.get_title() for axes in panels] == ["update gate", "reset gate"]
    points = [scatter.get_offsets().tolist() for scatter in panels[1].collections]
    assert points == [[[0.1, 0.3], [0.2, 0.25]], [[0.1, 0.3], [0.2, 0.5]]]


def test_the_evolution_writes_at_the_chosen_batches_and_is_drawn(small_model, vocabulary, ids):
    model = small_model(scale=1.0, batch_size=4, stateful=True)
    charlm.compile_model(model)
    batches = charlm.streams(ids[:500], 10, 4)
    evolution = Evolution(vocabulary, steps=(2, 14), length=120)
    losses = [float(model.test_on_batch(*batch)) for batch in batches.take(1)]
    model.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=[evolution])
    assert [sample.step for sample in evolution.samples] == [2, 14] and len(batches) == 12
    assert [len(sample.text) for sample in evolution.samples] == [120, 120]
    assert evolution.samples[0].loss == pytest.approx(losses[0], rel=0.5)
    assert evolution.samples[1].loss < evolution.samples[0].loss
    axes = plot_evolution(evolution.samples)
    assert len(axes.texts) == 2
    assert axes.get_yticklabels()[1].get_text() == f"14\n{evolution.samples[1].loss:.2f} nats"


def test_the_loss_of_a_sample_is_the_mean_over_the_batches_since_the_last(vocabulary):
    evolution = Evolution(vocabulary, steps=(2, 3), length=0)
    evolution.set_model(charlm.build_model(len(vocabulary), units=2, embedding_dim=2))
    for batch, mean in ((0, 4.0), (1, 3.0), (0, 1.0)):  # losses 4, 2, and in the next epoch 1
        evolution.on_train_batch_end(batch, {"loss": mean})
    assert [sample.loss for sample in evolution.samples] == [3.0, 1.0]


def test_a_sample_with_dollars_and_strange_characters_is_drawn_as_it_is():
    axes = plot_evolution([Sample(1, 2.0, "a $x$ \x01 b")])
    axes.figure.canvas.draw()
    assert axes.texts[0].get_text() == "a $x$ □ b"


class Reader(html.parser.HTMLParser):
    """Collects the elements of a page, and the text in its <pre>."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "pre" in self.open else ""


SHOWN = TEXT.replace("\n", "↵\n").replace("\x00", "□")


@pytest.mark.parametrize("predictions", [0, 5])
def test_a_page_is_escaped_and_needs_nothing_but_itself(traced, predictions):
    read = Reader(neuron_page(traced, UNIT, predictions=predictions).html)
    assert read.open == [] and {tag for tag, _ in read.elements} <= {
        "html", "head", "meta", "title", "style", "body", "p", "span", "pre", "b", "i",
    }  # fmt: skip
    assert {name for _, attributes in read.elements for name in attributes} <= {"lang", "charset", "class", "title"}
    style = re.search("<style>(.*)</style>", neuron_page(traced, UNIT).html, re.DOTALL)[1]
    assert not re.search(r"url|@import|http", style)
    if not predictions:
        assert read.text == SHOWN


def test_a_pages_tones_are_those_of_the_values(traced):
    tones = [
        attributes for tag, attributes in Reader(neuron_page(traced, UNIT, predictions=3).html).elements if tag == "i"
    ]
    levels = [int(tone["class"][1:]) for tone in tones[::4]]
    assert levels[0] == 0 and levels[-1] == LEVELS - 1 and sorted(levels) == levels
    assert [float(tone["title"]) for tone in tones[::4]] == pytest.approx(traced.values(UNIT), abs=0.006)
    chances = [float(tone["title"]) for tone in tones[1::4]]
    assert chances == pytest.approx(traced.predictions(count=1)[1][:, 0], abs=0.006)


def test_a_notebook_shows_a_page_in_a_frame_of_its_own(traced, tmp_path):
    page = neuron_page(traced, UNIT)
    ((tag, attributes),) = Reader(page._repr_html_()).elements
    assert tag == "iframe" and attributes["srcdoc"] == page.html
    assert page.save(tmp_path / "page.html").read_text(encoding="utf-8") == page.html


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium is installed")
def test_a_browser_shows_the_text_of_a_page(traced, tmp_path):
    file = neuron_page(traced, UNIT).save(tmp_path / "page.html")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True)
    read = Reader(shown.stdout)
    assert read.text == SHOWN
    assert "script" not in {tag for tag, _ in read.elements}


def test_signs_stand_for_what_cannot_be_seen():
    assert [glyph(character) for character in "a\n\t \x00\ud800"] == ["a", *GLYPHS.values(), "□", "□"]


@pytest.mark.parametrize("name", sorted(file.stem for file in DRAWINGS.glob("*.svg")))
def test_a_drawing_is_an_svg_that_needs_nothing_but_itself(name):
    root = ElementTree.fromstring(drawing(name)._repr_svg_())
    assert root.tag.endswith("svg")
    addresses = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(address.startswith("#") for address in addresses)
    assert not [element.tag for element in root.iter() if element.tag.endswith(("script", "image"))]


def test_an_unknown_drawing_names_the_others():
    with pytest.raises(ValueError, match="no drawing 'cat'; choose one of gru, kinds, lstm, unrolled"):
        drawing("cat")


def test_scores_show_which_way_each_went():
    axes = draw_scores(np.array([[0.0, 1.0]]), np.array([[2.0, -1.0]]), "a", "a", "ab")
    written = [text.get_text() for text in axes.texts]
    assert "+0.0 ↑ +2.0" in written and "+1.0 ↓ -1.0" in written


def test_a_passage_has_a_colour_for_each_character_and_white_for_zero():
    axes = plot_passage("ab\ncd", [-1.0, 0.5, 0.0, 1.0, 0.0], "nats")
    image = axes.images[0].get_array()
    assert image.shape[:2] == (2, 64) and [text.get_text() for text in axes.texts] == ["a", "b", "↵", "c", "d"]
    assert image[1, 1, :3].min() > 0.95 and image[0, 0, :3].min() < 0.5 > image[1, 0, :3].min()


@pytest.mark.parametrize(("text", "values"), [("abc", [1, 2]), ("", [])])
def test_a_passage_needs_a_number_for_each_character(text, values):
    with pytest.raises(ValueError, match="give one for each character"):
        plot_passage(text, values, "nats")


def trial(number, settings, losses, state="finished"):
    history = [{"epoch": n + 1, "loss": loss, "val_loss": loss, "seconds": 30.0} for n, loss in enumerate(losses)]
    return {
        "trial": number,
        "settings": settings,
        "state": state,
        "loss": min(losses, default=np.nan),
        "history": history,
    }


def test_a_sweep_is_drawn_with_a_panel_for_each_setting_and_one_for_the_curves():
    rows = [
        trial(0, {"units": 128, "learning_rate": 0.01}, [2.0, 1.8]),
        trial(1, {"units": 256, "learning_rate": 0.02}, [1.9, 1.5, 1.6]),
        trial(2, {"units": 128, "learning_rate": 0.04}, [2.5], "stopped early"),
        trial(3, {}, [], "waiting"),
    ]
    figure = plot_sweep(rows, {"units": [128, 256], "learning_rate": "log"})
    units, rate, curves = figure.axes
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in units.lines[:3]] == [(0, 1.8), (1, 1.5), (0, 2.5)]
    assert [line.get_markerfacecolor() == "none" for line in rate.lines] == [False, False, True]
    assert rate.get_xscale() == "log" and rate.lines[2].get_xdata()[0] == 0.04
    assert [list(line.get_xdata()) for line in curves.lines] == [[0.5, 1.0], [0.5, 1.0, 1.5], [0.5]]
    assert [line.get_linestyle() for line in curves.lines] == ["-", "-", "--"]
    curves = plot_sweep(rows, {"units": [128, 256], "learning_rate": "log"}, timed=False).axes[-1]
    assert [list(line.get_xdata()) for line in curves.lines] == [[1, 2], [1, 2, 3], [1]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["units 128", "units 256", "not finished", "mean of finished trials"]


def test_a_sweep_without_an_epoch_is_not_drawn():
    with pytest.raises(ValueError, match="no trial has finished one"):
        plot_sweep([trial(0, {"units": 128}, [], "waiting")], {"units": [128, 256]})
