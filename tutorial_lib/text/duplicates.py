"""The same text twice, or nearly; and the same text under two labels."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from tutorial_lib import _arguments as check
from tutorial_lib._kernels.near_duplicates import similar_pairs
from tutorial_lib.text.characters import HAN, MARK, REST_OF_WORD, WORD_CHARACTER
from tutorial_lib.text.cleaning import remove_control, to_halfwidth
from tutorial_lib.text.forms import ngrams


class Conflict(NamedTuple):
    """Texts that are the same under different labels: their positions and their labels, in the same order.

    Attributes:
        indices: where the texts stand in the data set.
        labels: the label of each of them.
    """

    indices: list[int]
    labels: list


_UNIT = re.compile(rf"[{HAN}]{MARK}*+|{WORD_CHARACTER}{REST_OF_WORD}")


def _units(text: str) -> list[str]:
    """What two texts are compared by: words and numbers in lower case, Chinese character by character."""
    return _UNIT.findall(unicodedata.normalize("NFC", to_halfwidth(remove_control(text))).lower())


def jaccard(first: str, second: str, *, shingle: int = 3) -> float:
    r"""How alike two texts are: the share of common runs of words, or of Chinese characters.

    .. math:: J = |S_1 \cap S_2| / |S_1 \cup S_2|

    with :math:`S` the set of all runs of ``shingle`` words; of the whole text where it is shorter. Case, punctuation,
    white space and width do not count. 1 for two texts without any word.

    Args:
        first: a text.
        second: another.
        shingle: words of a run, 1 or more; in Chinese, characters.

    Returns:
        J, from 0 (nothing in common) to 1.

    References:
        Broder, On the resemblance and containment of documents, 1997.

    >>> jaccard("No fever, no cough.", "no fever no COUGH"), jaccard("腹痛三天伴发热", "腹痛三天伴呕吐")
    (1.0, 0.42857142857142855)
    """
    shingle = check.whole(shingle, "shingle", low=1)
    one, two = ({*ngrams(units, min(shingle, max(1, len(units))))} for units in (_units(first), _units(second)))
    return len(one & two) / len(one | two) if one | two else 1.0


def find_duplicates(texts: Sequence[str], *, threshold: float = 0.8, shingle: int = 3) -> list[list[int]]:
    """Groups of texts that are the same, or nearly: linked by pairs whose :func:`jaccard` reaches the threshold.

    Exact, not a sketch; but only texts that share one of their rarest runs are compared. Groups are chains: their two
    ends may be less alike than the threshold. Give train and test texts together to find what leaks from one to the
    other.

    Args:
        texts: N strings.
        threshold: above 0, at most 1. 1: the same words in the same order, whatever case, punctuation and width.
        shingle: words, or Chinese characters, in a run.

    Returns:
        Lists of at least two positions, each in order; the groups in the order of their first position.

    References:
        Chaudhuri, Ganti and Kaushik, A primitive operator for similarity joins in data cleaning, ICDE 2006.
        Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007.

    >>> find_duplicates(["No fever.", "cough", "no  FEVER!", "发热，三天", "发热三天。"])
    [[0, 2], [3, 4]]
    """
    texts, shingle = check.strings(texts, "texts"), check.whole(shingle, "shingle", low=1)
    threshold = check.number(threshold, "threshold", above=0, high=1)
    units = [_units(text) for text in texts]
    # The same: each text points to the first of its kind. Texts without any word are compared as they stand.
    first_of: dict[tuple, int] = {}
    keys = [tuple(found) or (text.strip(), None) for text, found in zip(texts, units)]
    before = [first_of.setdefault(key, i) for i, key in enumerate(keys)]
    # Nearly the same: the first of one kind points to the first of the other, and so on to the first of its group.
    if threshold < 1:
        kinds = sorted(i for i in first_of.values() if units[i])
        for left, right in similar_pairs([units[i] for i in kinds], threshold, shingle):
            one, other = sorted((_first(before, kinds[left]), _first(before, kinds[right])))
            before[other] = one
    groups: dict[int, list[int]] = {}
    for i in range(len(texts)):
        groups.setdefault(_first(before, i), []).append(i)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: group[0])


def _first(before: list[int], i: int) -> int:
    """The end of the chain that begins at i; what is passed on the way is moved nearer to it."""
    while before[i] != i:
        before[i] = before[before[i]]
        i = before[i]
    return i


def conflicting_labels(
    texts: Sequence[str], labels: check.Labels, *, threshold: float = 1.0, shingle: int = 3
) -> list[Conflict]:
    """Groups of the same text under different labels: the examples no model can get right.

    Args:
        texts: N strings.
        labels: N labels: anything with equality; rows of a multi-label array too.
        threshold: as in :func:`find_duplicates`; by default only texts that are the same after normalising.
        shingle: as in :func:`find_duplicates`.

    Returns:
        A group for each text that has more than one label, in the order of the texts.

    >>> conflicting_labels(["No fever.", "cough", "no fever"], [0, 1, 2])
    [Conflict(indices=[0, 2], labels=[0, 2])]
    """
    if len(texts) != len(labels):
        raise ValueError(f"labels must be one for each of {len(texts)} texts, got {len(labels)}")
    found = []
    for group in find_duplicates(texts, threshold=threshold, shingle=shingle):
        own = [_plain(labels[i]) for i in group]
        if len(set(own)) > 1:
            found.append(Conflict(group, own))
    return found


def _plain(label: Any) -> Hashable:
    label = label.tolist() if hasattr(label, "tolist") else label
    return tuple(_plain(part) for part in label) if isinstance(label, list | tuple) else label
