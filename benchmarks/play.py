"""Pages in Chromium: characters a second, how soon a page is ready, how soon it answers a slider, and its size.

python -m benchmarks play
"""

import pathlib
import statistics
import tempfile

import charlm
from benchmarks.timing import table
from tools.browser import Browser

ROUNDS = 5
SLIDES = 20
NETWORKS = {"GRU-256": "baby_names", "GRU-512": "shakespeare", "LSTM-512": "war_and_peace"}
# The engine alone, as the page's worker runs it, for a fixed time.
ENGINE = """(async (simd) => {
  const network = await makeNetwork(model, simd), state = network.start();
  const write = (count) => {
    for (let i = 0; i < count; i++) network.read(state, draw(distribution(state.logits), uniform(1, i)));
  };
  write(300);
  const began = performance.now();
  let count = 0;
  for (; performance.now() - began < 1500; count += 50) write(50);
  return (1000 * count) / (performance.now() - began);
})"""
# A slider is moved while the page writes as fast as it goes: milliseconds until the worker has answered, and until the
# next frame shows it.
SLIDE = """(async () => {
  const slider = document.getElementById("temperature"), before = document.documentElement.dataset.set;
  slider.value = 0.5 + Math.random();
  const began = performance.now();
  slider.dispatchEvent(new Event("input"));
  while (document.documentElement.dataset.set === before) await new Promise((go) => setTimeout(go));
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
})()"""


def measure():
    """Open each page a few times; return a Markdown table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for network, name in NETWORKS.items():
            file = charlm.play(name, weights="int8").save(pathlib.Path(folder) / f"{name}.html")
            rows.append([f"{network}, int8", *figures(file, name)])
            file = charlm.play(name, weights="float16").save(file, force=True)
            rows.append([f"{network}, float16", *figures(file, name)])
    heads = ["network", "SIMD, characters/s", "plain JavaScript", "whole page, SIMD", "ready, s", "slider, ms, median", "most",
             "MB", "/ int8 weights"]  # fmt: skip
    return table(heads, rows)


def figures(file, name):
    """Measure one page."""
    rounds = [once(file) for _ in range(ROUNDS)]
    simd, plain, page, ready = (statistics.median(values) for values in list(zip(*rounds))[:4])
    slides = [value for found in rounds for value in found[4]]
    size, weights = file.stat().st_size, charlm.Run.load(name).model().count_params()
    shown = [f"{value:,.0f}" for value in (simd, plain, page)]
    slider = [f"{statistics.median(slides):.0f}", f"{max(slides):.0f}"]
    return [*shown, f"{ready:.2f}", *slider, f"{size / 1e6:.2f}", f"{size / weights:.2f}"]


def once(file):
    """Open a page: the engine's speed with SIMD and without, the page's, seconds until it is ready, slider's delays."""
    with Browser(motion=False) as browser:
        browser.open(file.as_uri())
        browser.wait("document.documentElement.dataset.ready === 'simd'")
        ready = browser.run("performance.now()") / 1000
        simd, plain = (browser.run(f"{ENGINE}({simd})") for simd in ("true", "false"))
        return simd, plain, written(browser), ready, slides(browser)


def written(browser):
    """Let the page itself write all that it holds, as fast as it goes: characters a second, by its own figure."""
    browser.run("document.getElementById('pace').value = '0'")
    browser.run("document.getElementById('length').selectedIndex = document.getElementById('length').length - 1")
    browser.run("document.getElementById('again').click()")
    browser.wait("view.rate > 0 && !view.writing")
    return browser.run("view.rate")


def slides(browser):
    """Move the temperature's slider again and again while the page writes: milliseconds."""
    browser.run("document.getElementById('again').click()")
    found = []
    for _ in range(SLIDES):
        browser.run("view.writing || document.getElementById('again').click()")
        found.append(browser.run(SLIDE))
    return found
