"""Tables of text, as the sources keep them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path


def read_table(path: Path, columns: Sequence[str], *, encoding: str = "utf-8") -> list[tuple[str, ...]]:
    """Read some columns of a CSV file with a header.

    Args:
        path: the file.
        columns: the names of the columns.
        encoding: of the file.

    Returns:
        One tuple a row, in the order of ``columns``; line ends inside a field as they are in the file.

    Raises:
        ValueError: if it is not such a file: another encoding, a missing column, a row of another length, no row.
    """
    try:
        text = path.read_bytes().decode(encoding)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [name for name in columns if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has another number of fields than the header")
            rows.append(tuple(row[name] for name in columns))
        if not rows:
            raise ValueError("it has no row")
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path.name} is not the table that was expected: {error}") from error
    return rows
