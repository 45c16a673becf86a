"""The command line as a user meets it: results on stdout, all else on stderr, one line for each mistake."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from med3d_r1 import Med3DR1Config, Med3DR1ImageProcessor, checkpoints, cli, terminal, verbs, verbs_data
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.checkpoints import load_checkpoint
from med3d_r1.configuration_med3d_r1 import PRESETS
from med3d_r1.data.feature_store import FeatureStore
from med3d_r1.data.manifest import StoreError
from med3d_r1.data.phantom import write_ct_rate_tree, write_rad_chestct_tree
from med3d_r1.data.volume_store import Store
from med3d_r1.weights_med3d_r1 import read_checkpoint
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

ROOT = Path(__file__).resolve().parent.parent
VERBS = (
    *("init", "inspect", "diagnose", "report", "convert", "prepare", "encode", "figures"),
    *("train", "evaluate", "demo", "study", "space", "release", "release-space"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("cli") / "model"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "chest.nii.gz"
    write_nifti(path, synthetic_chest((40, 56, 56)))
    return str(path)


@pytest.fixture(autouse=True)
def loud_libraries():
    """The command line quiets transformers for the rest of its process; the tests after these want to hear it."""
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)


@pytest.fixture
def run(capfd):
    """Runs a command and returns (exit status, stdout, stderr)."""

    def command(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return command


@pytest.mark.parametrize("verb", [(), *[(verb,) for verb in VERBS]])
def test_help_has_every_verb_and_an_example(verb, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main([*verb, "--help"])
    printed = capsys.readouterr().out
    assert leaving.value.code == 0
    assert f"med3d-r1 {verb[0]} " in printed if verb else all(name in printed for name in VERBS)


def test_no_verb_prints_the_help_and_the_version_is_the_packages(run):
    assert run()[0] == cli.WRONG_INPUT
    assert run("--version")[1] == "med3d-r1 0.1.0\n"


def test_a_word_that_no_verb_knows_leaves(capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["inspect", "scan.nii", "--colour", "red"])
    assert leaving.value.code == cli.WRONG_INPUT
    assert "unrecognized arguments: --colour red" in capsys.readouterr().err


class TestTrain:
    @pytest.mark.parametrize("stage", ["clip", "language", "sft", "grpo"])
    def test_lists_the_keys_of_a_stage(self, run, stage):
        status, printed, _ = run("train", stage, "--keys")
        assert status == 0
        assert "\nlearning_rate = " in printed
        assert "\nrows_seed = None\n    of everything that is drawn when rows are made; not set: `seed`\n" in printed

    def test_says_what_is_missing(self, run, tmp_path):
        assert "--config is missing: the recipe to train by" in run("train", "sft")[2]
        status, _, said = run("train", "sft", "--config", tmp_path / "none.yaml")
        assert (status, "none.yaml: no such recipe" in said) == (cli.WRONG_INPUT, True)

    def test_hands_every_other_word_on_to_the_recipe(self, run, tmp_path):
        (tmp_path / "recipe.yaml").write_text("output_dir: out\n")
        said = run("train", "sft", "--config", tmp_path / "recipe.yaml", "--learning-rat", "1")[2]
        assert "there is no key --learning_rat; did you mean --learning_rate?" in said
        said = run("train", "sft", "--config", tmp_path / "recipe.yaml", "--learning-rate=1")[2]
        assert "model is missing (model folder or Hub id to start from)" in said


def test_the_parser_offers_the_presets_there_are():
    parser = cli.build_parser()
    for preset in PRESETS:
        assert parser.parse_args(["init", "--preset", preset, "--out", "x"]).preset == preset
    with pytest.raises(SystemExit):
        parser.parse_args(["init", "--preset", "7b", "--out", "x"])


def test_init_passes_every_option_on(run, tmp_path):
    options = ["--gate", "channel", "--output-position-embedding", "--feature-standardization", "--seed", "3"]
    status, printed, _ = run("init", "--preset", "tiny", *options, "--out", tmp_path / "new")
    config = Med3DR1Config.from_pretrained(tmp_path / "new")
    assert status == 0
    assert "bridge" in printed
    assert (config.gate, config.residual_alignment) == ("channel", True)
    assert config.output_position_embedding
    assert config.feature_standardization


def test_init_without_alignment_and_never_over_something(run, tmp_path):
    command = ["init", "--preset", "tiny", "--no-residual-alignment", "--out", tmp_path / "new"]
    assert run(*command)[0] == 0
    assert not Med3DR1Config.from_pretrained(tmp_path / "new").residual_alignment
    status, printed, complaint = run(*command)
    assert (status, printed) == (cli.WRONG_INPUT, "")
    assert complaint == f"med3d-r1: error: {tmp_path / 'new'}: exists already; name another place, or remove it first\n"


def test_inspect_shows_what_was_found_and_done(run, scan, tmp_path):
    status, printed, _ = run("inspect", scan, "--png", tmp_path / "pictures" / "planes.png")
    assert status == 0
    for word in ("chest.nii.gz", "40 x 56 x 56 voxels", "SPL", "HU", "cropped", "air added"):
        assert word in printed
    with Image.open(tmp_path / "pictures" / "planes.png") as picture:
        assert picture.size[0] > 3 * 400


def test_inspect_json_with_the_preprocessing_of_a_model(run, scan, model):
    status, printed, _ = run("inspect", scan, "--json", "--model", model)
    facts = json.loads(printed)
    assert status == 0
    assert facts["shape"] == [32, 64, 64]
    assert facts["preprocessing"]["spacing"] == [10.5, 5.25, 5.25]
    assert facts["source_shape"] == [40, 56, 56]


def test_reading_options_reach_the_reader(run, tmp_path, scan):
    """An array without a header: stored head first, with numbers 1024 too high."""
    voxels = synthetic_chest((40, 56, 56)).voxels()
    np.save(tmp_path / "chest.npy", voxels[::-1] + 1024)
    assert run("inspect", tmp_path / "chest.npy")[0] == cli.REFUSED_SCAN
    options = ["--spacing", "8", "6", "6", "--orientation", "IPL", "--rescale", "1", "-1024", "--json"]
    status, printed, _ = run("inspect", tmp_path / "chest.npy", *options)
    facts = json.loads(printed)
    assert status == 0
    assert facts["source_orientation"] == "IPL"
    assert facts["source_spacing"] == [8, 6, 6]
    assert facts["hu_min"] == pytest.approx(voxels.min())
    status, _, complaint = run("inspect", scan, "--max-bytes", "1000")
    assert status == cli.REFUSED_SCAN
    assert "1,000 bytes" in complaint


def test_a_refused_scan_is_one_line_and_a_status_of_its_own(run, tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"not a scan" * 100)
    status, printed, complaint = run("inspect", tmp_path / "scan.nii")
    assert (status, printed) == (cli.REFUSED_SCAN, "")
    assert complaint.startswith("med3d-r1: error: scan.nii: ")
    assert complaint.count("\n") == 1


def test_a_single_slice_is_shown_where_it_lies(run, tmp_path):
    """One slice fills one of 112; the picture goes through it, so it is not black."""
    write_nifti(tmp_path / "slice.nii.gz", synthetic_chest((1, 96, 96), (3.0, 4.0, 4.0)))
    status, printed, complaint = run("inspect", tmp_path / "slice.nii.gz", "--png", tmp_path / "slice.png")
    assert status == 0
    assert "1 axial slice" in printed
    assert "warning" not in complaint  # it stands in the results
    with Image.open(tmp_path / "slice.png") as picture:
        axial = picture.convert("L").crop((100, 150, 350, 350))
    assert axial.getextrema()[1] > 200


def test_diagnose_asks_for_the_18_abnormalities_by_default(run, scan, model):
    status, printed, progress = run("diagnose", scan, "--model", model, "--max-new-tokens", "4")
    assert status == 0
    assert verbs.DEFAULT_QUESTION in printed
    assert all(f"{label} " in printed for label in CT_RATE_LABELS)
    assert "where it looked" in printed
    assert "ran in " in printed
    assert verbs.DISCLAIMER in printed
    assert "encoding the scan" in progress


def test_diagnose_json_is_one_object(run, scan, model, tmp_path):
    options = [
        "--question",
        "Which?",
        "--option",
        "Emphysema",
        "--option",
        "Mass",
        "--abstain-below",
        "1",
        "--no-think",
    ]
    arguments = [
        scan,
        "--model",
        model,
        *options,
        "--max-new-tokens",
        "4",
        "--json",
        "--dtype",
        "float32",
        "--device",
        "cpu",
    ]
    status, printed, _ = run("diagnose", *arguments, "--evidence-png", tmp_path / "evidence.png")
    found = json.loads(printed)
    assert status == 0
    assert found["question"] == "Which?"
    assert list(found["probabilities"]) == found["options"] == ["Emphysema", "Mass"]
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["answer"] in found["options"]
    assert found["abstained"]
    assert found["ran_in"] == "float32 on cpu: as asked for"
    assert found["disclaimer"] == verbs.DISCLAIMER
    assert (tmp_path / "evidence.png").stat().st_size > 1000


def test_warnings_are_one_line_each_and_go_to_stderr(run, model, tmp_path):
    write_nifti(tmp_path / "few.nii.gz", synthetic_chest((3, 56, 56), (3.0, 6.0, 6.0)))
    status, printed, progress = run("report", tmp_path / "few.nii.gz", "--model", model, "--max-new-tokens", "2")
    (warning,) = [line for line in progress.splitlines() if line.startswith("med3d-r1: warning: ")]
    assert status == 0
    assert "few.nii.gz: 3 axial slices" in warning
    assert "axial slices" not in printed


def test_report_as_text_and_json(run, scan, model):
    report = ["report", scan, "--model", model, "--max-new-tokens", "2"]
    assert "output, not in the layout of a report" in run(*report)[1]
    found = json.loads(run(*report, "--json")[1])
    assert {"findings", "impression", "valid", "text", "disclaimer", "scan", "model"} <= found.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--option", "one"], "2 to 26 options"),
        (["--option", "one", "--option", "One"], "alike"),
        (["--abstain-below", "2"], "--abstain-below is a probability"),
        (["--question", "What?", "--abstain-below", "0.5"], "needs options"),
        (["--max-new-tokens", "0"], "at least 1"),
        (["--device", "gpu"], "device 'gpu' is not one of"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(run, arguments, message):
    status, printed, complaint = run("diagnose", "no-scan.nii", "--model", "no-model", *arguments)
    assert (status, printed) == (cli.WRONG_INPUT, "")
    assert message in complaint
    assert complaint.count("\n") == 1


def test_a_model_that_is_none(run, scan, tmp_path):
    for name, message in ((tmp_path, "no config.json"), (tmp_path / "nothing", "no such folder")):
        status, _, complaint = run("diagnose", scan, "--model", name)
        assert status == cli.WRONG_INPUT
        assert f"error: {name}: " in complaint
        assert message in complaint


class TestRevision:
    @pytest.mark.parametrize(
        "verb",
        [
            ["inspect", "scan.nii"],
            ["diagnose", "scan.nii"],
            ["report", "scan.nii"],
            ["prepare", "phantom", "tree", "--out", "store"],
            ["encode", "store", "--out", "features"],
            ["evaluate", "mmvqa", "--data", "tree"],
            ["evaluate", "mmvqa", "--data", "tree", "--pictures-model", "other"],
            ["evaluate", "report", "--data", "tree"],
        ],
    )
    def test_is_none_of_a_folder(self, run, verb, model):
        status, printed, complaint = run(*verb, "--model", model, "--revision", "v1")
        assert (status, printed) == (cli.WRONG_INPUT, "")
        assert f"med3d-r1: error: {model}: a folder has no revision v1; only a repository on the Hub" in complaint

    def test_without_a_model_is_a_mistake(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["inspect", "scan.nii", "--revision", "v1"])
        assert "--revision is that of --model, which was not given" in capsys.readouterr().err

    def test_is_that_of_processor_and_model(self, run, scan, model, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(checkpoints, "require_no_folder", lambda name, revision: asked.append(revision))
        of_it = ["--model", model, "--revision", "v1"]
        assert run("diagnose", scan, *of_it, "--no-think", "--max-new-tokens", "1")[0] == 0
        assert asked == ["v1", "v1"]
        assert json.loads(run("report", scan, *of_it, "--max-new-tokens", "1", "--json")[1])["revision"] == "v1"
        tree = tmp_path / "tree"
        write_ct_rate_tree(tree, {"train": 1, "validation": 1}, shape=(16, 32, 32))
        assert (
            run("encode", tree, *of_it, "--dataset", "ct-rate", "--out", tmp_path / "features", "--workers", "0")[0]
            == 0
        )
        assert asked == ["v1"] * 6


def test_verbose_shows_where_an_error_arose(model):
    with pytest.raises(ValueError, match="2 to 26"):
        cli.main(["diagnose", "no-scan.nii", "--model", model, "--option", "one", "--verbose"])


def test_interrupting_and_leaving_early(monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "run_inspect", interrupt)
    assert cli.main(["inspect", "scan.nii"]) == cli.INTERRUPTED


def test_a_reader_that_leaves_is_no_error():
    """As in `med3d-r1 inspect ... | head -1`, with more output than a pipe holds."""
    code = (
        "import sys; from med3d_r1 import cli, verbs; verbs.run_inspect = lambda args: print('line\\n' * 100_000); "
        "sys.exit(cli.main(['inspect', 'scan.nii']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_control_characters_do_not_reach_the_terminal(capsys):
    terminal.print_text("a\x1b[2Jb", "c\nd")
    assert capsys.readouterr().out == "a\N{REPLACEMENT CHARACTER}[2Jb\n\nc\nd\n"


@pytest.fixture(scope="module")
def projector(tmp_path_factory):
    """The bridge of a tiny model with random weights, in the layout of the release's projector."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "mean_prompt_template": (1, 128), "reduce.weight": (128, 64, 2, 2, 2), "reduce.bias": (128,),
        "projector.0.weight": (128, 128), "projector.0.bias": (128,), "projector.1.weight": (128,),
        "projector.1.bias": (128,), "gate_mlp.0.weight": (128, 256), "gate_mlp.0.bias": (128,),
        "gate_mlp.2.weight": (128, 128), "gate_mlp.2.bias": (128,), "pos_embed": (1, 32, 128),
        "norm.weight": (128,), "norm.bias": (128,),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("release") / "projector.pth"
    torch.save({key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}, path)
    return path


