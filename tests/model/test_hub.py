"""Addresses of the hub, against a server on this machine that speaks its API as far as a download needs it.

The library reads its environment when it is imported: what is fetched here is fetched by processes, as users have it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote, urlsplit

import pytest

from dmformer.errors import CheckpointError, MissingBackendError, UsageError
from dmformer.model.hub import HubReference, fetch
from tests.support import finish, start

OLD, NEW = "0" * 39 + "a", "0" * 39 + "b"
FETCH = """
import json, os, sys
from pathlib import Path
import dmformer
assert "huggingface_hub" not in sys.modules
from dmformer.model.hub import HubReference, fetch
from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled, logging
outcomes = {}
for address in sys.argv[1:]:
    try:
        found = fetch(HubReference.parse(address))
        files = {str(p.relative_to(found.folder)): p.read_text() for p in found.folder.rglob("*") if p.is_file()}
        outcomes[address] = {"revision": found.revision, "repository": found.repository, "files": files}
    except dmformer.errors.DmformerError as error:
        outcomes[address] = error.to_json()
assert not are_progress_bars_disabled() and logging.get_verbosity() == logging.WARNING
assert not constants.HF_HUB_DISABLE_TELEMETRY and "torch" not in sys.modules
print(json.dumps(outcomes))
"""
Outcomes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Repository:
    """Files by commit; what the server claims of sizes, and what it refuses to whom it does not know."""

    commits: Mapping[str, Mapping[str, str | bytes]]
    sizes: Mapping[str, int] = field(default_factory=dict)
    gated: bool = False
    sha: str | None = None

    def listing(self, commit: str) -> dict[str, int]:
        return {name: self.sizes.get(name, len(text)) for name, text in self.commits[commit].items()}


PLAIN = {"config.json": "{}", "model.safetensors": "weights"}
HOSTILE = ("../up.safetensors", "/etc/absolute.json", "..\\back.safetensors", "C:drive.safetensors", "*.json", ".json")
REPOSITORIES = {
    "org/plain": Repository({OLD: {"model.safetensors": "old"}, NEW: PLAIN}),
    "org/mixed": Repository(
        {
            NEW: PLAIN
            | dict.fromkeys(("README.md", "pytorch_model.bin", "modeling.py", "sub/other.safetensors"), "?")
            | {"large.json": "{}", "empty.txt": ""}
        },
        sizes={"large.json": 2**20 + 1},
    ),
    "org/sharded": Repository(
        {NEW: {"m-1.safetensors": "one", "m-2.safetensors": "two", "m.safetensors.index.json": '{"weight_map": {}}'}},
        sizes={"m.safetensors.index.json": 2**24},
    ),
    "org/hostile": Repository({NEW: PLAIN | dict.fromkeys(HOSTILE, "?")}),
    "org/gated": Repository({NEW: PLAIN}, gated=True),
    "org/pickled": Repository({NEW: {"pytorch_model.bin": "?", "sub/model.safetensors": "?", "README.md": "?"}}),
    "org/huge": Repository({NEW: PLAIN}, sizes={"model.safetensors": 9 * 2**30}),
    "org/liar": Repository({NEW: PLAIN}, sha="../../../etc"),
    "org/other": Repository({NEW: PLAIN, OLD: PLAIN}, sha=NEW),
}


class Hub(ThreadingHTTPServer):
    """Answers model information, trees and files; keeps what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, str, str]] = []

    @property
    def files(self) -> set[str]:
        return {path.partition("/resolve/")[2] for _, path, _ in self.asked if "/resolve/" in path}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path, self.headers["User-Agent"]))
        name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if (repository := REPOSITORIES.get(name)) is None:
            return self.refuse(404, "RepoNotFound")
        rest = path.partition(name)[2].strip("/").split("/", 2)
        commit = {"": NEW, "main": NEW, "v1": OLD}.get(asked := "".join(rest[1:2]), asked)
        if commit not in repository.commits:
            return self.refuse(404, "RevisionNotFound")
        sizes = repository.listing(commit)
        if rest[0] == "resolve":
            if repository.gated:
                return self.refuse(403, "GatedRepo")
            content = repository.commits[commit][rest[2]]
            whole = content.encode() if isinstance(content, str) else content
            return self.answer(200, whole, {"X-Repo-Commit": commit})
        if rest[0] == "tree":
            return self.document([{"type": "file", "path": n, "size": size, "oid": n} for n, size in sizes.items()])
        siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
        return self.document({"id": name, "sha": repository.sha or commit, "siblings": siblings})

    do_HEAD = do_GET  # noqa: N815

    def document(self, content: object) -> None:
        # What the hub has to say goes to the library's log.
        self.answer(200, json.dumps(content).encode(), {"X-HF-Warning": "topic; a warning to be printed"})

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "no\x1b[31m"})

    def answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        for name, value in ({"Content-Length": str(len(content)), "ETag": etag} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests read what was asked."""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def ask(home: Path, endpoint: str, *addresses: str, **environment: str) -> Outcomes:
    """What fetching gives for each address, silently."""
    clean = {key: value for key, value in os.environ.items() if not key.upper().startswith("HF_")}
    # Bars are asked for although nobody sees them, and no proxy for this machine.
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "TQDM_POSITION": "-1", "NO_PROXY": "127.0.0.1"}
    done = finish(start(*addresses, code=FETCH, env={**clean, **own, **environment}))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def online(hub: Hub, home: Path) -> Outcomes:
    pinned = (f"hf://org/plain@{OLD}", f"hf://org/other@{OLD}")
    revisions = ("hf://org/plain@v1", "hf://org/plain@nothing", "hf://org/missing")
    addresses = (*(f"hf://{name}" for name in REPOSITORIES), *pinned, *revisions)
    return ask(home, f"http://127.0.0.1:{hub.server_port}", *addresses)


@pytest.mark.parametrize(
    ("given", "repository", "revision"),
    [
        ("hf://org/name", "org/name", None),
        (Path("hf://org/name"), "org/name", None),
        (Path("hf://o.r_g/n-a.m_e@refs/pr/1"), "o.r_g/n-a.m_e", "refs/pr/1"),
        (f"hf:/org/name@{NEW}", "org/name", NEW),
    ],
)
def test_an_address_names_repository_and_revision(given: str | Path, repository: str, revision: str | None) -> None:
    assert HubReference.parse(given) == HubReference(repository, revision)


@pytest.mark.parametrize("given", ["weights.safetensors", "hf", "hf:x", Path("a/hf:/b"), "https://hf.co/org/name"])
def test_other_paths_are_no_addresses(given: str | Path) -> None:
    assert HubReference.parse(given) is None


@pytest.mark.parametrize(
    "rest",
    [
        *("name", "", "/org/name", "a/b/c", "a/b/", "../b", "a/..", "a/b@", "a/b@../c", "a/b@-c", "a/b@c@d", "a b/c"),
        *("a/b\x1b[31m", "a/b\n", "a/b--c", "a/b.git", "a/b.git@main", ".a/b", "a/-b", "\u0430/b", f"a/{'b' * 97}"),
    ],
)
def test_a_malformed_address_is_refused(rest: str) -> None:
    with pytest.raises(UsageError) as caught:
        HubReference.parse(f"hf://{rest}")
    assert "hf://org/name" in str(caught.value.hint)
    assert caught.value.message.isprintable()


def test_a_branch_is_pinned_to_its_commit(hub: Hub, online: Outcomes) -> None:
    assert online["hf://org/plain"] == {"revision": NEW, "repository": "org/plain", "files": PLAIN}
    for address in ("hf://org/plain@v1", f"hf://org/plain@{OLD}"):
        assert online[address] == {"revision": OLD, "repository": "org/plain", "files": {"model.safetensors": "old"}}
    # Asked once what it means now: it may move meanwhile.
    info = "/api/models/org/plain"
    asked = [path for _, path, _ in hub.asked if path.startswith(info) and not path.endswith((OLD, NEW))]
    assert asked == [info, f"{info}/revision/v1", f"{info}/revision/nothing"]


def test_only_safetensors_and_json_of_the_root_are_asked_for(hub: Hub, online: Outcomes) -> None:
    for repository in ("org/mixed", "org/hostile"):
        assert online[f"hf://{repository}"]["files"] == PLAIN
    shards = {"m-1.safetensors", "m-2.safetensors", "m.safetensors.index.json"}
    assert online["hf://org/sharded"]["files"].keys() == shards
    assert hub.files == {f"{NEW}/{name}" for name in (*PLAIN, *shards)} | {f"{OLD}/model.safetensors"}


def test_the_hub_is_not_told_what_is_installed(hub: Hub, online: Outcomes) -> None:
    assert online
    assert not [agent for _, _, agent in hub.asked if "torch" in agent]
    assert not [path for _, path, _ in hub.asked if "harness" in path or "telemetry" in path]


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("hf://org/missing", "no such repository", "hf auth login"),
        ("hf://org/plain@nothing", "no such revision", "branch"),
        ("hf://org/gated", "only those with access", "hf auth login"),
        ("hf://org/pickled", "no .safetensors file in its root, only '.bin', '.md', '.safetensors'", "safetensors"),
        ("hf://org/huge", "9.0 GiB is more", "one model"),
        ("hf://org/liar", "be reached or read (ValueError: the commit is '../../../etc')", "HF_ENDPOINT"),
        (f"hf://org/other@{OLD}", "the commit is", "HF_ENDPOINT"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(online: Outcomes, address: str, message: str, hint: str) -> None:
    said = online[address]
    assert said["kind"] == "CheckpointError"
    assert said["message"].startswith(f"{address}: ")
    assert message in said["message"]
    assert hint in said["hint"]
    assert said["message"].isprintable()


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["unreachable", "offline"])
def test_without_the_hub_what_is_pinned_and_there_is_given(
    online: Outcomes, home: Path, environment: dict[str, str]
) -> None:
    pinned = {f"hf://org/{name}@{NEW}": online[f"hf://org/{name}"] for name in ("plain", "mixed", "sharded")}
    lost = ("hf://org/plain", f"hf://org/gated@{NEW}", f"hf://org/never@{NEW}")
    # Port 9 is never listened on.
    found = ask(home, "http://127.0.0.1:9", *pinned, *lost, **environment)
    assert {address: found[address] for address in pinned} == pinned
    for address in lost:
        assert found[address]["kind"] == "CheckpointError"
        assert f"{address}: the hub cannot be reached" in found[address]["message"]
        assert "hf download" in found[address]["hint"]


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "kept in the cache (No space left on device)", "HF_HOME"),
        (TypeError("no str\x1b[31m"), "the hub cannot be reached or read (TypeError: no str\ufffd[31m)", "hf download"),
    ],
)
def test_other_errors_become_ours(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, hint: str) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", Mock(side_effect=error))
    with pytest.raises(CheckpointError) as caught:
        fetch(HubReference("org/name", None))
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("huggingface_hub", "huggingface_hub.errors"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingBackendError, match="huggingface_hub, which is not installed") as caught:
        fetch(HubReference("org/name", None))
    assert caught.value.hint == "pip install 'dmformer[hub]'"
