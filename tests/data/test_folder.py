from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediadiff.data.folder import natural, scan
from mediadiff.data.settings import DataSettings
from mediadiff.errors import UsageError


def files(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def reasons(found):
    return {os.path.relpath(refusal.path, found.folder): refusal.reason for refusal in found.refused}


def test_labels_from_folders(tmp_path):
    found = scan(DataSettings(files(tmp_path, "cat/b.wav", "cat/deep/a.wav", "dog/c.wav", "stray.wav"), label="folder"))
    assert [(item.name, item.label) for item in found.items] == [
        ("cat/b.wav", "cat"),
        ("cat/deep/a.wav", "cat"),
        ("dog/c.wav", "dog"),
    ]
    assert found.labels == ("cat", "dog")
    assert reasons(found) == {"stray.wav": "lies in no sub-folder, so it has no label"}


def test_labels_from_names(tmp_path):
    folder = files(tmp_path, "7_theo_12.wav", "x/10_anna_3_b.wav", "nine.wav", "_theo_1.wav")
    found = scan(DataSettings(folder, label="{label}_{speaker}_{take}"))
    first, second = found.items
    assert (first.label, first.scalars, second.label, second.scalars) == ("7", {"take": 12.0}, "10", {})
    assert found.labels == ("7", "10")
    assert set(reasons(found)) == {"nine.wav", "_theo_1.wav"}
    assert "does not fit the pattern {label}_{speaker}_{take}" in reasons(found)["nine.wav"]


def test_labels_captions_and_numbers_from_a_csv(tmp_path):
    folder = files(tmp_path, "a.wav", "b/c.wav", "extra.wav")
    (tmp_path / "list.csv").write_text(
        'file,label,text,pitch\na.wav,low,"a, with comma",110\n./b/c.wav,,two,high\ngone.wav,x,y,1\na.wav,x,y,1\n'
        "../out.wav,x,y,1\n,x,y,1\nshort,x\n"
    )
    found = scan(DataSettings(folder, table="list.csv", columns={"caption": "text"}))
    first, second = found.items
    assert (first.name, first.label, first.caption, first.scalars) == (
        "a.wav",
        "low",
        "a, with comma",
        {"pitch": 110.0},
    )
    assert (second.name, second.label, second.caption, second.scalars) == ("b/c.wav", None, "two", {})
    told = [reason for reason in (refusal.reason for refusal in found.refused)]
    assert sorted(told) == [
        "line 5: 'a.wav' is named twice; the first row is used",
        "line 6: '../out.wav' lies outside the data folder",
        "line 7: it names no file",
        "line 8: it has more or fewer cells than the header",
        "named in the table, but not in the folder",
        "not in the table list.csv",
    ]


def test_labels_from_a_jsonl(tmp_path):
    folder = files(tmp_path, "a.wav")
    (tmp_path / "list.jsonl").write_text('{"file": "a.wav", "label": "x", "n": 2, "more": [1]}\n\n{broken\n[1]\n')
    found = scan(DataSettings(folder, table="list.jsonl"))
    assert [(item.label, item.scalars) for item in found.items] == [("x", {"n": 2.0})]
    assert [refusal.reason for refusal in found.refused] == ["line 3: not a JSON object", "line 4: not a JSON object"]


def test_a_table_without_the_column_names_the_nearest(tmp_path):
    folder = files(tmp_path, "a.wav")
    (tmp_path / "list.csv").write_text("file,captions\na.wav,x\n")
    with pytest.raises(UsageError, match=r"no column 'caption' \(it has captions, file\); did you mean 'captions'"):
        scan(DataSettings(folder, table="list.csv", columns={"caption": "caption"}))
    with pytest.raises(UsageError, match="no.csv does not exist"):
        scan(DataSettings(folder, table="no.csv"))
    (tmp_path / "list.csv").write_bytes(b"file\n\xff.wav\n")
    with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 5\)"):
        scan(DataSettings(folder, table="list.csv"))