def test_convert_writes_our_names(run, projector, tmp_path):
    status, _, _ = run("convert", projector, "--preset", "tiny", "--out", tmp_path / "bridge.safetensors")
    weights = read_checkpoint(tmp_path / "bridge.safetensors")
    theirs = read_checkpoint(projector)
    assert status == 0
    assert torch.equal(weights["model.bridge.pool.weight"], theirs["reduce.weight"].permute(0, 1, 4, 3, 2))
    assert torch.equal(weights["model.bridge.text_anchor"], theirs["mean_prompt_template"][0])


def test_convert_into_a_model_that_fits(run, projector, tmp_path):
    fitting = tiny_checkpoint(
        tmp_path / "fitting", gate="channel", output_position_embedding=True, feature_standardization=False
    )
    assert run("convert", projector, "--into", fitting, "--out", tmp_path / "new")[0] == 0
    new, _ = load_checkpoint(tmp_path / "new", device="cpu", dtype=torch.float32)
    old, _ = load_checkpoint(fitting, device="cpu", dtype=torch.float32)
    assert torch.equal(new.model.bridge.projection.weight, read_checkpoint(projector)["projector.0.weight"])
    assert torch.equal(new.lm_head.weight, old.lm_head.weight)


@pytest.mark.parametrize("size", [["--preset", "3b"], ["--into", "model"]])
def test_convert_into_what_does_not_fit(run, projector, model, tmp_path, size):
    size = [model if word == "model" else word for word in size]
    status, _, complaint = run("convert", projector, *size, "--out", tmp_path / "new")
    assert status == cli.WRONG_INPUT
    assert "projector.pth: " in complaint
    assert not (tmp_path / "new").exists()


