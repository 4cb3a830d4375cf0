"""The recipes of the text sets: what of them shows in the reference, and tables whose answer is known."""

import csv
import gzip
import io
import json
from collections import defaultdict

import numpy as np
import pytest

from data_scripts import departments_zh, medical_abstracts, mie_dialogues
from data_scripts.splits import hashed_split
from data_scripts.tables import read_table


def table(path, header, *rows, encoding="utf-8"):
    memory = io.StringIO(newline="")
    csv.writer(memory).writerows([header, *rows])
    path.write_bytes(memory.getvalue().encode(encoding))


def abstracts(folder, *rows, labels=(("1", "first"), ("2", "second"))):
    table(folder / medical_abstracts.LABELS, ("condition_label", "condition_name"), *labels)
    table(folder / medical_abstracts.TEXTS, ("condition_label", "medical_abstract"), *rows)


def questions(folder, *rows):
    header = ("department", "title", "ask", "answer")
    table(folder / departments_zh.TABLE, header, *rows, encoding="gb18030")


# --- the references, where they lie beside the checkout: written as the sources are, they come back ---


@pytest.fixture
def reference(shared_data):
    def read(name):
        with gzip.open(shared_data / "text" / name, "rt", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


def test_abstracts_of_the_reference_come_back(reference, shared_data, tmp_path):
    rows = reference("medical_abstracts_5class_en.csv.gz")
    abstracts(tmp_path, *((row["label"], row["text"]) for row in rows))
    names = (shared_data / "text/medical_abstracts_labels.csv").read_bytes()
    (tmp_path / medical_abstracts.LABELS).write_bytes(names)
    arrays = medical_abstracts.prepare(tmp_path, [])
    assert arrays["text"].tolist() == [row["text"] for row in rows]
    assert (arrays["label"] + 1).tolist() == [int(row["label"]) for row in rows]
    assert arrays["split"].tolist() == [row["split"] for row in rows]
    assert arrays["class_names"][[0, 4]].tolist() == ["neoplasms", "general pathological conditions"]


def test_what_is_said_of_repeated_abstracts(reference):
    labels = defaultdict(list)
    for row in reference("medical_abstracts_5class_en.csv.gz"):
        labels[row["text"]].append((row["label"], row["split"]))
    repeated = [rows for rows in labels.values() if len(rows) > 1]
    assert len(labels) == 2770 and len(repeated) == 113 and sum(map(len, repeated)) - len(repeated) == 118
    assert all(len({label for label, _ in rows}) == len(rows) for rows in repeated)
    assert all(len({split for _, split in rows}) == 1 for rows in repeated)
    assert sum("5" in {label for label, _ in rows} for rows in repeated) == 85


def test_questions_of_the_reference_come_back(reference, tmp_path):
    rows = reference("departments_longtail_zh.csv.gz")
    questions(tmp_path, *((row["department"], row["title"], row["question"], "") for row in rows))
    arrays = departments_zh.prepare(tmp_path, [])
    for name in ("department", "title", "question", "split"):
        assert arrays[name].tolist() == [row[name] for row in rows], name
    counts = np.bincount(arrays["label"])
    assert counts.tolist() == [2968, 1338, 1057, 1021, 533, 142, 76, 44, 38, 32, 17]
    assert (arrays["class_names"][arrays["label"]] == arrays["department"]).all()


def test_what_is_said_of_repeated_questions(reference):
    rows = defaultdict(list)
    for row in reference("departments_longtail_zh.csv.gz"):
        rows[row["question"]].append(row)
    repeated = [found for found in rows.values() if len(found) > 1]
    assert len(repeated) == 25 and sum(map(len, repeated)) == 54
    assert sum(len({row["split"] for row in found}) > 1 for found in repeated) == 14
    assert sum(len({row["department"] for row in found}) > 1 for found in repeated) == 1


def talks(folder, dev, test, names=None):
    names = names or {
        "症状": ["胸闷", "头晕"],
        "检查": ["心电图"],
        "状态": ["阳性", "阴性", "医生阳性", "医生阴性", "未知"],
    }
    for file, content in (("ontology.json", names), ("dev.json", dev), ("test.json", test)):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def windows(utterances, labels):
    """The source's form: windows of five that end with the new utterance, blanks before the first."""
    padded = [""] * 4 + utterances
    return [{"utterances": padded[k : k + 5], "label": labels[k]} for k in range(len(utterances))]


def test_talks_of_the_reference_come_back(shared_data, tmp_path):
    with gzip.open(shared_data / "text/mie_dialogue_multilabel_zh.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    names = json.loads((shared_data / "text/mie_label_names.json").read_text(encoding="utf-8"))["label_names"]
    groups = {"状态": ["阳性", "阴性", "医生阳性", "医生阴性", "未知"]}
    for name in names:
        groups.setdefault(name.split(":")[0], []).append(name.split(":")[1])
    parts = {"dev": [], "test": []}
    for row in rows:
        labels = [[f"{name}-状态:{state}" for name, state in window or []] for window in row["window_labels"]]
        parts[row["split"]].append(windows(row["utterances"], labels))
    talks(tmp_path, parts["dev"], parts["test"], groups)
    arrays = mie_dialogues.prepare(tmp_path, [])
    assert arrays["text"].tolist() == ["\n".join(row["utterances"]) for row in rows]
    assert arrays["part"].tolist() == [row["split"] for row in rows] and arrays["label_names"].tolist() == names
    positive = arrays["positive"].sum(0)
    assert positive.max() == 152 and (positive < 10).sum() == 32 and (positive == 0).sum() == 1
    assert abs(arrays["mentioned"].sum(1).mean() - 6.2) < 0.1 and (arrays["positive"] <= arrays["mentioned"]).all()


# --- known answers ---


def test_talks(tmp_path):
    said = ["患者:我胸闷", "医生:做过心电图吗？", "患者:没有"]
    first = windows(
        said, [["症状:胸闷-状态:阳性"], ["症状:胸闷-状态:阳性", "检查:心电图-状态:未知"], ["检查:心电图-状态:阴性"]]
    )
    second = windows(["患者:头晕"], [["症状:头晕-状态:医生阳性", "症状:胸闷-状态:医生阴性"]])
    talks(tmp_path, [first], [second])
    arrays = mie_dialogues.prepare(tmp_path, [])
    assert arrays["text"].tolist() == ["\n".join(said), "患者:头晕"] and arrays["part"].tolist() == ["dev", "test"]
    assert arrays["mentioned"].tolist() == [[1, 0, 1], [1, 1, 0]]
    assert arrays["positive"].tolist() == [[1, 0, 0], [0, 1, 0]] and arrays["positive"].dtype == np.uint8


@pytest.mark.parametrize("label", ["症状:耳鸣-状态:阳性", "症状:胸闷-状态:可能", "症状:胸闷"])
def test_a_label_of_a_talk_that_is_not_named_is_refused(tmp_path, label):
    talks(tmp_path, [], [windows(["患者:头晕"], [[label]])])
    with pytest.raises(ValueError, match="test.json, talk 0 has a label that ontology.json lacks"):
        mie_dialogues.prepare(tmp_path, [])


def test_abstracts(tmp_path):
    texts = ['One, with "quotes".\nAnd a second line. ', "Zwei äöü", "One"]
    abstracts(tmp_path, ("2", texts[0]), ("1", texts[1]), ("2", texts[2]))
    arrays = medical_abstracts.prepare(tmp_path, [])
    assert arrays["text"].tolist() == texts and arrays["label"].tolist() == [1, 0, 1]
    assert arrays["class_names"].tolist() == ["first", "second"]
    np.testing.assert_array_equal(arrays["split"], hashed_split("abs", texts))
    assert arrays["label"].dtype == np.uint8 and all(array.dtype.kind in "Uu" for array in arrays.values())


def test_of_a_repeated_title_the_first_row_stays(tmp_path):
    questions(
        tmp_path,
        ("内科", "头痛？", "我头痛。", "答"),
        ("外科", "腿痛", "我腿痛，\r\n怎么办？", "答"),
        ("外科", "头痛？", "另一个", "答"),
        ("外科", "手痛", "我腿痛，\r\n怎么办？", "答"),
    )
    arrays = departments_zh.prepare(tmp_path, [])
    assert arrays["title"].tolist() == ["头痛？", "腿痛", "手痛"]
    assert arrays["question"].tolist() == ["我头痛。", "我腿痛，\r\n怎么办？", "我腿痛，\r\n怎么办？"]
    assert arrays["department"].tolist() == ["内科", "外科", "外科"]
    assert arrays["class_names"].tolist() == ["外科", "内科"] and arrays["label"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(arrays["split"], hashed_split("dep", ["头痛？", "腿痛", "手痛"]))


def test_labels_that_are_not_numbered_are_refused(tmp_path):
    abstracts(tmp_path, ("3", "text"))
    with pytest.raises(ValueError, match="test.csv has labels that .*labels.csv lacks: 3"):
        medical_abstracts.prepare(tmp_path, [])
    abstracts(tmp_path, ("1", "text"), labels=(("1", "a"), ("3", "b")))
    with pytest.raises(ValueError, match="must number the classes 1, 2, ..., got 1, 3"):
        medical_abstracts.prepare(tmp_path, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,c\n1,2\n", "no column b"),
        (b"", "no column a, b"),
        (b"a,b\n", "it has no row"),
        (b"a,b\n1\n", "line 2 has another number of fields"),
        (b"a,b\n1,2,3\n", "line 2 has another number of fields"),
        (b'a,b\n1,"2\n', "unexpected end of data"),
        ("a,b\n1,中\n".encode("gb18030"), "codec can't decode"),
    ],
)
def test_what_is_no_such_table_is_said(tmp_path, content, reason):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"t.csv is not the table that was expected: .*{reason}"):
        read_table(tmp_path / "t.csv", ("a", "b"))
