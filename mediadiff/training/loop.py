"""The training loop: steps, checkpoints, previews, and a guard against numbers that are not finite."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mediadiff.data.loader import Batch
from mediadiff.errors import TrainingError
from mediadiff.training import checkpoint
from mediadiff.training.course import Course
from mediadiff.training.log import Log
from mediadiff.training.memory import kept
from mediadiff.training.step import Outcome, Trainer

Report = Callable[[dict[str, Any]], None]
SKIPS = 8
"""Steps in a row that may be skipped before training is rolled back."""
PULSE = 0.5
"""Seconds between reports of progress."""


class Loop:
    """Runs a trainer to its last clip.

    `batch(step)` gives the training batch of a step. `preview(trainer)` and `publish(trainer)` are called at the marks
    that the settings name; `publish` writes the model as it is.
    """

    def __init__(
        self,
        trainer: Trainer,
        batch: Callable[[int], Batch],
        out: Path,
        preview: Callable[[Trainer], None],
        publish: Callable[[Trainer], None],
        report: Report,
    ):
        self.trainer, self.batch, self.out = trainer, batch, out
        self.preview, self.publish, self.report = preview, publish, report
        self.checkpoints = out / "checkpoints"
        self.log: Log | None = None
        self.skipped = 0

    @kept()
    def run(self, resume: bool) -> None:
        """Trains. With `resume` it goes on from the last checkpoint, to the same weights as an unbroken run."""
        trainer, settings = self.trainer, self.trainer.settings
        faults = checkpoint.load_last(self.checkpoints, trainer) if resume else []
        self.log = Log(self.out / "log.jsonl", trainer.clips)
        self.say({"event": "start", "clips": trainer.clips, "of": settings.clips, "threads": torch.get_num_threads()})
        for fault in faults:
            self._warn(fault)
        if not checkpoint.everything(self.checkpoints):
            # So that there is always something to roll back to.
            checkpoint.save(self.checkpoints, trainer)
        elif trainer.clips:
            # What broke the run off may have come between the checkpoint and its model.
            self.publish(trainer)
        begun, trained, pulse = time.monotonic(), 0, 0.0
        last = begun
        while trainer.clips < settings.clips:
            before = trainer.clips
            outcome = trainer.step(self.batch(before // settings.batch))
            trained += settings.batch
            self._guard(outcome)
            now = time.monotonic()
            trainer.seconds, last = trainer.seconds + now - last, now
            if now - pulse > PULSE or trainer.clips >= settings.clips:
                pulse = now
                speed = trained / (now - begun)
                self._progress(outcome, speed)
            if passed(before, trainer.clips, settings.preview) and trainer.clips < settings.clips:
                self.preview(trainer)
            # Nothing that may be about to be lost is worth coming back to.
            sound = not self.skipped and not trainer.course.is_rising
            due = passed(before, trainer.clips, settings.checkpoint) and sound
            if due or trainer.clips >= settings.clips:
                checkpoint.save(self.checkpoints, trainer)
                self.publish(trainer)
        self.preview(trainer)
        self.say({"event": "end", "clips": trainer.clips, "seconds": round(time.monotonic() - begun, 1)})

    def _progress(self, outcome: Outcome, speed: float) -> None:
        left = (self.trainer.settings.clips - self.trainer.clips) / max(speed, 1e-9)
        self.say(
            {
                "event": "step",
                "clips": self.trainer.clips,
                "of": self.trainer.settings.clips,
                "loss": outcome.loss,
                "error": outcome.error,
                "gradient": outcome.gradient,
                "clips_per_second": round(speed, 2),
                "seconds_left": round(left, 1),
            }
        )

    def _guard(self, outcome: Outcome) -> None:
        """Skip what is not finite, then roll back with half the learning rate, then stop with a report.

        A training that gets worse and worse is rolled back at once.
        """
        course, clips = self.trainer.course, self.trainer.clips
        if not outcome.finite:
            self.skipped += 1
            said = f"loss {outcome.loss}, gradient {outcome.gradient}"
            self._warn(f"a step was skipped: not finite ({said})")
            if self.skipped == SKIPS:
                self._roll_back(f"after {clips} clips {SKIPS} steps in a row were not finite ({said})")
            return
        self.skipped = 0
        if course.is_lost:
            # The last checkpoint may be of a training that was breaking already.
            fault = f"after {clips} clips the loss had risen {course}"
            self._roll_back(fault, back=1)

    def _roll_back(self, fault: str, back: int = 0) -> None:
        trainer = self.trainer
        if trainer.slowdown < 1:
            raise TrainingError(
                f"training stopped: {fault}, also at half the learning rate. The last sound checkpoint is kept. Try a "
                "lower training.learning_rate, training.precision=float32, and `mediadiff doctor` on the data."
            )
        faults = checkpoint.load_last(self.checkpoints, trainer, back)
        trainer.slowdown, self.skipped = 0.5, 0
        # At the other rate it is another training.
        trainer.course = Course(trainer.course.logarithmic)
        # A kill before the next checkpoint must not bring the full learning rate back.
        checkpoint.amend(self.checkpoints, trainer)
        self.publish(trainer)
        self._warn(
            f"{fault}: rolled back to {trainer.clips} clips, at half the learning rate {'; '.join(faults)}".strip()
        )

    def _warn(self, text: str) -> None:
        self.say({"event": "warning", "clips": self.trainer.clips, "text": text})

    def say(self, event: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(event)
        self.report(event)


def passed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies above `before` and not above `after`."""
    return before // every < after // every
