"""The OpenAI Python SDK against fluxserve."""

import base64
import io

import openai
import pytest
from PIL import Image

EXTRA = {"num_inference_steps": 2, "seed": 11}


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def decode(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_b64_json_is_a_picture_of_the_size_asked_for(client):
    answer = client.images.generate(model="flux", prompt="a fox", size="64x80",
                                    response_format="b64_json", extra_body=EXTRA)
    assert len(answer.data) == 1
    assert decode(base64.b64decode(answer.data[0].b64_json)).size == (64, 80)
    assert answer.size == "64x80"
    assert answer.output_format == "png"
    assert answer.created > 1_700_000_000
    assert answer.usage.input_tokens > 0
    assert answer.usage.total_tokens == answer.usage.input_tokens
    assert answer.seed == 11


def test_url_can_be_fetched(client, server):
    answer = client.images.generate(prompt="a fox", size="64x64", response_format="url",
                                    extra_body=EXTRA)
    assert answer.data[0].b64_json is None
    path = answer.data[0].url.removeprefix(server.url)
    status, headers, body = server.ask("GET", path)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert decode(body).size == (64, 64)


def test_n_gives_images_of_consecutive_seeds(client):
    two = client.images.generate(prompt="a fox", size="64x64", n=2, extra_body=EXTRA)
    second = client.images.generate(prompt="a fox", size="64x64",
                                    extra_body={**EXTRA, "seed": EXTRA["seed"] + 1})
    assert len(two.data) == 2
    assert two.data[0].b64_json != two.data[1].b64_json
    assert two.data[1].b64_json == second.data[0].b64_json


def test_wrong_size_is_a_bad_request_that_names_the_field(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(prompt="a fox", size="65x64")
    assert error.value.param == "size"
    assert error.value.type == "invalid_request_error"
    assert "65x64" in error.value.message


@pytest.mark.parametrize("fields, param", [
    ({"size": "large"}, "size"),
    ({"n": 11}, "n"),
    ({"output_format": "gif"}, "output_format"),
    ({"background": "transparent"}, "background"),
    ({"quality": "best"}, "quality"),
    ({"extra_body": {"num_inference_steps": 0}}, "num_inference_steps"),
    ({"extra_body": {"num_inference_steps": 101}}, "num_inference_steps"),
    ({"extra_body": {"guidance_scale": "3.5"}}, "guidance_scale"),
    ({"extra_body": {"seed": -1}}, "seed"),
    ({"extra_body": {"max_sequence_length": 513}}, "max_sequence_length"),
    ({"extra_body": {"width": 100}}, "size"),
    ({"extra_body": {"stream": True}}, "stream"),
])
def test_each_bad_value_names_its_field(client, fields, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(prompt="a fox", **fields)
    assert error.value.param == param
    assert error.value.code == "invalid_value"


def test_empty_prompt_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.images.generate(prompt="")
    assert error.value.param == "prompt"


def test_models_are_listed(client):
    names = [model.id for model in client.models.list()]
    assert "tiny-flux-dev" in names
    assert client.models.retrieve("tiny-flux-dev").owned_by == "fluxbench"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("other")
    assert error.value.code == "model_not_found"
