"""The repository holds together: one public address, a wheel that carries its data, no noise on import."""

import ast
import importlib.util
import json
import lzma
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import charlm
from charlm.corpora import STANDINS
from tools.make_standin import check_text

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STANDIN_FILES = sorted(STANDINS.glob("*.txt.xz"))


def public_address():
    found = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return found[1].removeprefix("https://github.com/")


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_follow_the_public_address(path):
    text = "\n".join(source(cell) for cell in cells(path))
    address = public_address()
    version = charlm.__version__
    assert f"https://colab.research.google.com/github/{address}/blob/v{version}/notebooks/{path.name}" in text
    wheel = f"v{version}/charlm-{version}-py3-none-any.whl"
    assert f"%pip install -q https://github.com/{address}/releases/download/{wheel}\n" in text
    assert set(re.findall(r"github(?:\.com)?/([\w-]+/charlm)\b", text)) == {address}


def test_links_of_the_readme_follow_the_public_address():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"github(?:\.com)?/([\w-]+/charlm)\b", text)) == {public_address()}


def test_the_readme_has_no_placeholder_left():
    assert not re.search(r"@[A-Z]+@", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_relative_links_of_the_readme_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert targets and [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_executed_with_short_cells_and_no_paths_or_noise(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert max(len(cell["source"]) for cell in code) <= 25
    outputs = json.dumps([cell["outputs"] for cell in code])
    assert not re.search(r'"error"|stderr|/home/|/Users/|/tmp/|cuda', outputs)
    assert "stand-in" not in outputs
    assert any("nbval-check-output" in cell["metadata"].get("tags", []) for cell in code)


@pytest.mark.parametrize("path", STANDIN_FILES, ids=lambda path: path.name)
def test_a_standin_has_the_registered_alphabet_and_size(path):
    entry, text = _standin(path)
    sources = [entry, *entry.get("prefixes", [])]  # a stand-in of bytes is made from a prefix
    assert len(set(text)) in {source["distinct"] for source in sources}
    assert 0.8 < len(text) / min(300_000, entry["characters"]) < 1.2


@pytest.mark.parametrize("path", STANDIN_FILES, ids=lambda path: path.name)
def test_a_standin_of_bytes_is_readable_as_text(path):
    lzma.decompress(path.read_bytes()).decode("utf-8")


def test_the_six_corpora_of_the_course_have_a_standin_and_all_package_data_stays_under_20_megabytes():
    assert {"shakespeare", "paul_graham", "wikipedia", "linux", "baby_names", "war_and_peace"} <= {
        path.name.removesuffix(".txt.xz") for path in STANDIN_FILES
    }
    assert (
        sum(path.stat().st_size for path in (ROOT / "charlm").rglob("*") if path.suffix != ".pyc" and path.is_file())
        < 20e6
    )


def test_a_standin_that_copies_60_characters_is_refused():
    original = "".join(chr(97 + (i * i + i // 7) % 26) for i in range(3000))
    scrambled = "".join(sorted(original))
    check_text(scrambled + original[500:540], original)
    with pytest.raises(ValueError, match="copied characters; less than 60"):
        check_text(scrambled + original[500:561], original)
    with pytest.raises(ValueError, match="alphabets differ"):
        check_text(scrambled + "!", original)


@pytest.mark.parametrize("path", STANDIN_FILES, ids=lambda path: path.name)
def test_a_standin_copies_no_passage_of_the_real_text(path):
    if not os.environ.get("CHARLM_DATA"):
        pytest.skip("needs the real texts: set CHARLM_DATA")
    name = path.name.removesuffix(".txt.xz")
    limit = charlm.Run.load(name).settings["data"].get("limit")
    check_text(_standin(path)[1], _real(name, limit))


def _standin(path):
    entry = charlm.corpora.registry()[path.name.removesuffix(".txt.xz")]
    return entry, lzma.decompress(path.read_bytes()).decode("latin-1" if entry.get("as_bytes") else "utf-8")


def _real(name, limit):
    corpus = charlm.load_corpus(name, limit=limit)
    assert not corpus.is_standin
    return corpus.text


def test_the_wheel_carries_datasets_yaml_and_standins(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert {"charlm/datasets.yaml", "charlm/standins/linux.txt.xz", "charlm/pretrained/linux/run.json"} <= names
    code = "import charlm; print(charlm.__file__, charlm.load_corpus('shakespeare').is_standin)"
    clean = {name: value for name, value in os.environ.items() if name != "CHARLM_DATA"}
    environment = {**clean, "PYTHONPATH": str(tmp_path / "installed"), "CHARLM_CACHE": str(tmp_path / "cache")}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert str(tmp_path / "installed") in shown.stdout and shown.stdout.endswith("True\n"), shown.stderr
    assert shown.stderr == ""


def test_requirements_name_every_dependency_of_the_module():
    project = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)[1]
    needed = set(re.findall(r'"([^"]+)"', listed))
    assert needed <= set((ROOT / "requirements.txt").read_text().splitlines())


def test_make_hands_on_the_folder_of_texts_as_it_is(tmp_path):
    show = 'show: ; @echo "[$(CHARLM_DATA)]"'
    # As from a shell: where make runs this test, the make within would speak of folders it enters and leaves.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    made = subprocess.run(
        ["make", "--eval", show, "show"],
        cwd=ROOT,
        env={**outside, "CHARLM_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == f"[{tmp_path.resolve()}]\n"


def test_every_public_name_has_a_docstring():
    assert [name for name in charlm.__all__ if not (getattr(charlm, name).__doc__ or "").strip()] == []


ROOMS = {  # each may import from itself and from the rooms named: one way, without a circle
    "support": [],
    "engine": ["support"],
    "plots": [],
    "core": ["support", "engine"],
    "evaluation": ["core", "engine", "support"],
    "inspection": ["core", "engine", "support"],
    "lessons": ["core", "evaluation", "support"],
    "devices": ["core"],
    "anytext": ["core", "evaluation", "engine", "support"],
    "player": ["core", "engine", "inspection", "support"],
    "sweeps": ["anytext", "core", "support"],
    "cli": ["anytext", "core", "devices", "player", "plots", "support", "sweeps"],
}
CORE = ["corpora", "vocabulary", "pipelines", "models", "generation", "metrics", "training", "runs"]  # in this order


def imports(path):
    """List the modules of charlm that a file imports, wherever in it: as paths below charlm, such as "engine/rnn"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "charlm":
            below = node.module.split(".")[1:]
            for name in node.names:
                module = "/".join([*below, name.name])
                yield module if (ROOT / "charlm" / f"{module}.py").exists() else "/".join(below)


def room(module):
    return module.split("/")[0] if "/" in module else "core"


@pytest.mark.parametrize("path", sorted((ROOT / "charlm").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_between_rooms_go_one_way(path):
    module = path.relative_to(ROOT / "charlm").with_suffix("").as_posix()
    if module in ("__init__", "__main__"):
        return  # the front doors
    module = module.removesuffix("/__init__") if module.count("/") > 1 else module
    own = room(module)
    assert own in ROOMS
    used = {other for other in imports(path) if other}
    assert {room(other) for other in used if other not in ROOMS} - {own} <= set(ROOMS[own]), used
    if own == "core":
        before = CORE[: CORE.index(module)]
        assert {other for other in used if room(other) == "core"} <= set(before), used


def test_the_small_module_is_eight_files():
    assert sorted(path.stem for path in (ROOT / "charlm").glob("*.py")) == sorted([*CORE, "__init__", "__main__"])


assert importlib.util.find_spec("charlm").origin.startswith(str(ROOT)), "the tests are of this clone's charlm"
