"""Models known by name, without a hub: planned from built-in configs."""

import json
import os
import subprocess

import pytest

from conftest import FLUXSERVE, ROOT

DEV, SCHNELL = "black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell"
CONFIGS = ROOT / "tests/data/configs"


@pytest.fixture
def fluxserve(tmp_path):
    """Run fluxserve in an empty place: no cache, no token, and a hub that refuses connections."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    clean |= {"HF_HOME": str(tmp_path / "empty"), "HF_ENDPOINT": "http://127.0.0.1:9"}

    def run(*arguments):
        return subprocess.run([FLUXSERVE, *map(str, arguments)], env=clean, cwd=tmp_path,
                              capture_output=True, text=True, timeout=300)

    yield run
    assert not (tmp_path / "empty").exists()  # nothing was looked up or fetched


def plan(fluxserve, *arguments):
    done = fluxserve("plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name, folder, sequence", [
    (DEV, "FLUX.1-dev-configs", 512), (SCHNELL, "FLUX.1-schnell-configs", 256)])
def test_a_known_name_plans_as_its_configs_do(fluxserve, name, folder, sequence):
    by_name = plan(fluxserve, "--model-path", name)
    by_path = plan(fluxserve, "--model-path", CONFIGS / folder, "--max-sequence-length", sequence)
    assert by_name == by_path


def test_plan_explains_what_does_not_fit(fluxserve):
    done = fluxserve("plan", "--model-path", DEV, "--device-memory", "24GiB")
    assert done.returncode == 0, done.stderr
    assert "device memory          24.00 GiB" in done.stdout
    assert "does not fit by" in done.stdout
    result = plan(fluxserve, "--model-path", DEV, "--device-memory", "24GiB")
    memory = result["device_memory"]
    assert memory["device_bytes"] == 24 << 30 and memory["fits"] is False
    assert memory["total_bytes"] == result["weight_bytes"] + result["scratch_bytes"]


def test_named_options_do_make_it_fit(fluxserve):
    """At 33 GiB the weights fit but f32 scratch does not: each remedy is tried as it is written."""
    model = ("--model-path", DEV, "--device-memory", "33.5GiB")
    remedies = plan(fluxserve, *model)["device_memory"]["would_fit_with"]
    assert {"--dtype bf16"} <= {remedy["options"] for remedy in remedies}
    for remedy in remedies:
        memory = plan(fluxserve, *model, *remedy["options"].split())["device_memory"]
        assert memory["fits"], remedy
        assert memory["total_bytes"] == remedy["total_bytes"]


def test_enough_memory_fits(fluxserve):
    done = fluxserve("plan", "--model-path", SCHNELL, "--device-memory", "80GB")
    assert "fits, left over" in done.stdout and "would fit" not in done.stdout


@pytest.mark.parametrize("size", ["", "0", "-1GiB", "24 apples", "GiB", "1e40"])
def test_a_malformed_memory_size_is_refused(fluxserve, size):
    done = fluxserve("plan", "--model-path", DEV, "--device-memory", size)
    assert done.returncode == 2
    assert "--device-memory" in done.stderr and "24GiB" in done.stderr
