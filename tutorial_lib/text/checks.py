"""What the functions of this folder ask of their arguments."""

import numpy as np


def string(text: str, name: str = "text") -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a string, not {text!r} ({type(text).__name__})")
    return text


LANGUAGES = ("auto", "en", "zh")


def check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {LANGUAGES}, not {language!r}")


def check_count(name: str, value: int, *, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
