"""Layouts and splits of the corpora, on small trees made here."""

import csv
import time

import pytest
from conftest import shared_data

from amie_core.data import corpora
from amie_core.errors import UserError

DIGITS = dict(zip(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
                  "123456789", strict=True))  # fmt: skip


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def named(sources):
    return {(s.speaker, s.utterance): s.split for s in sources}


def test_grid_flat_and_as_downloaded(tmp_path):
    tree(tmp_path, "s1/bbaf2n.mpg", "s3.mpg_6000/s3/video/mpg_6000/lbad6a.mpg", "s34/x.align",
         "notes/film.mpg", "s3/alignments/lbad6a.align")  # fmt: skip
    assert set(named(corpora.corpus("grid", tmp_path))) == {("s1", "bbaf2n"), ("s3", "lbad6a")}


def test_grid_as_it_is_found(tmp_path, capsys):
    tree(tmp_path, "S1/video/mpg_6000/bbaf2n.mpg", "S1/video/mpg_vcd/bbaf2n.mpg", "s2/LBAD6A.MPG",
         "s2/._lbad6a.mpg", "__MACOSX/s3/lbad6a.mpg", "audio_25k/s1/bbaf2n.wav",
         "elsewhere/lgif2p.mpg", "S1/align/bbaf2n.align")  # fmt: skip
    (tmp_path / "s4").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "s2" / "up").symlink_to(tmp_path)  # a link to a folder above
    (tmp_path / "s2" / "gone.mpg").symlink_to(tmp_path / "nothing.mpg")
    (tmp_path / "S1/align/bbaf2n.align").write_text("0 23750 sil\n23750 29500 bin\nodd line\n")
    sources = {(s.speaker, s.utterance): s for s in corpora.corpus("grid", tmp_path)}
    assert set(sources) == {("s1", "bbaf2n"), ("s2", "lbad6a"), ("s4", "lgif2p")}
    assert sources["s1", "bbaf2n"].path.parent.name == "mpg_6000"
    assert corpora.words(sources["s1", "bbaf2n"]) == [("sil", 0, 0.95), ("bin", 0.95, 1.18)]
    said = capsys.readouterr().out
    assert "1 clips are there more than once" in said and "audio_25k is left out" in said


def test_listing_is_linear(tmp_path):
    tree(tmp_path, *(f"p{k}/{n}.mp4" for k in range(20) for n in range(400)))
    begin = time.process_time()
    assert len(corpora.corpus("folder", tmp_path)) == 8000
    assert time.process_time() - begin < 5  # s; half a million at this pace would be 5 minutes


def test_grid_keeps_lipnets_four_speakers_unseen(tmp_path):
    codes = [f"b{a}{b}f2n" for a in "bgrw" for b in "abiwxyz"]
    tree(tmp_path, *(f"s{k}/{code}.mpg" for k in (1, 2, 3, 4, 20, 22, 31) for code in codes))
    splits = named(corpora.corpus("grid", tmp_path))
    unseen = {speaker for (speaker, _), split in splits.items() if split == "test_unseen"}
    assert unseen == {"s1", "s2", "s20", "s22"}
    rest = [split for (speaker, _), split in splits.items() if speaker in ("s3", "s4")]
    assert set(rest) == {"train", "test_seen", "val_seen"}
    assert {split for (speaker, _), split in splits.items() if speaker == "s31"} == {"val_unseen"}
    assert 0 < rest.count("test_seen") < 0.3 * len(rest)


def test_lrw_has_its_own_split_and_repeats_numbers(tmp_path):
    tree(tmp_path, *(f"ABOUT/{s}/ABOUT_00001.mp4" for s in ("train", "val", "test")),
         "ABOUT/other/ABOUT_00009.mp4")  # fmt: skip
    assert named(corpora.corpus("lrw", tmp_path)) == {
        ("", "train_ABOUT_00001"): "train",
        ("", "val_ABOUT_00001"): "val",
        ("", "test_ABOUT_00001"): "test",
    }


def test_a_word_is_no_speaker(tmp_path):
    """LRW says which word, and when where its .txt lies beside; it never says who."""
    tree(tmp_path, "ABOUT/train/ABOUT_00001.mp4", "ABOUT/train/ABOUT_00002.mp4")
    (tmp_path / "ABOUT/train/ABOUT_00001.txt").write_text("Text: ABOUT\nDuration: 0.36 seconds\n")
    known, unknown = corpora.corpus("lrw", tmp_path)
    assert (known.speaker, known.word) == ("", "ABOUT")
    assert corpora.words(known) == [("about", 0.4, 0.76)]
    assert corpora.words(unknown) == [("about", 0.0, 1.16)]


def test_folder_takes_any_video_and_splits_by_hash(tmp_path):
    names = [f"person {k}/day one/clip{n}.mov" for k in range(20) for n in range(5)]
    tree(tmp_path, *names, "alone.mp4", "twice.mp4", "twice.avi", "person 1/readme.txt")
    first = corpora.corpus("folder", tmp_path)
    splits = named(first)
    assert len(splits) == 103
    assert ("person_3", "day_one_clip2") in splits and ("alone", "alone") in splits
    assert {u for _, u in splits if u.startswith("twice")} == {"twice.mp4", "twice.avi"}
    by_speaker = {}
    for (speaker, _), split in splits.items():
        by_speaker.setdefault(speaker, set()).add(split)
    unseen = [s for s, found in by_speaker.items() if "test_unseen" in found]
    assert unseen and all(by_speaker[s] == {"test_unseen"} for s in unseen)
    tree(tmp_path, "newcomer/a.mp4")
    later = named(corpora.corpus("folder", tmp_path))
    assert all(later[key] == split for key, split in splits.items())  # stable as files come


