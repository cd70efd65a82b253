"""Settings of the network: the `network:` section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, Len

Count = Annotated[int, Ge(1)]
OF_STREAMS = ("patch", "lookout", "detail", "halvings")
"""The settings of the network that are given stream by stream."""


@dataclass(frozen=True)
class NetworkSettings:
    """The temporal UNet. `channels` goes from the outermost level to the innermost, where all streams meet."""

    channels: Annotated[tuple[Count, ...], Len(1, 6)] = (64, 128, 256)
    blocks: Annotated[int, Ge(1), Le(8)] = 2
    """Residual blocks per level, each way."""
    attention: Annotated[int, Ge(0), Le(16)] = 2
    """Attention blocks in the trunk, at the innermost level."""
    heads: Annotated[int, Ge(1)] = 4
    patch: dict[str, tuple[Count, Count, Count]] = field(default_factory=dict)
    """Per stream, cells of (time, height, width) that the stem folds into channels; (1, 1, 1) where not named."""
    lookout: dict[str, Count] = field(default_factory=dict)
    """Per stream, attention blocks on the way in at the level above the innermost, each stream by itself: dear, but it
    puts together small things that move. None where not named."""
    detail: dict[str, Count] = field(default_factory=dict)
    """Per stream, hidden units of a layer between the outermost level and its patches, beside the linear head: cheap,
    and sharper where a patch holds more numbers than that level has channels. None where not named."""
    halvings: dict[str, Count] = field(default_factory=dict)
    """Per stream of frames, how many levels below the outermost have half as many time steps as the one above: less
    work, and what moves is seen over a longer stretch. None where not named; in width 1 all do."""

    def halved(self, stream: str, width: int) -> int:
        """How many times a stream of this width is halved in time."""
        return len(self.channels) - 1 if width == 1 else self.halvings.get(stream, 0)

    def multiple(self, stream: str, width: int) -> int:
        """Time steps of a stream of this width come in multiples of this."""
        return self.patch.get(stream, (1, 1, 1))[0] * 2 ** self.halved(stream, width)


@dataclass(frozen=True)
class ConditionSettings:
    """What a clip may be asked for by: the `condition:` section of a recipe."""

    label: bool = True
    """The class, from the data's labels."""
    caption: bool = False
    """Text in any language, read byte by byte by a small encoder that is trained with the model."""
    scalars: tuple[str, ...] = ()
    """Numbers by name, columns of the data's table."""
