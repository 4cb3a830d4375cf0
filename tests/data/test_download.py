"""The downloader against a server that cuts, corrupts, stalls, refuses and lies."""

import gzip
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zlib
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_scripts import download
from data_scripts.download import DownloadError, fetch, fetch_all, fetch_archive, is_verified
from data_scripts.manifest import RemoteFile

FAST = {"timeout": 0.4, "retries": 2, "backoff": 0.0}
ROOT = Path(__file__).resolve().parents[2]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_and_then_left_alone(server, file, content, tmp_path):
    assert fetch(file, [server.url], tmp_path, **FAST) is True
    assert (tmp_path / file.name).read_bytes() == content
    assert fetch(file, [server.url], tmp_path, **FAST) is False
    assert server.requests == [(file.name, None)]
    assert left_in(tmp_path) == [file.name]


def test_folders_in_a_name_are_made(server, content, tmp_path):
    server.files["a/b%20c.dat"] = content
    nested = RemoteFile("a/b c.dat", len(content), download.hashlib.sha256(content).hexdigest())
    fetch(nested, [server.url], tmp_path / "new", **FAST)
    assert (tmp_path / "new/a/b c.dat").read_bytes() == content


@pytest.mark.parametrize("cut", [1, 65_536, 100_001, 299_999])
def test_a_cut_connection_goes_on_where_it_stopped(server, file, content, tmp_path, cut):
    server.script[file.name] = [("cut", cut)]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    kept = cut - cut % download.CHUNK
    assert server.ranges(file.name) == [None, f"bytes={kept}-" if kept else None]
    assert server.sent - len(content) < download.CHUNK  # no more than one piece twice


def test_attempts_that_bring_something_do_not_count(server, file, content, tmp_path):
    server.script[file.name] = [("cut", 5 * download.CHUNK)] * 7
    fetch(file, [server.url], tmp_path, **{**FAST, "retries": 0})
    assert (tmp_path / file.name).read_bytes() == content
    assert server.sent == len(content)


def test_a_stalled_connection_is_left_and_taken_up_again(server, file, content, tmp_path):
    server.script[file.name] = [("stall", 131_072)]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.ranges(file.name) == [None, "bytes=131072-"]


def test_a_server_that_never_answers_is_given_up(server, file, tmp_path):
    server.always[file.name] = ("stall", 0)
    with pytest.raises(DownloadError, match=r"signal\.dat: nothing came within the time limit .*given up after 2"):
        fetch(file, [server.url], tmp_path, timeout=0.1, retries=1, backoff=0)
    assert len(server.requests) == 2


def test_a_corrupt_transfer_is_thrown_away_and_made_again(server, file, content, tmp_path):
    server.script[file.name] = ["corrupt"]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.ranges(file.name) == [None, None]  # from the start, not from the wrong bytes


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("corrupt", "does not have the SHA-256"),
        ("longer", "sent more than the 300,000 bytes"),
        ("shorter", "sent a file of 299,990 bytes, not 300,000"),
        ("page", "sent a file of 26 bytes, not 300,000"),
    ],
)
def test_a_file_that_is_always_another_one_is_refused(server, file, tmp_path, action, reason):
    server.always[file.name] = action
    with pytest.raises(DownloadError, match=reason):
        fetch(file, [server.url], tmp_path, **FAST)
    assert left_in(tmp_path) == []
    assert len(server.requests) == 2


def test_a_length_that_is_too_large_is_taken_as_a_cut(server, file, content, tmp_path):
    server.script[file.name] = ["overstates"]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.sent - len(content) < download.CHUNK


@pytest.mark.parametrize("status", [401, 403, 404, 410, 501])
def test_a_final_answer_is_not_asked_for_twice(server, file, tmp_path, status):
    server.always[file.name] = status
    with pytest.raises(DownloadError, match=rf"^{server.url}signal\.dat: answered {status} [A-Z][A-Za-z ]+$"):
        fetch(file, [server.url], tmp_path, **FAST)
    assert len(server.requests) == 1
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_fault_is_tried_again(server, file, content, tmp_path, status):
    server.script[file.name] = [status, status]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert len(server.requests) == 3


