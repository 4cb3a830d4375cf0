"""To be written."""

from tutorial_lib.course.catalogue import CourseError


def add_student(parser) -> None:
    pass


def student(options) -> int:
    raise CourseError("student is not written yet")


def add_grade(parser) -> None:
    pass


def grade(options) -> int:
    raise CourseError("grade is not written yet")
