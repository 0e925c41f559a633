"""A model by name: first from a hub, then from the cache, through interruptions and damage."""

import fcntl
import os
import pathlib
import pty
import re
import signal
import stat
import subprocess
import termios
import threading

import pytest
from fake_hub import (REPO, Cut, FakeHub, Flip, Headers, Hold, IgnoreRange, Status, etag_of,
                      is_large)
from hub_run import (DECOYS, FOLDER, HUB_CLI, WAIT_S, Client, client, hub,  # noqa: F401
                     model_files, wait_for)

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def partial(client, path):
    """BLOB.incomplete of a file."""
    return client.repo / "blobs" / (etag_of(path, client.hub.files[path]) + ".incomplete")


# ---- the usual way ------------------------------------------------------------------------------


def test_first_start_downloads_and_second_uses_the_cache_without_a_request(client, hub):
    code, directory, err = client.locate()
    assert code == 0, err
    assert directory == str(client.snapshot)
    for path, data in model_files().items():
        assert (client.snapshot / path).read_bytes() == data
    hub.forget()
    assert client.locate()[:2] == (0, directory)
    assert hub.requests == []


def test_only_what_the_pipeline_needs_is_fetched(client, hub):
    assert client.locate()[0] == 0
    assert names_in(client.snapshot) == set(model_files())
    for path in DECOYS:
        assert hub.contents_sent(path) == []


def test_the_cache_has_the_layout_of_huggingface(client, hub):
    assert client.locate()[0] == 0
    assert (client.repo / "refs/main").read_text() == hub.commit
    for path, data in model_files().items():
        link = client.snapshot / path
        assert os.readlink(link) == "../" * (path.count("/") + 2) + "blobs/" + etag_of(path, data)
    assert names_in(client.repo / "blobs") == {etag_of(p, d) for p, d in model_files().items()}
    blob = client.blob(WEIGHTS)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(blob.stat().st_mode) == 0o666 & ~umask
    assert (client.cache / "CACHEDIR.TAG").read_text().startswith(
        "Signature: 8a477f597d28d172789f06886806bc55")


def test_shards_are_taken_from_the_index(hub, client):
    whole = hub.files.pop(WEIGHTS)
    folder = "transformer/diffusion_pytorch_model"
    shards = {f"{folder}-0000{i}-of-00002.safetensors": whole[i::2] for i in (1, 2)}
    stale = {f"{folder}-00003-of-00003.safetensors": b"of an older split"}
    index = ('{"weight_map": {"a": "%s", "b": "%s", "c": "%s"}}'
             % (*(n.split("/")[1] for n in shards), next(iter(shards)).split("/")[1]))
    hub.files.update({**shards, **stale, f"{folder}.safetensors.index.json": index.encode()})
    assert client.locate()[0] == 0
    wanted = set(model_files()) - {WEIGHTS} | set(shards) | {f"{folder}.safetensors.index.json"}
    assert names_in(client.snapshot) == wanted
    (client.snapshot / next(iter(shards))).unlink()
    code, _, err = client.locate(HF_HUB_OFFLINE="1")
    assert code == 1 and next(iter(shards)) in err


def test_four_files_arrive_at_a_time(client, hub):
    holds = [Hold(0.5) for _ in range(4)]
    hub.misbehave(".safetensors", *holds)
    process = client.start("download", REPO)
    weights = [path for path in model_files() if path.endswith(".safetensors")]
    assert len(weights) == 4
    wait_for(lambda: all(any(r.bytes_sent for r in hub.contents_sent(path)) for path in weights))
    for hold in holds:
        hold.event.set()
    assert process.wait(WAIT_S) == 0
    process.communicate()


def test_download_asks_the_hub_for_a_newer_commit(client, hub, tmp_path):
    old = client.locate()[1]
    new_hub = FakeHub({**hub.files, "scheduler/scheduler_config.json": b'{"new": 1}'})
    newer = Client(new_hub, client.home)
    assert newer.locate()[1] == old  # a server starts with what it has
    code, directory, err = newer.download()
    assert code == 0, err
    assert directory == str(newer.snapshot) != old
    assert new_hub.contents_sent(WEIGHTS) == []  # the same content is kept once
    assert newer.locate()[1] == directory
    new_hub.close()