def test_a_lasting_fault_is_given_up(server, file, tmp_path):
    server.always[file.name] = 500
    with pytest.raises(DownloadError, match="answered 500 .*given up after 3"):
        fetch(file, [server.url], tmp_path, **FAST)
    assert len(server.requests) == 3


def test_waits_grow_and_obey_the_server(server, file, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.script[file.name] = [500, 500, 500, (503, 20), (503, 3600)]
    fetch(file, [server.url], tmp_path, timeout=5, retries=5, backoff=1.0)
    assert waits == [1.0, 2.0, 4.0, 20.0, 60.0]


def test_the_next_address_takes_over_with_what_is_there(server, file, content, tmp_path):
    server.script[file.name] = [("cut", 98_304), 404]
    fetch(file, [server.url, server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.ranges(file.name) == [None, "bytes=98304-", "bytes=98304-"]


def test_a_host_that_is_down_is_named_and_the_next_one_asked(server, file, content, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with pytest.raises(DownloadError, match=f"{down}signal.dat: no connection to the host"):
        fetch(file, [down], tmp_path, **FAST)
    fetch(file, [down, server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content


def test_an_address_that_is_none_is_final(file, tmp_path):
    with pytest.raises(DownloadError, match="No host supplied"):
        fetch(file, ["http://"], tmp_path, **FAST)


def test_a_server_that_ignores_the_range_is_read_from_the_start(server, file, content, tmp_path):
    server.script[file.name] = [("cut", 98_304), "ignores-range"]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.ranges(file.name) == [None, "bytes=98304-"]


def test_another_range_than_the_one_asked_for_is_not_appended(server, file, content, tmp_path):
    server.script[file.name] = [("cut", 98_304), "other-range"]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content


@pytest.mark.parametrize("size", [5, 299_999, 300_001])
def test_a_part_that_is_not_of_this_file_is_found_out(server, file, content, tmp_path, size):
    (tmp_path / "signal.dat.part").write_bytes(bytes(size))
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert left_in(tmp_path) == [file.name]


def test_a_whole_part_needs_no_request(server, file, content, tmp_path):
    (tmp_path / "signal.dat.part").write_bytes(content)
    fetch(file, [server.url], tmp_path, **FAST)
    assert server.requests == []
    assert left_in(tmp_path) == [file.name]


def test_a_wrong_file_under_the_final_name_stays_until_the_right_one_is_whole(server, file, content, tmp_path):
    wrong = bytes(len(content))
    (tmp_path / file.name).write_bytes(wrong)
    server.script[file.name] = [404]
    with pytest.raises(DownloadError):
        fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == wrong
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.one_of(
            st.tuples(st.just("cut"), st.integers(0, 300_000)),
            st.sampled_from([500, 503, "ignores-range", "other-range", "overstates"]),
        ),
        max_size=6,
    )
)
def test_whatever_happens_the_file_is_whole_or_absent(server, file, content, tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("any")
    server.script[file.name] = list(actions)
    try:
        fetch(file, [server.url], folder, timeout=5, retries=6, backoff=0)
    except DownloadError:
        assert not (folder / file.name).exists()
        assert actions.count("other-range") >= 2
    else:
        assert (folder / file.name).read_bytes() == content
        assert left_in(folder) == [file.name]


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["empty"] = b""
    empty = RemoteFile("empty", 0, download.hashlib.sha256(b"").hexdigest())
    fetch(empty, [server.url], tmp_path, **FAST)
    assert is_verified(tmp_path / "empty", empty)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_and_leaves_nothing_under_the_final_name(server, file, tmp_path):
    (tmp_path / "signal.dat.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="cannot write .*the disk is full"):
        fetch(file, [server.url], tmp_path, **FAST)
    assert not (tmp_path / file.name).exists()
    assert len(server.requests) == 1


def test_too_little_room_is_said_before_anything_is_fetched(server, file, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 299_999))
    with pytest.raises(DownloadError, match="299,999 bytes free; 300,000 are needed"):
        fetch_all([file], [server.url], tmp_path, **FAST)
    assert server.requests == []


def test_what_has_arrived_counts_as_room(server, file, content, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 299_999))
    (tmp_path / "signal.dat.part").write_bytes(content[:1])
    assert fetch_all([file], [server.url], tmp_path, **FAST) == 1


def test_a_folder_that_cannot_be_made_is_said(server, file, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DownloadError, match="cannot write .*taken"):
        fetch_all([file], [server.url], tmp_path / "taken", **FAST)


def test_many_files_share_one_connection_and_count_the_new_ones(server, content, tmp_path, capsys):
    files = []
    for name in ("a", "b", "c"):
        server.files[name] = content + name.encode()
        files.append(RemoteFile(name, len(content) + 1, download.hashlib.sha256(server.files[name]).hexdigest()))
    fetch(files[1], [server.url], tmp_path, **FAST)
    assert fetch_all(files, [server.url], tmp_path, **FAST) == 2
    assert fetch_all(files, [server.url], tmp_path, **FAST) == 0
    assert [name for name, _ in server.requests] == ["b", "a", "c"]
    assert capsys.readouterr() == ("", "")  # no bar where nobody watches


def test_a_killed_download_goes_on_where_it_stopped(server, file, content, tmp_path):
    server.script[file.name] = [("stall", 196_608)]
    code = (
        "import sys; from pathlib import Path; from data_scripts.download import fetch;"
        "from data_scripts.manifest import RemoteFile;"
        "fetch(RemoteFile(sys.argv[1], int(sys.argv[2]), sys.argv[3]), [sys.argv[4]], Path(sys.argv[5]), timeout=20)"
    )
    arguments = [file.name, str(file.size), file.sha256, server.url, str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT)
    part = tmp_path / "signal.dat.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == 196_608):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert left_in(tmp_path) == [part.name]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content
    assert server.ranges(file.name) == [None, "bytes=196608-"]


# --- how the bytes travel, and what headers say of them ---

PACKED = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: b"\x8b" + data,  # no brotli, but neither are most files that are marked so
    "identity": lambda data: data,
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_file_that_is_marked_as_packed_comes_as_it_is(server, content, tmp_path, coding, chunked):
    """``a.gz`` under ``Content-Encoding: gzip``: the manifest's size and checksum are those of the packed bytes."""
    packed = server.files["a.gz"] = PACKED[coding](content)
    server.coding["a.gz"] = coding, None
    server.chunked |= {"a.gz"} if chunked else set()
    file = RemoteFile("a.gz", len(packed), download.hashlib.sha256(packed).hexdigest())
    server.script["a.gz"] = [("cut", 100_001)]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / "a.gz").read_bytes() == packed
    kept = int(server.ranges("a.gz")[1].removeprefix("bytes=").removesuffix("-"))
    assert 100_001 - download.CHUNK <= kept <= 100_001  # and it goes on in the bytes that travel
    assert len(server.requests) == 2


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "identity"])
@pytest.mark.parametrize("data", [b"one line that packs well\n" * 20_000, os.urandom(50_000)], ids=["text", "noise"])
def test_a_plain_file_that_a_server_packs_unasked_is_unpacked(server, tmp_path, coding, chunked, data):
    server.files["a.csv"] = data
    server.coding["a.csv"] = coding, PACKED[coding]
    server.chunked |= {"a.csv"} if chunked else set()
    file = RemoteFile("a.csv", len(data), download.hashlib.sha256(data).hexdigest())
    server.script["a.csv"] = ["ok", ("cut", 500)]
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / "a.csv").read_bytes() == data and left_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("action", ["ok", "corrupt", "longer", "shorter", "page"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "br, gzip", "²"])
def test_another_file_under_a_coding_is_refused(server, file, tmp_path, coding, action):
    other = RemoteFile(file.name, file.size, "0" * 64)
    server.coding[file.name], server.always[file.name] = (coding, None), action
    with pytest.raises(DownloadError, match=r"signal\.dat: .*Content-Encoding.* \(twice\)"):
        fetch(other, [server.url], tmp_path, **FAST)
    assert left_in(tmp_path) == [] and len(server.requests) <= 4


