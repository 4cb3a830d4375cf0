"""Tokens: a text cut into words, numbers and marks, and put together again."""

import functools
import re
import warnings
from collections.abc import Sequence

from tutorial_lib.text.characters import HAN, HAN_RUN, LETTER, OTHER_WORD, WORD_CHARACTER
from tutorial_lib.text.checks import check_language, string
from tutorial_lib.text.pieces import Piece, library

# ... and accents that are characters of their own.
_END_OF_WORD = rf"{WORD_CHARACTER}*+(?:[\u0300-\u036f]++{WORD_CHARACTER}*+)*+"
_PER = "dL|mL|μL|µL|uL|dl|ml|ul|L|l|kg|g|mg|m2|m²|mm3|mm³|min|h|hr|d|day|wk|s|sec|HPF|LPF"
_RULES = (
    r"\[(?:PAD|UNK|BOS|EOS|MASK|CLS|SEP|EMAIL|ID|PHONE|DATE)\]",
    r"(?:[A-Za-z]\.){2,}",  # i.v., U.S.
    # Words (COVID-19, don't, mmHg), with what a short one is counted per: mg/dL, mg/kg/day; not fever/cough.
    rf"{LETTER}{_END_OF_WORD}(?:['’\-‐‑]{WORD_CHARACTER}{_END_OF_WORD})*+(?:(?=/)(?<!{LETTER}{{6}})(?:/(?:{_PER})(?!{WORD_CHARACTER}))+)?",
    rf"[0-9]++(?:-{LETTER}{_END_OF_WORD})++",  # 5-HT, 12-lead, 2-year-old
    r"[0-9]+(?:st|nd|rd|th)\b",
    r"(?<![\w)\]）.,%])[-−+±]?\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",  # 3.5, 120/80, 1,200, 10:30, -2.5
    r"\d+(?:(?:[./:\-]|,(?=\d{3}(?!\d)))\d+)*",
    r"(?<![\w.])\.\d+",  # .05
    rf"[{HAN}]+",
    "|".join(re.escape(mark) + "{2,}" for mark in ".…—-+*=~!?！？。"),
    r"\S",
)
_TOKEN = re.compile("|".join(_RULES))
WITH_PUNCTUATION = re.compile("|".join(_RULES[:-2] + _RULES[-1:]))


def token_pieces(
    text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()
) -> list[Piece]:
    """Cut a text into tokens, English or Chinese or mixed, and say where each one lies.

    Chinese runs are cut into words by jieba, everything else by one rule. In this order, a token is:

    1. an abbreviation with dots (``i.v.``), a unit with a slash (``mg/dL``), a mask (``[PHONE]``);
    2. a word of any script with its digits, hyphens and apostrophes (``COVID-19``, ``don't``, ``mmHg``, ``5-HT``);
    3. a number with its inner points, slashes, colons, hyphens and thousands (``3.5``, ``120/80``, ``10:30``,
       ``1,200``), with a sign where nothing stands before it; a unit behind it is a token of its own (``3.5 mg``);
    4. a run of one punctuation mark (``...``, ``+++``), or any other single character that is not white space.

    Args:
        text: any string.
        language: ``"en"`` cuts Chinese runs into characters and so needs no jieba; ``"auto"`` and ``"zh"`` into words.
        characters: cut Chinese runs into characters.
        terms: Chinese words to add to jieba's dictionary, such as names of diseases.

    Returns:
        Pieces; between them there is only white space.

    Raises:
        ImportError: if there is Chinese to be cut into words and jieba is not installed.

    >>> [piece.content for piece in token_pieces("BP 120/80 mmHg; don't give 3.5mg i.v.")]
    ['BP', '120/80', 'mmHg', ';', "don't", 'give', '3.5', 'mg', 'i.v.']
    >>> token_pieces("糖尿病", characters=True)[1]
    Piece(content='尿', start=1, end=2)
    """
    check_language(language)
    single, pieces = characters or language == "en", []
    for match in _TOKEN.finditer(string(text)):
        content, start = match[0], match.start()
        if not HAN_RUN.match(content):
            pieces.append(Piece(content, start, match.end()))
            continue
        for word in content if single else _segmenter(tuple(terms)).cut(content):
            pieces.append(Piece(word, start, start + len(word)))
            start += len(word)
    return pieces


