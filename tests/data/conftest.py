"""Small folders of media, made for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.made import save, tone


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Eight files `NOTE_TAKE.wav` of 0.2 to 0.9 s: notes a (5 files) and b (3 files)."""
    folder = tmp_path / "tones"
    for nth in range(8):
        name = f"{'a' if nth < 5 else 'b'}_{nth}.wav"
        save(folder / name, tone(0.2 + nth / 10, 300 + 100 * nth))
    return folder
