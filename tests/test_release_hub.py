"""The whole way of a release: checked, sent as one commit, tagged, and loaded by a stranger who reads only the card."""

import inspect
import re

import pytest
import yaml

from hub_server import USER, LoopbackHub
from release_parts import write_chain, write_result
from scans import synthetic_chest, write_nifti
from test_hub import Absent

REPO, SPACE = f"{USER}/tiny-med3d-r1", f"{USER}/tiny-space"

RELEASER = """
import contextlib, io, os
from pathlib import Path
from med3d_r1.cli import main
from med3d_r1.release import hub
from med3d_r1.release.files import entries_of

model, s2, s1, result, scratch, repo, space = sys.argv[1:]
scratch, said = Path(scratch), {}

def command(name, *words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    said[name] = [status, out.getvalue(), err.getvalue()]

told = ("--results", result, "--runs", s1, s2)
command("release", "release", model, "--repo-id", repo, "--tag", "v1", "--private", *told)

api = hub.open_hub()

def folder_of(name, **files):
    folder = scratch / name
    folder.mkdir()
    for path, text in files.items():
        (folder / path.replace("__", ".")).write_text(text)
    return folder

def send(name, repo_id, folder, tag, private=False, kind="model"):
    try:
        place = hub.compare(hub.find_place(api, repo_id, kind, private), entries_of(folder), tag)
        said[name] = ["sent", hub.send(hub.create(place, private), folder, "Send", tag), list(place.gone)]
    except ValueError as error:
        said[name] = ["refused", str(error), []]

config = '{"model_type": "med3d_r1"}'
first = folder_of("first", config__json=config, old__txt="1")
second = folder_of("second", config__json=config, new__txt="2")
other = "someone/other"
send("new", other, first, "v1")
send("again", other, first, "v1")
send("tag taken", other, second, "v1")
send("next version", other, second, "v2")
send("old version again", other, first, "v1")
send("public", other, second, "v2", private=True)
stale = hub.find_place(api, other, "model", False)
api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=other)
try:
    with hub.asking():
        hub.send(stale, first, "Send", "v3")
except ValueError as error:
    said["moved on"] = ["refused", str(error), []]
api.create_repo("someone/else")
api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="someone/else")
send("not ours", "someone/else", first, "v1")

page = "---\\ntitle: T\\nsdk: gradio\\nsdk_version: 6.31.0\\napp_file: app.py\\n---\\n# T\\n"
files = folder_of("space", app__py="print(1)\\n", requirements__txt="med3d-r1\\n", README__md=page)
for name in ("space", "space again"):
    command(name, "release-space", "--repo-id", space, "--model", repo, "--revision", "v1", "--folder", files)
command("no model", "release-space", "--repo-id", space, "--model", "someone/absent", "--folder", files)
result = said
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """(model folder, [S2, S1], folder of a result)."""
    folder = tmp_path_factory.mktemp("parts")
    model, runs = write_chain(folder)
    write_result(folder / "balanced", model)
    return model, runs, folder / "balanced"


@pytest.fixture(scope="module")
def released(tmp_path_factory, parts):
    """The hub after everything, and what each command said: [status, out, err]."""
    model, runs, result = parts
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        scratch = tmp_path_factory.mktemp("scratch")
        arguments = (model, *runs, result, scratch, REPO, SPACE)
        yield hub, hub.client(tmp_path_factory.mktemp("home"), RELEASER, *arguments)


def test_a_release_is_one_private_commit_and_a_tag_on_it(released, parts):
    hub, said = released
    status, out, err = said["release"]
    assert status == 0, err
    repository = hub.repository(REPO)
    assert repository.private
    assert len(repository.commits) == 2  # the Hub's own and ours
    assert repository.tags == {"v1": repository.head.sha}
    assert f"commit      {repository.head.sha}" in out
    assert f'"{REPO}", revision="{repository.head.sha}"' in out
    files = repository.head.files
    assert {path.name for path in parts[0].iterdir()} < files.keys()
    assert {
        "README.md",
        "LICENSE",
        "evaluation/balanced/mmvqa.json",
        ".eval_results/balanced-mmvqa.yaml",
    } < files.keys()
    assert [name for name, blob in files.items() if blob.lfs] == ["model.safetensors"]
    listed = dict(reversed(line.split("  ")[-2:]) for line in out.splitlines() if re.search(r"  [0-9a-f]{64}  ", line))
    assert listed == {name: blob.sha256 for name, blob in files.items() if name != ".gitattributes"}
    metadata = yaml.safe_load(files["README.md"].read().decode().split("---\n")[1])
    assert len(metadata["model-index"][0]["results"][0]["metrics"]) == 6


def test_a_stranger_follows_the_card_to_the_letter(released, tmp_path):
    """The Python block of the card, with nothing but transformers and what reads a NIfTI file."""
    hub, _ = released
    card = hub.repository(REPO).head.files["README.md"].read().decode()
    block = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    write_nifti(tmp_path / "scan.nii.gz", synthetic_chest((32, 48, 48)))
    code = f"""
