r"""What a letter is, and what belongs to it: the classes of characters that the rules for text are made of.

A combining mark (an accent, a vowel sign, a point, a variation selector: Unicode's categories Mn, Mc and Me) is no
character of its own, in no script: it belongs to the character before it. Python's ``\w`` does not know them.
"""

import re
import unicodedata

# What counts as a Chinese character: ideographs with all extensions, the iteration mark and the zero 〇.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"


def _marks() -> str:
    """All combining marks of this Python's Unicode, as the inside of a class of characters."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):  # no others anywhere; a test looks
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


MARKS = _marks()
MARK = rf"(?:(?![\x00-\u02ff])[{MARKS}])"  # most characters are below: for them the class is not searched
LETTER = rf"[^\W\d_{HAN}]"  # a letter of any script but Chinese; also ² and ½
WORD_CHARACTER = rf"[^\W_{HAN}]"  # goes on inside a word: letters and digits
# How a word goes on: with letters, digits and marks, and with a joiner between two of them, as in Persian and Hindi.
REST_OF_WORD = rf"{WORD_CHARACTER}*+(?:(?:{MARK}|[\u200c\u200d](?={WORD_CHARACTER}))++{WORD_CHARACTER}*+)*+"
HAN_RUN = re.compile(rf"[{HAN}]++(?:{MARK}++[{HAN}]*+)*+")
OTHER_WORD = re.compile(rf"{LETTER}(?:{MARK}|[\u200c\u200d](?={LETTER})|{LETTER})*+")
_LETTERS = re.compile(rf"(?s:.){MARK}*+")
_HAS_MARK = re.compile(MARK)


def letters(text: str) -> list[str]:
    r"""The characters of a text, each with the marks that belong to it.

    >>> [len(letter) for letter in letters("e\u0301a")]
    [2, 1]
    """
    return _LETTERS.findall(text) if _HAS_MARK.search(text) else list(text)


def without_marks(text: str) -> str:
    r"""What is left without combining marks: for questions about letters, never for what is kept.

    >>> without_marks("e\u0301a")
    'ea'
    """
    return _HAS_MARK.sub("", text)
