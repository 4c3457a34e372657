"""Loading by name through the real client of the Hub, against a local server that speaks its API."""

import json
import shutil

import pytest

from electra_common import CheckpointError, convert_checkpoint, open_checkpoint
from electra_common.weights.fingerprint import fingerprint
from electra_common.weights.hub import wanted_files
from support.fixtures import GOOGLE, GOOGLE_HEADS, TRANSFORMERS
from support.hub_server import COMMIT, hub_server, never_wait
from support.warm_processes import run_code, run_electra

NAME = "someone/electra-tiny"
SOURCE = TRANSFORMERS / "small-like" / "ForPreTraining"
EXPECTED = fingerprint(open_checkpoint(SOURCE).component().tensors)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5"):
        shutil.copy(SOURCE / name, folder / name)
    (folder / "vocab.txt").write_text("[PAD]\n")
    (folder / "README.md").write_text("not needed\n")
    return folder


def inspect(name, cache, address, *options, **environment):
    """Run `electra inspect` in a process of its own: the client reads its settings when it is imported."""
    environment = {"HF_HOME": str(cache), **settings(address), **environment}
    return run_electra("inspect", name, "--json", *options, environment=environment, prepare=never_wait)


def settings(address, **others):
    """Return what the client is told by its environment."""
    fixed = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    return {"HF_ENDPOINT": address, **fixed, **others}


def fetched(requests):
    return {path.rpartition("/")[2] for command, path, _ in requests if command == "GET" and "/resolve/" in path}


def test_a_name_is_fetched_in_the_safest_form_and_nothing_else(repository, tmp_path):
    with hub_server(NAME, repository) as (address, requests):
        finished = inspect(NAME, tmp_path / "cache", address)
        assert finished.returncode == 0, finished.stderr
        content = json.loads(finished.stdout)
        assert content["format"] == "safetensors"
        assert content["components"][0]["fingerprint"] == EXPECTED
        assert fetched(requests) == {"config.json", "vocab.txt", "model.safetensors"}
        # The first question tells whether there is a network; the client puts that for a tree again for 23 seconds.
        assert "/tree/" not in requests[0][1]


@pytest.mark.parametrize(
    ("removed", "format"), [(["model.safetensors"], "bin"), (["model.safetensors", "pytorch_model.bin"], "h5")]
)
def test_without_safetensors_the_next_safest_form_is_fetched(repository, tmp_path, removed, format):
    for name in removed:
        (repository / name).unlink()
    with hub_server(NAME, repository) as (address, _):
        content = json.loads(inspect(NAME, tmp_path / "cache", address).stdout)
    assert content["format"] == format
    assert content["components"][0]["fingerprint"] == EXPECTED


def test_what_was_fetched_once_is_there_without_a_network(repository, tmp_path):
    with hub_server(NAME, repository) as (address, _):
        assert inspect(NAME, tmp_path / "cache", address).returncode == 0
    for environment in ({"HF_HUB_OFFLINE": "1"}, {}):  # asked to stay offline; and simply nobody there
        finished = inspect(NAME, tmp_path / "cache", address, **environment)
        assert finished.returncode == 0, finished.stderr
        assert json.loads(finished.stdout)["components"][0]["fingerprint"] == EXPECTED


def test_the_token_goes_along(repository, tmp_path):
    with hub_server(NAME, repository) as (address, requests):
        inspect(NAME, tmp_path / "cache", address, HF_TOKEN="hf_secret")
        assert {token for _, path, token in requests if "/resolve/" in path} == {"Bearer hf_secret"}


def test_a_revision_is_asked_for_and_an_unknown_one_is_a_clear_error(repository, tmp_path):
    code = (
        "import sys; from electra_common import open_checkpoint;"
        f"print(open_checkpoint({NAME!r}, revision=sys.argv[1], cache_dir=sys.argv[2]).path)"
    )
    with hub_server(NAME, repository) as (address, requests):
        for revision, returncode in ((COMMIT, 0), ("nonsense", 1)):
            finished = run_code(code, revision, tmp_path / "cache", environment=settings(address))
            assert finished.returncode == returncode, finished.stderr
            if revision == COMMIT:
                assert COMMIT in finished.stdout
            else:
                assert "CheckpointError" in finished.stderr
                assert "nonsense" in str(requests)


def test_a_repository_that_is_not_there_is_one_clear_line(repository, tmp_path):
    with hub_server(NAME, repository) as (address, _):
        finished = inspect("someone/else", tmp_path / "cache", address)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert "someone/else: no such file or folder, and it cannot be fetched from the Hub" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_download_that_breaks_off_is_an_error_and_never_a_checkpoint(repository, tmp_path):
    cache = tmp_path / "cache"
    with hub_server(NAME, repository, broken=["model.safetensors"]) as (address, _):
        finished = inspect(NAME, cache, address)
    assert finished.returncode == 2, finished.stdout
    assert "cannot be fetched" in finished.stderr
    assert not list(cache.rglob("model.safetensors"))
    with hub_server(NAME, repository) as (address, _):
        assert json.loads(inspect(NAME, cache, address).stdout)["components"][0]["fingerprint"] == EXPECTED