def test_splits_csv_wins(tmp_path):
    tree(tmp_path, "s1/a.mpg", "s1/b.mpg", "s3/a.mpg")
    (tmp_path / "splits.csv").write_text("speaker,utterance,split\ns1,a,train\ns3,a,test_seen\n")
    assert named(corpora.corpus("grid", tmp_path)) == {
        ("s1", "a"): "train",
        ("s3", "a"): "test_seen",
    }
    (tmp_path / "splits.csv").write_text("who,what\n1,2\n")
    with pytest.raises(UserError, match="columns speaker"):
        corpora.corpus("grid", tmp_path)
    (tmp_path / "splits.csv").write_text("speaker,utterance,split\ns9,z,train\n")
    with pytest.raises(UserError, match="names none"):
        corpora.corpus("grid", tmp_path)


def test_splits_csv_as_a_spreadsheet_writes_it_and_what_it_must_not_say(tmp_path, capsys):
    tree(tmp_path, "s1/a.mpg", "s3/a.mpg")
    table = tmp_path / "splits.csv"
    for text in ("speaker,utterance,split\ns1,a,val\ns9,z,train\n",
                 "speaker;utterance;split\ns1;a;val\ns9;z;train\n"):  # fmt: skip
        table.write_text("\ufeff" + text)
        assert named(corpora.corpus("grid", tmp_path)) == {("s1", "a"): "val"}
        assert "1 of its 2 clips are not there" in capsys.readouterr().out
    table.write_text("Speaker , Utterance,SPLIT\n s1 ,a.mpg, vall \n")
    assert named(corpora.corpus("grid", tmp_path)) == {("s1", "a"): "vall"}
    assert "split 'vall' is none that training and tables look for" in capsys.readouterr().out
    table.write_bytes("speaker,utterance,split\nM\xfcller,a,train\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        corpora.corpus("grid", tmp_path)
    for text in ("s1,a\n", "s1,a,\n", "s1,a,train\ns1,a,val\n"):
        table.write_text("speaker,utterance,split\n" + text)
        with pytest.raises(UserError, match="s1/a has no split, or two"):
            corpora.corpus("grid", tmp_path)


def test_splits_csv_may_name_clips_as_their_folders_do(tmp_path):
    tree(tmp_path, "Anna Müller/clip one.mp4", "bob/a.mp4")
    lines = "speaker,utterance,split\nAnna Müller,clip one,train\nbob,a,test_seen\n"
    (tmp_path / "splits.csv").write_text(lines, encoding="utf-8")
    assert named(corpora.corpus("folder", tmp_path)) == {
        ("Anna_Müller", "clip_one"): "train", ("bob", "a"): "test_seen"
    }  # fmt: skip


def test_real_grid_has_words_where_alignments_lie():
    root = shared_data("grid")
    sources = {(s.speaker, s.utterance): s for s in corpora.corpus("grid", root)}
    with (root / "splits.csv").open(newline="") as file:
        listed = {(r["speaker"], r["utterance"]): r["split"] for r in csv.DictReader(file)}
    films = {(path.parent.name, path.stem) for path in root.glob("s*/*.mpg")}
    assert named(sources.values()) == listed and set(listed) == films  # none lost, none twice
    aligned = {(path.parent.name, path.stem) for path in root.rglob("*.align")}
    assert aligned and aligned < films  # of some speakers only
    for key, source in sources.items():
        words = corpora.words(source)
        if key not in aligned:
            assert words == []
            continue
        code = key[1]
        spoken = [word for word, _, _ in words if word not in ("sil", "sp")]
        # A code spells its sentence: a letter a word, z(ero) and figures for the digit.
        said = [DIGITS.get(word, word[0]) for word in spoken]
        assert "".join(said) == code and words[0][0] == words[-1][0] == "sil"
        times = [time for _, start, end in words for time in (start, end)]
        assert times == sorted(times) and times[0] >= 0 and 2.9 < times[-1] <= 3
    words = corpora.words(sources["s1", "bbaszn"])
    assert [w for w, _, _ in words] == ["sil", "bin", "blue", "at", "s", "zero", "now", "sil"]
    assert words[1][1:] == (0.57, 0.79)


def test_synthetic_needs_no_root():
    sources = corpora.corpus("synthetic", identities=2, utterances=2)
    assert len(sources) == 4 and all(s.path is None for s in sources)


def test_unusable_roots_say_so(tmp_path):
    for arguments in (("tvs", tmp_path), ("grid", None), ("grid", tmp_path / "absent")):
        with pytest.raises(UserError):
            corpora.corpus(*arguments)
    with pytest.raises(UserError, match="no clips"):
        corpora.corpus("grid", tmp_path)
