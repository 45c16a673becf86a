"""Loads a model folder as a stranger would, who has transformers and trusts the folder's code: without this package,
without a network, with empty caches. `load_as_stranger` starts this file as a process of its own.

It says what it found in one line of JSON: the class, how many weights, and how many tokens the model wrote about a
blank scan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

PACKAGE = "med3d_r1"
NEW_TOKENS = 4
_LAST_LINES = 3


class _WithoutPackage(MetaPathFinder):
    """Makes this package look as if it had never been installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == PACKAGE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def load_as_stranger(folder: str | Path) -> dict[str, Any]:
    """Load a model folder in a new process with `trust_remote_code=True`, and let the model write a few tokens.

    Args:
        folder: of the model, as it would lie on the Hub.

    Returns:
        {"class", "parameters", "dtype", "tokens", "transformers"} as the process found them.

    Raises:
        ValueError: it does not load, weights are missing or unknown to the model, or nothing can be generated.
    """
    with tempfile.TemporaryDirectory() as home:
        settings = {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}
        caches = ("HF_MODULES_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "TRANSFORMERS_CACHE")
        environment = {name: value for name, value in os.environ.items() if name not in caches} | settings
        # -P: the folder of this file must not stand on the path, its neighbours are no top modules
        command = [sys.executable, "-P", __file__, str(Path(folder).resolve())]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise ValueError(
            f"{folder}: does not load with trust_remote_code=True in a new process that has transformers but not this "
            f"package: {said}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _main(folder: str) -> None:
    sys.meta_path.insert(0, _WithoutPackage())
    import numpy as np
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    trusted = {"trust_remote_code": True}
    AutoConfig.from_pretrained(folder, **trusted)
    processor = AutoProcessor.from_pretrained(folder, **trusted)
    model, found = AutoModelForImageTextToText.from_pretrained(
        folder, **trusted, dtype="auto", output_loading_info=True
    )
    if not type(model).__module__.startswith("transformers_modules."):
        sys.exit(f"the class {type(model).__name__} is not the folder's own: its config.json has no auto_map for it")
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[kind]:
            sys.exit(f"{len(found[kind])} {kind.replace('_', ' ')} in the weights, such as {sorted(found[kind])[0]}")
    processor.image_processor.hu_guard = "off"  # the blank scan is water everywhere
    scan = {"array": np.zeros((8, 16, 16), np.int16), "spacing": (40.0, 20.0, 20.0)}
    content = [{"type": "image", "image": scan}, {"type": "text", "text": "What is seen in this scan?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    inputs = inputs.to(dtype=model.dtype)
    with torch.inference_mode():
        written = model.eval().generate(**inputs, min_new_tokens=1, max_new_tokens=NEW_TOKENS, do_sample=False)
    facts = {
        "class": type(model).__name__,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "tokens": written.shape[1] - inputs["input_ids"].shape[1],
        "transformers": transformers.__version__,
    }
    print(json.dumps(facts))


__all__ = ["load_as_stranger"]

if __name__ == "__main__":
    _main(sys.argv[1])
