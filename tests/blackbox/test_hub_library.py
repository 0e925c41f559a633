"""The cache is the one of huggingface_hub: it reads ours, and we use one that it wrote."""

import json
import subprocess
import sys

import pytest
from fake_hub import REPO, etag_of
from hub_run import FOLDER, TOKEN, WAIT_S, client, hub, model_files  # noqa: F401

pytest.importorskip("huggingface_hub")
filelock = pytest.importorskip("filelock")

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def library(client, code, **environment):
    """Run code with huggingface_hub in a process with the client's environment; its last value."""
    result = subprocess.run(
        [sys.executable, "-c", f"import huggingface_hub as h, json; print(json.dumps({code}))"],
        env={**client.environment, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
             "HF_HUB_DISABLE_UPDATE_CHECK": "1", **environment},
        capture_output=True, text=True, timeout=WAIT_S)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_library_reads_the_cache_that_we_wrote(client, hub):
    code, directory, err = client.locate()
    assert code == 0, err
    hub.forget()
    found = library(client, f"h.snapshot_download({REPO!r}, local_files_only=True)")
    assert found == directory
    assert library(client, f"h.snapshot_download({REPO!r})", HF_HUB_OFFLINE="1") == directory
    file = library(client, f"h.try_to_load_from_cache({REPO!r}, {WEIGHTS!r})")
    assert file == f"{directory}/{WEIGHTS}"
    assert hub.requests == []


def test_the_library_finds_nothing_wrong_with_it(client, hub):
    client.locate()
    warnings, repos = library(
        client, "(lambda c: [[str(w) for w in c.warnings], [[r.repo_id, r.size_on_disk, "
                "[[v.commit_hash, sorted(v.refs), len(v.files)] for v in r.revisions]] "
                "for r in c.repos]])(h.scan_cache_dir())")
    files = model_files()
    assert warnings == []
    assert repos == [[REPO, sum(map(len, files.values())), [[hub.commit, ["main"], len(files)]]]]


def test_the_library_downloads_nothing_that_we_have(client, hub):
    directory = client.locate()[1]
    hub.forget()
    patterns = sorted(model_files())
    found = library(client, f"h.snapshot_download({REPO!r}, allow_patterns={patterns!r})")
    assert found == directory
    assert sum(len(hub.contents_sent(path)) for path in model_files()) == 0


def test_we_use_the_cache_that_the_library_wrote(client, hub):
    patterns = sorted(model_files())
    directory = library(client, f"h.snapshot_download({REPO!r}, allow_patterns={patterns!r})")
    hub.forget()
    assert client.locate()[:2] == (0, directory)
    assert client.locate(HF_HUB_OFFLINE="1")[:2] == (0, directory)
    assert hub.requests == []
    code, again, err = client.download()  # asks, finds all there
    assert (code, again) == (0, directory), err
    assert sum(len(hub.contents_sent(path)) for path in model_files()) == 0
    assert client.run("locate", REPO, "--verify")[:2] == (0, directory)


def test_we_complete_what_the_library_has_begun(client, hub):
    library(client, f"h.hf_hub_download({REPO!r}, {WEIGHTS!r})")
    hub.forget()
    code, directory, err = client.locate()
    assert code == 0, err
    assert hub.contents_sent(WEIGHTS) == []
    assert library(client, f"h.snapshot_download({REPO!r}, local_files_only=True)") == directory


def test_both_find_the_same_cache_and_token(client, hub, tmp_path):
    (tmp_path / "my token").write_text(TOKEN)
    hub.gated, hub.token, hub.members = True, TOKEN, {TOKEN}
    for environment in ({"HF_HOME": str(tmp_path / "a")},
                        {"HF_HUB_CACHE": str(tmp_path / "b")},
                        {"HUGGINGFACE_HUB_CACHE": str(tmp_path / "c")},
                        {"HF_HUB_CACHE": "~/d", "HOME": str(tmp_path)},
                        {"HF_HUB_CACHE": "$WHERE/e/${WHAT}", "WHERE": str(tmp_path), "WHAT": "f"}):
        environment = {"HF_TOKEN_PATH": str(tmp_path / "my token"), **environment}
        code, directory, err = client.locate(**environment)
        assert code == 0, err
        found = library(client, f"h.snapshot_download({REPO!r}, local_files_only=True)", **environment)
        assert found == directory


def test_the_librarys_lock_is_respected(client, hub):
    etag = etag_of(WEIGHTS, hub.files[WEIGHTS])
    path = client.cache / ".locks" / FOLDER / f"{etag}.lock"
    path.parent.mkdir(parents=True)
    with filelock.FileLock(path):
        process = client.start("download", REPO)
        for line in process.stderr:
            if f"waiting for another download of {WEIGHTS}" in line:
                break
        assert hub.contents_sent(WEIGHTS) == []
    assert process.wait(WAIT_S) == 0
    process.communicate()
