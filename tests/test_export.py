"""An exported model: the same weights, other sampling, nothing of the training, and a card of facts."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mediadiff import cli
from mediadiff import export as module
from mediadiff.errors import ModelError, RecipeError, UsageError
from mediadiff.export import export
from mediadiff.io.files import sha256
from mediadiff.io.tensors import save_tensors
from mediadiff.model import load
from tests.tiny import BOTH, tiny_model

ACROSS = {"mix": {"together": 1, "across": 1}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training's folder, as far as an export looks at it."""
    folder = tmp_path / "runs" / "tiny"
    tiny_model(folder, snapshot=True)
    (folder / "checkpoints").mkdir()
    (folder / "run.json").write_text("{}")
    (folder / "log.jsonl").write_text("")
    return folder


def test_what_is_shipped(run: Path, tmp_path: Path) -> None:
    made = export(run, tmp_path / "tiny", ["sampling.guidance=2", "name=small", "sampling.steps=2"])
    assert sorted(path.name for path in made.folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    assert made.files == {path.name: path.stat().st_size for path in made.folder.iterdir()}
    assert made.megabytes == sum(made.files.values()) / 1e6 and made.new_card
    before, after = load(run), load(made.folder)
    assert after.sha256 == before.sha256 == sha256(made.folder / "model.safetensors")
    assert (after.name, after.recipe.sampling.guidance, after.recipe.sampling.steps) == ("small", 2.0, 2)
    assert after.recipe.sampling.batch == before.recipe.sampling.batch == 4
    assert after.recipe.streams == before.recipe.streams and after.recipe.training == before.recipe.training
    assert (after.labels, after.standards, after.trained) == (before.labels, before.standards, {"clips": 0})
    (old,), (new,) = before.render(1, "a", steps=2, guidance=2.0), after.render(1, "a")
    assert old.sound is not None and new.sound is not None
    assert old.sound.samples.tobytes() == new.sound.samples.tobytes()


def test_eight_bits_take_half_the_room_and_change_a_clip_little(run: Path, tmp_path: Path) -> None:
    whole, half = export(run, tmp_path / "whole"), export(run, tmp_path / "half", eight_bits=True)
    assert half.files["model.safetensors"] < 0.65 * whole.files["model.safetensors"]
    assert "million weights, eight bits" in (half.folder / "README.md").read_text()
    again = export(half.folder, tmp_path / "again", eight_bits=True)
    assert load(again.folder).sha256 == load(half.folder).sha256 != load(whole.folder).sha256
    a, b = (load(made.folder).generator.denoiser.state_dict() for made in (whole, half))
    error = sum(float((a[name] - b[name]).square().sum()) for name in a)
    assert 0 < error < 0.01**2 * sum(float(weight.square().sum()) for weight in a.values())
    # What is in eight bits stays so.
    changed = export(half.folder, tmp_path / "changed", ["sampling.steps=2"])
    assert load(changed.folder).sha256 == load(half.folder).sha256


def test_eight_bits_without_their_scales_are_damaged(run: Path, tmp_path: Path) -> None:
    model = load(export(run, tmp_path / "half", eight_bits=True).folder)
    document = json.loads((model.folder / "model.json").read_text())
    scale = next(name for name in model.tensors() if name.endswith(".scale"))
    for wrong, said in (({}, "none"), ({scale: torch.ones(1)}, "1")):
        broken = {n: w for n, w in model.tensors().items() if n != scale} | wrong
        document["sha256"]["model"] = save_tensors(tmp_path / "half" / "broken", broken)
        (model.folder / "broken").replace(model.folder / "model.safetensors")
        (model.folder / "model.json").write_text(json.dumps(document))
        for use in (load, lambda folder: export(folder, tmp_path / "out")):
            with pytest.raises(ModelError, match=f"needs a scale for each 64 of its [0-9]+; got {said}: the model"):
                use(model.folder)
        model = load(export(run, tmp_path / "half", eight_bits=True).folder)
    assert not (tmp_path / "out").exists()


def test_guidance_may_be_that_of_a_stream(run: Path, tmp_path: Path) -> None:
    made = export(run, tmp_path / "tiny", ["sampling.guidance={sound: 2}"])
    assert load(made.folder).recipe.sampling.guidance == {"sound": 2.0}
    again = export(made.folder, tmp_path / "again", ["sampling.guidance.sound=3"])
    assert load(again.folder).recipe.sampling.guidance == {"sound": 3.0}


def test_how_a_sound_finds_its_phase_is_no_matter_of_training(run: Path, tmp_path: Path) -> None:
    made = export(run, tmp_path / "tiny", ["streams.sound.iterations=9"])
    before, after = load(run), load(made.folder)
    assert after.sha256 == before.sha256 and after.recipe.streams["sound"].iterations == 9
    assert replace(after.recipe.streams["sound"], iterations=4) == before.recipe.streams["sound"]
    with pytest.raises(RecipeError, match="streams.picture"):
        export(run, tmp_path / "out", ["streams.picture.iterations=9"])


def test_the_snapshot_comes_along_where_it_is_asked_for_and_goes_again(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    with pytest.raises(UsageError, match="autoguidance is 2, which needs the early snapshot: add --snapshot"):
        export(run, out, ["sampling.autoguidance=2"])
    assert not out.exists()
    made = export(run, out, ["sampling.autoguidance=2"], snapshot=True)
    assert "snapshot.safetensors" in made.files and load(out).generator.weak is not None
    assert list(export(run, out).files) == ["model.safetensors", "model.json", "README.md"]
    assert not (out / "snapshot.safetensors").exists() and load(out).generator.weak is None
    with pytest.raises(UsageError, match="has no early snapshot: leave --snapshot out"):
        export(out, tmp_path / "other", snapshot=True)


def test_weights_of_any_precision_become_bfloat16(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    whole = {name: weight.float() + 1e-4 for name, weight in model.generator.denoiser.state_dict().items()}
    note = json.loads((tmp_path / "run" / "model.json").read_text())
    note["sha256"]["model"] = save_tensors(tmp_path / "run" / "model.safetensors", whole)
    (tmp_path / "run" / "model.json").write_text(json.dumps(note))
    made = export(tmp_path / "run", tmp_path / "out")
    assert made.files["model.safetensors"] < 0.6 * (tmp_path / "run" / "model.safetensors").stat().st_size
    exported = load(made.folder).generator.denoiser.state_dict()
    assert all(torch.equal(exported[name].bfloat16(), weight.bfloat16()) for name, weight in whole.items())


def test_a_card_is_written_once(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    assert export(run, out).new_card
    (out / "README.md").write_text("by hand")
    assert not export(run, out).new_card
    assert (out / "README.md").read_text() == "by hand"


def test_the_card_states_facts(tmp_path: Path) -> None:
    data = {"folder": None, "label": "", "bounce": {"clips": 12000, "balls": 2}, "test": {"last": 0.02}}
    model = tiny_model(tmp_path / "run", BOTH, data=data, diffusion=ACROSS)
    note = json.loads((model.folder / "model.json").read_text())
    note["trained"] = {"clips": 140000, "seconds": 5400.0, "threads": 1, "torch": "2.13.0+cpu", "processor": "AVX512"}
    (model.folder / "model.json").write_text(json.dumps(note))
    size = export(model.folder, tmp_path / "balls").files["model.safetensors"]
    count = sum(weight.numel() for weight in model.generator.denoiser.state_dict().values())
    assert (
        (tmp_path / "balls" / "README.md").read_text()
        == f"""# tiny

Clips of 0.512 seconds: sound (4 kHz, mono, domain `spectrogram`) and picture (16x16, 7.8125 frames per second, domain `frames`).

    mediadiff render path/to/balls --num 10 --out out/balls
    mediadiff render path/to/balls --label a --num 10 --out out/balls
    mediadiff render path/to/balls --given-video film.mp4 --out out/balls
    mediadiff render path/to/balls --given-audio sound.wav --out out/balls

- **Learned from** 12 000 generated clips of up to 2 balls in a box, as `mediadiff data bounce` makes them; 0.02 of them, the last ones of each label, are kept for testing.
- **Trained on** 140 000 clips in 90 minutes with 1 thread of a processor (AVX512), torch 2.13.0.
- **Size** {count / 1e6:.1f} million weights, bfloat16, {size / 1e6:.1f} MB.
- **Drawn by** 3 steps of `dpmpp_2m`, guidance 1, unless asked otherwise.
- **Labels** a, b.

`model.json` holds the whole recipe that it was trained by.
"""
    )


def test_what_cannot_be_exported(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is the model itself; name another folder"):
        export(run, run)
    other = tmp_path / "runs" / "other"
    other.mkdir()
    (other / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="holds a training, which an export would write over"):
        export(run, other)
    for change in ("training.batch=3", "streams=", "sampling", "sampling={}", "streams.sound.hop=8", "names=a"):
        with pytest.raises(UsageError, match="export changes the name, sampling settings and the iterations"):
            export(run, tmp_path / "out", [change])
    with pytest.raises(RecipeError, match="on the command line: sampling.steps: takes at least 1; got 0"):
        export(run, tmp_path / "out", ["sampling.steps=0"])
    with pytest.raises(RecipeError, match="name: takes letters, digits"):
        export(run, tmp_path / "out", ["name=a/b"])
    (run / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="sha256 differs"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_the_size_and_warns_of_a_large_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiny"
    assert cli.main(["export", str(run), "sampling.guidance=2", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{out}: model.safetensors, model.json, README.md; 0.") and "warning" not in shown
    assert load(out).recipe.sampling.guidance == 2.0
    # A card that nobody has changed follows its model; one with somebody's words stays.
    assert "guidance 2, unless" in (out / "README.md").read_text()
    assert cli.main(["export", str(run), "sampling.guidance=3", "--out", str(out)]) == 0
    assert "guidance 3, unless" in (out / "README.md").read_text()
    assert "The card README.md is new: " in capsys.readouterr().out
    (out / "README.md").write_text((out / "README.md").read_text() + "Learned from my own voice.\n")
    monkeypatch.setattr(module, "LARGE_MB", 0.01)
    assert cli.main(["export", str(run), "--out", str(out), "--snapshot"]) == 0
    shown = capsys.readouterr().out
    assert "The card README.md is kept as it was." in shown and "my own voice" in (out / "README.md").read_text()
    assert (
        "warning: above 0.01 MB, a model is large" in shown
        and "without --snapshot or with --eight-bits it is smaller" in shown
    )
    assert cli.main(["export", str(run), "--out", str(out), "--eight-bits"]) == 0
    assert capsys.readouterr().out.endswith("that comes with a checkout\n")
    assert cli.main(["export", str(run), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"]["model.safetensors"] == (out / "model.safetensors").stat().st_size and said["large"] is True


def test_a_model_is_loaded_whole_while_it_is_written_anew(run: Path, tmp_path: Path) -> None:
    out = export(run, tmp_path / "tiny").folder
    writer = threading.Thread(target=lambda: [export(run, out, eight_bits=i % 2 == 0) for i in range(20)])
    writer.start()
    hashes = set()
    while writer.is_alive():
        hashes.add(load(out).sha256)
    writer.join()
    assert len(hashes) == 2
