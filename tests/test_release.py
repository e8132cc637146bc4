"""A release: one version in every place, a wheel that a stranger can use, and notes."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import charlm
from tools import release
from tools.site.stage import address, site_address

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what a release touches."""
    for path, _ in release.files():
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


def test_every_place_names_the_modules_version():
    assert {version for _, version in release.named()} == {charlm.__version__}
    assert {path for path, _ in release.named()} >= {
        f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")
    }


def test_the_changelog_has_notes_on_this_version():
    assert len(release.notes(charlm.__version__)) > 100


def test_a_new_version_is_written_to_every_place_and_changes_nothing_else(copy):
    before = {path: path.read_text(encoding="utf-8") for path, _ in release.files()}
    changelog = copy / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8") + "\n## 7.8.9\n\n- More.\n", encoding="utf-8")
    release.write("7.8.9")
    assert {version for _, version in release.named()} == {"7.8.9"} and release.notes("7.8.9") == "- More."
    for path, text in before.items():
        changed = path.read_text(encoding="utf-8").replace("7.8.9", charlm.__version__)
        assert re.sub("date-released: .*", "", changed) == re.sub("date-released: .*", "", text)


@pytest.mark.parametrize("version, why", [("7.8", "three numbers"), ("7.8.9", "write a section `## 7.8.9` first")])
def test_a_version_that_is_none_or_has_no_notes_is_refused(copy, version, why):
    with pytest.raises(ValueError, match=why):
        release.write(version)
    assert {version for _, version in release.named()} == {charlm.__version__}


def test_a_place_that_names_no_version_is_found(copy):
    (copy / "CITATION.cff").write_text("title: charlm\n", encoding="utf-8")
    with pytest.raises(ValueError, match="CITATION.cff names no version"):
        release.named()


def test_the_citation_names_the_public_addresses():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["repository-code"], citation["url"]) == (address(), site_address())
    assert {"cff-version", "message", "title", "authors", "version"} <= set(citation)
