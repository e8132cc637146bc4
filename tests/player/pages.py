"""What the player's tests share: tiny networks as pages, and the player's own code in node."""

import json
import subprocess
from pathlib import Path

import numpy as np

from charlm.player import export, page

# A vocabulary, a prompt and a name as bad as they can be.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u2028\u2029\u202e\U0001f600\x00{{view}}`${1}`"


def ask(task, **request):
    """Run a task of driver.js in node."""
    request = json.dumps({"task": task, **request})
    driver = Path(__file__).with_name("driver.js")
    done = subprocess.run(["node", driver], input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def losses(model, *texts, simd=True):
    """The player's losses of texts, given as ids: a list for each, and whose first nothing predicts."""
    found = ask("score", model=model, texts=[list(map(int, ids)) for ids in texts], simd=simd)
    assert found["products"] == ("SimdProducts" if simd else "PlainProducts")
    return found["losses"]


def halved(model):
    """Round a model's weights to float16."""
    model.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])
    return model


def packed(generator, weights="float16", **facts):
    """What the player's engine needs, without a page around it."""
    vocabulary, network, cells = generator.vocabulary, generator.loop.network, generator.loop.step.cells
    return {
        "cell": cells[0],
        "layers": len(cells),
        "units": network.layers[0].recurrent_kernel.shape[0],
        "vocabulary": [ord(character) for character in vocabulary.characters],
        "mark": vocabulary.characters.index(vocabulary.mark) if vocabulary.mark else None,
        "opening": 0,
        "lines": False,
        "as_bytes": False,
        **export.pack(network, weights)._asdict(),
        "kernel": page.kernel(),
        **facts,
    }


def page_of(generator, **facts):
    """A page of a network, without the samples and the measuring of `charlm.play`."""
    texts = {"title": "A network", "about": [["Network", "a tiny one"]], "prompt": "", "prompts": [], "cells": []}
    return page.assemble(packed(generator, **{**texts, "nats": None, "cost": None, **facts}))