def test_every_odd_file_is_refused_with_its_reason(tmp_path):
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"x")
    folder = tmp_path / "in"
    files(folder, "good.wav", ".DS_Store", ".git/config")
    files(folder, "empty.wav", content=b"")
    (folder / "leads_out.wav").symlink_to(outside)
    (folder / "leads_in.wav").symlink_to(folder / "good.wav")
    (folder / "leads_nowhere.wav").symlink_to(folder / "gone.wav")
    (folder / "circle.wav").symlink_to(folder / "circle.wav")
    (folder / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.wav")
    found = scan(DataSettings(str(folder)))
    assert [item.name for item in found.items] == ["good.wav", "leads_in.wav"]
    told = reasons(found)
    assert told.pop("circle.wav").startswith(("a link that leads back", "cannot be opened"))
    assert told == {
        ".DS_Store": "a hidden file",
        ".git": "a hidden folder",
        "elsewhere": "a link to a folder; links to folders are not followed",
        "empty.wav": "the file is empty (0 bytes)",
        "leads_nowhere.wav": "cannot be opened: No such file or directory",
        "leads_out.wav": "a link to a file outside the folder",
        "pipe.wav": "not a regular file",
    }


ODD_NAMES = [b"-dash.wav", b"new\nline.wav", b"%03d.wav", b"http:x.wav", b"pipe:.wav", b"a b.wav", b"\xff\xfe.wav"]
ODD_NAMES += [b"'\"`$(x).wav", "über–ü.wav".encode(), "雪🎈.wav".encode(), b"x" * 251 + b".wav", b".wav", b"a\\b.wav"]


def test_any_name_is_an_item_or_a_refusal(tmp_path):
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"x")
    found = scan(DataSettings(str(tmp_path), test={"fraction": 0.5}))
    told = {os.fsencode(item.name) for item in found.items} | {os.fsencode(r.path.name) for r in found.refused}
    assert told == set(ODD_NAMES)
    assert [refusal.reason for refusal in found.refused] == ["a hidden file"]


def test_a_label_that_is_no_text_is_refused(tmp_path):
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"\xff"))
    with open(os.path.join(os.fsencode(tmp_path), b"\xff", b"a.wav"), "wb") as file:
        file.write(b"x")
    files(tmp_path, "ok/a.wav", "new\nline/a.wav")
    found = scan(DataSettings(str(tmp_path), label="folder"))
    assert [item.label for item in found.items] == ["ok"]
    assert all("is not printable text; rename it" in refusal.reason for refusal in found.refused)
    assert len(found.refused) == 2


def test_include_leaves_the_rest_out_and_names_a_label_that_is_not_there(tmp_path):
    folder = files(tmp_path, "cat/a.wav", "dog/b.wav")
    found = scan(DataSettings(folder, label="folder", include=("dog",)))
    assert [item.name for item in found.items] == ["dog/b.wav"]
    assert [refusal.reason for refusal in found.left_out] == ["its label 'cat' is not in `include`"]
    assert not found.refused
    with pytest.raises(UsageError, match="asks for bird, which no file has; there are: cat, dog"):
        scan(DataSettings(folder, label="folder", include=("dog", "bird")))


def test_split_by_a_field(tmp_path):
    folder = files(tmp_path, *(f"{digit}_{take}.wav" for digit in "12" for take in range(4)))
    found = scan(DataSettings(folder, label="{label}_{take}", test={"take": (0, "3")}))
    assert [item.name for item in found.items if item.split == "test"] == ["1_0.wav", "1_3.wav", "2_0.wav", "2_3.wav"]
    with pytest.raises(UsageError, match="splits by 'takes', which no file has; files have: label, take"):
        scan(DataSettings(folder, label="{label}_{take}", test={"takes": (0,)}))


