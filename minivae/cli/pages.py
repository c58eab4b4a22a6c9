"""Pages of HTML, as files."""

from pathlib import Path

from minivae.files import atomic


def write(path: Path, text: str) -> None:
    """Write a page, whole or not at all, and say so."""
    with atomic(path, "w") as file:
        file.write(text)
    print(f"{path}: {len(text.encode()) / 1e6:.1f} MB, opens in a browser without a network")
