"""A server on this machine that speaks OpenAI's chat interface, and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants


class ChatServer:
    """Answers what is asked in JSON. Enter it as a context.

    Args:
        right_answer: what a good model says to the JSON in the last message.
        script: how the first requests are answered: None is a right answer, a number an HTTP status, "stall" silence,
            another string the model's words, a function of what is asked gives one of these.
        always: how the others are answered.

    Attributes:
        requests, headers: bodies, and (path, headers), of what came.
        most_at_once: how many requests were open at a time.
        retry_after: header of the answers with status 429.
    """

    def __init__(self, right_answer, script=(), always=None):
        self.script, self.always = list(script), always
        self.requests, self.headers, self.at_once, self.most_at_once = [], [], 0, 0
        self.retry_after = None
        self.closing = threading.Event()
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
                with lock:
                    self.at_once += 1
                    self.most_at_once = max(self.most_at_once, self.at_once)
                    self.requests.append(body)
                    self.headers.append((handler.path, dict(handler.headers)))
                    action = self.script.pop(0) if self.script else self.always
                answer = right_answer if action is None else action
                words = answer(json.loads(body["messages"][-1]["content"])) if callable(answer) else answer
                if action == "stall":
                    self.closing.wait(20)
                with lock:
                    self.at_once -= 1
                if action != "stall":
                    self._send(handler, words)

            def log_message(handler, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def _send(self, handler, words):
        """Words as a chat completion, or a number as an HTTP status."""
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "system_fingerprint": "",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": words}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        if isinstance(words, int):  # a server may well repeat the text in its complaint
            reply = {"error": self.requests[-1]["messages"][-1]["content"]}
        body = json.dumps(reply).encode()
        handler.send_response(words if isinstance(words, int) else 200)
        if words == 429 and self.retry_after is not None:
            handler.send_header("Retry-After", self.retry_after)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


def allow_loopback(monkeypatch):
    """Lets the client out to this machine, with a token in the environment that no server should ever see."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
