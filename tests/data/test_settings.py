from __future__ import annotations

import pytest

from mediadiff.data.settings import DataSettings, pattern_fields
from mediadiff.errors import UsageError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label": "{speaker}_{take}"}, "a pattern with {label} in it"),
        ({"label": "folders"}, "got 'folders'"),
        ({"label": "{label}{take}"}, "need text between them"),
        ({"label": "{label}_{label}"}, "comes once"),
        ({"label": "{label}_{0}"}, "plain name in braces"),
        ({"label": "{label}_{take!r}"}, "plain name in braces"),
        ({"label": "{label"}, "cannot be read"),
        ({"table": "labels.xlsx"}, "ends in .csv or .jsonl"),
        ({"columns": {"caption": "text"}}, "give `table` too"),
        ({"test": {"fraction": 1.0}}, "from 0 to below 1; got 1.0"),
        ({"test": {"last": ("1",)}}, "from 0 to below 1"),
        ({"test": {"take": 0.5}}, "a list of values"),
        ({"test": {"fraction": 0.1, "last": 0.1}}, "one rule; got fraction, last"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(UsageError) as error:
        DataSettings("folder", **wrong)
    assert message in str(error.value)


def test_fields_of_a_pattern():
    assert pattern_fields("{label}_{speaker}_{take}") == ["label", "speaker", "take"]
    assert pattern_fields("no fields") == []
