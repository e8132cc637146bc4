"""Write the pages of the reference: all public names, from their docstrings, by Sphinx's autodoc."""

import charlm

ROOT_PAGE = """# Reference

Everything that is public, from the docstrings. What most programs need is in [charlm itself](charlm.md), by the order in
which a text walks through it; each other concern has a room of its own.

```{toctree}
:maxdepth: 1

charlm
ROOMS
```
"""
ROOMS = {
    "evaluation": "how good is it: n-grams, mixtures, ladders, what was copied, structure",
    "inspection": "inside a network: traces, cells found by measurement, units taken out",
    "anytext": "from any text to a trained run",
    "sweeps": "many runs over settings and seeds",
    "plots": "pictures",
    "player": "a network as a page",
    "engine": "what makes it fast: layers and loops",
    "lessons": "what single notebooks use",
    "support": "what is no language model: files, downloads, start-up",
}
SMALL = ("corpora", "vocabulary", "pipelines", "models", "training", "runs", "generation", "metrics")


def write_reference(folder):
    """Write a page of the names at the top of charlm and one for each room."""
    folder.mkdir(parents=True)
    (folder / "index.md").write_text(ROOT_PAGE.replace("ROOMS", "\n".join(ROOMS)), encoding="utf-8")
    (folder / "charlm.md").write_text(_small_module(), encoding="utf-8")
    for room, what in ROOMS.items():
        modules = _modules(room)
        text = f"# charlm.{room}: {what}\n" + "".join(_module(f"{room}.{name}") for name in modules)
        (folder / f"{room}.md").write_text(text, encoding="utf-8")


def _small_module():
    parts = ["# charlm: the small module\n\nNames without a module's name before them are imported from `charlm`.\n"]
    for home, names in sorted(charlm._HOMES.items(), key=lambda item: _place(item[0])):
        parts.append(f"\n## {home.rpartition('.')[2].capitalize()}\n" if home in SMALL else f"\n## From {home}\n")
        parts += [_directive(name) for name in names]
        if home in SMALL:
            parts.append(_rest(home, names))
    parts.append("\n## Training\n" + _rest("training", []))
    return "".join(parts)


def _place(home):
    return SMALL.index(home) if home in SMALL else len(SMALL)


def _directive(name):
    kind = "autoclass" if isinstance(getattr(charlm, name), type) else "autofunction"
    members = "\n   :members:" if kind == "autoclass" else ""
    return _rst(f".. {kind}:: charlm.{name}{members}")


def _rest(module, names):
    excluded = f"\n   :exclude-members: {', '.join(names)}" if names else ""
    return _rst(f".. automodule:: charlm.{module}\n   :members:{excluded}")


def _module(name):
    return f"\n## {name.rpartition('.')[2]}\n" + _rest(name, charlm._HOMES.get(name, []))


def _modules(room):
    from tools.site.stage import ROOT

    return sorted(path.stem for path in (ROOT / "charlm" / room).glob("*.py") if path.stem != "__init__")


def _rst(text):
    return f"\n```{{eval-rst}}\n{text}\n```\n"
