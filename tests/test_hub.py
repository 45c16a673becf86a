"""The whole way of a checkpoint: made, uploaded in one commit, loaded by other processes that know only its name."""

import importlib.abc
import inspect
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from hub_server import LoopbackHub
from med3d_r1 import cli
from med3d_r1.checkpoints import initialize, save_checkpoint
from scans import synthetic_chest

REPO = "someone/tiny-med3d-r1"
ROOT = Path(__file__).resolve().parent.parent
AUTO_CLASSES = ("AutoModel", "AutoModelForImageTextToText", "AutoModelForCausalLM")

READING_PACKAGES = ("gdcm", "isal", "nibabel", "openjpeg", "pydicom", "pyjpegls", "pylibjpeg", "rle", "SimpleITK")


def generate(model, processor, scan) -> list[int]:
    """The tokens that a model says about a scan. Client processes get this function's source."""
    content = [{"type": "image", "image": scan}, {"type": "text", "text": "What is seen in this scan?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return tokens[0, inputs["input_ids"].shape[1] :].tolist()


class Absent(importlib.abc.MetaPathFinder):
    """Makes packages look as if they had never been installed. Client processes get this class's source."""

    def __init__(self, *packages: str):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def client_code(body: str, *absent: str) -> str:
    """The program of a client process: `generate` is there, and the packages in `absent` are not."""
    return f"""
import importlib.abc, sys
{inspect.getsource(Absent)}
sys.meta_path.insert(0, Absent(*{absent}))

import numpy, transformers
{inspect.getsource(generate)}
repo, sha, file, *spacing = sys.argv[1:]
scan = {{"array": numpy.load(file), "spacing": [float(millimetres) for millimetres in spacing]}}
{body}"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> dict:
    """A synthetic chest as an array with its spacing, in a file that any process reads with numpy alone."""
    chest = synthetic_chest(shape=(56, 84, 84))
    path = tmp_path_factory.mktemp("scan") / "chest.npy"
    np.save(path, chest.voxels())
    return {"file": path, "spacing": chest.spacing, "affine": chest.affine}


@pytest.fixture(scope="module")
def released(tmp_path_factory, scan):
    """The hub with the checkpoint on it, the commit's sha, and what the model generates before it leaves home."""
    model, processor = initialize("tiny")
    folder = save_checkpoint(model, processor, tmp_path_factory.mktemp("release") / "tiny")
    tokens = generate(model, processor, {"array": np.load(scan["file"]), "spacing": scan["spacing"]})

    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.create(REPO)
        code = "result = huggingface_hub.HfApi().upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2]).oid"
        sha = hub.client(tmp_path_factory.mktemp("home"), code, REPO, folder)
        yield hub, sha, tokens


def test_the_upload_is_one_commit_with_weights_settings_and_code(released, tmp_path_factory):
    hub, sha, _ = released
    history = hub.repository(REPO).commits
    assert [commit.sha for commit in history[1:]] == [sha]
    files = history[-1].files
    assert {"config.json", "generation_config.json", "processor_config.json", "tokenizer.json"} <= files.keys()
    assert {file.name for file in ROOT.glob("*_med3d_r1.py")} == {name for name in files if name.endswith(".py")}
    assert [name for name, blob in files.items() if blob.lfs] == ["model.safetensors"]
    paths_of_this_machine = [str(ROOT).encode(), str(tmp_path_factory.getbasetemp()).encode()]
    assert not any(path in blob.read() for path in paths_of_this_machine for blob in files.values())


def test_auto_classes_load_a_revision_with_its_own_code_and_generate(released, scan, tmp_path):
    hub, sha, expected = released
    body = f"""
remote = {{"trust_remote_code": True, "revision": sha}}
processor = transformers.AutoProcessor.from_pretrained(repo, **remote)
result = [[type(processor).__module__, None]]
for name in {AUTO_CLASSES}:
    model = getattr(transformers, name).from_pretrained(repo, **remote)
    result.append([type(model).__module__, generate(model, processor, scan)])
"""
    code = client_code(body, "med3d_r1")
    loaded = hub.client(tmp_path, code, REPO, sha, scan["file"], *scan["spacing"])
    modules, tokens = zip(*loaded, strict=True)
    assert all(module.startswith("transformers_modules.") and sha in module for module in modules)
    assert tokens == (None, expected, expected, expected)
    downloads = [path for method, path, status in hub.requests if method == "GET" and "/resolve/" in path]
    assert downloads
    assert all(f"/resolve/{sha}/" in path for path in downloads)


def test_arrays_need_no_reading_package_and_a_nifti_file_names_the_one_it_needs(released, scan, tmp_path):
    hub, sha, expected = released
    nifti = tmp_path / "chest.nii"
    nibabel.save(nibabel.Nifti1Image(np.load(scan["file"]), scan["affine"]), nifti)
    body = f"""
remote = {{"trust_remote_code": True, "revision": sha}}
processor = transformers.AutoProcessor.from_pretrained(repo, **remote)
model = transformers.AutoModelForImageTextToText.from_pretrained(repo, **remote)
result = [generate(model, processor, scan)]
try:
    processor.image_processor(images={str(nifti)!r}, return_tensors="pt")
except ValueError as refusal:
    result += [type(refusal).__name__, str(refusal)]
"""
    code = client_code(body, "med3d_r1", *READING_PACKAGES)
    tokens, error, message = hub.client(tmp_path / "home", code, REPO, sha, scan["file"], *scan["spacing"])
    assert tokens == expected
    assert error == "VolumeError"
    assert "chest.nii" in message
    assert "pip install nibabel" in message


def test_the_registered_package_needs_no_trust(released, scan, tmp_path):
    hub, sha, expected = released
    body = f"""
import med3d_r1
med3d_r1.register()
med3d_r1.register()  # twice is as good as once
processor = transformers.AutoProcessor.from_pretrained(repo, revision=sha)
image_processor = transformers.AutoImageProcessor.from_pretrained(repo, revision=sha)
result = [[type(processor).__module__, None], [type(image_processor).__module__, None]]
for name in {AUTO_CLASSES}:
    model = getattr(transformers, name).from_pretrained(repo, revision=sha)
    result.append([type(model).__module__, generate(model, processor, scan)])
result.append([None, "transformers_modules" in sys.modules])
"""
    *loaded, (_, dynamic) = hub.client(tmp_path, client_code(body), REPO, sha, scan["file"], *scan["spacing"])
    modules, tokens = zip(*loaded, strict=True)
    model = "med3d_r1.modeling_med3d_r1"
    assert modules == ("med3d_r1.processing_med3d_r1", "med3d_r1.image_processing_med3d_r1", model, model, model)
    assert tokens == (None, None, expected, expected, expected)
    assert not dynamic


def test_what_comes_from_the_hub_is_known_by_its_commit(released, scan, tmp_path):
    """A model that has changed since its tag was set (its processor takes another mean off): with the tag and without
    it, measured and trained further; and a revision that is not there."""
    hub, _, _ = released
    repository = hub.create("someone/moved")
    files = hub.repository(REPO).head.files
    tagged = repository.commit("first", files).sha
    repository.tags["v1"] = tagged
    settings = json.loads(files["processor_config.json"].read())
    settings["image_processor"]["mean"] = 0.25
    changed = hub.store([json.dumps(settings).encode()], lfs=False)
    head = repository.commit("second", files | {"processor_config.json": changed}).sha
    code = """
import contextlib, io
from med3d_r1 import cli
from med3d_r1.checkpoints import load_checkpoint
from med3d_r1.evaluation.predictors import ModelPredictor
from med3d_r1.training.stages import start_of
repo, file, *spacing = sys.argv[1:]
result = []
for revision in ("v1", None):
    model, processor = load_checkpoint(repo, "cpu", revision=revision)
    described = ModelPredictor(model, processor, revision=revision).describe()
    result.append([described["repository"], described["revision"], processor.image_processor.mean])
with contextlib.redirect_stderr(io.StringIO()) as said:
    status = cli.main(["inspect", file, "--spacing", *spacing, "--model", repo, "--revision", "v9"])
result += [status, said.getvalue(), start_of(repo)]
"""
    arguments = ("someone/moved", scan["file"], *scan["spacing"])
    first, second, status, said, start = hub.client(tmp_path, code, *arguments)
    assert (first, second) == (["someone/moved", tagged, 0.5], ["someone/moved", head, 0.25])
    missing = "someone/moved: no such folder, and no repository with the revision v9 on the Hub within reach"
    assert (status, said) == (cli.WRONG_INPUT, f"med3d-r1: error: {missing}\n")
    assert start == {"model": "someone/moved", "commit": head}  # as the record of a training run names it
