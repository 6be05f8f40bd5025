"""What the paper printed: tables, claims, equations; and what is stated, chosen or changed here.

Data, not logic. Read by tables, by the audit, by figures/README.md; nothing that trains imports it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from amie_core.config import MOVEMENT, Profile

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


@dataclass(frozen=True)
class Claim:
    """A quantitative sentence of the paper, and whether its own printed numbers bear it out.

    `holds`: True, False, or None where the printed numbers cannot decide it.
    """

    key: str
    section: str
    quote: str
    holds: bool | None
    reason: str


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
    ),
    Claim(
        "always_best", "4.2", "our method always achieves the highest PSNR and SSIM", False,
        "Table 2: 31.01 dB against 32.15 dB for Chen et al. [2019].",
    ),
    Claim(
        "mi_alone", "4.4", "Simply adopting MI into our baseline did not significantly improve",
        True, "Table 3 (a): +0.17 dB, SSIM equal, LMD worse; no spread is given to test it with.",
    ),
    Claim(
        "da_matters", "4.4", "DA plays an important role in talking face generation", None,
        "Table 3 (b): +0.31 dB, +0.01 SSIM, LMD worse by 0.01; one run each.",
    ),
    Claim(
        "asy_or_js", "4.4",
        "Introducing either Asy. or JS strategy shows the great improvement on almost metrics",
        False,
        "Table 3: (f) has LMD 1.33 where (c) has 1.32; (e) gains 0.04 dB and stays under (b).",
    ),
    Claim(
        "amie_all", "4.4", "our AMIE can further improve the performance on all the metrics", None,
        "Table 3: (g) betters (a) on all three; against (e), which has DA for Asy., it loses LMD "
        "(1.22, 1.21).",
    ),
    Claim(
        "mine_declines", "4.4", "simply integrating MINE (comparing (c) to (b)) … declined", False,
        "PSNR and SSIM decline by 0.11 dB and 0.01; LMD improves, from 1.37 to 1.32.",
    ),
    Claim(
        "votes", "4.5", "our model achieves the highest rating", True,
        "Table 4. The columns sum to 100 %; with k answers a person, 56.41 % of 42·k needs "
        "k >= 71 and both columns together k >= 120, which the text does not mention.",
    ),
)  # fmt: skip


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

Kind = Literal["stated", "chosen", "changed"]


@dataclass(frozen=True)
class Choice:
    """A row of the ledger. `ours` is filled from a profile's settings by `ledger`."""

    topic: str
    paper: str
    ours: str
    kind: Kind
    reason: str
    source: str


