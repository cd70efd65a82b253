"""The demonstration's page: what each rendered clip says of itself."""

from __future__ import annotations

from mediadiff import build
from mediadiff.demo import entries
from tests.tiny import PICTURE, SOUND, tiny_model


def test_the_page_says_how_each_clip_was_made(tmp_path):
    rendered, said = [], []
    for name, streams in [("sounds", SOUND), ("films", PICTURE)]:
        model = tiny_model(tmp_path / "models" / name, streams)
        build.render(model, tmp_path / name, 2, ["a", "b"], seed=3, report=lambda e, n=name: rendered.append((n, e)))
    rendered.append(("films", {"event": "failed", "index": 2, "file": "a-000002.mp4", "reason": "no luck"}))
    made = list(entries(tmp_path, rendered, said.append))
    assert [entry.file for entry in made] == [
        "sounds/a-000000.wav",
        "sounds/b-000001.wav",
        "films/a-000000.mp4",
        "films/b-000001.mp4",
        "films/a-000002.mp4",
    ]
    assert [entry.label for entry in made] == ["a", "b", "a", "b", None]
    assert [(entry.status, entry.reason) for entry in made] == [("done", "")] * 4 + [("failed", "no luck")]
    assert made[0].settings == made[0].settings | {"model": "sounds", "seed": 3, "length": "0.512 s"}
    assert made[2].settings["length"] == "0.5 s" and "time taken" in made[2].settings
    assert made[1].pictures == ("pictures/sounds-b-000001-sound.png",)
    assert made[2].pictures == ("pictures/films-a-000000-frames.png",)
    assert all((tmp_path / path).is_file() for entry in made for path in entry.pictures)
    assert [event["done"] for event in said] == [1, 2, 3, 4, 5]
