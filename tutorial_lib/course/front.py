"""To be written."""

from tutorial_lib.course.catalogue import CourseError


def add_map(parser) -> None:
    pass


def map(options) -> int:
    raise CourseError("map is not written yet")
