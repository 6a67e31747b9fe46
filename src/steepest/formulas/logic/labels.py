"""The classes of handwritten symbols, and the characters that each may be."""

from steepest.formulas.logic.scanning import KIND_OF, LETTERS

# In the order of the authors' set. Upper and lower case of c k o p s w x z are one class, and so are v, V and ∨.
LABELS = tuple("abcdefghijklmnopqrstuvwxyzABDEFGHIJLMNQRTUY0123456789,()-+=<>∀∃∧→↔¬")
BOTH_CASES = "ckopswxz"
# What else a class may be, at a small part of its probability.
ALIKE = {"0": "oO", "o": "0", "1": "lI()", "l": "1I()", "I": "1l", "(": "1l", ")": "1l"}
CONFUSION = 0.01


def kind_of(character: str) -> str:
    """The grammar's terminal that a character is."""
    return LETTERS.get(character) or KIND_OF[character]


def _list_meanings(label: str) -> dict[str, float]:
    """List the characters of a class with what each keeps of the class's probability."""
    if label == "v":
        own = {"∨": 1.0, "v": 0.9, "V": 0.9}  # ∨ where all three fit, as within a name of several letters
    else:
        own = dict.fromkeys((label, label.upper()) if label in BOTH_CASES else (label,), 1.0)
    return {**own, **dict.fromkeys(ALIKE.get(label, ""), CONFUSION)}


MEANINGS = {label: _list_meanings(label) for label in LABELS}
