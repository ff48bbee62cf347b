"""A deterministic server that speaks the chat-completions protocol, on loopback: for examples and for tests.

It answers at once or after a latency, with tokens counted, and may refuse, fail or hang as it is told. It
keeps what it was asked, and when, so that a test can see which calls were made.
"""

import json
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What the server does in place of an answer.

    Attributes
    ----------
    status : int
        That of the reply, such as 429 or 500.
    retry_after : float or None
        Seconds that the header ``Retry-After`` names.
    hangs : bool
        Whether nothing is replied until the server is closed.
    """

    status: int = 500
    retry_after: float | None = None
    hangs: bool = False


@dataclass(frozen=True)
class Call:
    """A call that was made.

    Attributes
    ----------
    request : dict
        What was asked.
    status : int
        That of the reply; 0 of one that hung.
    began, ended : float
        Times of `time.monotonic`.
    """

    request: dict
    status: int
    began: float
    ended: float


def echo(request):
    """Answer with the last message, and a number that depends on the whole request."""
    digest = blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=4).hexdigest()
    return f"{request['messages'][-1]['content']} [{digest}]"


class ModelServer:
    """Serves while it is entered.

    Parameters
    ----------
    answer : callable
        Text of the answer to a request; it depends on nothing else.
    latency : float or callable
        Seconds until an answer, or what gives them for a request.
    faults : iterable of Fault, or callable
        What the next calls meet, one each; or what gives a fault, or None, for a request.
    """

    def __init__(self, answer=echo, *, latency=0.0, faults=()):
        self.answer = answer
        self.latency = latency
        self.faults = faults if callable(faults) else deque(faults)
        self.calls = []
        self.under_way = self.peak = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.model = self

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self):
        """What a client is given as its ``base_url``."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def answered(self):
        """Calls that were answered."""
        return [call for call in self.calls if call.status == 200]

    @property
    def total(self):
        """How many calls came, refused ones too."""
        return len(self.calls)

    @property
    def unique(self):
        """How many different requests were answered."""
        return len({json.dumps(call.request, sort_keys=True) for call in self.answered})

    def forget(self):
        """Count anew from here; return how many calls had come."""
        with self._lock:
            count, self.calls, self.peak = len(self.calls), [], 0
        return count

    def reply(self, request):
        """Return status, headers and body of the reply; a status of 0 stands for none."""
        began = time.monotonic()
        with self._lock:
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            fault = self._fault(request)
        try:
            status, headers, body = self._reply(request, fault)
        finally:
            with self._lock:
                self.under_way -= 1
        with self._lock:
            self.calls.append(Call(request, status, began, time.monotonic()))
        return status, headers, body

    def _fault(self, request):
        if callable(self.faults):
            return self.faults(request)
        return self.faults.popleft() if self.faults else None

    def _reply(self, request, fault):
        if fault is None:
            latency = self.latency(request) if callable(self.latency) else self.latency
            if latency:
                self._closing.wait(latency)
            return 200, {}, self._completion(request)
        if fault.hangs:
            self._closing.wait()
            return 0, {}, {}
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return fault.status, headers, {"error": {"message": "as it was told", "code": fault.status}}

    def _completion(self, request):
        text = self.answer(request)
        prompt = sum(len(str(message["content"]).split()) for message in request["messages"])
        completion = len(text.split())
        digest = blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=8).hexdigest()
        return {
            "id": f"chatcmpl-{digest}",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """Say nothing of clients that have gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/chat/completions"):
            status, headers, body = 404, {}, {"error": {"message": f"there is no {self.path}"}}
        else:
            status, headers, body = self.server.model.reply(request)
        if status == 0:
            self.close_connection = True
            return
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *args):  # noqa: A002 - its name in the base class
        """Say nothing."""
