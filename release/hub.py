"""The Hub's side of a release: may it be written there, one commit, one tag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import Entry, ReleaseError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

BRANCH = "main"
MODEL_VARIABLE, REVISION_VARIABLE = "MED3D_R1_MODEL", "MED3D_R1_REVISION"
"""Of a Space: the model that it loads, and the commit of it."""

_BLOCK = 1 << 20
_OWN_MODEL_TYPE = "med3d_r1"


@dataclass(frozen=True)
class Place:
    """A repository, new or not, that a release may be written to.

    Attributes:
        api: logged in.
        repo_id, repo_type: "model" or "space".
        head: commit of the branch main; None: the repository is not there yet.
        tagged: commit that the tag stands for already, with the very files of the release; None: there is no such tag.
        gone: files of main that the release does not have and removes; the tags before keep them.
    """

    api: HfApi
    repo_id: str
    repo_type: str
    head: str | None
    tagged: str | None = None
    gone: tuple[str, ...] = ()


def require_repo_id(repo_id: str) -> None:
    """
    Raises:
        ReleaseError: it is no "owner/name".
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ReleaseError(f"--repo-id {repo_id}: no name of a repository. {error}") from error
    if repo_id.count("/") != 1:
        raise ReleaseError(f"--repo-id {repo_id}: say whose it is, owner/name")


def require_tag(tag: str) -> None:
    """
    Raises:
        ReleaseError: git would refuse it, or it looks like a commit or a branch.
    """
    allowed = all(c.isalnum() or c in "._-" for c in tag) and tag[:1].isalnum()
    confusing = tag == BRANCH or (len(tag) >= 7 and all(c in "0123456789abcdef" for c in tag))
    if not allowed or ".." in tag or tag.endswith((".lock", ".")) or confusing:
        raise ReleaseError(
            f"--tag {tag}: a tag is made of letters, digits, '.', '_' and '-', such as v1, and is no branch"
        )


@contextmanager
def asking() -> Iterator[None]:
    """While the Hub is asked: what goes wrong with it becomes a sentence.

    Raises:
        ReleaseError: the Hub refuses, or cannot be reached.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    connection_lost = HfHubHTTPError.__bases__[0]  # the error of whichever HTTP library the client is built on
    try:
        yield
    except HfHubHTTPError as error:
        said = error.server_message or str(error)
        raise ReleaseError(f"the Hub at {constants.ENDPOINT} refuses: {said}. What it has already is kept") from error
    except (connection_lost, ConnectionError) as error:
        raise ReleaseError(
            f"the Hub at {constants.ENDPOINT} cannot be reached: {error}. Run the same command again"
        ) from error


def open_hub() -> HfApi:
    """The Hub's client, logged in.

    Raises:
        ReleaseError: nobody is logged in.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    api = HfApi()
    try:
        api.whoami()
    except LocalTokenNotFoundError as error:
        raise ReleaseError(
            "not logged in to the Hub: run `hf auth login` with a token that may write, or set HF_TOKEN. "
            "--dry-run needs none"
        ) from error
    return api


def find_place(api: HfApi, repo_id: str, repo_type: str, private: bool) -> Place:
    """The repository as it is now. Nothing is made yet.

    Raises:
        ReleaseError: what lies there is no release of this kind, or everybody may see it and --private was asked for.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.repo_info(repo_id, repo_type=repo_type)
    except RepositoryNotFoundError:
        return Place(api, repo_id, repo_type, None)
    if private and not found.private:
        raise ReleaseError(
            f"{repo_id}: is there already and public, and --private was said. Make it private on the Hub, or leave "
            "--private out"
        )
    files = {one.rfilename for one in found.siblings or ()} - {".gitattributes"}
    if files and not _is_ours(api, repo_id, repo_type, files):
        raise ReleaseError(
            f"{repo_id}: holds something else, no Med3D-R1 {repo_type} ({len(files):,} files, such as {min(files)}). "
            "Name another --repo-id"
        )
    return Place(api, repo_id, repo_type, found.sha)


def commit_of(api: HfApi, model: str, revision: str | None) -> str:
    """The commit that a model's tag or branch stands for now.

    Raises:
        ReleaseError: there is no such model or revision.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return api.model_info(model, revision=revision).sha
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ReleaseError(
            f"--model {model}, --revision {revision or BRANCH}: not on the Hub. Release the model first"
        ) from error