def tokenize(text: str, *, language: str = "auto", characters: bool = False, terms: Sequence[str] = ()) -> list[str]:
    """The tokens of a text: the contents of :func:`token_pieces`, by the same rule.

    >>> tokenize("患者发热3.5天，BP 120/80 mmHg。")
    ['患者', '发热', '3.5', '天', '，', 'BP', '120/80', 'mmHg', '。']
    """
    check_language(language)
    tokens = _TOKEN.findall(string(text))
    if not HAN_RUN.search(text):
        return tokens
    single, found = characters or language == "en", []
    for token in tokens:
        if not HAN_RUN.match(token):
            found.append(token)
        else:
            found += token if single else _segmenter(tuple(terms)).cut(token)
    return found


@functools.lru_cache(maxsize=4)
def _segmenter(terms: tuple[str, ...] = ()):
    """A jieba tokenizer of our own: no output, no file in the temporary folder, the user's own jieba untouched.

    jieba would log to stderr and keep its dictionary in a file of a known name in a folder that everybody can write,
    read again unchecked by the next process. Building the dictionary takes about a second instead.
    """
    with warnings.catch_warnings():  # pkg_resources of old setuptools, and escapes that new Pythons complain about
        warnings.simplefilter("ignore")
        jieba = library("jieba", "to cut Chinese into words (or pass characters=True)")
    tokenizer = jieba.Tokenizer()
    if terms:
        base = _segmenter()
        tokenizer.FREQ, tokenizer.total = dict(base.FREQ), base.total
    else:
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    for term in terms:
        tokenizer.add_word(term)
    return tokenizer


_OPENERS = frozenset("([{“‘（《【「『〈$¥￥€£#@")
_TIGHT_LEFT = frozenset(",.;:!?%‰°℃℉″′)]}”’）》】」』〉，。；：！？、…")
_TIGHT_BOTH = frozenset("/~～·^_—、，。；：！？（）《》【】「」『』〈〉“”‘’…")


def detokenize(tokens: Sequence[str], *, language: str = "auto") -> str:
    """Write tokens as a text again: no space between Chinese words and before punctuation, one between others.

    White space of the original is not known any more; the tokens of the result are the tokens given, but for rare
    cases where two touch.

    Args:
        tokens: what :func:`tokenize` gave, perhaps changed since.
        language: between a Chinese word and one that is not, ``"en"`` puts a space and ``"zh"`` none; ``"auto"`` goes
            by the majority.

    >>> detokenize(["患者", "发热", "3", "天", "，", "BP", "120/80", "mmHg", "。"])
    '患者发热3天，BP 120/80 mmHg。'
    >>> detokenize(["He", "said", ":", '"', "no", '"', "(", "twice", ")", "."])
    'He said: "no" (twice).'
    """
    check_language(language)
    if isinstance(tokens, str):
        raise ValueError("tokens must be a sequence of strings, not one string")
    tokens = [token for token in tokens if token]
    if language == "auto":
        language = detect_language(" ".join(tokens))
    parts, previous, quotes, opened = [], "", {'"': False, "'": False}, False
    for token in tokens:
        opens = False
        if token in quotes:
            opens = not quotes[token] and not (token == "'" and previous.endswith("s"))
            quotes[token] = opens
        tight = (
            not previous
            or opened
            or previous in _OPENERS
            or token in _TIGHT_LEFT
            or token[0] in "…—！？。"
            and len(set(token)) == 1
            or previous[-1] in _TIGHT_BOTH
            or token[0] in _TIGHT_BOTH
            or (token in quotes and not opens)
            or (token[:3] == "..." and set(token) == {"."})
            or _touches(previous[-1], token[0], language)
        )
        parts.append(token if tight else " " + token)
        previous, opened = token, opens
    return "".join(parts)


def _touches(left: str, right: str, language: str) -> bool:
    han = bool(HAN_RUN.match(left)) + bool(HAN_RUN.match(right))
    return han == 2 or (han == 1 and language == "zh")


def detect_language(text: str) -> str:
    """``"zh"`` where Chinese characters are at least as many as words of other scripts, else ``"en"``.

    >>> detect_language("患者BP 120/80 mmHg"), detect_language("Metformin (二甲双胍) was given twice a day")
    ('zh', 'en')
    """
    han = sum(map(len, HAN_RUN.findall(string(text))))
    return "zh" if han and han >= len(OTHER_WORD.findall(text)) else "en"
