"""What every test gets: shape checks, one thread, the shared data, a small prepared corpus."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Array shapes in signatures are checked here and nowhere else: users do not pay for it.
install_import_hook("amie_core", "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]


def shared_data(*parts: str) -> Path:
    """A file or folder of the development data (real GRID clips, stills, samples of known MI).

    It is looked for in $AMIE_SHARED, then in `shared/data` beside the checkout. It is no part of
    the repository: where it is absent the test that asks for it is skipped.
    """
    root = Path(os.environ.get("AMIE_SHARED") or ROOT.parent / "shared" / "data")
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"development data absent: {'/'.join(parts)} (set AMIE_SHARED to its folder)")
    return path


def shared_case(*parts: str) -> Path:
    """A file of the kinds that people bring; where the folder is absent the test is skipped."""
    data = Path(os.environ.get("AMIE_SHARED") or ROOT.parent / "shared" / "data")
    path = data.parent.joinpath("cases", *parts)
    if not path.exists():
        pytest.skip(f"cases absent: {'/'.join(parts)} (a folder `cases` beside AMIE_SHARED)")
    return path


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """One thread: files are tested side by side, one a core, and threads that wait help nobody."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared synthetic corpus of 3 identities x 3 utterances, made once a session."""
    from amie_core.data.prepare import prepare

    out = tmp_path_factory.mktemp("tiny") / "prepared"
    prepare("synthetic", None, out, jobs=1, identities=3, utterances=3)
    return out