def test_split_by_hash_keeps_a_file_where_it_is_when_others_come(tmp_path):
    folder = files(tmp_path, *(f"{n}.wav" for n in range(400)))
    rule = {"fraction": 0.2}
    before = {item.name: item.split for item in scan(DataSettings(folder, test=rule)).items}
    assert 50 <= list(before.values()).count("test") <= 110
    files(tmp_path, *(f"new{n}.wav" for n in range(50)))
    after = {item.name: item.split for item in scan(DataSettings(folder, test=rule)).items}
    assert {name: after[name] for name in before} == before


def test_split_by_the_last_part_of_each_label_in_natural_order(tmp_path):
    folder = files(tmp_path, *(f"long/clip{n}.wav" for n in range(1, 12)), "one/clip1.wav")
    found = scan(DataSettings(folder, label="folder", test={"last": 0.2}))
    assert [item.name for item in found.items if item.split == "test"] == ["long/clip10.wav", "long/clip11.wav"]


def test_a_missing_folder_or_variable_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="does not exist; put the folder"):
        scan(DataSettings(str(tmp_path / "gone")))
    files(tmp_path, "a.wav")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        scan(DataSettings(str(tmp_path / "a.wav")))
    monkeypatch.delenv("MEDIA_HERE", raising=False)
    with pytest.raises(UsageError, match="MEDIA_HERE is not set"):
        scan(DataSettings("$MEDIA_HERE/a"))
    monkeypatch.setenv("MEDIA_HERE", str(tmp_path))
    assert len(scan(DataSettings("${MEDIA_HERE}")).items) == 1
    # A folder that is there is that folder, whatever is in its name.
    priced = tmp_path / "a$MEDIA_HERE"
    priced.mkdir()
    (priced / "b.wav").write_bytes(b"x")
    assert [item.path for item in scan(DataSettings(str(priced))).items] == [priced / "b.wav"]


@given(st.lists(st.text(max_size=6), max_size=6))
def test_natural_order_is_total(names):
    assert sorted(sorted(names, reverse=True), key=natural) == sorted(names, key=natural)


def test_natural_order_counts():
    assert sorted(["clip10", "clip2", "clip02", "b", "10", "9"], key=natural) == [
        "9",
        "10",
        "b",
        "clip02",
        "clip2",
        "clip10",
    ]


def test_real_folders(media_data):
    digits = scan(
        DataSettings(str(media_data / "fsdd/recordings"), "{label}_{speaker}_{take}", test={"take": (0, 1, 2, 3, 4)})
    )
    assert (len(digits.items), digits.refused, digits.labels) == (3000, (), tuple("0123456789"))
    assert sum(item.split == "test" for item in digits.items) == 300
    scenes = scan(DataSettings(str(media_data / "clips"), label="folder", test={"last": 0.2}))
    assert (len(scenes.items), scenes.refused) == (123, ())
    assert [paper.path.name for paper in scenes.ignored] == ["LICENSE", "README.txt"]
    sounds = scan(DataSettings(str(media_data / "env"), table="MANIFEST.csv"))
    assert (len(sounds.items), len(sounds.labels), sounds.refused) == (329, 169, ())
    faces = scan(DataSettings(str(media_data / "grid"), table="labels.csv", columns={"caption": "text"}))
    assert faces.items[0].caption == "bin blue at f two now"


def test_words_about_the_media_are_ignored_and_said(tmp_path):
    papers = ["LICENCE.md", "LICENSE", "README", "readme-2.TXT", "sub/CITATION.cff", "sub/README.md"]
    media = ["README.wav", "licensed.txt", "readme.json"]
    for name in [*papers, *media]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    found = scan(DataSettings(str(tmp_path)))
    assert sorted(paper.path.relative_to(tmp_path).as_posix() for paper in found.ignored) == papers
    assert [item.name for item in found.items] == ["README.wav", "licensed.txt", "readme.json"]
    # What the table names is wanted, whatever it is called.
    (tmp_path / "table.csv").write_text("file,label\nREADME,a\n")
    found = scan(DataSettings(str(tmp_path), table="table.csv"))
    assert [item.name for item in found.items] == ["README"]
    assert "README" not in [paper.path.name for paper in found.ignored]
