"""A real S3 server on this machine, which can be told to fail or to hold a request."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


class BucketServer:
    """`requests` holds the method and address of each request; a request with `part` in its address can be made to
    fail `failures` times, or be held until `release` is set."""

    def __init__(self) -> None:
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.calm()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def calm(self) -> None:
        self.requests: list[str] = []
        self.part, self.failures, self.error = "", 0, ("500 Internal Server Error", "InternalError", "")
        self.held = ""
        self.is_holding, self.release = threading.Event(), threading.Event()

    def fail(self, part: str, times: int, status: str, code: str, message: str = "no") -> None:
        self.part, self.failures, self.error = part, times, (status, code, message)

    def count(self, part: str) -> int:
        return sum(part in request for request in self.requests)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        self.requests.append(request)
        if self.failures and self.part in request:
            self.failures -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code, message = self.error
            start_response(status, [("Content-Type", "application/xml")])
            return [ERROR.format(code=code, message=message).encode()]
        if self.held and self.held in request:
            self.is_holding.set()
            self.release.wait(20)
        return self.app(environ, start_response)
