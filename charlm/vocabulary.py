"""Characters to ids and back: a vocabulary is the sorted distinct characters of a text."""

from collections import Counter

import numpy as np

MARK = "\N{REPLACEMENT CHARACTER}"  # the unknown token, which stands for characters too rare to learn
CODE_POINTS = 0x110000  # of Unicode
ENCODED_AT_ONCE = 1 << 16  # characters: their code points, four bytes each, stay in the processor's cache
UNKNOWN_SHOWN = 10  # characters that an error names at most


class Vocabulary:
    """The characters a model knows, sorted by code point; a character's id is its place in that order."""

    def __init__(self, characters, mark=None):
        """Build a vocabulary from its characters.

        Args:
            characters: string of distinct characters; sorted here.
            mark: the unknown token: the one of them that stands for every other character; None for none.

        Raises:
            ValueError: no characters, one of them twice, or an unknown token that is not among them.
        """
        ordered = "".join(sorted(characters))
        if not ordered:
            raise ValueError("A vocabulary needs at least one character and got none: give it a text.")
        if len(set(ordered)) != len(ordered):
            twice = sorted(character for character, count in Counter(ordered).items() if count > 1)
            shown = ", ".join(map(repr, twice[:UNKNOWN_SHOWN])) + (", …" if len(twice) > UNKNOWN_SHOWN else "")
            raise ValueError(f"{shown} occur more than once; use Vocabulary.from_text for a text.")
        if mark is not None and (len(mark) != 1 or mark not in ordered):
            raise ValueError(f"mark={mark!r} is not one of the vocabulary's characters; choose one, or None.")
        self.characters, self.mark = ordered, mark
        self.dtype = np.min_scalar_type(len(ordered) - 1)
        self._table = self._lookup_table()

    @classmethod
    def from_text(cls, text, min_count=1):
        """Collect the distinct characters of `text`.

        Args:
            text: string.
            min_count: characters that occur less often are left out, and the unknown token U+FFFD stands for them, as
                for any other outside the vocabulary. 1 leaves none out and needs no unknown token.

        Raises:
            ValueError: `text` is empty, `min_count` is below 1, or so high that no character is left.
        """
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}; it must be at least 1, which keeps every character.")
        if min_count == 1:
            present = np.zeros(CODE_POINTS, bool)
            for codes in _code_points(text):
                present[codes] = True
            return cls("".join(map(chr, np.flatnonzero(present))))
        counts = count_characters(text)
        kept = {character for character, count in counts.items() if count >= min_count}
        if not kept and text:
            most = max(counts.values())
            raise ValueError(f"No character occurs min_count {min_count:,} times, {most:,} at most. Lower it.")
        return cls("".join(kept | {MARK}) if text else "", MARK)

    def encode(self, text, unknown="error", replacement=" "):
        """Turn characters into ids.

        Args:
            text: string.
            unknown: what to do with a character outside the vocabulary: "error", "drop" it, or "replace" it. Under
                "error" a vocabulary with an unknown token writes that instead.
            replacement: the character of the vocabulary that stands for unknown ones under "replace".

        Returns:
            (characters,) ids in the smallest unsigned type: uint8 up to 256 characters, then uint16, uint32.

        Raises:
            ValueError: unknown characters (each named with its first position), or a wrong `unknown`.
        """
        if unknown not in ("error", "drop", "replace"):
            raise ValueError(f"unknown={unknown!r}; choose 'error', 'drop' or 'replace'.")
        ids = np.empty(len(text), self.dtype)
        strangers = []
        for start, codes in zip(range(0, len(text), ENCODED_AT_ONCE), _code_points(text), strict=True):
            found = self._table.take(codes, mode="clip")
            if found.max() == len(self):
                strangers.append(start + np.flatnonzero(found == len(self)))
            ids[start : start + len(codes)] = found  # an unknown one may wrap here; it is mended below
        return self._mend(text, ids, np.concatenate(strangers), unknown, replacement) if strangers else ids

    def decode(self, ids):
        """Turn ids, of any shape, into one string.

        Raises:
            ValueError: an id is negative or not below the number of characters.
        """
        flat = np.asarray(ids).ravel()
        if flat.size and not (flat.min() >= 0 and flat.max() < len(self)):
            raise ValueError(f"ids run from {flat.min()} to {flat.max()}, the vocabulary from 0 to {len(self) - 1}.")
        codes = np.array([ord(c) for c in self.characters], "<u4")
        return codes[flat.astype(np.intp)].tobytes().decode("utf-32-le", "surrogatepass")

    def to_json(self):
        """Return what `from_json` needs, as types that JSON has."""
        return {"characters": self.characters} | ({"mark": self.mark} if self.mark else {})

    @classmethod
    def from_json(cls, data):
        """Rebuild a vocabulary from `to_json`'s output."""
        return cls(data["characters"], data.get("mark"))

    def __len__(self):
        return len(self.characters)

    def __contains__(self, character):
        return len(character) == 1 and character in self.characters

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and (self.characters, self.mark) == (other.characters, other.mark)

    def __hash__(self):
        return hash((self.characters, self.mark))

    def __repr__(self):
        shown = self.characters if len(self) <= 100 else self.characters[:100] + "…"
        return f"Vocabulary({len(self)} characters: {shown!r}{f', unknown token {self.mark}' if self.mark else ''})"

    def _lookup_table(self):
        """Code point to id; `len(self)` stands for the unknown, and the last entry catches all that lie beyond."""
        codes = np.array([ord(c) for c in self.characters])
        table = np.full(codes[-1] + 2, len(self), np.int32)
        table[codes] = np.arange(len(self))
        return table

    def _mend(self, text, ids, positions, unknown, replacement):
        if unknown == "drop":
            return np.delete(ids, positions)
        if unknown == "error" and self.mark:
            unknown, replacement = "replace", self.mark
        if unknown == "replace":
            if replacement not in self:
                raise ValueError(f"replacement={replacement!r} is not in the vocabulary itself; choose one that is.")
            ids[positions] = self.characters.index(replacement)
            return ids
        raise ValueError(_name_unknown(text, positions))


def count_characters(text):
    """Count how often each character of a text occurs: a dictionary, in the order of code points."""
    counts = np.zeros(CODE_POINTS, np.int64)
    for codes in _code_points(text):
        present, times = np.unique(codes, return_counts=True)
        counts[present] += times
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


def _code_points(text):
    """Yield the code points of `text`, `ENCODED_AT_ONCE` characters at a time."""
    for start in range(0, len(text), ENCODED_AT_ONCE):
        yield np.frombuffer(text[start : start + ENCODED_AT_ONCE].encode("utf-32-le", "surrogatepass"), "<u4")


def _name_unknown(text, positions):
    first = {}
    for position in positions.tolist():
        first.setdefault(text[position], position)
    named = [f"{c!r} (position {p:,})" for c, p in list(first.items())[:UNKNOWN_SHOWN]]
    more = f" and {len(first) - UNKNOWN_SHOWN:,} more" if len(first) > UNKNOWN_SHOWN else ""
    return (
        f"Not in the vocabulary: {', '.join(named)}{more}. "
        "Pass unknown='drop' to leave such characters out, or unknown='replace' to write another in their place."
    )
