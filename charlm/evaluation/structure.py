"""Structure: how well a sample keeps the form of its corpus, as shares that need no model to compute.

Every share is a number in [0, 1], and 0.0 for a text without any of what it looks for: such a text shows no
structure. It knows of how many things it is a share: `share.n`. Real texts break their own rules now and then, so
compare a sample with its corpus.
"""

import re
from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree

_PAGE = re.compile(r"<page>.*?(?=<page>|\Z)", re.DOTALL)
_NOT_CODE = re.compile(
    r"""/\*.*?(?:\*/|\Z) | "(?:\\.|[^"\\\n])*(?:"|$) | '(?:\\.|[^'\\\n])*(?:'|$) | ^[ \t]*\#(?:\\\n|[^\n])*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_END_OF_COMMENT = re.compile(r"^(?:[ \t]*\*[^\n]*\n)*[^\n]*\*/", re.MULTILINE)  # of one whose beginning is missing
_FUNCTION = re.compile(r"^(?:\w[\w \t*]*[ \t*])?(\w+)[ \t]*\(([^(){};]*)\)\s*\{(.*?)^\}", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?<![\w.])(?<!->)([A-Za-z_]\w*)[ \t]*(\(?)", re.ASCII)
_DECLARATION = re.compile(
    r"(?!(?:return|goto|else|case|sizeof|typedef)\b)[A-Za-z_]\w*(?:\s+\w+)*?(?:\s*\*+\s*|\s+)([A-Za-z_]\w*\s*(?:[=,[].*)?)\Z",
    re.DOTALL | re.ASCII,
)
_LABEL = re.compile(r"\A(?!default\b)\w+\s*:|\bgoto\s+\w+|\b(?:struct|union|enum)\s+\w+")
_LAST_NAME = re.compile(r"([A-Za-z_]\w*)\W*\Z", re.ASCII)
_ENVIRONMENT = re.compile(r"(?<!\\)\\(begin|end)\{([A-Za-z]+\*?)\}")
_MATH = re.compile(r"\\.|\$\$?", re.DOTALL)  # what a backslash takes along is no mark
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_LABEL_OF_LATEX, _REFERENCE = re.compile(r"\\label\{([^{}\n]+)\}"), re.compile(r"\\ref\{([^{}\n]+)\}")
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_KEYWORDS = frozenset(
    "asm auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register return short signed sizeof static struct switch typedef union unsigned void volatile while".split()
)
TAB = 8  # columns, as Linux counts them


class Share(float):
    """A share: a number in [0, 1] that knows of how many things it is one, `n`; 0.0 of none."""

    def __new__(cls, hits, n):
        share = super().__new__(cls, hits / n if n else 0.0)
        share.hits, share.n = int(hits), n
        return share


def pooled(rule, texts):
    """Take a share of several texts together, each read on its own, so that what one leaves open ends with it.

    Args:
        rule: a function of a text that returns a `Share`, such as `balanced_lines`.
        texts: list of strings.
    """
    shares = [rule(text) for text in texts]
    return Share(sum(share.hits for share in shares), sum(share.n for share in shares))


def balanced_brackets(text, pairs=("()", "[]", "{}")):
    """Share of bracket characters that have their partner, properly nested.

    A closing bracket takes the nearest open one of its kind and leaves those opened after it without a
    partner: of "{(}" two thirds are balanced. Partners may be far apart, so shuffled brackets score 0.6 to
    0.9 on charlm's corpora: only a share near 1 shows that a model keeps count.

    Args:
        text: a string.
        pairs: two-character strings, opening and closing; typographic quotes are such a pair, too.
    """
    return _nested_share(_brackets(text, pairs).values())


def unmatched_brackets(text, pairs=("()", "[]", "{}")):
    """List the places of the bracket characters that `balanced_brackets` finds without a partner."""
    brackets = _brackets(text, pairs)
    matched = _partners(brackets.values())
    return [place for number, place in enumerate(brackets) if number not in matched]


def well_formed_pages(text):
    """Share of the pages `<page> ... </page>` that an XML parser accepts.

    A last page that the end of the text cuts off is not counted.
    """
    pages = _PAGE.findall(text)
    if pages and "</page>" not in pages[-1]:
        pages.pop()
    return _share(_is_well_formed(page.partition("</page>")) for page in pages)


class Function(NamedTuple):
    """The names in one C function."""

    name: str
    declared: frozenset  # parameters and local variables
    used: frozenset  # names that are neither called nor members of a structure
    called: frozenset  # names that stand before a parenthesis


def balanced_lines(text, pairs=("()", "[]")):
    """Share of opening and closing marks that have their partner on their own line, properly nested.

    Args:
        text: a string.
        pairs: (opening, closing) strings of any length, such as `("[[", "]]")` or `("<title>", "</title>")`.
    """
    kinds = {mark: (pair[0], mark == pair[0]) for pair in pairs for mark in pair}
    longest_first = sorted(kinds, key=len, reverse=True)
    marks = re.compile("|".join(["(\n)", *map(re.escape, longest_first)]))
    # A line break closes all that is open: nothing before it is a partner of what comes after.
    tokens = (kinds.get(match[0]) for match in marks.finditer(text))
    return _nested_share(tokens)


def closed_comments(text):
    """Share of C comments that close before another begins; a last one that the text's end cuts off is not counted."""
    comments = text.split("/*")[1:]
    if comments and "*/" not in comments[-1]:
        comments.pop()
    return _share("*/" in comment for comment in comments)


def aligned_braces(text):
    """Share of the `}` at the beginning of a line that stand as deep as the line that opened their block.

    That line may be hundreds of characters back: a model must remember how deep it was, over all between.
    """
    still_open, facts = [], []
    for line in code_only(text).expandtabs(TAB).splitlines():
        depth = len(line) - len(line.lstrip())
        for place, brace in enumerate(c for c in line if c in "{}"):
            opened_at = still_open.pop() if brace == "}" and still_open else None
            if brace == "{":
                still_open.append(depth)
            elif place == 0 and line.lstrip().startswith("}"):
                facts.append(opened_at == depth)
    return _share(facts)


def code_only(text):
    """Blank the comments, strings and `#` lines of a C text; line breaks stay, and all that is left keeps its place.

    Broken code is read as its author may have meant it: a string that does not close ends with its line, and where a
    comment ends that never began, its line and the lines before it that begin with a star are comment.
    """
    return _END_OF_COMMENT.sub(_blank, _NOT_CODE.sub(_blank, text))


def c_functions(text):
    """List the functions of a C text whose `}` stands at the beginning of a line.

    This reads no C grammar: it goes by the look of declarations, and takes a type it does not know for a name
    now and then. Compare a sample with real code.

    Args:
        text: a string of C code; comments and strings do not count.

    Returns:
        A list of `Function`.
    """
    return [_function(*found) for found in _FUNCTION.findall(code_only(text))]


def global_names(functions):
    """Collect the names that functions use without a declaration more often than they declare them."""
    free, declared = Counter(), Counter()
    for function in functions:
        free.update((function.used | function.called) - function.declared)
        declared.update(function.declared)
    return frozenset(name for name, count in free.items() if count > declared[name])


def undeclared_names(functions, known=frozenset()):
    """Share of the names that functions use as variables which they neither declare nor know from elsewhere.

    Names in capitals are macros by custom, and do not count.

    Args:
        functions: list of `Function`, from `c_functions`.
        known: names declared outside, such as `global_names` of the training text.
    """
    return _share(
        name not in function.declared and name not in known
        for function in functions
        for name in function.used
        if not name.isupper()
    )


def unused_names(functions):
    """Share of the variables and parameters that functions declare and never use."""
    return _share(name not in function.used | function.called for function in functions for name in function.declared)


def unknown_calls(functions, known=frozenset()):
    """Share of the calls, each name once a function, to what is neither among the functions nor known."""
    defined = {function.name for function in functions} | known
    return _share(name not in defined for function in functions for name in function.called)


def closed_environments(text):
    """Share of the `\\begin{…}` and `\\end{…}` of a LaTeX text that have their partner, properly nested."""
    return _nested_share((name, mark == "begin") for mark, name in _ENVIRONMENT.findall(text))


def closed_formulas(text):
    """Share of the paragraphs with formulas, `$ … $` or `$$ … $$`, that close each of them.

    A blank line ends a paragraph; in LaTeX no formula goes on across one.
    """
    paragraphs = (paragraph for paragraph in _PARAGRAPH.split(text) if "$" in paragraph)
    return _share(open_formula(paragraph) is None for paragraph in paragraphs)


def open_formula(paragraph):
    """Return the mark, `$` or `$$`, of the formula that is open at a paragraph's end; None where all are closed.

    In a formula between single marks, `$$` closes it and opens the next one.
    """
    mark = None
    for found in _MATH.findall(paragraph):
        if mark is None and found in ("$", "$$"):
            mark = found
        elif found == "$" or (found == "$$" and mark == "$$"):  # one mark ends `$$`, too: with an error, TeX does so
            mark = None
    return mark


def known_references(text, known=frozenset()):
    """Share of the `\\ref{…}` of a LaTeX text that name a label of the same text, or a known one.

    Args:
        text: a string.
        known: labels from elsewhere, such as the `labels` of the training text.
    """
    own = labels(text) | known
    return _share(name in own for name in _REFERENCE.findall(text))


def labels(text):
    """Collect the names that a LaTeX text gives with `\\label{…}`."""
    return frozenset(_LABEL_OF_LATEX.findall(text))


def _brackets(text, pairs):
    """Find the bracket characters of a text: (kind, opens) tokens by their places."""
    kind_of = {character: pair for pair in pairs for character in pair}
    return {at: (kind_of[c], c == kind_of[c][0]) for at, c in enumerate(text) if c in kind_of}


def _nested_share(tokens):
    """Share of (kind, opens) tokens with a partner: each closing one takes the nearest of its kind, None parts them."""
    tokens = list(tokens)
    return Share(len(_partners(tokens)), sum(token is not None for token in tokens))


def _partners(tokens):
    """Find the places, among such tokens, of those that have a partner."""
    matched, kinds, places = set(), [], []  # of those that are still open
    for place, token in enumerate(tokens):
        if token is None:
            kinds, places = [], []
            continue
        kind, opens = token
        if opens:
            kinds.append(kind)
            places.append(place)
        elif kind in kinds:
            while kinds.pop() != kind:
                places.pop()
            matched |= {places.pop(), place}
    return matched


def _is_well_formed(page):
    before, end, _ = page
    try:
        ElementTree.fromstring(before + end)
    except (ElementTree.ParseError, ValueError):  # a ValueError for characters that UTF-8 cannot hold
        return False
    return True


def _share(facts):
    facts = list(facts)
    return Share(sum(facts), len(facts))


def _blank(found):
    return re.sub(r"[^\n]", " ", found[0])


def _function(name, parameters, body):
    """Sort the names of a function: a statement that looks like `type name` declares, any other uses."""
    declared = {_LAST_NAME.search(part)[1] for part in parameters.split(",") if _LAST_NAME.search(part)}
    used, called = set(), set()
    for statement in re.split("[;{}]", body):
        statement = statement.strip()
        found, here = _DECLARATION.match(statement), set()
        if found:
            here = {_NAME.search(part)[1] for part in _outside_brackets(found[1]).split(",") if _NAME.search(part)}
            statement = found[1]
        for word, call in _NAME.findall(_LABEL.sub(" ", statement)):
            if word not in here:
                (called if call else used).add(word)
        declared |= here
    return Function(name, *(frozenset(names - _KEYWORDS) for names in (declared, used, called)))


def _outside_brackets(text):
    while (shorter := _BRACKETED.sub("", text)) != text:
        text = shorter
    return text
