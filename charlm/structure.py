"""Structure: how well a sample keeps the form of its corpus, as shares that need no model to compute.

Every function returns a number in [0, 1], and 0.0 for a text without any of what it looks for: such a text
shows no structure. Real texts break their own rules now and then, so compare a sample with its corpus.
"""

import re
from xml.etree import ElementTree

_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)(?:\s[^<>]*?)?(/?)>")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([^{}\n]+)\}")
_PAGE = re.compile(r"<page>.*?(?=<page>|\Z)", re.DOTALL)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_SPEAKER = re.compile(r"[A-Z][A-Za-z'.-]*(?: [A-Za-z'.-]+)*:\n\S")


def balanced_brackets(text, pairs=("()", "[]", "{}")):
    """Share of bracket characters that have their partner, properly nested.

    A closing bracket takes the nearest open one of its kind and leaves those opened after it without a
    partner: of "{(}" two thirds are balanced. Partners may be far apart, so shuffled brackets score 0.6 to
    0.9 on charlm's corpora: only a share near 1 shows that a model keeps count.

    Args:
        text: a string.
        pairs: two-character strings, opening and closing; typographic quotes are such a pair, too.
    """
    kind_of = {character: pair for pair in pairs for character in pair}
    return _nested_share((kind_of[c], c == kind_of[c][0]) for c in text if c in kind_of)


def balanced_quotes(text, quote='"'):
    """Share of the paragraphs with straight quotes in which the quotes open and close in turn.

    An opening quote stands before a visible character, a closing one after. Paragraphs end at blank lines.

    Args:
        text: a string.
        quote: the character that both opens and closes.
    """
    spoken = [paragraph for paragraph in _PARAGRAPHS.split(text) if quote in paragraph]
    return _share(_quotes_alternate(paragraph.split(quote)) for paragraph in spoken)


def balanced_tags(text):
    """Share of XML tags that have their partner, properly nested; a tag that closes itself has it."""
    tags = []
    for closing, name, itself in _TAG.findall(text):
        tags += [(name, True), (name, False)] if itself else [(name, not closing)]
    return _nested_share(tags)


def well_formed_pages(text):
    """Share of the pages `<page> ... </page>` that an XML parser accepts.

    A last page that the end of the text cuts off is not counted.
    """
    pages = _PAGE.findall(text)
    if pages and "</page>" not in pages[-1]:
        pages.pop()
    return _share(_is_well_formed(page.partition("</page>")) for page in pages)


def closed_environments(text):
    r"""Share of LaTeX's `\begin{...}` and `\end{...}` that have their partner, properly nested."""
    return _nested_share((name, command == "begin") for command, name in _ENVIRONMENT.findall(text))


def speaker_heads(text):
    """Share of paragraphs that begin as in Shakespeare: a speaker's head, `First Citizen:`, then speech."""
    paragraphs = [paragraph for paragraph in _PARAGRAPHS.split(text) if paragraph.strip()]
    return _share(bool(_SPEAKER.match(paragraph)) for paragraph in paragraphs)


def _nested_share(tokens):
    """Share of (kind, opens) tokens with a partner: each closing one takes the nearest of its kind."""
    total, matched, still_open = 0, 0, []
    for kind, opens in tokens:
        total += 1
        if opens:
            still_open.append(kind)
        elif kind in still_open:
            while still_open.pop() != kind:
                pass
            matched += 2
    return matched / total if total else 0.0


def _quotes_alternate(parts):
    """Whether the quotes between a paragraph's parts open and close: every second part stands inside."""
    return len(parts) % 2 == 1 and all(part and part == part.strip() for part in parts[1::2])


def _is_well_formed(page):
    before, end, _ = page
    try:
        ElementTree.fromstring(before + end)
    except (ElementTree.ParseError, ValueError):  # a ValueError for characters that UTF-8 cannot hold
        return False
    return True


def _share(facts):
    facts = list(facts)
    return sum(facts) / len(facts) if facts else 0.0
