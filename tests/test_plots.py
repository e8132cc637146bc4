"""Plots: what is drawn, by its data."""

import matplotlib
import numpy as np
import pytest

from charlm.baselines import ladder
from charlm.plots import plot_history, plot_ladder

matplotlib.use("Agg")
HISTORY = [{"epoch": 1, "loss": 3.0, "val_loss": 2.5}, {"epoch": 2, "loss": 2.2, "val_loss": 2.1}]


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
