"""From runs and a split to a ballot folder, and the key that says what is what."""

import hashlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from amie_core import files
from amie_core.errors import UserError, at_least
from amie_core.machine import progress_bar
from amie_core.study import QUESTIONS, clips, plan
from amie_core.study.analysis import RULE
from amie_core.study.methods import Method, open_methods
from amie_core.study.names import spell
from amie_core.study.plan import MAIN, REAL, SHIFT, Trial
from amie_core.study.statistics import statement

STATIC = Path(__file__).parent / "static"
TRIALS = "trials.js"  # a script, since a page opened from disk may not read files
HEAD = "window.STUDY = "
CHECKS = 2  # of each kind
SIZES = (64, 512)  # px
LETTERS = "ABCDEFGH"  # of the clips of a trial, the real one among them in a check
VOLUNTEERS = 42  # the paper's, for whom the key says what they could show


def sample(
    runs: list[str] | tuple[str, ...],
    data: str | Path,
    split: str,
    out: str | Path,
    key: str | Path | None = None,
    *,
    trials: int = 12,
    choices: int | None = None,
    repeats: int = 2,
    size: int = 192,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Write a ballot folder to `out` and its key to `key` (`OUT.key.json`); return the key.

    runs: folders of trained runs, NAME=FOLDER, or reference rows (`methods.REFERENCES`); data,
    split: prepared clips that all of them speak. Each of `trials` main trials shows the same
    sentence by `choices` of the methods (all, at most three, where None) beside the real
    recording. Two checks of each kind are hidden among them, and `repeats` trials come again at
    the end. `size`: px of the clips. The folder needs no server and names no method. Raises
    UserError for unusable input; nothing is written then.
    """
    out = Path(out) if Path(out).name else Path(out).resolve()
    key = Path(key) if key is not None else out.with_name(f"{out.name}.key.json")
    at_least(0, seed=seed)
    _check(out, key, trials, repeats, size)

    from amie_core.data import store

    settings, rows = store.settings(data), store.clips(data, split)
    methods = open_methods(runs, Path(data), device)
    names = [method.name for method in methods]
    choices = min(3, len(names)) if choices is None else choices
    most = min(len(names), len(LETTERS) - 1)
    if not 2 <= choices <= most:
        raise UserError(f"--choices {choices}: from 2 to {most}, of {len(names)} methods")
    rng = np.random.default_rng(seed)
    planned = _plan(names, choices, rows, trials, rng)
    planned = [planned[i] for i in rng.permutation(len(planned))]  # a number tells no check
    key_of = {
        "split": split,
        "corpus": settings.get("corpus"),
        "profiles": sorted({m.about["profile"] for m in methods if "profile" in m.about}),
        "seed": seed,
        "commit": files.commit(),
        "data_digest": store.digest(data),
        "methods": names,
        "runs": {method.name: method.about for method in methods},
        "questions": QUESTIONS,
        "rule": RULE,
        "power": statement(VOLUNTEERS, trials, kept=2 / choices),
        "choices": choices,
        "size": size,
        "balance": _balance(planned, rows),
    }
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        shutil.copytree(STATIC, part)
        key_of["trials"] = _write_clips(
            part, planned, methods, Path(data), rows, size, rng, progress
        )
        kinds = [trial.kind for trial in planned]
        key_of["forms"] = [
            [[f"t{trial:02d}", turn] for trial, turn in form]
            for form in plan.forms(kinds, choices, repeats)
        ]
        key_of = {"study": spell(_digest(key_of, part)[:12])} | key_of
        text = json.dumps({"study": key_of["study"]} | _public(key_of), separators=(",", ":"))
        files.write_whole(part / TRIALS, f"{HEAD}{text};\n".encode())
        _claim(key)
        try:
            files.write_json(key, key_of)  # first: without it no answer can be read
            _put(part, out)
        except BaseException:
            key.unlink()
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return key_of


def _digest(key_of: dict[str, Any], folder: Path) -> str:
    """What names a study: all of its key and every clip, so that no answer is read by the key of
    another, of other methods or of a run trained again, whose ballot asks for the same names."""
    told = hashlib.sha256(json.dumps(key_of, sort_keys=True).encode())
    for clip in sorted(folder.glob("clips/*")):
        told.update(clip.name.encode() + hashlib.sha256(clip.read_bytes()).digest())
    return told.hexdigest()


def _check(out: Path, key: Path, trials: int, repeats: int, size: int) -> None:
    """Refuse what cannot work before anything slow is loaded."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: choose another --out or remove it")
    if key.exists():
        raise UserError(f"{key} is there already: answers may need it; choose another --key")
    if out.resolve() in key.resolve().parents:
        raise UserError(f"{key} lies in the ballot folder, which raters get: choose another --key")
    if trials < 1 or not 0 <= repeats <= trials:
        raise UserError(f"--trials {trials} --repeats {repeats}: at least 1, at most all again")
    files.writable(key, "--key")
    if not out.is_dir():
        files.writable(out, "--out")
    if size % 2 or not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"--size {size}: an even number of px from {SIZES[0]} to {SIZES[1]}")