def test_a_chunked_body_that_ended_is_no_cut(server, file, tmp_path):
    server.chunked.add(file.name)
    server.always[file.name] = "shorter"
    with pytest.raises(DownloadError, match="sent a file of 299,990 bytes, not 300,000"):
        fetch(file, [server.url], tmp_path, **FAST)
    assert len(server.requests) == 2


def test_an_archive_that_is_marked_as_packed_comes_as_it_is(server, many, tmp_path):
    server.files["a.tgz"] = pack(server.files)
    server.coding["a.tgz"] = "gzip", None
    assert fetch_archive(many, server.url + "a.tgz", tmp_path, **FAST) == 30
    assert whole(many, tmp_path) and len(server.requests) == 1


SOON = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("20", 20.0),
        (" 020 ", 20.0),
        ("9" * 5000, 60.0),  # int() refuses more than 4,300 digits
        pytest.param(SOON, 60.0, id="in two hours"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 1.0),  # a date that does not know its zone
        *[(text, 1.0) for text in ("²", "1²", "-20", "+20", "2.5", "1_0", "0x10", "soon", " ", "inf", "nan", "1e3")],
        *[(text, 1.0) for text in ("Wed, 99 Oct 2015 99:99:99 GMT", "Wed, 21 Oct 99999 07:28:00 GMT", "," * 50)],
    ],
)
def test_whatever_retry_after_says_is_understood_or_passed_over(server, file, tmp_path, monkeypatch, asked, wait):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.script[file.name] = [(503, asked)]
    fetch(file, [server.url], tmp_path, timeout=5, retries=5, backoff=1.0)
    assert waits == [wait]


