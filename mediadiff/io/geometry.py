"""How a stored frame becomes the picture that is shown: sample aspect, rotation, scaling to cover, cropping."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Size = tuple[int, int]  # (height, width)
Direction = tuple[int, int]  # (to the right, downwards)


@dataclass(frozen=True)
class Geometry:
    """`across` and `down` say where stored columns and rows go, as in a display matrix; `aspect` is a pixel's shape.

    `(a, b)` and `(c, d)`: the stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
    """

    aspect: Fraction = Fraction(1)
    across: Direction = (1, 0)
    down: Direction = (0, 1)

    @property
    def is_transposed(self) -> bool:
        return self.across[0] == 0

    def shown(self, height: int, width: int) -> Size:
        """The size of the shown picture for a stored size: lines are kept, their length follows the pixels' shape."""
        width = max(1, round(width * self.aspect))
        return (width, height) if self.is_transposed else (height, width)

    def stored(self, size: Size) -> Size:
        """The stored orientation of a shown size."""
        return (size[1], size[0]) if self.is_transposed else size

    def turn(self, frame: np.ndarray) -> np.ndarray:
        """A stored frame `[H, W, 3]` as it is shown (a view)."""
        if self.is_transposed:
            frame = frame.swapaxes(0, 1)
            rows, columns = self.across[1], self.down[0]
        else:
            rows, columns = self.down[1], self.across[0]
        return frame[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1]

    @property
    def words(self) -> str:
        """The orientation in words; empty for the usual one."""
        turns = {(1, 1): "", (-1, -1): "turned by 180°", (-1, 1): "mirrored", (1, -1): "flipped"}
        if self.is_transposed:
            return {(1, -1): "turned right", (-1, 1): "turned left"}.get(
                (self.across[1], self.down[0]), "mirrored, turned"
            )
        return turns[self.across[0], self.down[1]]


def orientation(frame: Any) -> tuple[Direction, Direction]:
    """The directions `across` and `down` of a decoded frame; angles between the right ones are taken as the nearest."""
    try:
        matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).reshape(3, 3)[:2, :2]
    except (KeyError, ValueError):
        # no matrix, or PyAV does not know a neighbour of it: it still gives the angle
        turns = round(frame.rotation / 90) % 4
        return (((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0)))[turns]
    sign = np.sign(matrix).astype(int)
    if not np.linalg.det(matrix.astype(float)):
        return (1, 0), (0, 1)
    if abs(matrix[0, 0]) >= abs(matrix[0, 1]):
        return (int(sign[0, 0]), 0), (0, int(sign[1, 1]))
    return (0, int(sign[0, 1])), (int(sign[1, 0]), 0)


def cover(shown: Size, target: Size) -> Size:
    """The size that keeps the aspect of `shown` and covers `target`, one side exactly."""
    scale = max(Fraction(target[0], shown[0]), Fraction(target[1], shown[1]))
    return max(target[0], round(shown[0] * scale)), max(target[1], round(shown[1] * scale))


def centre(frame: np.ndarray, target: Size) -> np.ndarray:
    """The middle of `frame [H, W, 3]` at the size `target` (a view)."""
    top, left = (frame.shape[0] - target[0]) // 2, (frame.shape[1] - target[1]) // 2
    return frame[top : top + target[0], left : left + target[1]]