import importlib.abc, os
os.chdir(sys.argv[1])
{inspect.getsource(Absent)}
sys.meta_path.insert(0, Absent("med3d_r1"))
{block.replace("max_new_tokens=256", "max_new_tokens=8")}
result = [commit, type(model).__module__, written.shape[1] > inputs["input_ids"].shape[1]]
"""
    commit, module, wrote = hub.client(tmp_path / "home", code, tmp_path)
    assert commit == hub.repository(REPO).tags["v1"]
    assert module.startswith("transformers_modules.")
    assert commit in module
    assert wrote


def test_the_code_of_the_card_is_the_code_of_the_commit(released):
    hub, _ = released
    files = hub.repository(REPO).head.files
    stated = dict(re.findall(r"\| `([0-9a-f]{64})` \| (\S+) \|", files["README.md"].read().decode()))
    code = {blob.sha256: name for name, blob in files.items() if name.endswith((".py", ".safetensors"))}
    assert stated == code


def test_a_version_is_sent_once_and_the_next_replaces_its_files(released):
    hub, said = released
    repository = hub.repository("someone/other")
    first, second, _ = repository.commits[1:]
    assert said["new"] == ["sent", first.sha, []]
    assert said["again"] == ["sent", first.sha, []]
    assert said["next version"] == ["sent", second.sha, ["old.txt"]]
    assert said["old version again"][:2] == ["sent", first.sha]
    assert repository.tags == {"v1": first.sha, "v2": second.sha}
    assert first.files.keys() - {".gitattributes"} == {"config.json", "old.txt"}
    assert second.files.keys() - {".gitattributes"} == {"config.json", "new.txt"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tag taken", r"the tag v1 is there already with other files \(2 differ, such as new.txt\)"),
        ("public", "is there already and public, and --private was said"),
        ("not ours", "holds something else, no Med3D-R1 model"),
        ("moved on", "refuses: .*moved on since"),
    ],
)
def test_what_is_there_already_is_not_overwritten(released, name, words):
    outcome, message, _ = released[1][name]
    assert outcome == "refused"
    assert re.search(words, message)


def test_a_space_starts_with_the_commit_of_its_model_and_is_sent_once(released):
    hub, said = released
    space = hub.repository(SPACE, "spaces")
    assert said["space"][0] == said["space again"][0] == 0
    assert space.variables == {"MED3D_R1_MODEL": REPO, "MED3D_R1_REVISION": hub.repository(REPO).tags["v1"]}
    assert len(space.commits) == 2
    header = yaml.safe_load(space.head.files["README.md"].read().decode().split("---\n")[1])
    assert header["models"] == [REPO]
    assert header["app_file"] == "app.py"
    assert said["no model"][0] == 2
    assert "Release the model first" in said["no model"][2]