def test_revisions_are_branches_tags_and_commits(client, hub):
    hub.branches.add("refs/pr/7")
    code, directory, err = client.locate(f"{REPO}@refs/pr/7")
    assert code == 0, err
    assert (client.repo / "refs/refs/pr/7").read_text() == hub.commit
    hub.forget()
    assert client.locate(f"{REPO}@{hub.commit}")[:2] == (0, directory)
    assert hub.requests == []
    assert client.download("--revision", "refs/pr/7")[:2] == (0, directory)
    code, _, err = client.locate(f"{REPO}@v2")
    assert code == 1
    assert f"{REPO} has no revision 'v2' (404): see {hub.url}/{REPO}/commits" in err


def test_include_fetches_what_matches(client, tmp_path):
    other = tmp_path / "other cache"
    code, directory, err = client.download("--include", "*.md", "--include", "vae/*.json",
                                           "--cache-dir", str(other))
    assert code == 0, err
    assert pathlib.Path(directory).is_relative_to(other)
    assert names_in(pathlib.Path(directory)) == {"README.md", "vae/config.json"}
    code, _, err = client.download("--include", "*.gguf")
    assert code == 1 and "--include '*.gguf'" in err


# ---- interruptions ------------------------------------------------------------------------------


def test_a_kill_at_half_is_resumed_by_range(client, hub):
    hold = Hold(0.5)
    hub.misbehave(WEIGHTS, hold)
    size = len(hub.files[WEIGHTS])
    process = client.start("locate", REPO)
    part = partial(client, WEIGHTS)
    wait_for(lambda: part.exists() and part.stat().st_size == size // 2)
    process.kill()
    process.communicate()
    hold.event.set()
    assert not client.blob(WEIGHTS).exists()
    hub.forget()
    code, _, err = client.locate()
    assert code == 0, err
    sent, = hub.contents_sent(WEIGHTS)
    assert sent.headers["Range"] == f"bytes={size // 2}-"
    assert (sent.status, sent.bytes_sent) == (206, size - size // 2)
    assert client.blob(WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert not part.exists()


def test_ctrl_c_leaves_files_that_can_be_continued(client, hub):
    hub.misbehave(WEIGHTS, Hold(0.5))
    part = partial(client, WEIGHTS)
    process = client.start("download", REPO)
    wait_for(lambda: part.exists() and part.stat().st_size == len(hub.files[WEIGHTS]) // 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert "the same command continues" in err
    assert part.stat().st_size == len(hub.files[WEIGHTS]) // 2
    assert client.download()[0] == 0


def test_a_cut_connection_is_resumed_by_the_same_process(client, hub):
    hub.misbehave(WEIGHTS, Cut(0.5), Cut(0.5), Cut(0))
    code, _, err = client.download()
    assert code == 0, err
    half = len(hub.files[WEIGHTS]) // 2
    ranges = [r.headers.get("Range") for r in hub.contents_sent(WEIGHTS)]
    assert ranges[:2] == [None, f"bytes={half}-"]
    assert "trying again" in err
    assert sum(r.bytes_sent for r in hub.contents_sent(WEIGHTS)) == len(hub.files[WEIGHTS])


def test_a_connection_that_is_always_cut_is_given_up(client, hub):
    hub.misbehave(WEIGHTS, *[Cut(0)] * 20)
    code, _, err = client.download()
    assert code == 1
    assert f"{WEIGHTS}: no complete answer from 127.0.0.2" in err and "(6 times)" in err


def test_a_transfer_that_stands_still_is_tried_again(client, hub):
    hold = Hold(0.5)
    hub.misbehave(WEIGHTS, hold)
    code, _, err = client.download(HF_HUB_DOWNLOAD_TIMEOUT="1")
    hold.event.set()
    assert code == 0, err
    assert f"{WEIGHTS}: no complete answer" in err


def test_a_hub_that_ignores_ranges_is_read_from_the_start(client, hub):
    hub.misbehave(WEIGHTS, Cut(0.5), IgnoreRange())
    code, _, err = client.download()
    assert code == 0, err
    assert [r.status for r in hub.contents_sent(WEIGHTS)] == [200, 200]


def test_a_range_that_is_refused_is_read_from_the_start(client, hub):
    hub.misbehave(WEIGHTS, Cut(0.5), Status(416))
    code, _, err = client.download()
    assert code == 0, err
    assert "won't continue at byte" in err
    assert "Range" not in hub.contents_sent(WEIGHTS)[-1].headers


def test_two_processes_at_once_download_once(client, hub):
    hold = Hold(0.5)
    hub.misbehave(WEIGHTS, hold)
    first = client.start("locate", REPO)
    wait_for(lambda: partial(client, WEIGHTS).exists())
    second = client.start("locate", REPO)
    waits = []
    reader = threading.Thread(target=lambda: waits.extend(second.stderr))
    reader.start()
    wait_for(lambda: any(f"waiting for another download of {WEIGHTS}" in line
                         for line in waits))
    hold.event.set()
    assert first.communicate(timeout=WAIT_S)[0] == f"{client.snapshot}\n"
    assert second.wait(WAIT_S) == 0, waits
    reader.join()
    assert second.stdout.read() == f"{client.snapshot}\n"
    for path in filter(is_large, model_files()):
        assert len(hub.contents_sent(path)) == 1, path


def test_equal_files_of_a_model_are_downloaded_once(client, hub):
    same = b"{}" * 50000
    paths = [f"vae/{name}.safetensors" for name in "abcdef"]
    hub.files.update(dict.fromkeys(paths, same))
    code, directory, err = client.download("--include", "vae/?.safetensors")
    assert code == 0, err
    assert names_in(pathlib.Path(directory)) == set(paths)
    assert len(hub.contents_sent(paths[0])) == 1


def test_a_lock_file_that_others_remove_still_excludes(client, hub):
    lock = client.cache / ".locks" / FOLDER / f"{etag_of(WEIGHTS, hub.files[WEIGHTS])}.lock"
    lock.parent.mkdir(parents=True)
    holder = open(lock, "w")
    fcntl.flock(holder, fcntl.LOCK_EX)
    process = client.start("download", REPO)
    for line in process.stderr:
        if f"waiting for another download of {WEIGHTS}" in line:
            break
    lock.unlink()
    holder.close()
    assert process.wait(WAIT_S) == 0
    assert lock.exists()  # made anew
    process.communicate()


# ---- damage -------------------------------------------------------------------------------------


def test_a_byte_flipped_on_the_way_is_fetched_again(client, hub):
    hub.misbehave(WEIGHTS, Flip(1000))
    hub.misbehave("tokenizer/vocab.json", Flip(1000))
    code, _, err = client.download()
    assert code == 0, err
    for path in (WEIGHTS, "tokenizer/vocab.json"):
        assert f"{path}: the checksum is wrong" in err
        assert len(hub.contents_sent(path)) == 2
        assert client.blob(path).read_bytes() == hub.files[path]


def test_bytes_that_are_always_wrong_are_given_up(client, hub):
    hub.misbehave(WEIGHTS, *[Flip(1000)] * 9)
    code, _, err = client.download()
    assert code == 1
    assert f"{WEIGHTS}: the checksum is wrong after 3 downloads" in err
    assert not partial(client, WEIGHTS).exists()
    assert not client.snapshot.joinpath(WEIGHTS).exists()


def test_a_byte_flipped_in_an_interrupted_download_is_found(client, hub):
    data = bytearray(hub.files[WEIGHTS][:100000])
    data[500] ^= 1
    part = partial(client, WEIGHTS)
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    code, _, err = client.download()
    assert code == 0, err
    assert f"{WEIGHTS}: continuing at byte 100000" in err
    assert [r.status for r in hub.contents_sent(WEIGHTS)] == [206, 200]


def test_a_leftover_that_is_too_long_is_thrown_away(client, hub):
    part = partial(client, WEIGHTS)
    part.parent.mkdir(parents=True)
    part.write_bytes(hub.files[WEIGHTS] + b"x")
    assert client.download()[0] == 0
    assert [r.status for r in hub.contents_sent(WEIGHTS)] == [200]


def flip_in_cache(blob):
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def test_a_byte_flipped_in_the_cache_is_found_at_the_next_start(client, hub):
    client.locate()
    hub.forget()
    for path in (WEIGHTS, "tokenizer/merges.txt"):
        flip_in_cache(client.blob(path))
    code, _, err = client.locate(HF_HUB_OFFLINE="1")
    assert code == 1 and WEIGHTS in err and "tokenizer/merges.txt" in err
    assert hub.requests == []
    code, _, err = client.locate()
    assert code == 0, err
    for path, data in model_files().items():
        assert (client.snapshot / path).read_bytes() == data
        refetched = path in (WEIGHTS, "tokenizer/merges.txt")
        assert len(hub.contents_sent(path)) == refetched, path


def test_large_files_are_hashed_again_when_they_have_changed_or_on_request(client, hub):
    hub.files[WEIGHTS] = bytes(range(256)) * 80000  # 20 MB: more than is hashed at each start
    client.locate()
    blob = client.blob(WEIGHTS)
    flip_in_cache(blob)
    code, _, err = client.locate()
    assert code == 0 and f"{WEIGHTS} is damaged" in err
    assert blob.read_bytes() == hub.files[WEIGHTS]

    before = blob.stat()
    flip_in_cache(blob)  # what no time of modification tells
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "damaged" not in client.locate()[2]
    code, _, err = client.run("locate", REPO, "--verify")
    assert code == 0 and f"{WEIGHTS} is damaged" in err
    flip_in_cache(blob)
    code, _, err = client.download("--verify")
    assert code == 0 and f"{WEIGHTS}: the copy in the cache is damaged" in err
    assert blob.read_bytes() == hub.files[WEIGHTS]


def test_a_truncated_or_missing_blob_is_fetched_again(client, hub):
    client.locate()
    hub.forget()
    os.truncate(client.blob(WEIGHTS), 1000)
    client.blob("vae/config.json").unlink()
    code, _, err = client.locate()
    assert code == 0, err
    assert len([r for r in hub.seen() if r.bytes_sent and r.host == "127.0.0.2"]) == 1
    assert client.blob(WEIGHTS).read_bytes() == hub.files[WEIGHTS]


# ---- progress -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [0, 120, 60, 20])
def test_a_terminal_gets_a_line_that_fits(client, hub, columns):
    hold = Hold(0.5)
    hub.misbehave(WEIGHTS, hold)
    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(other_end, (24, columns))
    process = subprocess.Popen([HUB_CLI, "download", REPO], stderr=other_end,
                               stdout=subprocess.DEVNULL, env=client.environment)
    os.close(other_end)
    start = rb"\[=*> *\] " if columns in (0, 120) else rb"\r"
    end = rb" .?B \([0-9]+ %\)  [0-9]+/[0-9]+ files" if columns != 20 else b""
    shown = b""
    while not re.search(start + rb"[0-9.]+ .?B of [0-9.]+" + end, shown):
        shown += os.read(terminal, 4096)
    hold.event.set()
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait(WAIT_S) == 0
    lines = [line for line in re.split(rb"[\r\n]+", shown) if b" of " in line]
    assert max(len(line.removesuffix(b"\x1b[K")) for line in lines) < (columns or 200)
    os.close(terminal)


def test_no_terminal_gets_lines(client):
    code, directory, err = client.download()
    assert code == 0
    lines = err.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[0-9:.]+Z INFO ", line) for line in lines)
    assert f"fetching {REPO} revision=main commit={client.hub.commit}" in lines[0]
    assert f"{REPO} is complete: " in lines[-1]
    assert "\r" not in err and "\x1b" not in err
