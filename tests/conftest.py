"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests run in."""
    return REPOSITORY


@pytest.fixture(scope="session")
def media_data() -> Path:
    """The folder of real media that MEDIADIFF_DATA names; the test skips where there is none."""
    named = os.environ.get("MEDIADIFF_DATA")
    if not named:
        pytest.skip("needs real media: set MEDIADIFF_DATA to the folder that holds fsdd, clips and nasty")
    folder = Path(named)
    if not folder.is_absolute():
        folder = REPOSITORY / folder
    if not folder.is_dir():
        pytest.skip(f"needs real media: MEDIADIFF_DATA is {named}, and there is no such folder")
    return folder.resolve()


@pytest.fixture(autouse=True)
def fixed_threads() -> Iterator[None]:
    """One thread in all tests that use torch: float results depend on the number."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield
