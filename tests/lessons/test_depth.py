"""The record of networks that notebook 04 compares: what ships, and how it is read."""

import json
import math
import re

import numpy as np
import pytest

from charlm.lessons import depth
from tools.depth import UNITS, shapes


@pytest.fixture(scope="module")
def record():
    return depth.load()


def test_the_record_has_both_cells_at_every_depth_and_one_wide_layer_as_heavy_as_three(record):
    kinds = [(network.cell, network.layers, network.units) for network in record.networks]
    assert kinds == list(shapes(record.text["distinct"]))
    for cell in ("gru", "lstm"):
        one, two, three, wide = (network for network in record.networks if network.cell == cell)
        assert (one.layers, two.layers, three.layers, wide.layers) == (1, 2, 3, 1)
        assert one.units == two.units == three.units == UNITS < wide.units
        assert wide.parameters == pytest.approx(three.parameters, rel=0.02)


def test_every_network_of_the_record_was_measured_on_the_same_text_for_the_same_time(record):
    blocks = record.text["validation"] // 1000
    for network in record.networks:
        assert network.blocks.shape == (blocks,) or network.blocks.shape == (blocks - 1,)
        assert network.loss == pytest.approx(network.blocks.mean(), abs=0.05)
        assert 0.8 * record.minutes < network.history[-1].minutes < record.minutes + 1.0  # to compile, for short ones
        assert network.characters == pytest.approx(network.speed * 60 * network.history[-1].minutes, rel=0.02)
        assert network.functions["begun"] >= network.functions["ended"] >= network.functions["accepted"]
        assert set(network.samples) == {0.5, 0.8} and record.named(network.name) is network


def test_the_record_is_small_and_tells_nothing_of_the_machine(record):
    text = depth.RECORD.read_text(encoding="utf-8")
    assert len(text) < 400_000
    assert not re.search(r"/home|/work|/tmp|\b20\d\d-\d\d", text)


def test_a_gain_is_positive_where_the_first_network_is_better(record):
    one = record.networks[0]
    better = one._replace(blocks=one.blocks - 0.1)
    assert depth.gain(better, one) == pytest.approx((0.1, 0.0))
    assert depth.gain(one, better)[0] == pytest.approx(-0.1)
    noisy = one._replace(blocks=one.blocks + np.tile([0.2, -0.2], len(one.blocks))[: len(one.blocks)])
    mean, error = depth.gain(one, noisy)
    assert abs(mean) < 0.01 and error == pytest.approx(0.2 / math.sqrt(len(one.blocks)), rel=0.05)


def test_several_seeds_are_read_as_their_mean(tmp_path):
    found = json.loads(depth.RECORD.read_text(encoding="utf-8"))
    (first, *_), network = found["networks"][0]["runs"], found["networks"][0]
    second = {**first, "nats": first["nats"] + 0.2, "blocks": [block + 0.2 for block in first["blocks"]]}
    network["runs"] = [first, second]
    (tmp_path / "record.json").write_text(json.dumps(found))
    pooled = depth.load(tmp_path / "record.json").networks[0]
    assert pooled.nats == (first["nats"], first["nats"] + 0.2) and pooled.loss == pytest.approx(first["nats"] + 0.1)
    assert pooled.blocks == pytest.approx(np.array(first["blocks"]) + 0.1)
    assert pooled.functions["begun"] == 2 * first["functions"]["begun"]
