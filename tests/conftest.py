"""What every test process sets before anything is imported: few threads, no network, no trace in the user's caches."""

import os
import sys
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="med3d-r1-tests-")  # removed when the process ends

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# No deadline: a shared machine is slow at times. The same examples in every run: a failure can be seen again.
settings.register_profile("med3d_r1", deadline=None, derandomize=True)
settings.load_profile("med3d_r1")


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message):
    """Where tests run in several processes, the first one imports the class of each warning by its name. It cannot do
    so with classes of code that came with a checkpoint: these become plain warnings with the same words."""
    if warning_message.category.__module__.startswith("transformers_modules."):
        warning_message.message = UserWarning(str(warning_message.message))
        warning_message.category = UserWarning


@pytest.fixture(autouse=True)
def _registration_ends_with_the_test():
    """`med3d_r1.register()`, which loading a checkpoint calls, lasts as long as its process, and then transformers
    takes this package's classes even where a test wants those that travel with a checkpoint."""
    yield
    configuration = sys.modules.get("med3d_r1.configuration_med3d_r1")
    if configuration is None:
        return
    from transformers.models.auto import configuration_auto, image_processing_auto, modeling_auto, processing_auto

    own = configuration.Med3DR1Config
    registries = [
        configuration_auto.CONFIG_MAPPING,
        image_processing_auto.IMAGE_PROCESSOR_MAPPING,
        processing_auto.PROCESSOR_MAPPING,
        *(getattr(modeling_auto, name)._model_mapping for name in configuration.AUTO_MAP if "Model" in name),
    ]
    for registry in registries:
        for key in (own.model_type, own):
            registry._extra_content.pop(key, None)
