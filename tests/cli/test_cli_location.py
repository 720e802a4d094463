"""MODEL: a folder, a name in the hub's cache as huggingface_hub lays it out, or tiny."""

import json
import shutil

import pytest

from cli_tools import TINY, copy_model, refused, replace, run, Server

NAME = "MiniMaxAI/MiniMax-M2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture(scope="module")
def hf_home(tmp_path_factory):
    """blobs hold the bytes, snapshots link to them, refs name commits."""
    home = tmp_path_factory.mktemp("hf")
    repository = home / "hub" / "models--MiniMaxAI--MiniMax-M2"
    (repository / "blobs").mkdir(parents=True)
    for commit in (COMMIT, OTHER):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for number, file in enumerate(sorted(TINY.iterdir())):
            blob = repository / "blobs" / f"{number:040x}"
            if not blob.exists():
                shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "refs" / "v1.1").write_text(OTHER + "\n")
    return home


def test_a_hub_name_is_found_by_hf_home(hf_home):
    done = run("inspect", NAME, "--json", env={"HF_HOME": str(hf_home)})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"].endswith(f"snapshots/{COMMIT}") and report["checkpoint"]["weights_present"]


@pytest.mark.parametrize("variables", ["HF_HUB_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_a_hub_name_is_found_by_the_other_variables(hf_home, tmp_path, variables):
    folder = {"HF_HUB_CACHE": "", "XDG_CACHE_HOME": "huggingface", "HOME": ".cache/huggingface"}[variables]
    if variables == "HF_HUB_CACHE":
        value = hf_home / "hub"
    else:
        (tmp_path / folder).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder).symlink_to(hf_home)
        value = tmp_path
    done = run("inspect", NAME, env={variables: str(value)})
    assert done.returncode == 0, done.stderr


def test_hf_hub_cache_wins_over_hf_home(hf_home, tmp_path):
    refused("inspect", NAME, code=1, says=[tmp_path],
            env={"HF_HOME": str(hf_home), "HF_HUB_CACHE": str(tmp_path)})


@pytest.mark.parametrize("revision, commit", [("main", COMMIT), ("v1.1", OTHER), (OTHER, OTHER)])
def test_a_revision_is_a_ref_or_a_commit(hf_home, revision, commit):
    done = run("inspect", NAME, "--revision", revision, env={"HF_HOME": str(hf_home)})
    assert done.returncode == 0 and f"snapshots/{commit}" in done.stdout


def test_serve_by_hub_name_revision_and_download_dir(hf_home):
    with Server(NAME, "--download-dir", hf_home / "hub", "--revision", "v1.1") as server:
        assert f"snapshots/{OTHER}" in server.log()
        assert server.http.get("/v1/models").json()["data"][0]["id"] == NAME
        assert server.complete(max_tokens=1).status_code == 200


@pytest.mark.parametrize("verb", [["serve"], ["inspect"], ["bench", "step"], ["chat"]])
def test_a_hub_name_that_is_not_there_prints_the_download_command(tmp_path, verb):
    refused(*verb, NAME, code=1, says=[NAME, tmp_path, f"hf download {NAME}"], env={"HF_HOME": str(tmp_path)})


def test_a_revision_that_is_not_there(hf_home):
    refused("serve", NAME, "--revision", "v9", code=1, says=["v9", f"hf download {NAME} --revision v9"],
            env={"HF_HOME": str(hf_home)})


def test_a_half_finished_download_is_not_taken_for_a_model(hf_home, tmp_path):
    copy = tmp_path / "hub"
    shutil.copytree(hf_home / "hub", copy, symlinks=True)
    blobs = copy / "models--MiniMaxAI--MiniMax-M2" / "blobs"
    shard = (copy / "models--MiniMaxAI--MiniMax-M2" / "snapshots" / COMMIT / "model-00002-of-00002.safetensors")
    (blobs / shard.readlink().name).unlink()
    refused("serve", NAME, code=1, says=["model-00002-of-00002.safetensors"], env={"HF_HUB_CACHE": str(copy)})


@pytest.mark.parametrize("model, says", [
    ("", ["empty"]), ("/nonexistent", ["/nonexistent"]), ("../../etc/passwd/x", ["etc/passwd"]),
    ("a/b/c", ["a/b/c"]), ("word", ["word"]), ("org/..", ["org/.."]),
])
def test_no_such_model(model, says):
    refused("inspect", model, code=1, says=says)


def test_a_file_is_no_model():
    refused("serve", TINY / "config.json", code=1, says=["config.json", "folder"])


def test_a_folder_without_config(tmp_path):
    refused("serve", tmp_path, code=1, says=[tmp_path, "config.json"])


def test_model_by_flag():
    with Server("--model", "tiny") as server:
        assert server.http.get("/v1/models").json()["data"][0]["id"] == "tiny"


def test_the_tokenizer_may_lie_elsewhere(tmp_path):
    model = copy_model(tmp_path / "m", without=["tokenizer.json"])
    refused("serve", model, "--port", "0", code=1, says=["tokenizer.json"])
    with Server(model, "--tokenizer", TINY) as server:
        assert server.complete(max_tokens=1).status_code == 200
    replace(tmp_path / "m" / "tokenizer.json", "{}")
    refused("serve", "tiny", "--tokenizer", tmp_path / "m", code=1, says=["tokenizer.json"])
