"""Real data: where the prepared sets lie, and how a chapter reads one. Nothing here downloads.

A set is fetched and prepared once, by ``python -m data_scripts NAME``. It then lies in its own folder under
``$TUTORIAL_DATA`` (default: the user's cache folder for ``tutorial_lib``), as one ``.npz`` of plain arrays.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

#: Prepared sets: name -> file below the data folder. ``data_scripts/<name>.py`` is the recipe of each.
SETS = {
    "bccd": "bccd/bccd.npz",
    "chest_masks": "chest_masks/covid_cxr_seg_128.npz",
    "chest_xray": "chest_xray/covid_cxr_3class_96.npz",
    "departments_zh": "departments_zh/departments_longtail_zh.npz",
    "dsb2018": "dsb2018/dsb2018_nuclei_128.npz",
    "la2018": "la2018/la2018_64x48x32.npz",
    "medical_abstracts": "medical_abstracts/medical_abstracts_5class_en.npz",
    "mie_dialogues": "mie_dialogues/mie_dialogues_zh.npz",
    "mitbih": "mitbih/mitbih_windows_10s_90hz.npz",
    "proteins": "proteins/proteins.npz",
}


def data_folder(folder: str | os.PathLike | None = None) -> Path:
    """Return the folder that holds the prepared sets; it need not exist.

    Args:
        folder: the folder itself; by default ``$TUTORIAL_DATA``, else the user's cache folder for
            ``tutorial_lib``.

    Returns:
        An absolute path.

    >>> data_folder("sets").name
    'sets'
    """
    if folder is None:
        folder = os.environ.get("TUTORIAL_DATA") or user_cache_path("tutorial_lib", appauthor=False)
    return Path(folder).expanduser().absolute()


def prepared_path(name: str, folder: str | os.PathLike | None = None) -> Path:
    """Return the file in which a prepared set lies, or will lie.

    Args:
        name: a key of ``SETS``.
        folder: as in :func:`data_folder`.

    Returns:
        An absolute path; the file need not exist.

    Raises:
        ValueError: if there is no such set.

    >>> prepared_path("mitbih", "sets").name
    'mitbih_windows_10s_90hz.npz'
    """
    if name not in SETS:
        raise ValueError(f"name must be a prepared set ({', '.join(sorted(SETS))}), got {name!r}")
    return data_folder(folder) / SETS[name]


def load_real(name: str, folder: str | os.PathLike | None = None) -> dict[str, np.ndarray]:
    """Read a prepared real data set; never download.

    Args:
        name: the set, such as ``"mitbih"`` (MIT-BIH Arrhythmia, windows of 10 s).
        folder: as in :func:`data_folder`.

    Returns:
        A new dict from array name to array; the docstring of ``data_scripts/<name>.py`` says what each holds.
        For ``"mitbih"``, one row a window: ``signal`` (8640, 2, 900) int8, times ``mv_per_unit`` = millivolt,
        ``hz`` = 90 samples a second; ``label`` (8640, 11) uint8 0/1 in the order of ``label_names`` (11,);
        ``record`` (8640,); ``start_s`` (8640,) in seconds; ``split`` (8640,) ``"train"`` or ``"test"``, by
        patient; ``lead_names`` (8640, 2).
        For ``"bccd"``, one row a blood cell: ``image`` (2233, 28, 28, 3) uint8, ``label`` (2233,) uint8, an index into
        ``class_names`` (3,); ``split`` (2233,) ``"train"``, ``"val"`` or ``"test"``; ``source`` (2233,), its picture.
        The pictures themselves: ``picture`` (364, 240, 320, 3) uint8, ``picture_id``, ``picture_split`` (364,); all
        boxes in them: ``box`` (4886, 4) float32, x1, y1, x2, y2 in pixels, ``box_label``, ``box_picture`` (4886,).
        For ``"chest_masks"``, one row an X-ray: ``image`` (100, 128, 128) uint8 grey; ``mask`` (100, 7, 128, 128) uint8
        0/1 in the order of ``mask_names`` (7,), which overlap; ``has_mask`` (100, 7) bool; ``finding``, ``view``,
        ``patient``, ``filename``, ``licence`` (100,); ``split`` (100,) as above; ``original_size`` (100, 2).
        For ``"chest_xray"``, one row an X-ray: ``image`` (1124, 96, 96) uint8 grey; ``label`` (1124,) uint8, an index
        into ``class_names`` (3,), *each from another hospital*; ``patient``, ``filename`` (1124,); ``split`` (1124,) as
        above, by patient as in ``"chest_masks"``; ``in_seg_set`` (1124,) bool, whether it is there too.
        For ``"dsb2018"``, one row a picture of cell nuclei: ``image`` (300, 128, 128) uint8 grey; ``instances``, same
        shape, uint8, 0 background, 1 ... n a nucleus each; ``n_instances`` (300,); ``kind`` (300,), two of
        fluorescence, one of histology; ``id`` (300,); ``split`` (300,) ``"train"``, ``"val"`` or ``"test"``.
        For ``"medical_abstracts"``, one row an abstract: ``text`` (2888,) str, ``label`` (2888,) uint8, an index into
        ``class_names`` (5,); ``split`` (2888,) as above. 118 rows repeat a text under another label.
        For ``"departments_zh"``, one row a question: ``title``, ``question``, ``department`` (7266,) str; ``label``
        (7266,) uint8, an index into ``class_names`` (11,), the most frequent first; ``split`` (7266,) as above.
        For ``"mie_dialogues"``, one row a talk: ``text`` (320,) str; ``mentioned`` and ``positive`` (320, 71) uint8 0/1
        in the order of ``label_names`` (71,); ``part`` (320,) ``"dev"`` or ``"test"``, as in the source.
        For ``"proteins"``, chains one after the other: ``coords`` (61426, 4, 3) float32, ångström, of N, Cα, C, O;
        ``start``, ``length`` (380,) int32, of each chain; ``sequence``, ``name``, ``source`` (380,) str; ``split``
        (380,) as above, the test part is TS50.

    Raises:
        ValueError: if there is no such set.
        FileNotFoundError: if it has not been prepared yet; the message holds the command that does it.
        OSError: if the file is there but cannot be read as such a set.

    >>> load_real("mitbih", folder="no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FileNotFoundError: real data set 'mitbih' is not prepared: ... `python -m data_scripts mitbih` ...
    """
    path = prepared_path(name, folder)
    if not path.is_file():
        raise FileNotFoundError(
            f"real data set {name!r} is not prepared: {path} is missing. Run `python -m data_scripts {name}` "
            "(it downloads once), or set TUTORIAL_DATA to the folder that holds it."
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise OSError(
            f"{path} is not a readable prepared set ({error}). Delete it and run `python -m data_scripts {name}`."
        ) from error