def _plan(
    names: list[str], choices: int, rows: Any, trials: int, rng: np.random.Generator
) -> list[Trial]:
    """Main trials, then checks: on clips of their own where the split has so many."""
    drawn = plan.draw_clips(rows, min(len(rows), trials + 2 * CHECKS), rng)
    if trials > len(drawn):
        raise UserError(f"--trials {trials}: the split has {len(rows)} clips, one a trial")
    main, left = drawn[:trials], drawn[trials:]
    checks = (left + main * 2 * CHECKS)[: 2 * CHECKS]
    speakers = [str(rows.speaker.iloc[i]) for i in main]
    return [
        *plan.main_trials(names, choices, main, speakers, rng),
        *plan.check_trials(REAL, names, choices, checks[:CHECKS], rng),
        *plan.check_trials(SHIFT, names, choices, checks[CHECKS:], rng),
    ]


def _balance(planned: list[Trial], rows: Any) -> dict[str, dict[str, int]]:
    """How often main trials show each method, at each position, and each speaker."""
    main = [trial for trial in planned if trial.kind == plan.MAIN]
    shown = Counter(method for trial in main for method in trial.methods)
    stood = Counter(f"{m} at {LETTERS[p]}" for t in main for p, m in enumerate(t.methods))
    speakers = Counter(str(rows.speaker.iloc[trial.clip]) for trial in main)
    return {"methods": dict(shown), "positions": dict(stood), "speakers": dict(speakers)}


def _write_clips(
    folder: Path, planned: list[Trial], methods: list[Method], data: Path, rows: Any, size: int,
    rng: np.random.Generator, progress: bool,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """All clips of all trials under names that say nothing; what each is, by trial."""
    from amie_core.data import store

    makers = {method.name: method.frames for method in methods}
    most = (len(LETTERS) + 1) * len(planned)
    free = iter(spell(f"{number:05x}") for number in rng.permutation(16**5)[:most])
    found = {}
    for number, trial in enumerate(progress_bar(planned, "ballot", shown=progress, unit="trial")):
        row = rows.iloc[trial.clip]
        clip = store.load_clip(data, row)
        wave, part = clips.sound_of(clip), clips.cut(clip.silent)
        ids = {}
        for method in trial.methods:
            frames, heard = clip.frames, wave
            if method in makers:
                frames = makers[method](row["file"])
            elif trial.kind == SHIFT:
                heard = clips.moved(wave, clips.shift_of(int(method.removeprefix(SHIFT))))
            ids[next(free)] = method
            clips.write(folder / "clips" / f"{[*ids][-1]}.mp4", frames, heard, part, size)
        reference = next(free)
        clips.write(folder / "clips" / f"{reference}.mp4", clip.frames, wave, part, size)
        found[f"t{number:02d}"] = {
            "kind": trial.kind,
            "speaker": str(row["speaker"]),
            "utterance": str(row["utterance"]),
            "seconds": clips.seconds(part),
            "clips": ids,
            "reference": reference,
            "right": right_answers(trial.kind, ids),
        }
    return found


def right_answers(kind: str, ids: dict[str, str]) -> dict[str, str]:
    """The clip that an attentive rater chooses in a check, by question; none in a main trial."""
    if kind == REAL:
        best = next(name for name, method in ids.items() if method == REAL)
        return dict.fromkeys(QUESTIONS, best)
    if kind == SHIFT:
        return {"synchronization": next(n for n, m in ids.items() if m == f"{SHIFT}0")}
    return {}


def _public(key: dict[str, Any]) -> dict[str, Any]:
    """What the ballot may know: clips by their names, no method and no kind of trial."""
    trials = {
        name: {"clips": list(trial["clips"]), "reference": trial["reference"],
               "seconds": trial["seconds"]}
        for name, trial in key["trials"].items()
    }  # fmt: skip
    return {"questions": key["questions"], "trials": trials, "forms": key["forms"]}


def _claim(key: Path) -> None:
    """Take the key's name, so that no key of another ballot is overwritten or taken away."""
    try:
        key.open("x").close()
    except FileExistsError:
        raise UserError(f"{key} was made meanwhile: choose another --key") from None


def _put(part: Path, out: Path) -> None:
    """Give the finished folder its name."""
    try:
        if out.is_dir():
            out.rmdir()  # empty, as checked
        part.replace(out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}: choose another --out") from error


def read_ballot(folder: str | Path) -> dict[str, Any]:
    """What a ballot folder's page knows (UserError when it is no ballot)."""
    path = Path(folder) / TRIALS
    try:
        return files.from_json(path.read_text().removeprefix(HEAD).rstrip().rstrip(";"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no ballot: make one with `amie study sample`") from error


def _sound(key: dict[str, Any]) -> bool:
    """Whether all is there that analyses and simulated raters ask of a key."""
    try:
        trials = key["trials"]
        return (
            {"corpus", "split", "profiles", "seed", "commit", "runs"} <= key.keys()
            and isinstance(key["study"], str)
            and key["choices"] >= 2
            and all(map(len, (key["questions"], key["methods"], key["forms"])))
            and all(t["kind"] and t["clips"] and set(t["right"].values()) <= t["clips"].keys()
                    for t in trials.values())
            and all(set(t["clips"].values()) <= set(key["methods"])
                    for t in trials.values() if t["kind"] == MAIN)
            and all(name in trials and turn >= 0 for form in key["forms"] for name, turn in form)
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def read_key(path: str | Path) -> dict[str, Any]:
    """A ballot's key (UserError when it is none)."""
    try:
        key = files.from_json(Path(path).read_text(encoding="utf-8-sig"))
        if {"study", "trials", "forms", "methods"} <= set(key):
            if _sound(key):
                return key
            raise UserError(f"{path} is damaged: take the key as `amie study sample` wrote it")
    except (OSError, ValueError, TypeError):
        pass
    raise UserError(f"{path} is no key of a study: `amie study sample` writes one")
