"""Names: no spreadsheet takes new ones for anything else; of old ones numbers are told back."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from amie_core.study import names, sample

# Words that Excel, LibreOffice or Google Sheets read as a month, day, boolean or the like, some
# with a number beside them, in languages that write in Latin letters.
WORDS = re.findall(r"\w+", """
january february march april may june july august september october november december
jan feb mar apr jun jul aug sep sept oct nov dec mrz maerz mai juni juli okt dez janv fevr avr juin
juil aout ene abr ago dic gen mag giu lug set ott out mrt maj sty lut kwi cze lip sie wrz paz lis
gru led uno bre dub kve cvn cvc srp zar rij pro vlj ozu tra svi kol ruj stu sij oca sub nis haz tem
agu eyl eki kas ara tam hel maa huh tou kes hei elo syy lok mar jou ian iun iul noi szept sau vas
monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun today now
true false wahr falsch vrai faux verdadero falso vero verdadeiro waar onwaar sant falskt sand falsk
prawda falsz pravda nepravda tosi epatosi dogru yanlis igaz hamis adevarat yes no ja nein
nan inf infinity na null
""")  # fmt: skip


def spelled(count: int = 20_000) -> list[str]:
    """Names as ballots get them: clips', then studies'."""
    rng = np.random.default_rng(0)
    clips = [names.spell(f"{number:05x}") for number in rng.permutation(16**5)[:count]]
    return clips + [names.spell(rng.bytes(6).hex()) for _ in range(1000)]


def plain(word: str) -> str:
    """Lower case, without accents."""
    return unicodedata.normalize("NFD", word).encode("ascii", "ignore").decode().lower()


def test_no_spreadsheet_takes_a_new_name_for_anything_else() -> None:
    """Properties of the letters first: they hold for every name that can be spelled with them."""
    assert len(set(names.LETTERS)) == len(names.LETTERS) == 16
    assert names.LETTERS.isascii() and names.LETTERS.islower()  # no digit, sign, comma or space
    assert not set(names.LETTERS) & set("aeiouy")
    for word in WORDS:  # none can be spelled
        assert not set(plain(word)) <= set(names.LETTERS), word
    for name in spelled():
        assert re.fullmatch(f"[{names.LETTERS}]{{5,12}}", name)
        assert not names.told_back(name, [name]) and plain(name) == name


def test_names_stay_apart() -> None:
    assert names.spell("0123456789abcdef") == names.LETTERS
    assert len(set(spelled())) == 21_000
    # The page's codes for raters are of the same letters.
    page = (Path(sample.STATIC) / "ballot.js").read_text()
    assert f'const CODE = "{names.LETTERS}"' in page


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("2.84E+11", ["284e9"]),
        ("2,84E+11", ["284e9"]),
        ("284000000000", ["284e9"]),
        ("2.8E+11", ["284e9"]),
        ("8.30E+67", ["83e66"]),
        ("1.00E+05", ["100e3", "1e005"]),  # one number, two names
        ("0.00E+00", ["0e123"]),
        ("1234", ["01234"]),
        ("40772", ["40772"]),
        ("2.85E+11", []),
        ("12-Dec", []),  # which of dec12 and 12dec?
        ("TRUE", []),
        ("1_234", []),
        ("", []),
    ],
)
def test_told_back(cell: str, meant: list[str]) -> None:
    given = ["284e9", "83e66", "100e3", "1e005", "0e123", "01234", "40772", "dec12", "12dec",
             "1e999", "2a1d8"]  # fmt: skip
    assert names.told_back(cell, given) == meant


def test_the_ballot_that_is_kept_here_has_two_numbers() -> None:
    """Its names are older than the letters: in it two clips of main trials can become numbers."""
    key = json.loads((Path(__file__).parents[1] / "ballots" / "grid.key.json").read_text())
    clips = {clip: trial for trial in key["trials"].values() for clip in trial["clips"]}
    scientific = [clip for clip in clips if re.fullmatch(r"\d+e\d+", clip)]
    assert sorted(scientific) == ["284e9", "83e66"]
    for clip, cell in zip(sorted(scientific), ("2.84E+11", "8.30E+67"), strict=True):
        assert names.told_back(cell, clips) == [clip]
        assert clips[clip]["kind"] == "main"  # a loss would be a vote that its method does not get