class TestPrepare:
    @pytest.fixture
    def prepare(self, tmp_path):
        """The command that prepares synthetic patients, all in this process."""
        return ["prepare", "phantom", tmp_path / "tree", "--out", tmp_path / "store", "--workers", "0"]

    @pytest.fixture
    def phantoms(self, prepare):
        """The same command, which writes them first."""
        return [*prepare, "--patients", "4", "--shape", "16", "32", "32", "--seed", "3"]

    def test_synthetic_patients_from_nothing_and_again(self, run, tmp_path, phantoms, prepare):
        status, printed, progress = run(*phantoms)
        store = Store(tmp_path / "store")
        assert status == 0
        assert f"prepared      {len(store)} of {len(store)} volumes, 0 were there before" in printed
        assert {entry.split for entry in store.manifest.entries.values()} == {"train", "validation"}
        assert store.manifest.preprocessing["size"] == [32, 64, 64]
        assert "GB are free" in progress
        status, printed, _ = run(*prepare, "--verify")
        assert status == 0
        assert f"prepared      0 of {len(store)} volumes, {len(store)} were there before" in printed

    def test_a_part_with_the_preprocessing_of_a_model(self, run, tmp_path, phantoms, model):
        assert run(*phantoms, "--model", model, "--shard", "1/2", "--limit", "1", "--split", "train")[0] == 0
        assert [path.name for path in (tmp_path / "store" / "manifest").glob("*.parquet")] == ["1-of-2.parquet"]
        assert len(Store(tmp_path / "store")) == 1

    def test_ct_rate_with_original_volumes_on_the_papers_grid(self, run, tmp_path, phantoms):
        assert run(*phantoms, "--volumes", "original", "--split", "train", "--limit", "1")[0] == 0
        elsewhere = ["--out", tmp_path / "3b", "--workers", "0", "--limit", "1"]
        assert run("prepare", "ct-rate", tmp_path / "tree", *elsewhere, "--volumes", "original")[0] == 0
        store = Store(tmp_path / "3b")
        (name,) = store
        assert store[name].hu.shape == (112, 224, 224)
        assert any("rescaled" in note for note in store[name].record["notes"])

    def test_a_margin_around_the_same_voxels(self, run, tmp_path, phantoms):
        """BrgSA's: the whole field of the paper's grid, which holds what is kept without a margin in its middle."""
        assert run(*phantoms, "--preset", "3b", "--split", "train", "--limit", "1")[0] == 0
        wide = ["--preset", "3b", "--margin", "8", "16", "16", "--split", "train", "--limit", "1", "--workers", "0"]
        assert run("prepare", "phantom", tmp_path / "tree", "--out", tmp_path / "wide", *wide)[0] == 0
        with_margin = Store(tmp_path / "wide", Med3DR1ImageProcessor(margin=(8, 16, 16)))
        (name,) = with_margin
        assert with_margin[name].hu.shape == (128, 256, 256)
        assert np.array_equal(with_margin[name].hu[8:-8, 16:-16, 16:-16], Store(tmp_path / "store")[name].hu)
        with pytest.raises(StoreError, match="margin"):
            Store(tmp_path / "wide", Med3DR1ImageProcessor())

    def test_a_margin_with_the_preprocessing_of_a_model_must_fit_its_field(self, run, phantoms, model):
        status, _, complaint = run(*phantoms, "--model", model, "--margin", "1", "0", "0")
        assert status == cli.WRONG_INPUT
        assert "a margin of 1 on each side, more than field_size 32" in complaint

    def test_rad_chestct(self, run, tmp_path):
        write_rad_chestct_tree(tmp_path / "tree", {"test": 2}, shape=(16, 32, 32))
        command = ["prepare", "rad-chestct", tmp_path / "tree", "--out", tmp_path / "store", "--preset", "tiny"]
        assert run(*command, "--workers", "0", "--split", "test")[0] == 0
        assert list(Store(tmp_path / "store")) == ["tst00001.npz", "tst00002.npz"]
        assert run(*command, "--volumes", "original")[0] == cli.WRONG_INPUT

    def test_refused_scans_make_the_exit_status_and_a_report(self, run, tmp_path, phantoms):
        run(*phantoms, "--limit", "1")
        bad = sorted((tmp_path / "tree").rglob("valid_*.nii.gz"))[0]
        bad.write_bytes(bad.read_bytes()[:3000])
        status, printed, _ = run(*phantoms)
        report = tmp_path / "store" / "refused" / "all.jsonl"
        assert status == cli.REFUSED_SCAN == verbs_data.REFUSED_SCANS
        assert f"refused       1, each with its reason in {report}" in printed
        assert json.loads(report.read_text())["volume"] == bad.name

    def test_faults_of_a_data_set_are_errors_or_warnings(self, run, tmp_path, phantoms, prepare):
        run(*phantoms, "--limit", "1")
        missing = sorted((tmp_path / "tree").rglob("valid_*.nii.gz"))[0]
        missing.unlink()
        status, _, complaint = run(*prepare)
        assert status == cli.WRONG_INPUT
        assert f"volumes are missing in valid_fixed (1): {missing.name}" in complaint
        status, _, complaint = run(*prepare, "--on-fault", "skip")
        assert status == 0
        assert "med3d-r1: warning: " in complaint
        assert missing.name in complaint

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (["--shard", "2"], "--shard is i/n"),
            (["--shard", "3/2"], "the parts are 1/2 to 2/2"),
            (["--split", "test"], "--split is one of train, validation and all"),
            (["--patients", "1"], "--patients is 2 or more"),
            (["--patients", "5"], "made with other settings"),
            (["--preset", "3b"], "was prepared with spacing [10.5, 5.25, 5.25]"),
            (["--limit", "0"], "limit is 1 or more"),
            (["--workers", "-1"], "workers is 0 or more"),
        ],
    )
    def test_wrong_arguments(self, run, phantoms, options, complaint):
        run(*phantoms, "--limit", "1")
        status, _, said = run(*phantoms, *options)
        assert status == cli.WRONG_INPUT
        assert complaint in said

    def test_no_tree_and_no_patients(self, run, tmp_path):
        status, _, said = run("prepare", "phantom", tmp_path / "none", "--out", tmp_path / "store")
        assert status == cli.WRONG_INPUT
        assert "--patients N writes synthetic patients there" in said