NONSENSE = [
    "²",
    "-5",
    "+5",
    "1_0",
    "1e3",
    "0x10",
    "ten",
    "9" * 5000,
    ",",
    "5, 6",
    "bytes",
    "bytes */300000",
    "bytes ²-9/²",
]


@pytest.mark.parametrize("header", ["Content-Length", "Content-Range", "Content-Encoding", "Transfer-Encoding"])
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: value[:20])
def test_whatever_a_header_says_the_file_is_whole_or_the_reason_is_given(
    server, file, content, tmp_path, header, value
):
    server.headers[file.name] = {header: value}
    server.script[file.name] = [("cut", 98_304)]
    try:
        fetch(file, [server.url], tmp_path, **FAST)
    except DownloadError as error:
        assert str(error).startswith(f"{server.url}{file.name}: ")
        assert not (tmp_path / file.name).exists()
    else:
        assert (tmp_path / file.name).read_bytes() == content
    if header == "Content-Encoding":  # a coding that nobody knows is none
        assert (tmp_path / file.name).exists()


@pytest.mark.parametrize("given", ["bytes 98304-299999/300000", "Bytes  98304-299999/*", "BYTES 98304-299999/300000"])
def test_a_range_is_read_as_the_standard_writes_it(server, file, content, tmp_path, given):
    server.script[file.name] = [("cut", 98_304)]
    server.headers[file.name] = {"Content-Range": given}
    fetch(file, [server.url], tmp_path, **FAST)
    assert (tmp_path / file.name).read_bytes() == content and len(server.requests) == 2


@pytest.mark.parametrize(
    "place", ["http://[", "ftp://a/b", "http://a..b/", "http://é²", "\xff\xfe", "http://" + "a" * 70]
)
def test_whatever_place_a_server_sends_us_to_the_reason_is_given(server, file, many, tmp_path, place):
    server.always |= {file.name: (302, place), "a.tgz": (302, place)}
    with pytest.raises(DownloadError, match=rf"^{server.url}signal\.dat: "):
        fetch(file, [server.url], tmp_path, **FAST)
    assert fetch_archive(many, server.url + "a.tgz", tmp_path, **FAST) == 0


def test_a_server_that_sends_us_round_is_left(server, file, tmp_path):
    server.always[file.name] = (302, f"/{file.name}")
    with pytest.raises(DownloadError, match="redirects"):
        fetch(file, [server.url], tmp_path, **FAST)


# --- many small files: several at once, or from an archive ---


@pytest.fixture
def many(server, monkeypatch) -> list[RemoteFile]:
    """Thirty small files, on the server."""
    monkeypatch.setattr(download, "FEW", 10)
    files = []
    for number in range(30):
        data = os.urandom(3000)
        server.files[f"d/{number}"] = data
        files.append(RemoteFile(f"d/{number}", len(data), download.hashlib.sha256(data).hexdigest()))
    return files


