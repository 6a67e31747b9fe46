"""What users wrote, made safe to show: their names, their errors, their commands."""

import re
import unicodedata

LONGEST = 40  # characters of a name beside a figure
_FORMULA = tuple("=+-@\t\r")
_KEPT = "\n\t\u200c\u200d"  # the last two join letters and emoji, and do nothing else
_MARKDOWN = re.compile(r"[\\`*|\[\]~]|(?<!\w)_|_(?!\w)")
_BLOCK = re.compile(r"^(#{1,6}|[-+>]|\d+[.)])(?=\s)")


def harmless(text: str) -> str:
    """The text without characters that act instead of being seen: each becomes its escape, such as ``\\x1b``.

    Those are terminals' control characters, and Unicode's invisible ones, among which are those that turn the
    direction of what follows. Line breaks and tabulators stay.

    Example:
        >>> print(harmless("red \\x1b[31m and turned \\u202e"))
        red \\x1b[31m and turned \\u202e
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_seen(character) else _escape(character) for character in text)


def _is_seen(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text in one line; of a long one, the beginning and the end.

    Example:
        >>> shortened("a-name-that-is-longer-than-that", 20)
        'a-name-that-i…n-that'
    """
    line = " ".join(text.split())
    end = longest // 3
    return line if len(line) <= longest else f"{line[: longest - end - 1]}…{line[-end:]}"


def markdown(text: object) -> str:
    """A text inside a line or a cell of Markdown, with no character that means something there.

    Example:
        >>> print(markdown("a|b `c` <i> snake_case _d_"))
        a\\|b \\`c\\` &lt;i> snake_case \\_d\\_
    """
    line = " ".join(harmless(str(text)).splitlines())
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;")
    return _BLOCK.sub(r"\\\1", _MARKDOWN.sub(r"\\\g<0>", line))


def markdown_code(text: str) -> str:
    """A text as code in a line of Markdown, whatever backticks are in it.

    Example:
        >>> print(markdown_code("echo `date`"))
        `` echo `date` ``
    """
    line = " ".join(harmless(text).splitlines())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}"


def csv_cell(value: object) -> object:
    """A value of a CSV file; a text that a spreadsheet would take for a formula begins with an apostrophe.

    Example:
        >>> csv_cell("=HYPERLINK(1)"), csv_cell("sgd"), csv_cell(-1.5)
        ("'=HYPERLINK(1)", 'sgd', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = harmless(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def listed(words: list[str], conjunction: str) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def count(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """``7 s``, ``3 min 07 s``, ``2 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
