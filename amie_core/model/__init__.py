"""The paper's networks: generator, critic T, frame discriminator, dynamic attention.

Names are imported when they are asked for: `amie talk` needs the arrays of `lips` and `speaking`,
and would wait a second for torch.
"""

from typing import Any

from amie_core import lazy

_PLACES = {
    "attention": ("FineMask", "coarse_coverage", "mask_of", "rate_at"),
    "critic": ("Critic",),
    "discriminator": ("Discriminator",),
    "generator": ("Generator",),
    "talker": ("roll_out",),
}
__all__ = lazy.names(_PLACES)


def __getattr__(name: str) -> Any:
    return lazy.asked(__name__, _PLACES, name)
