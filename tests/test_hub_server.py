"""The loopback Hub answers the real client of huggingface_hub as the Hub does."""

from pathlib import Path

import pytest

from hub_server import LoopbackHub

REPO = "someone/a-model"


CLIENT = "from huggingface_hub import HfApi, errors, snapshot_download\napi = HfApi()\n"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {
        "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
        "config.json": b"{}",
        "folder/deeper/note with space.txt": b"one\ntwo\n",
        "model.safetensors": bytes(range(256)) * 8000,
    }


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory, files):
    """A hub after one upload_folder and one tag, with what the client saw."""
    folder = tmp_path_factory.mktemp("upload")
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        code = f"""{CLIENT}
url = api.create_repo("{REPO}")
api.create_repo("{REPO}", exist_ok=True)
commit = api.upload_folder(repo_id="{REPO}", folder_path=sys.argv[1], commit_message="all at once")
api.create_tag("{REPO}", tag="v1.0")
again = api.upload_folder(repo_id="{REPO}", folder_path=sys.argv[1], commit_message="nothing new")
result = [str(url), commit.oid, again.oid]
"""
        url, sha, again = hub.client(tmp_path_factory.mktemp("home"), code, folder)
        assert url == f"{hub.url}/{REPO}"
        assert again == sha  # unchanged files make no commit
        yield hub, sha


def test_an_upload_is_one_commit_with_binary_files_as_lfs(uploaded, files):
    hub, sha = uploaded
    history = hub.repository(REPO).commits
    assert [commit.message for commit in history] == ["initial commit", "all at once"]
    assert history[-1].sha == sha
    stored = {path: blob.read() for path, blob in history[-1].files.items()}
    assert stored.pop(".gitattributes").startswith(b"*.bin filter=lfs")
    assert stored == files
    assert [path for path, blob in history[-1].files.items() if blob.lfs] == ["model.safetensors"]


@pytest.mark.parametrize("revision", ["main", "v1.0", "sha"])
def test_a_snapshot_brings_the_files_back_from_each_name_of_the_revision(uploaded, files, tmp_path, revision):
    hub, sha = uploaded
    code = f'{CLIENT}result = snapshot_download("{REPO}", revision=sys.argv[1])'
    folder = hub.client(tmp_path, code, sha if revision == "sha" else revision)
    assert Path(folder).name == sha
    assert {path: (Path(folder) / path).read_bytes() for path in files} == files


def test_a_tag_stays_where_it_was_set(tmp_path):
    code = f"""{CLIENT}
api.create_repo("{REPO}")
api.upload_file(path_or_fileobj=b"old", path_in_repo="file.txt", repo_id="{REPO}")
api.create_tag("{REPO}", tag="v1.0")
api.upload_file(path_or_fileobj=b"new", path_in_repo="file.txt", repo_id="{REPO}")
try:
    api.create_tag("{REPO}", tag="v1.0")
    conflict = None
except errors.HfHubHTTPError as error:
    conflict = error.response.status_code
texts = [open(api.hf_hub_download("{REPO}", "file.txt", revision=revision)).read() for revision in ("main", "v1.0")]
tags = {{tag.name: tag.target_commit for tag in api.list_repo_refs("{REPO}").tags}}
api.delete_file("file.txt", "{REPO}")
result = [texts, tags, conflict, api.list_repo_files("{REPO}")]
"""
    with LoopbackHub(tmp_path / "hub") as hub:
        texts, tags, conflict, left = hub.client(tmp_path / "home", code)
        history = hub.repository(REPO).commits
    assert texts == ["new", "old"]
    assert tags == {"v1.0": history[1].sha}
    assert conflict == 409
    assert left == [".gitattributes"]


def test_listings_and_questions_about_files(uploaded, tmp_path):
    hub, sha = uploaded
    code = f"""{CLIENT}
top = {{entry.path: type(entry).__name__ for entry in api.list_repo_tree("{REPO}")}}
deep = [entry.path for entry in api.list_repo_tree("{REPO}", recursive=True)]
inside = [entry.path for entry in api.list_repo_tree("{REPO}", "folder/deeper")]
present = [api.file_exists("{REPO}", name) for name in ("config.json", "absent.json")]
info = api.model_info("{REPO}", revision="v1.0")
result = [top, deep, inside, present, info.sha, [file.rfilename for file in info.siblings]]
"""
    top, deep, inside, present, info_sha, siblings = hub.client(tmp_path, code)
    note = "folder/deeper/note with space.txt"
    names = [".gitattributes", "README.md", "config.json", "model.safetensors"]
    assert top == {"folder": "RepoFolder", **dict.fromkeys(names, "RepoFile")}
    assert sorted(deep) == sorted([*names, "folder", "folder/deeper", note])
    assert inside == [note]
    assert present == [True, False]
    assert info_sha == sha
    assert sorted(siblings) == sorted([*names, note])


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ('api.model_info("someone/else")', "RepositoryNotFoundError"),
        (f'api.model_info("{REPO}", revision="v9")', "RevisionNotFoundError"),
        (f'list(api.list_repo_tree("{REPO}", "absent"))', "EntryNotFoundError"),
        (f'api.hf_hub_download("{REPO}", "absent.json")', "EntryNotFoundError"),
        (f'api.create_repo("{REPO}")', "HfHubHTTPError"),
    ],
)
def test_what_is_missing_raises_the_clients_own_error(uploaded, tmp_path, question, error):
    hub, _ = uploaded
    code = f"""{CLIENT}
try:
    result = {question}
except errors.HfHubHTTPError as refusal:
    result = [kind.__name__ for kind in type(refusal).__mro__]
"""
    assert error in hub.client(tmp_path, code)


def test_writing_needs_the_token_and_the_present_head(tmp_path):
    code = f"""{CLIENT}
def status(content, **options):
    try:
        api.upload_file(path_or_fileobj=content, path_in_repo="file.txt", repo_id="{REPO}", **options)
    except errors.HfHubHTTPError as refusal:
        return refusal.response.status_code
start = api.repo_info("{REPO}").sha
result = [status(b"1", token="hf_wrong"), status(b"2", parent_commit=start), status(b"3", parent_commit=start)]
"""
    with LoopbackHub(tmp_path / "hub") as hub:
        hub.create(REPO)
        assert hub.client(tmp_path / "home", code) == [401, None, 412]
        assert len(hub.repository(REPO).commits) == 2
