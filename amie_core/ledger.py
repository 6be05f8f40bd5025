"""What the paper states, what had to be chosen, what was changed: every choice with its reason.

Data, not logic. `paper` hands it on; figures/README.md shows it with the grid profile's settings.
"""

from dataclasses import dataclass, replace
from typing import Literal

from amie_core.config import SPEECH_LEVEL, Profile

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
    Choice(
        "inputs of G",
        "identity face, MFCC window, previous generated frame",
        "the same",
        "stated",
        "",
        "sec. 3.1",
    ),
    Choice(
        "aligned face",
        "256×256",
        "256×256 stored, {model.image_size}×{model.image_size} in the networks, of a square of "
        "{model.canvas} px (112 around the mouth in the model that ships)",
        "changed",
        "what two CPU cores train in an hour; 256 is one setting; around the mouth the same pixels "
        "are 2.3 times as fine",
        "sec. 4.1",
    ),
    Choice(
        "alignment",
        "not given",
        "one similarity a clip, from its mean landmarks",
        "chosen",
        "a transform a frame makes the face zoom in and out (seen of DAVS, sec. 4.3)",
        "DAVS's released code",
    ),
    Choice(
        "MFCC window",
        "20×13 for each frame",
        "20 hops of 10 ms × 13 cepstra, centred on the frame",
        "stated",
        "hop and placing are chosen: SyncNet's window is the same size",
        "sec. 4.1; SyncNet (Chung and Zisserman 2016)",
    ),
    Choice(
        "MFCC sampling rate",
        "5000 Hz",
        "{mfcc_rate} Hz; 5000 is a setting",
        "changed",
        "at 5 kHz nothing above 2.5 kHz is left: no fricatives",
        "sec. 4.1",
    ),
    Choice(
        "loudness, narrow sound",
        "not said",
        f"training: as recorded; `amie talk`, and training of its model (level): speech brought to "
        f"{SPEECH_LEVEL} dBFS; there mel bands that a telephone lacks are filled by their "
        "expectation given the others",
        "chosen",
        "a recording 30 dB lower, or of 8 kHz, moved the lips by half",
        "levels and bands of GRID's training clips",
    ),
    Choice(
        "encoders",
        "not given",
        "stride-2 convolutions to 4×4, widths {model.width} doubled to {model.max_width}, "
        "GroupNorm, no BatchNorm",
        "chosen",
        "widths for the CPU; a batch holds several frames of one clip",
        "the usual shape: ATVGnet, CRAN, DAVS",
    ),
    Choice(
        "frame decoder",
        "not given",
        "U-Net skips from the identity encoder; its output is added to the identity face, which "
        "attention does not dim there (residual = {model.residual})",
        "chosen",
        "with few speakers a plain decoder does not keep a face that it never saw; on a dimmed "
        "base it learns a brightening that it must unlearn at rate 1",
        "skips: CRAN, DAVS; composition: ATVGnet",
    ),
    Choice(
        "frame put together with the identity frame",
        "no",
        "compose = {model.compose}; mouth: "
        "only a soft region around mouth and chin is generated; warp: there the identity "
        "frame's pixels are moved as well; landmarks (the model that ships): they are moved with "
        "landmarks that a network of its own hears in the sound, and G paints between the lips, "
        "taught with their edges in the pictures: landmarks of open lips lie up to .08 mouth "
        "widths nearer to each other (lip_edges = {train.lip_edges}; the model that ships: True)",
        "changed",
        "outside the region an unseen face is its own picture; what is moved keeps its detail; "
        "movement in widths of the face's own mouth fits any face",
        "ATVGnet (landmarks); first-order motion models (flow)",
    ),
    Choice(
        "sound to mouth, where landmarks move it",
        "no such network",
        "convolutions over the frame's 20×13 window and those of the 8 frames before and after it "
        "to 6 coefficients of the mouth's movement from rest, in mouth widths, learnt from "
        "landmarks; microphones, rooms and vocal tracts drawn at random; beside the cepstra a "
        "frozen embedding of speech (speech_embedding = {model.speech_embedding}; the model that "
        "ships has it); an unknown voice's mouth moves .4 of a frame earlier than that tells",
        "changed",
        "what a mouth does can be learnt from few faces if nothing of the face is in it; by the "
        "0.3 s around a frame, and by what a network of very many voices hears in half a second, "
        "voices never heard are followed better (figures/motion_voices.json); those of other "
        "recordings than GRID's are heard late",
        "SadTalker (coefficients); VTLP; Lin et al. 2020 (embedding)",
    ),
    Choice(
        "a still that smiles",
        "as it is",
        "amie talk closes open lips while it speaks, at the edges that the picture shows "
        "(--keep-smile leaves them)",
        "changed",
        "no speaker of GRID smiles: teeth would show through every word",
        "tried here",
    ),
    Choice(
        "teeth",
        "G's",
        "where the picture given to amie talk shows teeth, or the video, those stay where they are "
        "while the lips move; else, or where they are a sliver, in pictures sharper than GRID's a "
        "portrait's do so, in the face's light, and it is darker below; in soft ones the finest "
        "detail of a training speaker's is laid over G's",
        "changed",
        "G's teeth are a mean of all mouths; a speaker's own take 2 to 9% off the error between "
        "the lips, on val (tests/benchmarks/bench_picture.py --teeth); what G learnt of GRID's "
        "soft pictures is in sharp ones a blur of the lips' colour",
        "tried here",
    ),
    Choice(
        "size of the movement",
        "the model's",
        "the model's; of the model that ships in widths of the face's own mouth: as large as the "
        "voice moved its own in training, or the usual size where it is not known (--movement "
        "scales it); a video that shows the face speak tells it instead; of what would close lips "
        "beyond rest a third is kept; before a face speaks, and in long pauses, it is as its "
        "picture shows it",
        "changed",
        "a model of pixels moved the lips of unknown faces a tenth to twice as far as they do",
        "tried here",
    ),
    Choice(
        "audio encoder",
        "not given",
        "five convolution blocks and a linear layer to {model.embedding}",
        "chosen",
        "small windows need little",
        "CRAN, DAVS",
    ),
    Choice(
        "T",
        "image and audio encoder of G's architecture, own weights, 3-layer classifier",
        "the same, without BatchNorm; it sees the {loss.critic_region}, its classifier also the "
        "product of the embeddings",
        "changed",
        "BatchNorm would let a pair see its batch; from "
        "faces and without the product T is still at chance after 400 steps",
        "sec. 3.1",
    ),
    Choice(
        "pairs",
        "{{f_i, a_i}} and {{f_j, a_k}}, j and k from 1…n of the clip",
        "the same with |j - k| >= {train.min_gap}, pairs of two silences dropped",
        "changed",
        "nearer windows share sound with the frame: false negatives",
        "sec. 3.1",
    ),
    Choice(
        "objective of T",
        "Jensen-Shannon (Eq. 7)",
        "{loss.objective}, T trained on {loss.critic_pairs} pairs",
        "stated",
        "",
        "sec. 3.2",
    ),
    Choice(
        "D",
        "image CNN and audio FC, concatenated, classifier",
        "the same, half as wide as G",
        "stated",
        "width: chosen",
        "sec. 3.1",
    ),
    Choice(
        "L_GAN of G",
        "E[log(1 - D(G))], Eq. 9",
        "its non-saturating form, -E[log D(G)]",
        "changed",
        "gradients while D is still sure",
        "Goodfellow et al. 2014, sec. 3",
    ),
    Choice(
        "attention rate",
        "0.7-0.9, progressively 0.1-0.3, 1 in the last few epochs",
        "the same: {attention.hold:.0%} of training high, last {attention.final:.0%} at 1",
        "stated",
        "the phases' lengths are chosen: what is judged, rate 1, gets its share of the learning",
        "sec. 3.3",
    ),
    Choice(
        "fine mask",
        "predicted from the previous mask and the generated face",
        "three convolutions at half resolution, learnt from the lip polygon alone (Adam, "
        "{train.lr_mask:g}); no gradient from the frames reaches it",
        "chosen",
        "no loss is given for it; the lips' loss, 160 times as heavy, taught it to uncover lips",
        "sec. 3.3",
    ),
    Choice(
        "λ1, λ2, λ3",
        "not given",
        "{loss.perceptual:g}, {loss.lip:g}, {loss.mi:g}; GAN {loss.gan:g}. λ3 is set each step so "
        "that the MI term's gradient on the frames is {loss.mi_share:g} of the other terms' (0: "
        "the constant)",
        "chosen",
        "with one λ3 DV's gradient is 2 to 4 times that of JS; the optimum of the MI term is "
        "hyper-articulated, so the share stays small",
        "tried here; Esser et al. 2021, Eq. 7",
    ),
    Choice(
        "sync expert",
        "none: T learns beside G",
        "share of its gradient on the frames, as of the MI term's: {loss.sync_share:g}",
        "changed",
        "an option: one that has learnt from half of the training clips, and stays as it is, may "
        "be compared with T",
        "Prajwal et al. 2020; measured here",
    ),
    Choice(
        "when the MI term counts",
        "not given",
        "after {loss.mi_from:.0%} of training; T learns from the first step, in every row alike, "
        "{train.critic_updates} updates a step on all frames of the windows",
        "chosen",
        "T is at chance for its first hundred steps, and its gradient noise",
        "measured here",
    ),
    Choice(
        "L1 over the whole frame",
        "none",
        "weight {loss.pixel:g}",
        "changed",
        "holds the face still where perceptual loss at this size is too weak",
        "ATVGnet, Wav2Lip",
    ),
    Choice(
        "norms of Eq. 10 and 11",
        "‖·‖², ‖·‖₁",
        "means over features and pixels",
        "changed",
        "the λ then do not depend on the size",
        "none",
    ),
    Choice(
        "lip crop",
        "not given",
        "80×128 of 256×256 px around the clip's mean mouth",
        "chosen",
        "a box fixed for all faces misses some",
        "DAVS's mask has 64×128 px",
    ),
    Choice(
        "φ",
        "not given; over the frame",
        "VGG16 {loss.phi_layer}, over the {loss.phi_region}, "
        "on {train.judged} of {train.unroll} frames",
        "changed",
        "affordable on a CPU: over the lips it costs a sixth of the frame",
        "Johnson et al. 2016",
    ),
    Choice(
        "optimiser",
        "not given",
        "Adam {train.betas}, G and D {train.lr:g}, "
        "T {train.lr_critic:g}, gradients clipped at "
        "{train.clip:g}",
        "chosen",
        "",
        "ATVGnet, CRAN",
    ),
    Choice(
        "frames a step",
        "not given",
        "{train.batch} windows of {train.unroll} frames, the previous frame detached",
        "chosen",
        "memory",
        "DAVS (6 frames)",
    ),
    Choice(
        "identity face in training",
        "not given",
        "one at least {train.identity_gap} frames from the window, where the clip has one",
        "chosen",
        "drawn from anywhere it lies in the window, or beside it, and shows the mouth to be made",
        "counted here",
    ),
    Choice(
        "previous frame in training",
        "generated",
        "generated; a window starts from the real "
        "one with chance {train.teacher[0]:g} falling to {train.teacher[1]:g}",
        "changed",
        "from its own first outputs it learns slowly",
        "CRAN",
    ),
    Choice(
        "length of training",
        "not given",
        "{train.steps} steps; the learning rate stands still, then falls to {train.lr_end:g} of "
        "itself over the last {train.decay:.0%}, where averaged weights (decay {train.ema:g}) "
        "begin again",
        "chosen",
        "the time there is; what was learnt on dimmed faces is not averaged in",
        "none",
    ),
    Choice(
        "augmentation",
        "not given",
        "colour and mirror: {train.augment}; small similarities: "
        "{train.geometry}; contrast, paleness, side light, blur: {train.lighting}",
        "chosen",
        "few speakers",
        "none",
    ),
    Choice(
        "second corpus",
        "none",
        "share of windows from one: {train.mix:g}",
        "changed",
        "the embedded corpus draws as many faces as are wanted; portraits that wear the mouths of "
        "clips (talking/portraits.py) have as many as there are pictures",
        "none",
    ),
    Choice(
        "splits",
        "not given",
        "unseen sentences of known faces and unseen faces, apart, each for validation (every "
        "choice) and for test (every figure); LRW's own; a splits.csv beside the data wins",
        "chosen",
        "speakers kept from training on GRID are those of LipNet (s1, s2, s20, s22; s31 for "
        "validation); the figures here are of figures/grid_splits.csv: s15, s22, s23, s26",
        "Assael et al. 2016",
    ),
    Choice(
        "clips of a split that are measured",
        "not given",
        "{measured}, spread evenly over it",
        "chosen",
        "LRW's 25,000 test clips would take a day a cell: 500 are one of each word",
        "none",
    ),
    Choice(
        "metrics",
        "PSNR, SSIM, LMD; no definitions",
        "PSNR, SSIM (11×11 Gaussian), LMD as a mean in px at 256; lip-opening correlation, on "
        "speech alone too; a sync judge",
        "chosen",
        "released peer scripts wrap uint8 and sum LMD; the size is always stated",
        "Wang et al. 2004; Chen et al. 2018",
    ),
)


def ledger(profile: Profile) -> list[Choice]:
    """The stated / chosen / changed ledger with the settings of a profile filled in."""
    most = profile.evaluate_clips
    parts = vars(profile) | {"measured": "all" if most is None else f"at most {most}"}
    return [
        replace(choice, ours=choice.ours.format(**parts), paper=choice.paper.format(**parts))
        for choice in LEDGER
    ]


def ledger_markdown(profile: Profile) -> str:
    """The ledger as the table of figures/README.md."""
    head = ["| | paper | here | | why | source |", "|---|---|---|---|---|---|"]
    rows = [(c.topic, c.paper, c.ours, c.kind, c.reason, c.source) for c in ledger(profile)]
    cells = [[text.replace("|", r"\|") for text in row] for row in rows]  # |j - k| is no border
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in cells)])
