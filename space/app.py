"""The Space of Med3D-R1. `python app.py`, with the model in MED3D_R1_MODEL: a folder or a Hub id.

MED3D_R1_REVISION names a commit, tag or branch of the Hub repository. Host, port and sharing are gradio's
GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and GRADIO_SHARE.
"""

import os
import sys

import environment  # noqa: F401  # isort: split  (the first of all: see there)
from engine import Engine
from launching import launch
from page import build
from patients import WELCOME, synthetic_scan

if __name__ == "__main__":
    model = os.environ.get("MED3D_R1_MODEL")
    if not model:
        sys.exit("MED3D_R1_MODEL is not set: name a model folder or a Hub id in it")
    engine = Engine(model, os.environ.get("MED3D_R1_REVISION") or None)
    synthetic_scan(WELCOME, engine.image_processor)  # painted while nobody waits for it
    launch(build(engine))
