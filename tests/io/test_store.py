"""A file in a store is whole or not there: in a folder, in memory, and in a bucket of a real server on this machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
import s3fs

from mediadiff.errors import StoreError, UsageError
from mediadiff.io import files, remote
from mediadiff.io.address import SCHEMES, is_address, split_address
from mediadiff.io.store import Store, local_copy, local_folder
from tests.io.bucket_server import BucketServer

CANARY = "canary-tE6Zx0q"
NAMES = [
    "a.wav",
    "takes[1]/b *?.wav",
    "a:b",
    "http:x",
    "%03d.txt",
    "-dash",
    "grün/ü.wav",
    "new\nline",
    "c/d/e/f",
    "a::b",
]
PUTTER = """
import sys
from pathlib import Path
from mediadiff.io.store import Store
store = Store.open(sys.argv[1])
print("on", flush=True)
while True:
    for source in map(Path, sys.argv[3:]):
        store.put(source, sys.argv[2])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    server = BucketServer()
    foreign: list[object] = []

    def watch(event: str, arguments: tuple) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
            foreign.append(arguments[1])

    sys.addaudithook(watch)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setattr(remote, "WAITS", (0.01, 0.01))
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("clips")
        yield server
        s3fs.S3FileSystem.clear_instance_cache()
    server.server.shutdown()
    assert foreign == []


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty place."""
    return address(request.param, request, tmp_path)


def address(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "s3":
        request.getfixturevalue("server").calm()
    inside = f"{tmp_path.parent.name}-{tmp_path.name}"
    return {
        "folder": str(tmp_path / "place"),
        "file": f"file://{tmp_path}/place",
        "memory": f"memory://{inside}/place",
        "s3": f"s3://clips/{inside}/place",
    }[kind]


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address("s3", request, tmp_path)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read(store: Store, name: str, folder: Path) -> bytes:
    store.get(name, folder / "read")
    return (folder / "read").read_bytes()


def test_what_is_put_comes_back(place: str, tmp_path: Path) -> None:
    store, beside = Store.open(place), Store.open(place + "2")
    assert list(store.names()) == [] and not store.exists("a.wav")
    # The server here has no route for a name with a line break.
    names = [name for name in NAMES if not ("\n" in name and place.startswith("s3:"))]
    contents = {name: f"{i} {name}".encode() * i for i, name in enumerate(names)}
    for name, data in contents.items():
        store.put(write(tmp_path / "staged", data), name)
    beside.put(write(tmp_path / "staged", b"beside"), "a.wav")
    assert list(store.names()) == sorted(names)
    for name, data in contents.items():
        assert store.exists(name) and store.size(name) == len(data) and read(store, name, tmp_path) == data
    assert not store.exists("c/d"), "a folder is no file"
    assert (tmp_path / "staged").read_bytes() == b"beside", "what is put stays"
    for name in names[1:]:
        store.remove(name)
        store.remove(name)
    assert list(store.names()) == ["a.wav"] and list(beside.names()) == ["a.wav"]
    assert str(Store.open(str(store))) == str(store)
    free = store.free_bytes()
    assert free is None if "://" in str(store) else free is not None and 0 < free < 2**60


def test_version_changes_with_the_content_and_only_then(place: str, tmp_path: Path) -> None:
    store = Store.open(place)
    store.put(write(tmp_path / "a", b"old"), "a")
    before = store.version("a")
    assert store.get("a", tmp_path / "b") == before == store.version("a")
    store.put(write(tmp_path / "a", b"new"), "a")
    assert store.version("a") != before and read(store, "a", tmp_path) == b"new"


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a/..", ".", "a//b", "a/", "a\0b", "./a"])
def test_names_that_lead_elsewhere_are_refused(name: str, place: str, tmp_path: Path) -> None:
    store, local = Store.open(place), write(tmp_path / "a", b"x")
    for call in (lambda: store.put(local, name), lambda: store.get(name, local), lambda: store.exists(name)):
        with pytest.raises(UsageError, match="names no file here"):
            call()
    with pytest.raises(UsageError, match="names no file here"):
        store.remove(name)
    assert os.listdir(tmp_path) == ["a"] and local.read_bytes() == b"x"


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    store, outside = Store.open(tmp_path / "place"), tmp_path / "outside"
    outside.mkdir()
    store.put(write(tmp_path / "a", b"x"), "b")
    (tmp_path / "place" / "link").symlink_to(outside)
    with pytest.raises(UsageError, match="leads out of"):
        store.put(tmp_path / "a", "link/a")
    assert os.listdir(outside) == []


def test_missing_things_are_named(place: str, tmp_path: Path) -> None:
    store, local = Store.open(place), tmp_path / "new" / "a"
    for call in (lambda: store.get("a.wav", local), lambda: store.size("a.wav"), lambda: store.version("a.wav")):
        with pytest.raises(StoreError, match="a.wav: there is no such .*correct the name"):
            call()
    assert not local.exists() and list(tmp_path.rglob("*tmp*")) == []
    with pytest.raises(UsageError, match="is no file; only a file that is finished"):
        store.put(tmp_path / "absent", "a.wav")


@pytest.mark.parametrize("place", ["folder", "memory", "s3"], indirect=True)
def test_readers_see_old_or_new(place: str, tmp_path: Path) -> None:
    store, contents = Store.open(place), [b"a" * 300_000, b"b" * 200_000]
    sources = [write(tmp_path / data[:1].decode(), data) for data in contents]
    store.put(sources[0], "x")
    seen = []
    with ThreadPoolExecutor(1) as writer:
        for i in range(10):
            writing = writer.submit(store.put, sources[(i + 1) % 2], "x")
            seen.append(contents.index(read(store, "x", tmp_path)))
            writing.result()
            assert read(store, "x", tmp_path) == contents[(i + 1) % 2]
    assert set(seen) == {0, 1}


def test_killed_puts_leave_the_old_file_or_the_new(tmp_path: Path) -> None:
    sources = [write(tmp_path / name, name.encode() * 400_000) for name in ("a", "b")]
    store, chance = Store.open(tmp_path / "place"), random.Random(0)
    store.put(sources[0], "x/y.wav")
    for _ in range(6):
        command = [sys.executable, "-c", PUTTER, str(store), "x/y.wav", *map(str, sources)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as putter:
            assert putter.stdout is not None and putter.stdout.readline() == b"on\n"
            time.sleep(chance.uniform(0, 0.01))
            putter.send_signal(signal.SIGKILL)
        assert read(store, "x/y.wav", tmp_path) in (b"a" * 400_000, b"b" * 400_000)
        assert list(store.names()) == ["x/y.wav"], "what a killed writer left is no file of the store"
    files.sweep(tmp_path / "place" / "x")
    assert os.listdir(tmp_path / "place" / "x") == ["y.wav"]


def large(path: Path) -> Path:
    """A file that goes to a bucket in several parts."""
    with open(path, "wb") as file:
        file.truncate(20 * 2**20)
    return path


def open_uploads() -> list[str]:
    return [upload["Key"] for upload in fsspec.filesystem("s3").list_multipart_uploads("clips")]


def test_upload_that_fails_in_a_part_is_aborted(bucket: str, server: BucketServer, tmp_path: Path) -> None:
    store = Store.open(bucket)
    server.fail("partNumber=2", 9, "403 Forbidden", "AccessDenied")
    with pytest.raises(StoreError, match="big.wav: access is denied"):
        store.put(large(tmp_path / "big"), "big.wav")
    assert server.count("POST") == server.count("DELETE") == 1, "begun once, aborted once"
    assert not store.exists("big.wav") and list(store.names()) == [] and open_uploads() == []


def test_killed_upload_leaves_the_old_file(bucket: str, server: BucketServer, tmp_path: Path) -> None:
    store = Store.open(bucket)
    store.put(write(tmp_path / "old", b"old"), "big.wav")
    server.held = "partNumber=2"
    command = [sys.executable, "-c", PUTTER, bucket, "big.wav", str(large(tmp_path / "big"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as putter:
        assert server.is_holding.wait(30)
        assert read(store, "big.wav", tmp_path) == b"old"
        putter.kill()
    server.release.set()
    assert read(store, "big.wav", tmp_path) == b"old" and list(store.names()) == ["big.wav"]


def test_errors_that_pass_are_tried_three_times(bucket: str, server: BucketServer, tmp_path: Path) -> None:
    store, local = Store.open(bucket), write(tmp_path / "a", b"x")
    server.fail("PUT", 2, "500 Internal Server Error", "InternalError")
    store.put(local, "a")
    assert server.count("PUT") == 3 and read(store, "a", tmp_path) == b"x"
    server.fail("GET", 2, "500 Internal Server Error", "InternalError")
    assert read(store, "a", tmp_path) == b"x" and server.failures == 0
    server.calm()
    server.fail("PUT", 9, "500 Internal Server Error", "InternalError")
    with pytest.raises(StoreError, match="place/b: it failed 3 times .*run again"):
        store.put(local, "b")
    assert server.count("PUT") == 3


def test_errors_that_stay_are_tried_once(bucket: str, server: BucketServer, tmp_path: Path) -> None:
    store, local = Store.open(bucket), write(tmp_path / "a", b"x")
    server.fail("PUT", 9, "403 Forbidden", "AccessDenied")
    with pytest.raises(StoreError, match="access is denied .*AWS_ACCESS_KEY_ID"):
        store.put(local, "a")
    assert server.count("PUT") == 1 and not store.exists("a")


def test_missing_bucket_is_told_before_any_work(server: BucketServer) -> None:
    server.calm()
    with pytest.raises(StoreError, match="s3://absent/dir: there is no such bucket.*make the bucket first"):
        Store.open("s3://absent/dir")
    assert server.requests == ["HEAD /absent?"]


def test_missing_credentials_and_packages_are_told(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="there are no credentials; set AWS_ACCESS_KEY_ID"):
        Store.open("s3://clips/dir")
    s3fs.S3FileSystem.clear_instance_cache()
    without = "import sys; sys.modules['s3fs'] = None\nfrom mediadiff.io.store import Store\nStore.open('s3://clips')"
    said = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False).stderr
    assert said.endswith("s3:// needs a package that is not installed; run: pip install 'mediadiff[s3]'\n")
    with pytest.raises(StoreError, match="run: pip install gcsfs"):
        Store.open("gs://clips")


SECRET_ADDRESSES = [
    f"s3://key:{CANARY}@clips/dir",
    f"gs://{CANARY}@clips",
    f"az://clips/a?sig={CANARY}",
    f"abfs://clips:{CANARY}@account.dfs.core.windows.net",
    f"https://me:{CANARY}@example.org/a",
    f"simplecache::s3://key:{CANARY}@clips",
    f"s4://key:{CANARY}@clips",
    f"file://me:{CANARY}@host/a",
]


@pytest.mark.parametrize("text", SECRET_ADDRESSES)
def test_secrets_in_an_address_are_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    for call in (lambda: Store.open(text), lambda: local_copy(text, tmp_path), lambda: local_folder(text, tmp_path)):
        with pytest.raises(UsageError) as caught:
            call()
        assert CANARY not in str(caught.value)


def test_secrets_of_the_environment_are_not_repeated(
    bucket: str, server: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, local = Store.open(bucket), write(tmp_path / "a", b"x")
    server.fail(
        "PUT", 1, "403 Forbidden", "AccessDenied", f"key {CANARY} at http://me:pass0@a/b?X-Signature=abc is bad"
    )
    with pytest.raises(StoreError) as caught:
        store.put(local, "a")
    assert "key *** at http://***@a/b?*** is bad" in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__, "a traceback repeats nothing either"


REFUSED = {
    "http://example.org/a": "download the file",
    "https://example.org/a": "download the file",
    "simplecache::s3://clips/a": "an address within an address",
    "zip://a::file:///b.zip": "an address within an address",
    "zip:///b.zip": "no kind of place",
    "s4://clips": "did you mean s3://",
    "s3://": "names no bucket",
    "s3:///a": "names no bucket",
    "s3://clips/../other": "is not allowed",
    "s3://clips//a": "is not allowed",
    "s3://clips/a\0b": "holds a NUL",
    "file://clips/a": "three slashes",
    "file://": "three slashes",
}


@pytest.mark.parametrize("text", REFUSED)
def test_addresses_that_name_no_place_are_refused(text: str) -> None:
    assert is_address(text)
    with pytest.raises(UsageError, match=REFUSED[text]):
        Store.open(text)


def test_paths_stay_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (
        "clips",
        "/a/b",
        "C:\\clips",
        "C:/clips",
        "C://clips",
        "http:x",
        "a::b",
        "s3:clips",
        "~/a",
        "a\0b",
        "",
    ):
        assert not is_address(text)
    for scheme in SCHEMES:
        assert is_address(f"{scheme}://clips/a")
    write(tmp_path / "s3:" / "clips" / "a", b"x")
    assert not is_address("s3://clips/a") and is_address("s3://clips/b")
    assert local_copy("s3://clips/a", tmp_path / "cache") == Path("s3://clips/a")
    assert split_address("S3://clips/a/") == ("s3", "clips/a")
    assert split_address("abfs://c@account.dfs.core.windows.net/a") == ("abfs", "c@account.dfs.core.windows.net/a")


def test_plain_paths_load_no_fsspec(tmp_path: Path) -> None:
    code = """
