"""A local HTTP server that speaks as much of the Hub's API as its real client asks for."""

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _handler(repository, folder, requests, broken):
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    class Handler(BaseHTTPRequestHandler):
        """Answers for one repository with one commit, `main`."""

        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            """Say nothing."""

        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            self._answer(body=True)

        def _answer(self, *, body):
            path = unquote(urlsplit(self.path).path)
            requests.append((self.command, path, self.headers.get("authorization")))
            if path.startswith(f"/api/models/{repository}"):
                self._api(path.removeprefix(f"/api/models/{repository}"), body)
            elif path.startswith(f"/{repository}/resolve/"):
                self._file(path.removeprefix(f"/{repository}/resolve/"), body)
            else:
                self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

        def _api(self, rest, body):
            parts = rest.strip("/").split("/")
            if len(parts) > 1 and parts[1] not in ("main", COMMIT):
                self._send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
                return
            if parts[0] == "tree":
                listing = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
                self._send_json(listing, body)
                return
            siblings = [{"rfilename": name} for name in files]
            self._send_json({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings,
                             "private": False, "tags": [], "downloads": 0, "likes": 0}, body)  # fmt: skip

        def _file(self, rest, body):
            revision, _, name = rest.partition("/")
            if revision not in ("main", COMMIT) or name not in files:
                self._send(404, b"", body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            content = files[name]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if name in broken and body:
                self.send_response(200)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])  # and the line goes dead
                self.close_connection = True
                return
            self._send(200, content, body, headers)

        def _send_json(self, value, body):
            self._send(200, json.dumps(value).encode(), body, {"Content-Type": "application/json"})

        def _send(self, status, content, body, headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler


@contextmanager
def hub_server(repository, folder, *, broken=()):
    """Serve a folder as a repository; gives (address, list of requests so far)."""
    requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repository, folder, requests, set(broken)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def never_wait():
    """Let the client try again at once, in the process that calls this."""
    time.sleep = lambda seconds: None
