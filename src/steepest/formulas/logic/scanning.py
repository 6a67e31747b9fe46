"""A text's tokens, one for every character of a formula, however it is written: Unicode, ASCII or LaTeX."""

import re
from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase, digits

from lark import Token

# Kinds of tokens: how each is written, first in Unicode.
SIGNS = {
    "FORALL": ("∀", "forall", r"\forall"),
    "EXISTS": ("∃", "exists", r"\exists"),
    "NOT": ("¬", "~", r"\lnot", r"\neg"),
    "AND": ("∧", "&", "&&", "/\\", r"\land", r"\wedge"),
    "OR": ("∨", "|", "||", "\\/", r"\lor", r"\vee"),
    "IMPLIES": ("→", "->", "=>", "⇒", "⊃", r"\to", r"\rightarrow", r"\Rightarrow", r"\implies", r"\supset"),
    "IFF": ("↔", "<->", "<=>", "⇔", "≡", r"\leftrightarrow", r"\Leftrightarrow", r"\iff", r"\equiv"),
    "EQUAL": ("=",),
    "UNEQUAL": ("≠", "!=", r"\neq", r"\ne"),
    "LESS": ("<", r"\lt"),
    "GREATER": (">", r"\gt"),
    "PLUS": ("+",),
    "MINUS": ("-", "\N{MINUS SIGN}"),
    "_COMMA": (",",),
    "_OPEN": ("(", r"\left("),
    "_CLOSE": (")", r"\right)"),
}
KIND_OF = {written: kind for kind, ways in SIGNS.items() for written in ways}
LETTERS = {
    **dict.fromkeys(ascii_lowercase, "LOWER"),
    **dict.fromkeys(ascii_uppercase, "UPPER"),
    **dict.fromkeys(digits, "DIGIT"),
}
_SPACE = r"\s+|\\[,;:! ]|\\quad\b|\$"
_SUBSCRIPT = r"_\s*(?:(?P<digit>[0-9])|\{\s*(?P<digits>[0-9]+)\s*\})"
_WORD = r"\\(?:mathrm|mathit|mathsf|operatorname|text)\s*\{\s*(?P<word>[A-Za-z]+[0-9]*)\s*\}"


def _end_name(written: str) -> str:
    """Return a pattern of a sign; of one that is a word, as long as no letter goes on."""
    pattern = re.escape(written)
    if not written[-1].isalpha():
        return pattern
    return pattern + "(?![A-Za-z])" if written[0] == "\\" else f"(?<![A-Za-z]){pattern}(?![A-Za-z])"


_SIGN = "|".join(_end_name(written) for written in sorted(KIND_OF, key=len, reverse=True))
_TOKEN = re.compile(f"(?P<sign>{_SIGN})|(?P<letter>[A-Za-z0-9])|{_SUBSCRIPT}|{_WORD}|(?P<space>{_SPACE})")


def scan(text: str) -> Iterator[Token]:
    """The tokens of a text, each with the characters of the text from ``start_pos`` up to ``end_pos``.

    Raises:
        ValueError: a character is of no formula.

    Example:
        >>> [(token.type, str(token)) for token in scan(r"\\forall x_1 P")]
        [('FORALL', '∀'), ('LOWER', 'x'), ('DIGIT', '1'), ('UPPER', 'P')]
    """
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(
                f"text is no formula: at character {place + 1} stands {show_at(text, place)}, which no formula has"
            )
        if found["sign"]:
            kind = KIND_OF[found["sign"]]
            yield make_token(kind, SIGNS[kind][0], found.start(), found.end())
        elif not found["space"]:
            letters = found["letter"] or found["digit"] or found["digits"] or found["word"]
            for index, letter in enumerate(letters):  # the last of a name's letters ends where its brackets do
                end = found.end() if index == len(letters) - 1 else found.start()
                yield make_token(LETTERS[letter], letter, found.start(), end)
        place = found.end()


def show_at(text: str, place: int) -> str:
    """The character, or the LaTeX name, that stands at a place of a text, in quotes."""
    name = re.compile(r"\\[A-Za-z]+|.", re.DOTALL).match(text, place)
    return repr(name[0][:30]) if name else "the end"


def make_token(kind: str, value: str, start: int, end: int) -> Token:
    """A token, and where it stands."""
    return Token(kind, value, start_pos=start, end_pos=end)