import sys
called = []
sys.addaudithook(lambda event, args: event in ("socket.connect", "socket.getaddrinfo") and called.append(event))
from pathlib import Path
from mediadiff.io.store import Store, local_copy, local_folder
folder = Path(sys.argv[1])
store = Store.open(str(folder))
(folder / "a").write_text("x")
store.put(folder / "a", "b")
local_copy(str(folder / "b"), folder), local_folder("file://" + sys.argv[1], folder)
print(store.exists("b"), [name for name in ("fsspec", "s3fs") if name in sys.modules], called)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "True [] []\n"


@pytest.mark.parametrize("place", ["memory", "s3"], indirect=True)
def test_copies_are_fetched_once_and_anew_when_changed(place: str, tmp_path: Path) -> None:
    store, cache = Store.open(place), tmp_path / "cache"
    store.put(write(tmp_path / "a", b"old"), "take.wav")
    first = local_copy(f"{place}/take.wav", cache)
    assert first.read_bytes() == b"old" and first.suffix == ".wav" and first.parent == cache
    first.write_bytes(b"mine")
    assert local_copy(f"{place}/take.wav", cache) == first and first.read_bytes() == b"mine", "it was not fetched again"
    store.put(write(tmp_path / "a", b"new"), "take.wav")
    second = local_copy(f"{place}/take.wav", cache)
    assert second != first and second.read_bytes() == b"new" and set(cache.iterdir()) == {first, second}
    with pytest.raises(StoreError, match="absent.wav: there is no such"):
        local_copy(f"{place}/absent.wav", cache)
    assert local_copy("absent.wav", cache) == Path("absent.wav")
    assert local_copy(f"file://{first}", cache) == first


