"""Names of classes that every file system keeps apart: ``U+2200``."""

from steepest.formulas.sets.symbol_set import CLASSES, NOTHING

# As the authors of the original set name them, and what is no symbol.
_WORDS = {"uniq": "∀", "exiq": "∃", "con": "∧", "imp": "→", "bi": "↔", "neg": "¬", "nothing": NOTHING}


def folder_name(label: str) -> str:
    """The folder of a class.

    Example:
        >>> folder_name("∀"), folder_name("a"), folder_name("")
        ('U+2200', 'U+0061', 'nothing')
    """
    return f"U+{ord(label):04X}" if label else "nothing"


def label_of(folder: str) -> str | None:
    """The class of a folder: of ``U+2200``, with more words behind it or not, the character itself, or ``uniq``,
    ``exiq``, ``con``, ``imp``, ``bi`` and ``neg`` for the six of logic; ``None`` if it is no class.

    Example:
        >>> label_of("U+2200 for all"), label_of("∀"), label_of("uniq"), label_of("nothing"), label_of("..")
        ('∀', '∀', '∀', '', None)
    """
    code = folder.partition(" ")[0]
    if code[:2].upper() == "U+" and 4 <= len(code[2:]) <= 6:
        try:
            label = chr(int(code[2:], 16))
        except (ValueError, OverflowError):
            return None
        return label if label in CLASSES else None
    return folder if folder in CLASSES and folder != NOTHING else _WORDS.get(folder)
