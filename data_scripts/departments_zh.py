"""Recipe ``departments_zh``: 7,266 questions of patients in Chinese, each with one of eleven departments, long-tailed.

The sample table of internal medicine in Toyhom's Chinese medical dialogue data. MIT licence: free to copy with its
notice. The doctors' answers are left out, and so are rows that repeat a title (378 of 7,644).

What to know before you use it:

* The classes are long-tailed: hepatology has 2,968 questions, rheumatology 17. In the test part the five smallest have
  3 to 12 each: report them together, or say how wide the interval is.
* Most questions name the disease, so the large classes are easy.
* The wording looks as if a program had changed it: words stand where others were meant, some characters are missing.
* There are near-duplicates: 25 questions come under more than one title (54 rows), 14 of them on two sides of the
  split, one under two departments. Of all pairs that differ, 52 have a TF-IDF cosine of 0.8 (pairs of characters), 25
  of them on two sides; none of these under two departments.

Arrays of ``departments_longtail_zh.npz`` (N = 7,266, in the order of the source):

``title``           (N,) str: the question in one line, 22 characters at most.
``question``        (N,) str: the question as told, 255 characters at most.
``department``      (N,) str: its department.
``label``           (N,) uint8: the same as an index into ``class_names``.
``class_names``     (11,) str: the departments, the most frequent first.
``split``           (N,) str: ``"train"`` 5,096, ``"val"`` 684, ``"test"`` 1,486; not official: by the SHA-1 of ``dep``
                    and the title (:func:`data_scripts.splits.hashed_split`).
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .splits import hashed_split
from .tables import read_table

TABLE = "样例_内科5000-6000.csv"


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the table of the source into the arrays of the set.

    Args:
        raw: the folder that holds ``TABLE``.
        files: not used; the name is fixed.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if the table is not as described there.
    """
    rows = read_table(Path(raw) / TABLE, ("department", "title", "ask"), encoding="gb18030")
    first = {title: (department, question) for department, title, question in reversed(rows)}
    titles = list(dict.fromkeys(title for _, title, _ in rows))
    department = [first[title][0] for title in titles]
    class_names = [name for name, _ in Counter(department).most_common()]
    return {
        "title": np.array(titles),
        "question": np.array([first[title][1] for title in titles]),
        "department": np.array(department),
        "label": np.array([class_names.index(name) for name in department], np.uint8),
        "class_names": np.array(class_names),
        "split": hashed_split("dep", titles),
    }
