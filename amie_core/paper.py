"""What the paper printed: tables, claims, equations; and how its claims are put to the runs.

Data, not logic. Read by tables, by the audit, by figures/README.md; nothing that trains imports it.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from amie_core.ledger import LEDGER as LEDGER
from amie_core.ledger import Choice as Choice
from amie_core.ledger import ledger as ledger
from amie_core.ledger import ledger_markdown as ledger_markdown

TITLE = (
    "Arbitrary Talking Face Generation via Attentional Audio-Visual Coherence Learning "
    "(Zhu, Huang, Li, Zheng, He; IJCAI 2020, pages 2362-2368)"
)


@dataclass(frozen=True)
class Score:
    """One row of Tables 1-3: PSNR in dB, SSIM, landmark distance in px (None: not given)."""

    method: str
    psnr: float
    ssim: float
    lmd: float | None
    row: str = ""  # name in config.ABLATION, Table 3 only


@dataclass(frozen=True)
class Votes:
    """One row of Table 4: per cent of the answers."""

    method: str
    realistic: float
    synchronization: float


# Table 1, LRW.
TABLE_1 = (
    Score("Chung et al. [2017]", 28.06, 0.46, 2.23),
    Score("Chen et al. [2018]", 28.65, 0.53, 1.92),
    Score("Zhou et al. [2019]", 26.80, 0.88, None),
    Score("Chen et al. [2019]", 30.91, 0.81, 1.37),
    Score("AMIE (Ours)", 32.08, 0.92, 1.21),
)

# Table 2, GRID: "Cross-dataset evaluation … pre-trained on LRW".
TABLE_2 = (
    Score("Chung et al. [2017]", 29.36, 0.74, 1.35),
    Score("Chen et al. [2018]", 29.89, 0.73, 1.18),
    Score("Chen et al. [2019]", 32.15, 0.83, 1.29),
    Score("AMIE (Ours)", 31.01, 0.97, 0.78),
)

# Table 3, LRW: the ablation.
TABLE_3 = (
    Score("Baseline", 28.88, 0.89, 1.36, "baseline"),
    Score("(a) + MINE", 29.05, 0.89, 1.38, "a"),
    Score("(b) + DA", 29.19, 0.90, 1.37, "b"),
    Score("(c) + MINE + DA", 29.08, 0.89, 1.32, "c"),
    Score("(d) + MINE + JS", 29.33, 0.90, 1.50, "d"),
    Score("(e) + MINE + JS + DA", 29.12, 0.91, 1.21, "e"),
    Score("(f) + MINE + Asy. + DA", 29.30, 0.90, 1.33, "f"),
    Score("(g) + AMIE", 29.41, 0.92, 1.22, "g"),
    Score("Ours (+ AMIE + DA)", 29.64, 0.92, 1.18, "ours"),
)

# Table 4, LRW: 42 volunteers, best of three.
TABLE_4 = (
    Votes("Zhou et al. [2019]", 15.22, 18.17),
    Votes("Chen et al. [2019]", 28.37, 32.92),
    Votes("AMIE (Ours)", 56.41, 48.91),
)
VOLUNTEERS = 42


# How claims are put to the runs was fixed before the first of those runs was made: `registered`
# names it, and every deposit carries that name.
Pair = tuple[str, str]  # row (or method), and the one it is compared with
PRINTED = ("psnr_rgb", "ssim_gaussian_rgb", "lmd_mouth_mean_256")  # the paper's own metrics
LIPS = ("lip_correlation_speech", "lip_variance_ratio", "sync_auc")  # what those do not see
SEEDS = 8
# The smallest effect that counts where the paper prints none, or less, in the claimed direction.
SMALLEST = {
    "psnr_rgb": 0.1,  # dB
    "ssim_gaussian_rgb": 0.005,
    "lmd_mouth_mean_256": 0.05,  # px at 256
    "lip_correlation_speech": 0.05,
    "lip_variance_ratio": 0.1,  # nearer to 1
    "sync_auc": 0.02,
}
NEARER = 0.2  # Fig. 3: the share of MINE's own distance from real frames, less the floor
ALPHA = 0.05  # after Holm's correction over every p of every claim


@dataclass(frozen=True)
class Contrast:
    """Rows beside others, seed by seed; of several pairs the mean is taken: a main effect.

    expected: what the paper says of the first of a pair. like: rows whose printed difference is the
    effect that counts, where it is not the contrast's own.
    """

    words: str
    pairs: tuple[Pair, ...]
    expected: Literal["better", "no better", "worse"] = "better"
    like: Pair | None = None


@dataclass(frozen=True)
class Trial:
    """How a claim is put to the runs: contrasts, the metrics that decide it, others beside them.

    split: None is the first test split (known faces on GRID, LRW's own).
    """

    contrasts: tuple[Contrast, ...]
    metrics: tuple[str, ...] = PRINTED
    beside: tuple[str, ...] = LIPS
    split: str | None = None


# The 2×2×2 of objective × critic pairs × attention: each factor's main effect, four pairs.
ATTENTION = (("c", "a"), ("e", "d"), ("f", "dv_real_off"), ("ours", "g"))
OBJECTIVE = (("d", "a"), ("e", "c"), ("g", "dv_real_off"), ("ours", "f"))
PAIRS = (("dv_real_off", "a"), ("f", "c"), ("g", "d"), ("ours", "e"))


@dataclass(frozen=True)
class Claim:
    """A quantitative sentence of the paper, and whether its own printed numbers bear it out.

    `holds`: True, False, or None where the printed numbers cannot decide it. trial: how it is put
    to runs on GRID; None where no such run can tell.
    """

    key: str
    section: str
    quote: str
    holds: bool | None
    reason: str
    trial: Trial | None = None


CLAIMS = (
    Claim(
        "lrw_best", "4.2", "higher PSNR, SSIM and lower LMD, suggesting the best quality", True,
        "Table 1: 32.08 dB, 0.92 and 1.21 are the best of their columns (one LMD is missing).",
    ),
    Claim(
        "lrw_same_model", "4.2 and 4.4", "AMIE (Ours), evaluation on LRW", False,
        "Table 1 prints 32.08 / 0.92 / 1.21 and Table 3 29.64 / 0.92 / 1.18 for the same method "
        "on the same corpus; the text gives no reason.",
    ),
    Claim(
        "zhou_ssim", "4.2", "[Zhou et al.] obtains the second highest SSIM", True,
        "Table 1: 0.88, after 0.92.",
    ),
    Claim(
        "grid_best_ssim_lmd", "4.2", "our model achieves the highest SSIM and the lowest LMD", True,
        "Table 2: 0.97 and 0.78.",
        Trial(
            tuple(Contrast(f"AMIE beside {name}", (("ours", name),))
                  for name in ("speech2vid", "glance", "atvgnet")),
            ("ssim_gaussian_rgb", "lmd_mouth_mean_256"), ("psnr_rgb", *LIPS), "test_unseen",
        ),
    ),
    Claim(
        "always_best", "4.2", "our method always achieves the highest PSNR and SSIM", False,
        "Table 2: 31.01 dB against 32.15 dB for Chen et al. [2019].",
    ),
    Claim(
        "mi_alone", "4.4", "Simply adopting MI into our baseline did not significantly improve",
        True, "Table 3 (a): +0.17 dB, SSIM equal, LMD worse; no spread is given to test it with.",
        Trial((
            Contrast("MINE alone", (("a", "baseline"),), "no better", ("b", "baseline")),
        )),
    ),
    Claim(
        "da_matters", "4.4", "DA plays an important role in talking face generation", None,
        "Table 3 (b): +0.31 dB, +0.01 SSIM, LMD worse by 0.01; one run each.",
        Trial((
            Contrast("attention, without MI", (("b", "baseline"),)),
            Contrast("attention, main effect", ATTENTION),
        )),
    ),
    Claim(
        "asy_or_js", "4.4",
        "Introducing either Asy. or JS strategy shows the great improvement on almost metrics",
        False,
        "Table 3: (f) has LMD 1.33 where (c) has 1.32; (e) gains 0.04 dB and stays under (b).",
        Trial((
            Contrast("JS for DV, main effect", OBJECTIVE),
            Contrast("real for generated pairs, main effect", PAIRS),
            Contrast("JS for DV, (e) − (c)", (("e", "c"),)),
            Contrast("real for generated pairs, (f) − (c)", (("f", "c"),)),
        )),
    ),
    Claim(
        "amie_all", "4.4", "our AMIE can further improve the performance on all the metrics", None,
        "Table 3: (g) betters (a) on all three; against (e), which has DA for Asy., it loses LMD "
        "(1.22, 1.21).",
        Trial((
            Contrast("AMIE for MINE, (g) − (a)", (("g", "a"),)),
            Contrast("AMIE for MINE under attention, Ours − (c)", (("ours", "c"),)),
        )),
    ),
    Claim(
        "mine_declines", "4.4", "simply integrating MINE (comparing (c) to (b)) … declined", False,
        "PSNR and SSIM decline by 0.11 dB and 0.01; LMD improves, from 1.37 to 1.32.",
        Trial((
            Contrast("AMIE beside attention alone, Ours − (b)", (("ours", "b"),)),
            Contrast("MINE beside attention alone, (c) − (b)", (("c", "b"),), "worse"),
        )),
    ),
    Claim(
        "fig_3", "3.2", "our generated samples are closer to the real samples than those from MINE",
        None, "Fig. 3 has two panels of points on two components and no number.",
        Trial((Contrast("AMIE's distance from real, for MINE's", (("ours", "c"),)),),
             ("frame.frechet", "lips.frechet", "joint.coherence"), ()),
    ),
    Claim(
        "votes", "4.5", "our model achieves the highest rating", True,
        "Table 4. The columns sum to 100 %; with k answers a person, 56.41 % of 42·k needs "
        "k >= 71 and both columns together k >= 120, which the text does not mention.",
    ),
)  # fmt: skip


def registered() -> str:
    """12 hex digits of all that decides the claims: trials, effects that count, seeds, level."""
    told = [(claim.key, claim.trial) for claim in CLAIMS if claim.trial]
    what = repr((told, PRINTED, LIPS, SEEDS, sorted(SMALLEST.items()), NEARER, ALPHA))
    return hashlib.sha256(what.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Again:
    """A test that the first study left open: claim, contrast (its words), metric; and new seeds."""

    claim: str
    contrast: str
    metric: str
    seeds: range

    def asked(self) -> tuple[Trial, Contrast]:
        """The claim's trial, and the contrast of it that is asked again."""
        trial = next(claim.trial for claim in CLAIMS if claim.key == self.claim and claim.trial)
        return trial, next(c for c in trial.contrasts if c.words == self.contrast)


# The replication: the tests that alone keep three claims undecided, put to seeds that the first
# study did not have, fixed before the first of its runs was made. Nothing of the first study is
# pooled with it. Seeds: with the first study's means and spreads, or with no effect at all, each
# test is decided in four of five such studies or more (simulated).
REPLICATION = (
    Again("mi_alone", "MINE alone", "lmd_mouth_mean_256", range(8, 16)),
    Again("mine_declines", "MINE beside attention alone, (c) − (b)", "lmd_mouth_mean_256",
          range(8, 16)),
    Again("fig_3", "AMIE's distance from real, for MINE's", "joint.coherence", range(8, 32)),
)  # fmt: skip
# A second look at these claims: what Holm's correction leaves of p is doubled, so that the
# replication by itself errs in 2.5 of 100, and both studies together in 7.5 at most.
LOOKS = 2


def registered_replication() -> str:
    """12 hex digits of all that decides the replication, the first study's rules with it."""
    what = repr((registered(), REPLICATION, LOOKS))
    return hashlib.sha256(what.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Equation:
    """A numbered equation: what it says, and the dotted name that computes it here."""

    number: int
    what: str
    where: str


EQUATIONS = (
    Equation(1, "mutual information of discrete variables", "amie_core.mutual_information.ksg"),
    Equation(2, "mutual information as a KL divergence", "amie_core.mutual_information.ksg"),
    Equation(3, "KL divergence", "amie_core.mutual_information.ksg"),
    Equation(4, "Donsker-Varadhan form of KL", "amie_core.mutual_information.objectives.dv"),
    Equation(5, "DV bound", "amie_core.mutual_information.objectives.dv"),
    Equation(6, "MINE: DV with a network T", "amie_core.mutual_information.objectives.EmaDv"),
    Equation(7, "Jensen-Shannon objective of AMIE", "amie_core.mutual_information.objectives.js"),
    Equation(8, "softplus", "torch.nn.functional.softplus"),
    Equation(9, "GAN loss on matched pairs", "amie_core.losses.gan_discriminator"),
    Equation(10, "perceptual loss", "amie_core.losses.perceptual"),
    Equation(11, "L1 on the lip crop", "amie_core.losses.lip"),
    Equation(12, "mutual information loss of G", "amie_core.losses.mutual_information"),
    Equation(13, "full objective", "amie_core.losses.total"),
)
