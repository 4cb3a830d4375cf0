"""Words: which to drop, their stems and dictionary forms, and their runs."""

import functools
from collections.abc import Callable, Collection, Sequence

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import OTHER_WORD
from tutorial_lib.text.pieces import library
from tutorial_lib.text.vocabulary import BOS, EOS

#: Words that say little about a topic, by language: of our own choice. Negations are not among them: "no fever" and
#: "fever", 无发热 and 发热 must not become the same.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        """
        a about above after again all also although am an and any are around as at be because been before being
        between both but by can could did do does doing done down during each either else ever every few for from
        further had has have having he her here hers herself him himself his how i if in into is it its itself just
        many may me might more most much must my myself of off often on once only onto or other our ours ourselves
        out over own per quite rather really same shall she should since so some still such than that the their
        theirs them themselves then there therefore these they this those though through thus to too toward towards
        under until up upon us very was we were what when where whether which while who whom whose why will with
        within would yet you your yours yourself yourselves
        """.split()
    ),
    "zh": frozenset(
        """
        的 了 着 过 地 得 和 与 及 以及 或 或者 还是 并 并且 而 而且 但 但是 然而 因为 所以 因此 由于 于是 如果 若
        虽然 尽管 即 即使 则 就 才 都 也 还 又 再 很 太 更 最 较 比较 非常 十分 特别 是 为 有 在 于 从 自 自从 到 至
        向 往 对 对于 关于 把 被 让 给 用 以 按 按照 根据 通过 随着 等 等等 其 其中 其他 其它 之 之一 者 所 这 那
        这个 那个 这些 那些 这样 那样 这里 那里 此 该 各 每 某 我 你 您 他 她 它 我们 你们 他们 她们 它们 自己 大家
        谁 什么 怎么 怎样 怎么样 如何 为什么 哪 哪个 哪些 哪里 多少 几 吗 呢 吧 啊 呀 哦 嗯 啦 嘛 哈 请问 谢谢 您好
        你好 可以 能 能够 会 要 想 应该 应 可 可能 一个 一种 一些 一下 有点 有些 时 时候 后 前 中 上 下 里 内 现在
        已 已经 曾 正在 将 便 只 仅 来 去 说
        """.split()
    ),
}


def remove_stop_words(tokens: Sequence[str], *, words: Collection[str] | None = None) -> list[str]:
    """Drop the tokens that are in a list of words, whatever their case. May leave nothing.

    Args:
        tokens: the tokens of a text.
        words: the list, in lower case; by default :data:`STOP_WORDS` of both languages. Add your own with ``|``.

    Returns:
        The tokens that are left, in their order.

    >>> remove_stop_words(["The", "patient", "has", "no", "fever"])
    ['patient', 'no', 'fever']
    """
    tokens = check.strings(tokens, "tokens")
    words = _ALL_STOP_WORDS if words is None else frozenset(check.strings(words, "words"))
    return [token for token in tokens if token.lower() not in words]


_ALL_STOP_WORDS = STOP_WORDS["en"] | STOP_WORDS["zh"]


def stem(tokens: Sequence[str], *, language: str = "english") -> list[str]:
    """Cut each word down to its stem, with NLTK's Snowball stemmer: fast, lower-case, not always a word.

    Chinese words have no endings: they come back as they are, and so does all that is not letters.

    Args:
        tokens: the tokens of a text.
        language: a language of Snowball, such as ``"english"``, ``"german"``.

    Returns:
        One stem for each token, in the same order.

    Raises:
        ImportError: if NLTK is not installed.

    References:
        Porter, An algorithm for suffix stripping, 1980; Snowball's "English" (Porter 2).

    >>> stem(["Diagnoses", "were", "repeatedly", "糖尿病", "3.5"])
    ['diagnos', 'were', 'repeat', '糖尿病', '3.5']
    """
    tokens, stemmer = check.strings(tokens, "tokens"), _stemmer(language)
    return [stemmer(token) if OTHER_WORD.match(token) else token for token in tokens]


@functools.cache
def _stemmer(language: str) -> Callable[[str], str]:
    module = library("nltk.stem.snowball", "to stem")
    check.choice(language, "language", module.SnowballStemmer.languages)
    return functools.lru_cache(maxsize=1 << 17)(module.SnowballStemmer(language).stem)


def lemmatize(tokens: Sequence[str], *, language: str = "en") -> list[str]:
    """Replace each word by its dictionary form, with simplemma, by the word alone.

    It knows no context: ``diagnoses`` becomes the verb ``diagnose``. Chinese words come back as they are.

    Args:
        tokens: the tokens of a text.
        language: a language of simplemma, by its code.

    Returns:
        One form for each token, in the same order.

    Raises:
        ImportError: if simplemma is not installed.

    >>> lemmatize(["studies", "were", "better", "糖尿病"])
    ['study', 'be', 'good', '糖尿病']
    """
    tokens, lemma = check.strings(tokens, "tokens"), _lemmatizer(language)
    return [lemma(token) if OTHER_WORD.match(token) else token for token in tokens]


@functools.cache
def _lemmatizer(language: str) -> Callable[[str], str]:
    simplemma = library("simplemma", "to lemmatise")
    try:
        simplemma.lemmatize("a", lang=language)
    except ValueError as error:
        raise ValueError(
            f"language must be one of simplemma's codes, such as 'en', got {check.what(language)}"
        ) from error
    return functools.lru_cache(maxsize=1 << 17)(functools.partial(simplemma.lemmatize, lang=language))


def add_boundaries(tokens: Sequence[str], *, bos: int = 1, eos: int = 1) -> list[str]:
    """Put ``[BOS]`` before and ``[EOS]`` behind a sentence, so that n-grams see what stands at its ends.

    Args:
        tokens: the tokens of one sentence.
        bos: how many at the beginning; n - 1 for the n-grams of a language model.
        eos: how many at the end.

    Returns:
        A new list, longer by ``bos`` + ``eos``.

    >>> add_boundaries(["no", "fever"])
    ['[BOS]', 'no', 'fever', '[EOS]']
    """
    bos, eos = check.whole(bos, "bos", low=0), check.whole(eos, "eos", low=0)
    return [BOS] * bos + list(check.strings(tokens, "tokens")) + [EOS] * eos


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n tokens, in order; none where there are fewer than n tokens.

    Args:
        tokens: the tokens of a text.
        n: length of a run, 1 or more.

    Returns:
        A tuple of n tokens for each place where a run begins.

    >>> ngrams(add_boundaries(["no", "fever"]), 2)
    [('[BOS]', 'no'), ('no', 'fever'), ('fever', '[EOS]')]
    """
    tokens, n = check.strings(tokens, "tokens"), check.whole(n, "n", low=1)
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))
