"""Names that no spreadsheet takes for anything else, and what one made of older names.

A spreadsheet that opens a CSV takes 284e9 for a number, dec12 for a date and =a1 for a formula, and
saves what it took. Such a loss follows the clip: it would count against the method that made it.
"""

import math
import re
from collections.abc import Iterable

# A word of these consonants is no number, date or time (no digit), no formula (no sign), and no
# month or boolean in any language (no vowel; no l, r and v, for vlj, srp, mrz, wrz and čvn).
LETTERS = "bcdfghjkmnpqstwz"
_SPELLING = str.maketrans("0123456789abcdef", LETTERS)
_NUMBER = re.compile(r"\d+(?:[.,](?P<decimals>\d+))?(?P<scientific>e[+-]?\d+)?", re.ASCII | re.I)


def spell(hexadecimal: str) -> str:
    """A hexadecimal number, lower case, as a word: each digit is one of LETTERS."""
    return hexadecimal.translate(_SPELLING)


def told_back(cell: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that a spreadsheet may show as `cell`, having taken them for numbers."""
    return [name for name in names if _shows(cell, name)]


def _shows(cell: str, name: str) -> bool:
    """Whether `cell` may be the number that `name` was taken for.

    284e9 is shown as 2.84E+11, with a decimal comma in some countries, or as 284000000000; 01234 as
    1234. What is rounded for display has to agree in the digits shown.
    """
    seen, plain = _NUMBER.fullmatch(cell), _NUMBER.fullmatch(name)
    if not seen or not plain:
        return False
    number, value = (float(text.replace(",", ".")) for text in (cell, name))
    if not math.isfinite(value):  # too large for a spreadsheet, too: it stays text
        return False
    digits = len(seen["decimals"] or "")
    rounded = bool(seen["scientific"]) and f"{value:.{digits}e}" == f"{number:.{digits}e}"
    return number == value or rounded