def compare(place: Place, entries: Sequence[Entry], tag: str | None) -> Place:
    """What the repository has, beside what is to be sent.

    Raises:
        ReleaseError: the tag stands for other files.
    """
    if place.head is None:
        return place
    gone = sorted(_files(place, place.head).keys() - {entry.path for entry in entries} - {".gitattributes"})
    place = replace(place, gone=tuple(gone))
    refs = place.api.list_repo_refs(place.repo_id, repo_type=place.repo_type)
    tagged = next((one.target_commit for one in refs.tags if one.name == tag), None)
    if tagged is None:
        return place
    there = _files(place, tagged)
    wanted = {entry.path for entry in entries}
    changed = sorted((there.keys() ^ wanted) - {".gitattributes"}) or sorted(
        entry.path for entry in entries if not _same(entry, there[entry.path])
    )
    if changed:
        raise ReleaseError(
            f"{place.repo_id}: the tag {tag} is there already with other files ({len(changed):,} differ, such as "
            f"{changed[0]}). A tag is not moved: name another --tag"
        )
    return replace(place, tagged=tagged)


def create(place: Place, private: bool, variables: Mapping[str, str] | None = None) -> Place:
    """The repository, made where it was not there.

    Args:
        variables: of a Space, name -> value; they are set before its files come, so that it starts with them.
    """
    variables = variables or {}
    if place.head is None:
        space = {}
        if place.repo_type == "space":
            space = {
                "space_sdk": "gradio",
                "space_variables": [{"key": key, "value": value} for key, value in variables.items()],
            }
        place.api.create_repo(place.repo_id, repo_type=place.repo_type, private=private or None, **space)
        return replace(place, head=place.api.repo_info(place.repo_id, repo_type=place.repo_type).sha)
    if variables:
        set_already = {key: one.value for key, one in place.api.get_space_variables(place.repo_id).items()}
        for key, value in variables.items():
            if set_already.get(key) != value:
                place.api.add_space_variable(place.repo_id, key, value)
    return place


def send(place: Place, folder: Path, message: str, tag: str | None) -> str:
    """Make the branch main equal to a folder in one commit, and give that commit its tag.

    Nothing is sent that is there already; a release that stopped between commit and tag is completed.

    The Hub refuses where somebody else wrote to the repository since it was looked at.

    Returns:
        the commit.
    """
    if place.tagged is not None:
        return place.tagged
    commit = place.api.upload_folder(
        repo_id=place.repo_id,
        repo_type=place.repo_type,
        folder_path=folder,
        commit_message=message,
        delete_patterns="*" if place.gone else None,
        parent_commit=place.head,
    ).oid
    if tag is not None:
        place.api.create_tag(place.repo_id, repo_type=place.repo_type, tag=tag, revision=commit)
    return commit


def _is_ours(api: HfApi, repo_id: str, repo_type: str, files: set[str]) -> bool:
    if repo_type == "space":
        return MODEL_VARIABLE in api.get_space_variables(repo_id) or files <= {"README.md"}
    if "config.json" not in files:
        return files <= {"README.md"}
    path = api.hf_hub_download(repo_id, "config.json")
    return json.loads(Path(path).read_text(encoding="utf-8")).get("model_type") == _OWN_MODEL_TYPE


def _files(place: Place, revision: str) -> dict[str, Any]:
    """Path -> what the Hub says of the file."""
    tree = place.api.list_repo_tree(place.repo_id, repo_type=place.repo_type, revision=revision, recursive=True)
    return {one.path: one for one in tree if hasattr(one, "blob_id")}


def _same(entry: Entry, there: Any) -> bool:
    if there.lfs is not None:
        return there.lfs.sha256 == entry.sha256
    return there.size == entry.size and there.blob_id == _git_sha1(entry.source)


def _git_sha1(path: Path) -> str:
    """As git names a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


__all__ = [
    "BRANCH",
    "MODEL_VARIABLE",
    "REVISION_VARIABLE",
    "Place",
    "asking",
    "commit_of",
    "compare",
    "create",
    "find_place",
    "open_hub",
    "require_repo_id",
    "require_tag",
    "send",
]