LEDGER = (
    Choice("inputs of G", "identity face, MFCC window, previous generated frame", "the same",
           "stated", "", "sec. 3.1"),
    Choice("aligned face", "256×256", "256×256 stored, {model.image_size}×{model.image_size} in "
           "the networks", "changed", "what two CPU cores train in an hour; 256 is one setting",
           "sec. 4.1"),
    Choice("alignment", "not given", "one similarity a clip, from its mean landmarks", "chosen",
           "a transform a frame makes the face zoom in and out (seen of DAVS, sec. 4.3)",
           "DAVS's released code"),
    Choice("MFCC window", "20×13 for each frame", "20 hops of 10 ms × 13 cepstra, centred on the "
           "frame", "stated", "hop and placing are chosen: SyncNet's window is the same size",
           "sec. 4.1; SyncNet (Chung and Zisserman 2016)"),
    Choice("MFCC sampling rate", "5000 Hz", "{mfcc_rate} Hz; 5000 is a setting", "changed",
           "at 5 kHz nothing above 2.5 kHz is left: no fricatives", "sec. 4.1"),
    Choice("encoders", "not given", "stride-2 convolutions to 4×4, widths {model.width} doubled to "
           "{model.max_width}, GroupNorm, no BatchNorm", "chosen",
           "widths for the CPU; a batch holds several frames of one clip",
           "the usual shape: ATVGnet, CRAN, DAVS"),
    Choice("frame decoder", "not given", "U-Net skips from the identity encoder; its output is "
           "added to the attended identity face (residual = {model.residual})", "chosen",
           "with few speakers a plain decoder does not keep a face that it never saw",
           "skips: CRAN, DAVS; composition: ATVGnet"),
    Choice("frame put together with the identity frame", "no", "compose = {model.compose}; mouth: "
           "only a soft region around mouth and chin is generated; warp: there the identity "
           "frame's pixels are moved as well", "changed",
           "outside the region an unseen face is its own picture; what is moved keeps its detail",
           "ATVGnet (attention); first-order motion models (flow)"),
    Choice("a still that smiles", "as it is",
           "amie talk closes open lips first (--keep-smile leaves them)", "changed",
           "no speaker of GRID smiles: teeth would show through every word", "tried here"),
    Choice("size of the movement", "the model's", "the model's wherever something is measured; "
           f"{MOVEMENT:g} times that in the videos of amie talk (--movement)", "changed",
           "trained on seven speakers, it moves the lips of a photograph less than people do",
           "tried here"),
    Choice("audio encoder", "not given", "five convolution blocks and a linear layer to "
           "{model.embedding}", "chosen", "small windows need little", "CRAN, DAVS"),
    Choice("T", "image and audio encoder of G's architecture, own weights, 3-layer classifier",
           "the same, without BatchNorm; it sees the {loss.critic_region}, its classifier also the "
           "product of the embeddings", "changed", "BatchNorm would let a pair see its batch; from "
           "faces and without the product T is still at chance after 400 steps", "sec. 3.1"),
    Choice("pairs", "{{f_i, a_i}} and {{f_j, a_k}}, j and k from 1…n of the clip",
           "the same with |j - k| >= {train.min_gap}, pairs of two silences dropped", "changed",
           "nearer windows share sound with the frame: false negatives", "sec. 3.1"),
    Choice("objective of T", "Jensen-Shannon (Eq. 7)", "{loss.objective}, T trained on "
           "{loss.critic_pairs} pairs", "stated", "", "sec. 3.2"),
    Choice("D", "image CNN and audio FC, concatenated, classifier", "the same", "stated", "",
           "sec. 3.1"),
    Choice("L_GAN of G", "E[log(1 - D(G))], Eq. 9", "its non-saturating form, -E[log D(G)]",
           "changed", "gradients while D is still sure", "Goodfellow et al. 2014, sec. 3"),
    Choice("attention rate", "0.7-0.9, progressively 0.1-0.3, 1 in the last few epochs",
           "the same: {attention.hold:.0%} of training high, last {attention.final:.0%} at 1",
           "stated", "the phases' lengths are chosen", "sec. 3.3"),
    Choice("fine mask", "predicted from the previous mask and the generated face",
           "three convolutions at half resolution, supervised by the lip polygon "
           "(weight {loss.mask:g})", "chosen", "no loss is given for it", "sec. 3.3"),
    Choice("λ1, λ2, λ3", "not given", "{loss.perceptual:g}, {loss.lip:g}, {loss.mi:g}; "
           "GAN {loss.gan:g}", "chosen",
           "the optimum of the MI term is hyper-articulated: λ3 stays small", "tried here"),
    Choice("L1 outside the lips", "none", "weight {loss.pixel:g}", "changed",
           "holds the face still where perceptual loss at this size is too weak",
           "ATVGnet, Wav2Lip"),
    Choice("norms of Eq. 10 and 11", "‖·‖², ‖·‖₁", "means over features and pixels", "changed",
           "the λ then do not depend on the size", "none"),
    Choice("lip crop", "not given", "80×128 of 256×256 px around the clip's mean mouth", "chosen",
           "a box fixed for all faces misses some", "DAVS's mask has 64×128 px"),
    Choice("φ", "not given; over the frame", "VGG16 {loss.phi_layer}, over the {loss.phi_region}, "
           "on {train.judged} of {train.unroll} frames", "changed",
           "affordable on a CPU: over the lips it costs a sixth of the frame",
           "Johnson et al. 2016"),
    Choice("optimiser", "not given", "Adam {train.betas}, G and D {train.lr:g}, "
           "T {train.lr_critic:g}, the fine mask four times G's; gradients clipped at "
           "{train.clip:g}", "chosen", "", "ATVGnet, CRAN"),
    Choice("frames a step", "not given", "{train.batch} windows of {train.unroll} frames, the "
           "previous frame detached", "chosen", "memory", "DAVS (6 frames)"),
    Choice("previous frame in training", "generated", "generated; a window starts from the real "
           "one with chance {train.teacher[0]:g} falling to {train.teacher[1]:g}", "changed",
           "from its own first outputs it learns slowly", "CRAN"),
    Choice("length of training", "not given", "{train.steps} steps, averaged weights (decay "
           "{train.ema:g})", "chosen", "the time there is", "none"),
    Choice("augmentation", "not given", "colour and mirror: {train.augment}; small similarities: "
           "{train.geometry}; contrast, paleness, side light, blur: {train.lighting}", "chosen",
           "few speakers", "none"),
    Choice("second corpus", "none", "share of windows from one: {train.mix:g}", "changed",
           "the embedded corpus draws as many faces as are wanted", "none"),
    Choice("splits", "not given", "unseen sentences of known faces and unseen faces, apart; LRW's "
           "own; a splits.csv beside the data wins", "chosen",
           "speakers kept from training on GRID are those of LipNet", "Assael et al. 2016"),
    Choice("metrics", "PSNR, SSIM, LMD; no definitions",
           "PSNR, SSIM (11×11 Gaussian), LMD as a mean in px at 256; lip-opening correlation",
           "chosen", "released peer scripts wrap uint8 and sum LMD; the size is always stated",
           "Wang et al. 2004; Chen et al. 2018"),
)


def ledger(profile: Profile) -> list[Choice]:
    """The stated / chosen / changed ledger with the settings of a profile filled in."""
    parts = vars(profile)
    return [replace(choice, ours=choice.ours.format(**parts), paper=choice.paper.format(**parts))
            for choice in LEDGER]


def ledger_markdown(profile: Profile) -> str:
    """The ledger as the table of figures/README.md."""
    head = ["| | paper | here | | why | source |", "|---|---|---|---|---|---|"]
    rows = [(c.topic, c.paper, c.ours, c.kind, c.reason, c.source) for c in ledger(profile)]
    cells = [[text.replace("|", r"\|") for text in row] for row in rows]  # |j - k| is no border
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in cells)])
