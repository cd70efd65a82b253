"""The measure of what sharing costs, on networks that train within seconds."""

import pytest

from mediadiff.nn.settings import NetworkSettings
from tests.bench.sharing import LEVELS, of_one, trained
from tests.tiny import BOTH, tiny_recipe

DATA = {"folder": None, "label": "", "bounce": {"clips": 40, "balls": 1}, "test": {"last": 0.5}}


def test_a_recipe_of_one_stream_is_the_same_but_for_the_other():
    both = tiny_recipe(BOTH, data=DATA, network={"lookout": {"picture": 1}})
    sound, picture = of_one(both, "sound"), of_one(both, "picture")
    assert list(sound.streams) == ["sound"] and list(picture.streams) == ["picture"]
    assert sound.network.lookout == {} and picture.network.lookout == {"picture": 1}
    assert list(sound.network.patch) == ["sound"] and sound.training == both.training
    assert isinstance(sound.network, NetworkSettings) and sound.network.channels == both.network.channels


def test_errors_are_told_for_the_streams_that_are_there(tmp_path):
    found = trained(tiny_recipe(BOTH, data=DATA), tmp_path)
    together, alone = found.errors(["sound", "picture"]), found.errors(["sound"])
    assert set(together) == {"sound", "picture"} and set(alone) == {"sound"}
    # The same noise each time; the more of it, the less is known of what it hides.
    assert found.errors(["sound"]) == alone and len(alone["sound"]) == len(LEVELS)
    assert alone["sound"][0] < alone["sound"][-1] == pytest.approx(1.0, abs=0.4)
    assert together["sound"] != alone["sound"] and found.clip_seconds > 0
