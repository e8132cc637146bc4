"""The site: the notebooks as they are saved, the docs, the reference and the players, as pages of one place.

    python -m tools.site [FOLDER]            builds it in build/site, and checks its links and pictures
    python -m tools.site links               lists the addresses outside that its pages lead to

Nothing is fetched and no notebook runs: `stage` lays the pages out, Sphinx makes them HTML, `check` reads what it made.
"""