def pack(files: dict[str, bytes], top: str = "repo-abc/") -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return memory.getvalue()


def whole(files, folder) -> bool:
    return all(is_verified(folder / file.name, file) for file in files)


def test_several_at_once_bring_the_same(server, many, tmp_path):
    server.script["d/7"] = [500, ("cut", 100)]
    assert fetch_all(many, [server.url], tmp_path, workers=4, **FAST) == 30
    assert whole(many, tmp_path) and len(left_in(tmp_path)) == 30
    assert fetch_all(many, [server.url], tmp_path, workers=4, **FAST) == 0
    assert len(server.requests) == 32


def test_several_at_once_stop_at_the_first_that_cannot_be_had(server, many, tmp_path):
    server.always["d/3"] = 404
    with pytest.raises(DownloadError, match="d/3: answered 404"):
        fetch_all(many, [server.url], tmp_path, workers=4, **FAST)
    assert whole(many[:3], tmp_path)
    assert len(server.requests) < 30  # the others were not begun


def test_an_archive_brings_all_in_one_request(server, many, tmp_path):
    server.files["a.tgz"] = pack(dict(server.files) | {"other": b"not wanted"})
    assert fetch_all(many, [server.url], tmp_path, archives=[server.url + "a.tgz"], **FAST) == 30
    assert whole(many, tmp_path) and len(left_in(tmp_path)) == 30
    assert [name for name, _ in server.requests] == ["a.tgz"]


def test_a_cut_archive_keeps_what_came_and_is_read_again(server, many, tmp_path):
    packed = server.files["a.tgz"] = pack(server.files)
    server.script["a.tgz"] = [("cut", len(packed) // 2), 503]
    assert fetch_archive(many, server.url + "a.tgz", tmp_path, **FAST) == 30
    assert whole(many, tmp_path) and len(server.requests) == 3
    server.always["a.tgz"] = ("cut", len(packed) // 2)
    folder = tmp_path / "second"
    assert 5 < fetch_archive(many, server.url + "a.tgz", folder, **FAST) < 30
    assert not [name for name in left_in(folder) if name.endswith(".part")]


def test_what_an_archive_lacks_or_has_otherwise_is_fetched_alone(server, many, tmp_path):
    packed = dict(server.files)
    del packed["d/5"]
    packed["d/6"] = packed["d/6"][::-1]
    packed["d/7"] += b"longer"
    server.files["a.tgz"] = pack(packed)
    assert fetch_all(many, [server.url], tmp_path, archives=[server.url + "a.tgz"], **FAST) == 30
    assert whole(many, tmp_path)
    assert {name for name, _ in server.requests} == {"a.tgz", "d/5", "d/6", "d/7"}


@pytest.mark.parametrize("fault", [404, 500, "page", "corrupt", ("stall", 0)])
def test_an_archive_that_cannot_be_had_is_no_error(server, many, tmp_path, fault):
    server.files["a.tgz"] = pack(server.files)
    server.always["a.tgz"] = fault
    options = {"timeout": 0.3, "retries": 0, "backoff": 0.0}
    assert fetch_all(many, [server.url], tmp_path, archives=[server.url + "a.tgz"], **options) == 30
    assert whole(many, tmp_path)


def test_for_a_few_files_no_archive_is_asked(server, many, tmp_path):
    fetch_all(many[20:], [server.url], tmp_path, archives=[server.url + "a.tgz"], **FAST)
    assert "a.tgz" not in {name for name, _ in server.requests}


def test_an_archive_writes_nothing_that_was_not_asked_for(server, many, tmp_path):
    evil = {"../evil": b"1", "/evil": b"2", "d/../../evil": b"3"}
    server.files["a.tgz"] = pack({**evil, **server.files})
    fetch_archive(many, server.url + "a.tgz", tmp_path / "in", **FAST)
    assert whole(many, tmp_path / "in") and len(left_in(tmp_path)) == 30


def test_an_archive_on_a_full_disk_is_said(server, many, tmp_path):
    server.files["a.tgz"] = pack(server.files)
    (tmp_path / "d").write_text("a file where a folder is needed")
    with pytest.raises(DownloadError, match="cannot write"):
        fetch_archive(many, server.url + "a.tgz", tmp_path, **FAST)
