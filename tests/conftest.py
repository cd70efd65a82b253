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


@pytest.fixture(autouse=True, scope="session")
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own: what a user has in theirs makes no difference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIADIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def one_thread() -> None:
    """One thread in all tests that use torch: float results depend on the number."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def fixed_threads_of_modules() -> None:
    """For what a module's own fixtures make, which come before those of its tests."""
    one_thread()


@pytest.fixture(autouse=True)
def fixed_threads() -> None:
    one_thread()
