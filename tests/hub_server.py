"""A Hugging Face Hub on the loopback interface, so that uploads and downloads run for real without a network.

It keeps repositories, commits, branches, tags, large (LFS) files and the variables of Spaces, and answers the requests
that `huggingface_hub` makes for them. Blobs lie in a folder; everything else lives as long as the server:

    with LoopbackHub(folder) as hub:
        files = hub.client(home, 'result = huggingface_hub.list_repo_files("you/model")')
        assert hub.repository("you/model").head.files["config.json"].size > 0

Clients are processes of their own, because huggingface_hub reads its settings once, at its first import.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN, USER = "hf_loopback", "someone"
LFS_SUFFIXES = (".bin", ".gz", ".npz", ".png", ".pt", ".pth", ".safetensors")
LFS_FROM_BYTES = 10 * 1024**2

_GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
_COPY_BYTES = 1024**2


@dataclass(frozen=True)
class Blob:
    """One file's content, at rest in the hub's folder under its sha256."""

    path: Path
    sha256: str
    size: int
    git_sha1: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_sha1

    def read(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class Commit:
    sha: str
    message: str
    files: dict[str, Blob]


@dataclass
class Repository:
    """The history of one repository: commits in order, and the names that point to some of them. A Space has variables,
    too: what its program finds in its environment."""

    kind: str
    name: str
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def resolve(self, revision: str) -> Commit | None:
        """The commit that a branch (there is only main), a tag or a sha stands for."""
        if revision in ("main", "refs/heads/main"):
            return self.head
        sha = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.sha == sha), None)

    def commit(self, message: str, files: dict[str, Blob]) -> Commit:
        listing = sorted((path, blob.sha256) for path, blob in files.items())
        identity = json.dumps([self.kind, self.name, len(self.commits), message, listing])
        self.commits.append(Commit(hashlib.sha1(identity.encode()).hexdigest(), message, files))
        return self.head


class Refusal(Exception):
    """An answer other than 200. `code` is what huggingface_hub turns into an exception of its own."""

    def __init__(self, status: int, message: str, code: str | None = None, body: dict | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body or {"error": message}


class LoopbackHub:
    """The server. Use it as a context manager.

    Attributes:
        url: what HF_ENDPOINT must be.
        requests: (method, path, status) of every request so far, in order.
    """

    def __init__(self, root: str | Path):
        self.blobs = Path(root)
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.requests: list[tuple[str, str, int]] = []
        self.lock = threading.RLock()
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: str | Path) -> dict[str, str]:
        """What a client process must have in its environment before it starts. `home` is its cache."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self, home: str | Path, code: str, *arguments: object) -> object:
        """Runs code in a client process; returns what it assigned to `result`, which passes through JSON.

        The code finds `huggingface_hub` and `sys` imported and the arguments in sys.argv[1:].
        """
        script = f"import json, sys\nimport huggingface_hub\n{code}\nprint()\nprint(json.dumps(result))"
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={**os.environ, **self.environment(home)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"the client failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def repository(self, name: str, kind: str = "models") -> Repository:
        """A repository by "owner/name". `kind` is models, datasets or spaces."""
        try:
            return self._repositories[kind, name]
        except KeyError:
            raise Refusal(404, f"no {kind} repository {name}", "RepoNotFound") from None

    def create(self, name: str, kind: str = "models", private: bool = False) -> Repository:
        """As on the Hub, a new repository holds one commit with a .gitattributes."""
        with self.lock:
            if (kind, name) in self._repositories:
                raise Refusal(409, f"{name} already exists", body={"url": self.page(name, kind)})
            repository = self._repositories[kind, name] = Repository(kind, name, private=private)
            repository.commit("initial commit", {".gitattributes": self.store([_GITATTRIBUTES], lfs=False)})
            return repository

    def page(self, name: str, kind: str = "models") -> str:
        return f"{self.url}/{name}" if kind == "models" else f"{self.url}/{kind}/{name}"

    def store(self, chunks: Iterator[bytes] | list[bytes], *, lfs: bool) -> Blob:
        """Keeps a content under its sha256."""
        sha256, size = hashlib.sha256(), 0
        incoming = self.blobs / f"incoming-{threading.get_ident()}"
        with incoming.open("wb") as file:
            for chunk in chunks:
                sha256.update(chunk)
                size += file.write(chunk)
        incoming.replace(self.blobs / sha256.hexdigest())
        return self.blob(sha256.hexdigest(), lfs=lfs)

    def blob(self, sha256: str, *, lfs: bool) -> Blob:
        """A content that was stored before."""
        path = self.blobs / sha256
        if not path.is_file():
            raise Refusal(400, f"the object {sha256} was never uploaded")
        size = path.stat().st_size
        git_sha1 = hashlib.sha1(b"blob %d\0" % size)
        with path.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                git_sha1.update(chunk)
        return Blob(path, sha256, size, git_sha1.hexdigest(), lfs)


class _Handler(BaseHTTPRequestHandler):
    """Turns requests into calls on the hub. The routes stand at the end of this file."""

    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: `LoopbackHub.requests` is the log."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.content = self._content()
        headers: dict[str, str] = {}
        try:
            answer = self._route(url.path)
            status, body = 200, answer if isinstance(answer, Blob) else json.dumps(answer).encode()
            if isinstance(answer, Blob):
                headers = self._file_headers(answer)
        except Refusal as refusal:
            status, body = refusal.status, json.dumps(refusal.body).encode()
            headers = {"X-Error-Message": refusal.message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            for _ in self.content:  # what was not read yet must not be taken for the next request
                pass
        self.hub.requests.append((self.command, unquote(url.path), status))
        self._send(status, body, headers)

    def _route(self, path: str) -> object:
        for methods, pattern, handle in ROUTES:
            if self.command in methods and (match := re.fullmatch(pattern, path)):
                if self.command == "POST" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise Refusal(401, "Invalid credentials in Authorization header")
                return handle(self, **{name: value and unquote(value) for name, value in match.groupdict().items()})
        raise Refusal(404, f"this hub does not know {self.command} {path}")

    def _send(self, status: int, body: bytes | Blob, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(body.size if isinstance(body, Blob) else len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        with body.path.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                self.wfile.write(chunk)

    def _file_headers(self, blob: Blob) -> dict[str, str]:
        linked = {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)} if blob.lfs else {}
        return {"ETag": f'"{blob.etag}"', "X-Repo-Commit": self.commit_sha, **linked}

    def _content(self) -> Iterator[bytes]:
        """The request's content in pieces, whether its length was announced or it comes in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        remaining = int(self.headers.get("Content-Length", 0))
        while remaining:
            chunk = self.rfile.read(min(remaining, _COPY_BYTES))
            remaining -= len(chunk)
            yield chunk

    def _json(self) -> dict:
        return json.loads(b"".join(self.content))

    def _at(self, kind: str | None, name: str, revision: str | None) -> tuple[Repository, Commit]:
        repository = self.hub.repository(name, kind or "models")
        commit = repository.resolve(revision or "main")
        if commit is None:
            raise Refusal(404, f"no revision {revision} in {name}", "RevisionNotFound")
        return repository, commit

    def create_repository(self) -> dict:
        wanted = self._json()
        name, kind = f"{wanted['organization'] or 'loopback'}/{wanted['name']}", f"{wanted.get('type') or 'model'}s"
        repository = self.hub.create(name, kind, private=wanted.get("visibility") == "private")
        repository.variables |= {one["key"]: one["value"] for one in wanted.get("variables") or ()}
        return {"url": self.hub.page(name, kind), "name": name}

    def who_am_i(self) -> dict:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "Invalid credentials in Authorization header")
        return {"name": USER, "type": "user", "orgs": []}

    def validate_card(self) -> dict:
        """What the Hub looks at in a card's metadata that our cards could get wrong."""
        content = self._json()["content"]
        if not content.startswith("---\n"):
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        try:
            metadata = yaml.safe_load(content.split("---\n")[1])
            wrong = list(_wrong_metadata(metadata))
        except (yaml.YAMLError, KeyError, TypeError) as error:
            wrong = [f"the metadata is not as it should be: {error!r}"]
        if wrong:
            raise Refusal(400, wrong[0], body={"errors": [{"message": message} for message in wrong], "warnings": []})
        return {"errors": [], "warnings": []}

    def variables(self, name: str) -> dict:
        """Of a Space: all, after one was set where one is to be."""
        variables = self.hub.repository(name, "spaces").variables
        if self.command == "POST":
            wanted = self._json()
            variables[wanted["key"]] = wanted["value"]
        return {key: {"value": value} for key, value in variables.items()}

    def upload_modes(self, kind: str, name: str, revision: str) -> dict:
        """Which files go as LFS objects, and what lies there already (so that unchanged files are left out)."""
        _, commit = self._at(kind, name, revision)
        modes = []
        for wanted in self._json()["files"]:
            present = commit.files.get(wanted["path"])
            large = wanted["size"] >= LFS_FROM_BYTES or wanted["path"].endswith(LFS_SUFFIXES)
            mode = {"uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            modes.append({"path": wanted["path"], "oid": present and present.etag, **mode})
        return {"files": modes}

    def lfs_batch(self, kind: str | None, name: str) -> dict:
        """Upload instructions for each object that is not here yet."""
        self.hub.repository(name, kind or "models")
        objects = []
        for wanted in self._json()["objects"]:
            known = (self.hub.blobs / wanted["oid"]).is_file()
            actions = {} if known else {"actions": {"upload": {"href": f"{self.hub.url}/lfs-objects/{wanted['oid']}"}}}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
        return {"transfer": "basic", "objects": objects}

    def lfs_upload(self, oid: str) -> dict:
        blob = self.hub.store(self.content, lfs=True)
        if blob.sha256 != oid:
            raise Refusal(400, f"the content's sha256 is {blob.sha256}, announced was {oid}")
        return {}

    def commit(self, kind: str, name: str, revision: str) -> dict:
        """One commit from lines of JSON: a header, then a line a file."""
        header, *operations = (json.loads(line) for line in b"".join(self.content).splitlines())
        with self.hub.lock:
            repository, parent = self._at(kind, name, revision)
            expected = header["value"].get("parentCommit", parent.sha)
            if parent is not repository.head or not parent.sha.startswith(expected):
                raise Refusal(412, f"{name} is at {repository.head.sha}: it has moved on since {expected}")
            files = dict(parent.files)
            for operation in operations:
                self._apply(operation["key"], operation["value"], files)
            commit = repository.commit(header["value"]["summary"], files)
        return {"commitOid": commit.sha, "commitUrl": f"{self.hub.page(name, kind)}/commit/{commit.sha}"}

    def _apply(self, operation: str, value: dict, files: dict[str, Blob]) -> None:
        path = value["path"]
        if operation == "file":
            files[path] = self.hub.store([base64.b64decode(value["content"])], lfs=False)
        elif operation == "lfsFile":
            files[path] = self.hub.blob(value["oid"], lfs=True)
        elif operation in ("deletedFile", "deletedFolder"):
            for gone in [file for file in files if file == path or file.startswith(f"{path.rstrip('/')}/")]:
                del files[gone]
        else:
            raise Refusal(400, f"unknown operation {operation!r} in a commit")

    def tag(self, kind: str, name: str, revision: str) -> dict:
        repository, commit = self._at(kind, name, revision)
        tag = self._json()["tag"]
        if tag in repository.tags:
            raise Refusal(409, f"the tag {tag} already exists in {name}")
        repository.tags[tag] = commit.sha
        return {}

    def information(self, kind: str, name: str, revision: str | None = None) -> dict:
        repository, commit = self._at(kind, name, revision)
        files = [{"rfilename": path} for path in sorted(commit.files)]
        known = {"id": name, "sha": commit.sha, "private": repository.private}
        return {**known, "siblings": files, "tags": [], "likes": 0}

    def references(self, kind: str, name: str) -> dict:
        repository = self.hub.repository(name, kind)
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repository.tags.items()]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head.sha}
        return {"branches": [main], "converts": [], "tags": tags}

    def tree(self, kind: str, name: str, revision: str, folder: str | None = None) -> list[dict]:
        _, commit = self._at(kind, name, revision)
        prefix = f"{folder}/" if folder else ""
        inside = {path: blob for path, blob in sorted(commit.files.items()) if path.startswith(prefix)}
        if not inside:
            raise Refusal(404, f"no folder {folder} in {name}", "EntryNotFound")
        return list(_tree_entries(inside, prefix, recursive=self.query.get("recursive", "").lower() in ("true", "1")))

    def file(self, kind: str | None, name: str, revision: str, path: str) -> Blob:
        _, commit = self._at(kind, name, revision)
        if path not in commit.files:
            raise Refusal(404, f"no file {path} in {name} at {revision}", "EntryNotFound")
        self.commit_sha = commit.sha
        return commit.files[path]


def _wrong_metadata(metadata: dict) -> Iterator[str]:
    """What the Hub says of results that it does not take: impossible names of data sets, values that are no numbers."""
    for model in metadata.get("model-index", []):
        for result in model["results"]:
            if not re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", result["dataset"]["type"]):
                yield f'"dataset.type" with value {result["dataset"]["type"]!r} fails to match the required pattern'
            for metric in result["metrics"]:
                if not metric["type"] or not isinstance(metric["value"], int | float):
                    yield f'"metrics.value" of {metric["type"]!r} must be a number'


def _tree_entries(files: dict[str, Blob], prefix: str, *, recursive: bool) -> Iterator[dict]:
    """Folders before what they hold; below the first level only where asked."""
    folders: set[str] = set()
    for path, blob in files.items():
        names = path.removeprefix(prefix).split("/")
        for depth in range(1, len(names) if recursive else min(2, len(names))):
            folder = prefix + "/".join(names[:depth])
            if folder not in folders:
                folders.add(folder)
                yield {"type": "directory", "path": folder, "oid": hashlib.sha1(folder.encode()).hexdigest(), "size": 0}
        if recursive or len(names) == 1:
            lfs = {"lfs": {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}} if blob.lfs else {}
            yield {"type": "file", "path": path, "oid": blob.git_sha1, "size": blob.size, **lfs}


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
_PAGE = r"(?:/(?P<kind>datasets|spaces))?/(?P<name>[^/]+/[^/]+)"
_REVISION = r"/(?P<revision>[^/]+)"

ROUTES = (
    (("GET",), r"/api/whoami-v2", _Handler.who_am_i),
    (("POST",), r"/api/repos/create", _Handler.create_repository),
    (("POST",), r"/api/validate-yaml", _Handler.validate_card),
    (("POST",), _API + r"/preupload" + _REVISION, _Handler.upload_modes),
    (("POST",), _PAGE + r"\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (("PUT",), r"/lfs-objects/(?P<oid>[0-9a-f]{64})", _Handler.lfs_upload),
    (("POST",), _API + r"/commit" + _REVISION, _Handler.commit),
    (("POST",), _API + r"/tag" + _REVISION, _Handler.tag),
    (("GET", "POST"), r"/api/spaces/(?P<name>[^/]+/[^/]+)/variables", _Handler.variables),
    (("GET",), _API + r"(?:/revision" + _REVISION + ")?", _Handler.information),
    (("GET",), _API + r"/refs", _Handler.references),
    (("GET",), _API + r"/tree" + _REVISION + r"(?:/(?P<folder>.+))?", _Handler.tree),
    (("GET", "HEAD"), _PAGE + r"/resolve" + _REVISION + r"/(?P<path>.+)", _Handler.file),
)
