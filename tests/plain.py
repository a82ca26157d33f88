"""An interpreter with plain transformers, in which franken cannot be imported.

It imports torch and transformers once for all tests of a process; each request runs in a fork.
"""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

SERVER = """
import json, os, sys, traceback
sys.modules["franken"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2ForCausalLM, LlamaForCausalLM

def answer(request):
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(os.path.join(request["said"], name), os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["-c", *request["argv"]]
    try:
        exec(request["code"], {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(answer(json.loads(line)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def run_plain(code: str, *argv: str) -> str:
    """What the code prints, given ``argv``; a failure of it fails the test."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory(prefix="plain-") as said:
        request = json.dumps({"code": code, "argv": argv, "said": said})
        server.stdin.write(request + "\n")
        server.stdin.flush()
        failed = server.stdout.readline().strip() != "0"
        out, err = (Path(said, name).read_text("utf-8") for name in ("out", "err"))
    assert not failed, out[-2000:] + err[-4000:]
    return out


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
