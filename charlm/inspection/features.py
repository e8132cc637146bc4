"""Features of a text: a number for every character, against which a network's units are compared.

Each says what holds once that character has been read, which is all that the state at that character can know: inside
quotes begins at the opening mark, and ends at the closing one. Any function of yours that gives a number for every
character of a text does as well.
"""

import re

import numpy as np

TAB = 8  # columns
PARAGRAPH = re.compile(r"\n\s*\n")


def inside_quotes(text, mark='"'):
    """Say whether each character is inside quotes; a quote that was left open ends with its paragraph.

    Args:
        text: string.
        mark: the character that opens and closes a quote, or two characters, one for each.

    Returns:
        (characters,) booleans.
    """
    opening, closing = mark[0], mark[-1]
    found = np.zeros(len(text), bool)
    start = 0
    for end in [*(match.end() for match in PARAGRAPH.finditer(text)), len(text)]:
        quotes = rf"{re.escape(opening)}[^{re.escape(closing)}]*"
        for match in re.finditer(quotes + f"(?:{re.escape(closing)}|$)", text[start:end]):
            closed = match[0].endswith(closing) and len(match[0]) > 1
            found[start + match.start() : start + match.end() - closed] = True
        start = end
    return found


def bracket_depth(text, pair="()"):
    """Count the brackets of a kind that are open; a closing one without an opening one counts nothing.

    Args:
        text: string.
        pair: the opening and the closing character.

    Returns:
        (characters,) int64.
    """
    characters = _characters(text)
    balance = np.cumsum((characters == pair[0]).astype(int) - (characters == pair[1]))
    return balance - np.minimum(np.minimum.accumulate(balance), 0) if len(text) else balance


def inside_brackets(text, pair="()"):
    """Say whether each character is inside brackets of a kind, at whatever depth: (characters,) booleans."""
    return bracket_depth(text, pair) > 0


def inside_comment(text):
    """Say whether each character is inside a C comment, from `/*` to `*/`: (characters,) booleans."""
    return _between(text, "/*", "*/")


def inside_link(text):
    """Say whether each character is inside a wiki link, from `[[` to `]]`: (characters,) booleans."""
    return _between(text, "[[", "]]")


def inside_url(text):
    """Say whether each character is inside a web address, from its `://` on: (characters,) booleans."""
    found = np.zeros(len(text), bool)
    for match in re.finditer(r"\w+://[^\s\]|<>\"{}]*", text):
        found[match.start() + match[0].index("://") + 2 : match.end()] = True
    return found


def inside_if(text):
    """Say whether each character is inside the brackets of a C `if (...)`: (characters,) booleans."""
    depth, found = bracket_depth(text, "()"), np.zeros(len(text), bool)
    for match in re.finditer(r"\bif\s*\(", text):
        first = match.end() - 1
        closed = np.flatnonzero(depth[first : first + 1000] < depth[first])  # longer ones are not closed at all
        if len(closed):
            found[first : first + closed[0]] = True
    return found


def position_in_line(text):
    """Count the characters since the last line break, which itself has 0: (characters,) int64."""
    places = np.arange(1, len(text) + 1)
    breaks = np.where(_characters(text) == "\n", places, 0)
    return places - np.maximum.accumulate(breaks) if len(text) else places


def distance_to_line_end(text):
    """Count the characters still to come before the next line break, or the text's end: (characters,) int64."""
    return position_in_line("\n" + text[:0:-1])[::-1] if text else np.zeros(0, int)


def indentation(text):
    """Count the columns of white space with which each character's line begins; a tab goes to the next 8th column.

    Returns:
        (characters,) int64.
    """
    found = np.zeros(len(text), int)
    for match in re.finditer(r"([ \t]*)[^\n]*\n?", text):
        found[match.start() : match.end()] = len(match[1].expandtabs(TAB))
    return found


def word_start(text):
    """Say whether each character is the first letter of a word: (characters,) booleans."""
    letters = np.array([character.isalpha() for character in text], bool)
    return letters & ~np.concatenate([[False], letters[:-1]]) if text else letters


def position_in(text, word="www"):
    """Count how far into a given word each character is: 1 at its first, 0 outside of it.

    Returns:
        (characters,) int64.
    """
    found = np.zeros(len(text), int)
    for match in re.finditer(re.escape(word), text):
        found[match.start() : match.end()] = np.arange(1, len(word) + 1)
    return found


def _between(text, opening, closing):
    """From the last character of each opening to the one before its closing's last; one never closed does not count."""
    found = np.zeros(len(text), bool)
    for match in re.finditer(re.escape(opening) + ".*?" + re.escape(closing), text, re.DOTALL):
        found[match.start() + len(opening) - 1 : match.end() - 1] = True
    return found


def _characters(text):
    return np.array(list(text), "<U1")
