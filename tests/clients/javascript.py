"""A client written in JavaScript, in a process of its own, asked one question after another."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from house import tools

FOLDER = Path(__file__).with_name("node")


class JavaScriptRefusal(Exception):
    """The client threw an error; its own words are in `fields`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(f"{fields.get('name')}: {fields.get('message')}", fields.get("cause"))
        self.fields = fields


class JavaScriptClient:
    """`client.ask("begin", scopes=[…])` calls that verb of the script."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, verb: str, **given: Any) -> Any:
        """The verb's result.

        Raises:
            JavaScriptRefusal: the client library refused.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the script ended: {self._process.wait(timeout=10)}"
        answer = json.loads(line)
        if "refusal" in answer:
            raise JavaScriptRefusal(answer["refusal"])
        return answer["result"]


@contextmanager
def javascript_client(node: str, script: str, *, ca_file: Path) -> Iterator[JavaScriptClient]:
    """The script, running until the end of the block; it trusts the authority as Node documents it."""
    if not (FOLDER / "node_modules").is_dir():
        tools.could_not_run("npm packages of tests/clients/node are not installed (sh scripts/setup-tests)")
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(ca_file), "NODE_NO_WARNINGS": "1"}
    with subprocess.Popen(
        [node, FOLDER / script], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield JavaScriptClient(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