FROM_THE_HUB = """
import sys
from electra_{family} import {prefix}ElectraForPreTraining
model, report = {prefix}ElectraForPreTraining.from_pretrained(
    sys.argv[1], revision=sys.argv[2], cache_dir=sys.argv[3], output_loading_info=True
)
print(report.format, len(report.loaded), model.config.hidden_size)
"""


@pytest.mark.parametrize(
    ("family", "package"), [("pt", "torch"), pytest.param("tf", "keras", marks=pytest.mark.thorough)]
)
def test_a_model_is_loaded_by_its_name_and_again_without_a_network(repository, tmp_path, family, package):
    pytest.importorskip(package)
    code = FROM_THE_HUB.format(family=family, prefix="TF" if family == "tf" else "")
    arguments = (code, NAME, COMMIT, tmp_path / "cache")
    with hub_server(NAME, repository) as (address, requests):
        environment = settings(address, HF_TOKEN="hf_secret")
        first = run_code(*arguments, environment=environment)
        assert first.returncode == 0, first.stderr
        assert fetched(requests) == {"config.json", "vocab.txt", "model.safetensors"}
        assert {token for _, path, token in requests if "/resolve/" in path} == {"Bearer hf_secret"}
    second = run_code(*arguments, environment={**environment, "HF_HUB_OFFLINE": "1"})
    assert second.returncode == 0, second.stderr
    expected = ["safetensors", str(len(open_checkpoint(SOURCE).component().tensors)), "32"]
    assert first.stdout.split() == second.stdout.split() == expected


def test_both_networks_come_with_both_configs(repository, tmp_path):
    shutil.rmtree(repository)
    convert_checkpoint(GOOGLE / "trained", repository, format="joint", num_attention_heads=GOOGLE_HEADS)
    with hub_server(NAME, repository) as (address, requests):
        content = json.loads(inspect(NAME, tmp_path / "cache", address).stdout)
        assert fetched(requests) == {"config.json", "generator_config.json", "joint.safetensors"}
    assert content["format"] == "joint"
    heads = {item["component"]: item["config"]["num_attention_heads"] for item in content["components"]}
    assert heads == GOOGLE_HEADS


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["tf_model.h5", "pytorch_model.bin", "model.keras"], "model.keras"),
        (["tf_model.h5", "flax_model.msgpack"], "flax_model.msgpack"),
        (["pytorch_model.bin", "joint.safetensors"], "joint.safetensors"),
        (["pytorch_model.bin", "model.npz"], "model.npz"),
    ],
)
def test_the_order_is_that_of_a_local_folder(tmp_path, present, expected):
    for name in present:
        (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")  # the error names the file
    with pytest.raises(CheckpointError, match=f"{tmp_path / expected}: a Git-LFS pointer"):
        open_checkpoint(tmp_path)
    assert wanted_files(present) == [expected]


def test_shards_are_wanted_with_their_index():
    names = ["config.json", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "README.md"]
    assert wanted_files(names) == ["config.json", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"]


TOKENIZER_FROM_THE_HUB = """
import sys
from electra_common import ElectraTokenizer, ElectraTokenizerFast
for kind in (ElectraTokenizer, ElectraTokenizerFast):
    tokenizer = kind.from_pretrained(sys.argv[1], cache_dir=sys.argv[2], local_files_only=len(sys.argv) > 3)
    print(tokenizer.tokenize("Unaffable"), tokenizer.model_max_length)
"""


def test_a_tokenizer_by_name_is_fetched_without_weights(repository, tmp_path):
    from support.tokenizers import VOCABULARY

    shutil.copy(VOCABULARY, repository / "vocab.txt")
    (repository / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    positions = json.loads((repository / "config.json").read_text())["max_position_embeddings"]

    def load(address, *arguments):
        given = (NAME, tmp_path / "cache", *arguments)
        return run_code(TOKENIZER_FROM_THE_HUB, *given, environment=settings(address), prepare=never_wait)

    with hub_server(NAME, repository) as (address, requests):
        finished = load(address)
        assert finished.stdout == f"['una', '##ffa', '##ble'] {positions}\n" * 2, finished.stderr
        assert fetched(requests) == {"config.json", "vocab.txt", "tokenizer_config.json"}
    assert load(address, "offline").stdout == finished.stdout
    with hub_server(NAME, repository, broken=["vocab.txt"]) as (address, _):
        shutil.rmtree(tmp_path / "cache")
        assert "cannot be fetched from the Hub" in load(address).stderr
