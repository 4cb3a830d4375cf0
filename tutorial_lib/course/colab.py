"""To be written."""

from tutorial_lib.course.catalogue import CourseError


def add_colab(parser) -> None:
    pass


def colab(options) -> int:
    raise CourseError("colab is not written yet")
