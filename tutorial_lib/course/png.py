"""Pictures for a notebook that is kept: the same to the eye, in a third of the bytes.

A chapter's figure has a few dozen colours and their blends along edges. As a palette of 256 colours it takes a byte a
pixel instead of four, before compression. A photograph loses more, so the mean error decides.
"""

from io import BytesIO

#: Mean absolute error, in grey levels of 255, up to which a palette may stand for a picture.
MAX_ERROR = 0.8


def with_palette(png: bytes) -> bytes:
    """Return a PNG of 256 colours in place of one of millions, where it is smaller and nobody would see the difference.

    A picture that has a palette already comes back as it is, so that doing it twice changes nothing.

    Args:
        png: the file's bytes.

    Returns:
        The new file's bytes, or ``png`` itself if the palette is off by more than ``MAX_ERROR`` on average, if the
        picture lets its background through, if nothing is saved, or if it is no picture at all.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        opened = Image.open(BytesIO(png))
    except UnidentifiedImageError:
        return png
    if opened.mode not in ("RGB", "RGBA"):
        return png
    if opened.mode == "RGBA" and np.asarray(opened)[..., 3].min() < 255:
        return png
    picture = opened.convert("RGB")
    palette = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    before, after = (np.asarray(one, dtype=float) for one in (picture, palette.convert("RGB")))
    if np.abs(before - after).mean() > MAX_ERROR:
        return png
    out = BytesIO()
    palette.save(out, "PNG", optimize=True)
    return min(out.getvalue(), png, key=len)
