"""Files that are written wholly or not at all."""

import os
from pathlib import Path


def write_whole(path: str | os.PathLike, content: str) -> None:
    """Write a text into a temporary file first, so that an older one is replaced wholly or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(content, encoding="utf-8", errors="surrogatepass")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
