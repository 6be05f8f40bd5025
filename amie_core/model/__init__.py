"""The paper's networks: generator, critic T, frame discriminator, dynamic attention."""

from amie_core.model.attention import FineMask, coarse_coverage, mask_of, rate_at
from amie_core.model.critic import Critic
from amie_core.model.discriminator import Discriminator
from amie_core.model.generator import Generator
from amie_core.model.talker import roll_out

__all__ = [
    "Critic",
    "Discriminator",
    "FineMask",
    "Generator",
    "coarse_coverage",
    "mask_of",
    "rate_at",
    "roll_out",
]
