"""Med3D-R1: reads a chest CT, reasons about it in words, and answers.

Public names load on first use. Importing the package imports nothing, so the command line starts at once, and the
root of the repository can be a package without getting in the way of whatever looks at it.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "CTVolume": "volume_med3d_r1",
    "Med3DR1Config": "configuration_med3d_r1",
    "Med3DR1ForConditionalGeneration": "modeling_med3d_r1",
    "Med3DR1ImageProcessor": "image_processing_med3d_r1",
    "Med3DR1Model": "modeling_med3d_r1",
    "Med3DR1Processor": "processing_med3d_r1",
    "Med3DR1VisionConfig": "configuration_med3d_r1",
    "PreparedVolume": "prepared_med3d_r1",
    "VolumeError": "volume_med3d_r1",
    "VolumeWarning": "volume_med3d_r1",
    "open_volume": "volume_io_med3d_r1",
}
"""Public name -> the module that defines it."""

_EXTRAS = {
    "bitsandbytes": "quant",
    "datasets": "data",
    "gradio": "space",
    "matplotlib": "data",
    "nltk": "eval",
    "peft": "train",
    "rouge-score": "eval",
    "sacrebleu": "eval",
    "tqdm": "data",
    "trl": "train",
}
"""Optional library -> the extra that installs it."""

__all__ = ["__version__", "register", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        hint = f"med3d_r1.{name} needs {error.name}, which is not installed: pip install 'med3d-r1[{extra}]'"
        raise ModuleNotFoundError(hint, name=error.name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def register() -> None:
    """Teaches transformers' Auto classes the model type, so that a checkpoint loads without `trust_remote_code`.

    From then on the code of this package is used, also where a repository brings its own. May be called again.
    """
    import transformers

    configuration = import_module(".configuration_med3d_r1", __name__)
    config_class = configuration.Med3DR1Config
    transformers.AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    for auto_class, reference in configuration.AUTO_MAP.items():
        if auto_class.startswith("AutoModel"):
            module, _, name = reference.partition(".")
            model_class = getattr(import_module(f".{module}", __name__), name)
            getattr(transformers, auto_class).register(config_class, model_class, exist_ok=True)

    image_processor = __getattr__("Med3DR1ImageProcessor")
    transformers.AutoImageProcessor.register(
        config_class,
        image_processor_classes={"pil": image_processor, "torchvision": image_processor},  # one class, either backend
        exist_ok=True,
    )
    transformers.AutoProcessor.register(config_class, __getattr__("Med3DR1Processor"), exist_ok=True)
