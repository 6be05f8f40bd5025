"""A user study like the paper's (sec. 4.5, Table 4): sample, ballot, analysis.

The order of things: `sample.sample` makes a ballot folder and, apart from it, its key; people
answer in a browser, on the folder's own page (`static/`; `page.show` puts it into a notebook), and
each saves one CSV; `analysis.analyse` reads key and CSVs (`answers`: what fits the key; `tables`:
also where a spreadsheet saved them again). `simulate.simulate` makes answers of simulated raters,
which are marked as such and never analysed together with people's.
"""

# The paper's two questions, in its words (sec. 4.5).
QUESTIONS = {
    "realistic": "Which one appears more realistic?",
    "synchronization": "Which one provides more temporal synchronism, referring to the real "
    "recording?",
}
# One row an answer. `place` is the trial's place in the rater's form, `position` the clip's (A is
# 0); `clip` says the same once more, so that a row from elsewhere does not fit; `seconds`: from the
# trial's appearance to the answer, whole ones: to some spreadsheets 7.9 is the 7th of September.
COLUMNS = (
    "study", "source", "rater", "form", "place", "trial", "question", "position", "clip", "seconds",
)  # fmt: skip
PEOPLE, SIMULATED = "person", "simulated"  # values of the column `source`
