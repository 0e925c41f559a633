"""fluxserve with a model's name: fetched once, then served from the cache."""

import json
import os
import pathlib
import subprocess

from fake_hub import REPO
from hub_run import WAIT_S, client, hub, model_files  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUXSERVE = os.environ.get("FLUXSERVE", str(ROOT / "build/release/fluxserve"))
IMAGE = ["--prompt", "a fox", "--seed", "7", "--width", "64", "--height", "64", "--steps", "1"]


def fluxserve(client, *arguments, **environment):
    return subprocess.run([FLUXSERVE, *arguments], env={**client.environment, **environment},
                          capture_output=True, text=True, timeout=5 * WAIT_S)


def test_a_name_is_fetched_once_and_gives_the_model_s_picture(client, hub, tmp_path):
    by_name, by_path = tmp_path / "name.png", tmp_path / "path.png"
    done = fluxserve(client, "generate", "--model-path", REPO, *IMAGE, "--output", by_name)
    assert done.returncode == 0, done.stderr
    hub.forget()
    again = fluxserve(client, "generate", "--model-path", REPO, *IMAGE, "--output", by_name)
    assert again.returncode == 0, again.stderr
    assert hub.requests == []
    fluxserve(client, "generate", "--model-path", ROOT / "models/tiny-flux-dev", *IMAGE,
              "--output", by_path)
    assert by_name.read_bytes() == by_path.read_bytes()


def test_plan_fetches_the_configs_alone(client, hub):
    done = fluxserve(client, "plan", "--model-path", f"{REPO}@main", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    weights = [path for path in model_files() if path.endswith(".safetensors")]
    assert sum(len(hub.contents_sent(path)) for path in weights) == 0


def test_download_prints_where_the_model_is(client, hub):
    done = fluxserve(client, "download", REPO)
    assert done.returncode == 0, done.stderr
    assert pathlib.Path(done.stdout.strip(), "model_index.json").exists()


def test_an_unknown_name_is_explained(client, hub):
    done = fluxserve(client, "--model-path", REPO, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert f"--model-path '{REPO}'" in done.stderr and "not in the cache" in done.stderr


def test_weights_that_are_replaced_are_not_fetched(client, hub, tmp_path):
    model = ROOT / "models/tiny-flux-dev"
    transformer = model / "transformer/diffusion_pytorch_model.safetensors"
    command = ["generate", "--model-path", REPO, *IMAGE, "--output", tmp_path / "out.png"]
    done = fluxserve(client, *command, "--transformer-path", transformer)
    assert done.returncode == 0, done.stderr
    assert len(hub.contents_sent("transformer/diffusion_pytorch_model.safetensors")) == 0
    assert len(hub.contents_sent("vae/diffusion_pytorch_model.safetensors")) > 0
    hub.forget()
    again = fluxserve(client, *command, "--transformer-path", transformer)
    assert again.returncode == 0 and hub.requests == []
    # without the option it is wanted after all
    assert fluxserve(client, *command).returncode == 0
    assert len(hub.contents_sent("transformer/diffusion_pytorch_model.safetensors")) > 0