@pytest.mark.parametrize("place", ["memory", "s3"], indirect=True)
def test_folders_are_fetched_whole(place: str, tmp_path: Path) -> None:
    store, cache = Store.open(place), tmp_path / "cache"
    with pytest.raises(StoreError, match="there are no files here"):
        local_folder(place, cache)
    contents = {"model.json": b"{}", "model.safetensors": b"w" * 5000, "sub/a.txt": b""}
    for name, data in contents.items():
        store.put(write(tmp_path / "a", data), name)
    folder = local_folder(place, cache)
    (folder / "model.json").unlink()
    assert local_folder(place, cache) == folder, "a fetch that was cut short goes on"
    assert {name: (folder / name).read_bytes() for name in Store.open(folder).names()} == contents
    store.put(write(tmp_path / "a", b"{1}"), "model.json")
    changed = local_folder(place, cache)
    assert changed != folder and (changed / "model.json").read_bytes() == b"{1}"
    assert local_folder(folder, cache) == folder and local_folder(f"file://{folder}", cache) == folder


def test_folder_whose_names_escape_is_refused(bucket: str, tmp_path: Path) -> None:
    fsspec.filesystem("s3").pipe_file(f"{bucket}/../../evil", b"x")
    with pytest.raises(UsageError, match="names no file here"):
        local_folder(bucket, tmp_path / "cache" / "deep")
    assert not list(tmp_path.rglob("evil"))
