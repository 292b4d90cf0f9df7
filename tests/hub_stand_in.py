"""A server that speaks what huggingface_hub uses of the hub's interface: repositories of models, in memory.

Made after its own requests (hf_api.py, _commit_api.py, lfs.py, file_download.py): create, info, preupload,
LFS batch, commit, resolve. Files that end in .safetensors go through LFS, as on the hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from places import answered_by

TOKEN = "hf_of_a_test"


@dataclass
class Hub:
    """What lies there."""

    address: str
    commits: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    """repository -> commits from the first to the newest: id and files"""
    stored: dict[str, bytes] = field(default_factory=dict)
    """SHA-256 -> content, of LFS"""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(method, path)"""

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        history = self.commits.setdefault(repo, [])
        digest = hashlib.sha1(f"{repo} {len(history)}".encode()).hexdigest()
        history.append((digest, files))
        return digest

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        for digest, files in reversed(self.commits.get(repo, [])):
            if revision in ("main", digest):
                return digest, files
        return None


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """A hub on a free port of this machine, without repositories."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, value: Any, status: int = 200, **headers: str) -> None:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def received(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path))
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                self.info(found[1], found[2] or "main")
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?", path):
                self.tree(found[1], found[2])
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self.file(found[1], found[2], found[3])
            else:
                self.answer({"error": "unknown"}, 404)

        do_HEAD = do_GET

        def missing(self, what: str) -> None:
            self.answer({"error": "not found"}, 404, X_Error_Code=what, X_Error_Message="not found")

        def info(self, repo: str, revision: str) -> None:
            if repo not in hub.commits:
                self.missing("RepoNotFound")
            elif (found := hub.at(repo, revision)) is None:
                self.missing("RevisionNotFound")
            else:
                siblings = [{"rfilename": name} for name in sorted(found[1])]
                self.answer({"id": repo, "modelId": repo, "sha": found[0], "siblings": siblings, "tags": []})

        def tree(self, repo: str, revision: str) -> None:
            found = hub.at(repo, revision)
            if found is None:
                self.missing("RevisionNotFound")
                return
            rows = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in sorted(found[1].items())
            ]
            self.answer(rows)

        def file(self, repo: str, revision: str, name: str) -> None:
            found = hub.at(repo, revision)
            if found is None or name not in found[1]:
                self.missing("EntryNotFound" if found else "RevisionNotFound")
                return
            content = found[1][name]
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(content, ETag=tag, X_Repo_Commit=found[0], X_Linked_Size=str(len(content)))

        def do_POST(self) -> None:
            path, body = unquote(urlsplit(self.path).path), self.received()
            hub.asked.append((self.command, path))
            if path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer({"error": "log in"}, 401)
            elif path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked['organization']}/{asked['name']}"
                if repo in hub.commits:
                    self.answer({"error": "exists", "url": f"{hub.address}/{repo}"}, 409)
                else:
                    hub.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
                    self.answer({"url": f"{hub.address}/{repo}", "name": repo})
            elif re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", path):
                files = [
                    {
                        "path": each["path"],
                        "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for each in json.loads(body)["files"]
                ]
                self.answer({"files": files})
            elif path.endswith(".git/info/lfs/objects/batch"):
                objects = [
                    each | {"actions": {"upload": {"href": f"{hub.address}/lfs/{each['oid']}", "header": {}}}}
                    for each in json.loads(body)["objects"]
                ]
                self.answer({"transfer": "basic", "objects": objects})
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
                self.answer(self.committed(found[1], body))
            else:
                self.answer({"error": "unknown"}, 404)

        def committed(self, repo: str, body: bytes) -> dict[str, object]:
            files = dict(hub.commits[repo][-1][1])
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                match line["key"]:
                    case "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    case "lfsFile":
                        files[value["path"]] = hub.stored[value["oid"]]
                    case "deletedFile":
                        del files[value["path"]]
            digest = hub.commit(repo, files)
            return {
                "commitUrl": f"{hub.address}/{repo}/commit/{digest}",
                "commitOid": digest,
                "success": True,
            }

        def do_PUT(self) -> None:
            content = self.received()
            oid = self.path.rpartition("/")[2]
            assert hashlib.sha256(content).hexdigest() == oid
            hub.stored[oid] = content
            self.answer({})

    with answered_by(Handler) as address:
        hub = Hub(address)
        yield hub
