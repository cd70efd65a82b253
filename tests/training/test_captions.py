"""Text and numbers as conditions, from a table to the rendered clip."""

import numpy as np
import pytest

from mediadiff import build
from mediadiff.clip import Clip
from mediadiff.errors import UsageError
from tests.tiny import tiny_recipe


def test_captions_and_numbers_train_and_steer(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    rows = ["file,caption,pitch"]
    for take in range(4):
        pitch = 200 + 150 * take
        Clip.from_numpy(0.5 * np.sin(2 * np.pi * pitch * np.arange(2048) / 4000), 4000).save(media / f"{take}.wav")
        rows.append(f"{take}.wav,a tone of {pitch} hertz,{pitch}")
    (media / "table.csv").write_text("\n".join(rows))
    recipe = tiny_recipe(
        folder=media,
        data={"label": "", "table": "table.csv"},
        condition={"label": False, "caption": True, "scalars": ["pitch"]},
        training={"clips": 200, "learning_rate": 5e-3, "drop": 0.0},
    )
    model = build.load(build.train(recipe, tmp_path / "run"))
    assert model.generator.scalars["pitch"].mean == pytest.approx(425)

    def one(**asked):
        return next(model.render(**asked)).sound.samples

    low, high = one(scalars={"pitch": 200}), one(scalars={"pitch": 650})
    assert not np.array_equal(low, high)
    assert not np.array_equal(one(caption="a tone of 200 hertz"), one(caption="a tone of 650 hertz"))
    texts = ["a tone of 200 hertz", "a tone of 650 hertz"]
    assert [request.caption for request in model.requests(3, caption=texts)] == [texts[0], texts[1], texts[0]]
    with pytest.raises(UsageError, match="has no number 'speed'; it has: pitch"):
        one(scalars={"speed": 1.0})