class TestEncode:
    @pytest.fixture
    def store(self, run, tmp_path):
        written = ["--patients", "4", "--shape", "16", "32", "32", "--workers", "0"]
        assert run("prepare", "phantom", tmp_path / "tree", "--out", tmp_path / "store", *written)[0] == 0
        return tmp_path / "store"

    @pytest.fixture
    def encode(self, model, tmp_path):
        """The command without its source."""
        return ["encode", "--model", model, "--out", tmp_path / "features", "--dtype", "float32", "--device", "cpu"]

    def test_a_store_and_again(self, run, tmp_path, store, encode, model):
        status, printed, progress = run(*encode, store)
        features = FeatureStore(tmp_path / "features")
        assert status == 0
        assert f"encoded       {len(features)} of {len(Store(store))} volumes, 0 were there before" in printed
        assert "with 0 workers" in printed
        assert "each scan takes 0.033 MB" in progress
        loaded, processor = load_checkpoint(model, device="cpu", dtype=torch.float32)
        features.require(loaded, processor.image_processor)
        status, printed, _ = run(*encode, store, "--verify")
        assert status == 0
        assert f"encoded       0 of {len(features)} volumes, {len(features)} were there before" in printed

    def test_a_part_of_a_data_set(self, run, tmp_path, store, encode):
        part = ["--dataset", "phantom", "--split", "train", "--shard", "1/2", "--workers", "0", "--batch-size", "2"]
        assert run(*encode, tmp_path / "tree", *part)[0] == 0
        entries = FeatureStore(tmp_path / "features").manifest.entries.values()
        assert {entry.split for entry in entries} == {"train"}
        volumes = Store(store)
        assert all(entry.source_sha256 == volumes.manifest.entries[entry.volume].sha256 for entry in entries)
        assert [path.name for path in (tmp_path / "features" / "manifest").glob("*.parquet")] == ["1-of-2.parquet"]

    @pytest.mark.filterwarnings("ignore:.*axial slices|.*fills")
    def test_refused_scans_make_the_exit_status(self, run, tmp_path, store, encode):
        bad = sorted((tmp_path / "tree").rglob("valid_*.nii.gz"))[0]
        bad.write_bytes(bad.read_bytes()[:3000])
        status, printed, _ = run(*encode, tmp_path / "tree", "--dataset", "ct-rate", "--workers", "0")
        assert status == cli.REFUSED_SCAN
        assert f"refused       1, each with its reason in {tmp_path / 'features' / 'refused' / 'all.jsonl'}" in printed

    def test_what_does_not_fit(self, run, tmp_path, store, encode):
        for options, complaint in (
            ([tmp_path / "tree"], "no store of volumes; `med3d-r1 prepare` makes one"),
            ([store, "--split", "test"], "no volumes of the split 'test', only of train, validation"),
            ([store, "--batch-size", "0"], "batch_size is 1 or more scans"),
        ):
            status, _, said = run(*encode, *options)
            assert status == cli.WRONG_INPUT
            assert complaint in said
        run("prepare", "phantom", tmp_path / "tree", "--out", tmp_path / "other", "--preset", "3b", "--limit", "1")
        status, _, said = run(*encode, tmp_path / "other")
        assert status == cli.WRONG_INPUT
        assert "was prepared with spacing [3.0, 1.5, 1.5]" in said


class TestFigures:
    def test_of_a_data_set(self, run, tmp_path, model):
        write_ct_rate_tree(tmp_path / "tree", {"train": 3, "validation": 2}, shape=(8, 16, 16))
        status, printed, _ = run("figures", tmp_path / "tree", "--out", tmp_path / "figures")
        assert status == 0
        assert "words between spaces" in printed
        assert len(list((tmp_path / "figures").iterdir())) == printed.count("written") == 6
        counted = run("figures", tmp_path / "tree", "--out", tmp_path / "own", "--tokenizer", model)[1]
        assert "those of model" in counted
        part = run("figures", tmp_path / "tree", "--out", tmp_path / "part", "--split", "validation")[1]
        whole_count, part_count = (int(re.match(r"reports +(\d+)", text)[1]) for text in (printed, part))
        assert part_count < whole_count

    def test_what_is_not_there(self, run, tmp_path):
        status, _, said = run("figures", tmp_path, "--out", tmp_path / "figures")
        assert status == cli.WRONG_INPUT
        assert "train_reports.csv, validation_reports.csv" in said
        (tmp_path / "reports.csv").write_text(
            "VolumeName,Findings_EN,Impressions_EN\ntrain_1_a_1.nii.gz,Clear.,Clear.\n"
        )
        table = ["figures", tmp_path / "reports.csv", "--out", tmp_path / "figures"]
        assert run(*table)[0] == 0
        status, _, said = run(*table, "--tokenizer", tmp_path / "none")
        assert status == cli.WRONG_INPUT
        assert "no tokenizer that can be loaded" in said


def test_the_root_configuration_is_the_3b_preset():
    """Written by `Med3DR1Config.preset("3b", architectures=[...]).to_json_file("config.json")`."""
    written = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
    preset = Med3DR1Config.preset("3b", architectures=["Med3DR1ForConditionalGeneration"])
    del written["transformers_version"]
    assert written == {key: value for key, value in preset.to_diff_dict().items() if key != "transformers_version"}


def test_the_checkout_is_a_code_repository():
    config = AutoConfig.from_pretrained(ROOT, trust_remote_code=True)
    with torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=True)
    assert type(model).__name__ == "Med3DR1ForConditionalGeneration"
    assert model.config.num_image_tokens == 343
