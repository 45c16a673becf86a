"""A release tells the truth about one model: its numbers, its runs, its code; and says in a sentence why it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.errors import HfHubHTTPError

from med3d_r1 import __version__, cli, verbs_release
from med3d_r1.checkpoints import load_processor
from med3d_r1.evaluation.mmvqa import MmvqaResult
from med3d_r1.release import hub, model
from med3d_r1.release.card_runs import Energy
from med3d_r1.release.evidence import read_evidence, require_shown
from med3d_r1.release.files import ReleaseError, sha256_of
from med3d_r1.release.licence import choose_licence
from med3d_r1.release.model import ModelRelease, stage_model
from med3d_r1.release.runs import BEGAN, MADE, PART, SAID, read_runs
from med3d_r1.release.space import SpaceRelease, stage_space
from med3d_r1.release.stranger import load_as_stranger
from med3d_r1.release.weights import WeightsHash
from release_parts import write_chain, write_result, write_run
from tiny import tiny_checkpoint

LOADED = {"class": "Med3DR1ForConditionalGeneration", "parameters": 1, "dtype": "float32", "transformers": "5.23.0"}
REPO = "someone/tiny"


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """(model folder, runs, folder of a result)."""
    folder = tmp_path_factory.mktemp("chain")
    made, runs = write_chain(folder)
    write_result(folder / "balanced", made)
    return made, runs, folder / "balanced"


@pytest.fixture
def trusting(monkeypatch):
    """Without the process of its own, which takes seconds; `test_release_hub` has it."""
    monkeypatch.setattr(model, "load_as_stranger", lambda folder: LOADED)


@pytest.fixture(scope="module")
def staged(chain, tmp_path_factory):
    made, runs, result = chain
    release = ModelRelease(made, REPO, "v1", [result], runs, energy=Energy(100.0, 400.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "load_as_stranger", lambda folder: LOADED)
        return stage_model(release, tmp_path_factory.mktemp("staged") / "release")


@pytest.fixture
def read(chain):
    """Reads results about the chain's model."""
    made = chain[0]
    weights, preprocessing = WeightsHash(made), load_processor(made).image_processor.preprocessing
    return lambda *folders: read_evidence(folders, weights, preprocessing)


# The folder that is sent


def test_everything_is_there_once_and_the_users_folder_is_as_it_was(chain, staged):
    made = chain[0]
    sent = {entry.path for entry in staged.entries}
    added = {"README.md", "LICENSE", "evaluation/balanced/mmvqa.json", "evaluation/balanced/mmvqa.md"}
    assert sent == {path.name for path in made.iterdir()} | added | {".eval_results/balanced-mmvqa.yaml"}
    assert {entry.path: entry.sha256 for entry in staged.entries if "/" not in entry.path} == {
        **{path.name: sha256_of(path) for path in made.iterdir()},
        **{name: sha256_of(staged.folder / name) for name in ("README.md", "LICENSE")},
    }
    assert not (made / "README.md").exists()
    assert (staged.folder / "model.safetensors").is_symlink()


def test_nothing_about_single_scans_and_no_place_of_this_machine_is_sent(chain, staged):
    result = MmvqaResult.load(chain[2])
    texts = [path.read_text() for path in staged.folder.rglob("*") if path.suffix in (".md", ".json", ".yaml")]
    for text in texts:
        assert not any(record["volume"] in text for record in result.records)
        assert "/secret/place" not in text
        assert str(chain[0].parent) not in text


def test_the_card_is_valid_and_its_numbers_are_the_results(chain, staged):
    card = ModelCard.load(staged.folder / "README.md")
    assert card.data.license == "apache-2.0"
    numbers = MmvqaResult.load(chain[2]).numbers
    values = [entry.metric_value for entry in card.data.eval_results]
    expected = [score.accuracy for one in numbers.values() for score in (one.own, one.swapped, one.prior)]
    assert values == pytest.approx(expected, abs=1e-5)
    assert {entry.dataset_name for entry in card.data.eval_results} == {"Synthetic chests in the layout of CT-RATE"}
    for one in numbers.values():
        shown = f"{100 * one.own.accuracy:.1f} [{100 * one.own.low:.1f}, {100 * one.own.high:.1f}]"
        assert shown in card.text


def test_eval_results_are_as_the_hub_reads_them_and_no_leaderboard_of_patients_gets_synthetic_numbers(staged):
    stated = yaml.safe_load((staged.folder / ".eval_results" / "balanced-mmvqa.yaml").read_text())
    entries = parse_eval_result_entries(stated)
    assert len(entries) == 6
    assert {entry.dataset_id for entry in entries} == {REPO}
    assert len({entry.task_id for entry in entries}) == 6
    assert all("synthetic" in entry.notes.lower() for entry in entries)


def test_the_card_tells_code_revision_stages_time_and_energy(chain, staged):
    text = (staged.folder / "README.md").read_text()
    for path in chain[0].glob("*.py"):
        assert f"| `{sha256_of(path)}` | {path.name} |" in text
    for words in (
        "Research software, not a medical device",
        "It was trained on synthetic chests",
        'revision="v1"',
        f"med3d-r1 {__version__}",
        "at least 2.0 min",  # the first sitting was killed
        "learning_rate: 0.004",
        "bridge (123,456)",
        "synthetic patients, split train: 90 scans, 180 rows",
        "10.5 x 5.25 x 5.25 mm",
        "arXiv preprint arXiv:2602.01200",
        "synthetic patients in the layout of CT-RATE (seed 7, style plain), split validation",
    ):
        assert words in text, words
    # two runs of 120 s at 100 W: 24,000 J are 1/150 kWh, at 400 g a kWh 2.67 g
    assert "Estimate: 0.00667 kWh" in text
    assert "2.67 g of CO2" in text
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["co2_eq_emissions"]["emissions"] == 2.67
    assert "synthetic-data" in metadata["tags"]
    assert "datasets" not in metadata


def test_the_same_release_has_the_same_files_each_time(chain, staged, tmp_path, trusting):
    made, runs, result = chain
    release = ModelRelease(made, REPO, "v1", [result], runs, energy=Energy(100.0, 400.0))
    again = stage_model(release, tmp_path / "again")
    assert [(one.path, one.sha256) for one in again.entries] == [(one.path, one.sha256) for one in staged.entries]


def test_without_results_and_runs_the_card_claims_nothing(chain, tmp_path, trusting):
    staged = stage_model(ModelRelease(chain[0], REPO), tmp_path / "staged")
    text = (staged.folder / "README.md").read_text()
    assert "this card has no number" in text
    assert "does not say how the model was trained" in text
    assert "model-index" not in text
    assert "Energy and carbon were not measured." in text
    assert "`main`, because this version has no tag" in text
    assert "synthetic" not in text
    assert "from the runs below" not in text


# Numbers


def test_results_of_another_model_are_refused(chain, read, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(chain[1][1] / "model", first)
    write_result(tmp_path / "other", first)
    with pytest.raises(ReleaseError, match=r"other.mmvqa\.json: .*the numbers are another model's"):
        read(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 5}, "changed after it was measured"),
        ({"data": {"dataset": "ct-rate"}}, "changed after it was measured"),
    ],
)
def test_a_protocol_that_was_changed_by_hand_is_refused(chain, read, tmp_path, change, word):
    shutil.copytree(chain[2], tmp_path / "edited")
    file = tmp_path / "edited" / "mmvqa.json"
    stored = json.loads(file.read_text())
    stored["protocol"] |= change
    file.write_text(json.dumps(stored))
    with pytest.raises(ReleaseError, match=word):
        read(tmp_path / "edited")


def test_a_number_that_was_changed_by_hand_does_not_count(chain, read, tmp_path):
    """Numbers come from the records, whatever the file says of them."""
    shutil.copytree(chain[2], tmp_path / "edited")
    file = tmp_path / "edited" / "mmvqa.json"
    stored = json.loads(file.read_text())
    stored["numbers"]["think"]["own"]["accuracy"] = 0.99
    file.write_text(json.dumps(stored))
    (edited,), (whole,) = read(tmp_path / "edited"), read(chain[2])
    assert [entry.metric_value for entry in edited.entries] == [entry.metric_value for entry in whole.entries]
    assert "0.99" not in edited.texts(REPO)["evaluation/edited/mmvqa.json"].split('"numbers"')[1][:400]


def test_a_folder_without_a_result_or_without_records_is_refused(chain, read, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match=r"empty: no result there"):
        read(tmp_path / "empty")
    shutil.copytree(chain[2], tmp_path / "half")
    (tmp_path / "half" / "records.jsonl").unlink()
    with pytest.raises(ReleaseError, match="without its records"):
        read(tmp_path / "half")
    shutil.copytree(chain[2], tmp_path / "again" / "balanced")
    with pytest.raises(ReleaseError, match="second folder of results with this name"):
        read(chain[2], tmp_path / "again" / "balanced")


def test_another_preprocessing_or_another_system_is_refused(chain, tmp_path):
    preprocessing = load_processor(chain[0]).image_processor.preprocessing
    with pytest.raises(ReleaseError, match=r"another preprocessing than the folder's \(spacing\)"):
        read_evidence([chain[2]], WeightsHash(chain[0]), {**preprocessing, "spacing": [3.0, 1.5, 1.5]})
    from evaluation_systems import System, guessing, rows_of, table
    from med3d_r1.data.mmvqa import draw_items
    from med3d_r1.evaluation.mmvqa import evaluate_mmvqa

    train = draw_items(table(40, seed=2), distractors="balanced")
    evaluate_mmvqa(System(guessing), rows_of(table(20)), train, resamples=20, folder=tmp_path / "system")
    with pytest.raises(ReleaseError, match="a system of kind 'test'"):
        read_evidence([tmp_path / "system"], WeightsHash(chain[0]), preprocessing)


def test_a_number_of_a_former_card_needs_its_result(chain, read, tmp_path, trusting):
    evidence = read(chain[2])
    own = evidence[0].entries[0].metric_value
    require_shown([("README.md", own)], evidence)
    with pytest.raises(ReleaseError, match=r"README.md: it claims 0\.77, and no result file has that number"):
        require_shown([("README.md", own), ("README.md", 0.77)], evidence)
    claiming = tmp_path / "claiming"
    shutil.copytree(chain[0], claiming)
    (claiming / "README.md").write_text(
        "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {type: d, name: d}\n"
        f"    metrics:\n    - {{type: accuracy, value: {own}}}\n---\n"
    )
    with pytest.raises(ReleaseError, match="no result file has that number"):
        stage_model(ModelRelease(claiming, REPO), tmp_path / "staged")
    stage_model(ModelRelease(claiming, REPO, results=[chain[2]]), tmp_path / "staged")


# Runs


def test_runs_are_tied_to_the_model_by_their_weights(chain):
    made, runs, _ = chain
    assert [(run.stage, run.tie) for run in read_runs(runs, made)] == [("sft", BEGAN), ("grpo", MADE)]
    with pytest.raises(ReleaseError, match=r"none of the runs .*s1 made it"):
        read_runs(runs[1:], made)


def test_a_vision_tower_and_a_decoder_are_tied_where_their_weights_are_in_the_model(chain, tmp_path, trusting):
    from safetensors.torch import load_file, save_file

    made, runs, _ = chain
    state = load_file(made / "model.safetensors")
    tower = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.vision_tower.")}
    clip = write_run(tmp_path / "clip", "clip", made)
    save_file(tower, clip / "vision_tower.safetensors")
    decoder = {
        key.replace("model.language_model.", "model."): value
        for key, value in state.items()
        if key.startswith("model.language_model.")
    }
    language = write_run(tmp_path / "language", "language", made)
    save_file(decoder, language / "model" / "model.safetensors")
    ties = {run.stage: run.tie for run in read_runs([*runs, clip, language], made)}
    assert ties == {"language": PART, "clip": PART, "sft": BEGAN, "grpo": MADE}

    staged = stage_model(ModelRelease(made, REPO, runs=[*runs, clip, language]), tmp_path / "staged")
    assert "It knows synthetic chests alone" in (staged.folder / "README.md").read_text()

    tower["vision_tower.embeddings.cls_token"] += 1
    save_file(tower, clip / "vision_tower.safetensors")
    assert {run.stage: run.tie for run in read_runs([*runs, clip], made)}["clip"] == SAID


def test_no_run_and_an_unfinished_run_are_refused(chain, tmp_path):
    with pytest.raises(ReleaseError, match=r"it has no run\.json"):
        read_runs([tmp_path], chain[0])
    shutil.copytree(chain[1][0], tmp_path / "s2")
    record = json.loads((tmp_path / "s2" / "run.json").read_text())
    (tmp_path / "s2" / "run.json").write_text(json.dumps({**record, "complete": False}))
    with pytest.raises(ReleaseError, match="did not come to its end"):
        read_runs([tmp_path / "s2"], chain[0])


# Licence


def test_a_model_that_learnt_from_patients_needs_a_licence_that_was_said(chain, tmp_path):
    made, runs, _ = chain
    (run,) = read_runs([runs[0]], made)
    assert choose_licence(None, None, [run]).identifier == "apache-2.0"
    real = type(run)(run.folder, {**run.facts, "settings": {"dataset": "ct-rate"}})
    with pytest.raises(ReleaseError, match=r"--license is missing: .*CT-RATE \(CC-BY-NC-SA-4.0\)"):
        choose_licence(None, None, [run, real])
    with pytest.raises(ReleaseError, match=r"--license is missing: .*Qwen/Qwen2.5-3B-Instruct"):
        choose_licence(None, None, [run], ["Qwen/Qwen2.5-3B-Instruct"])
    with pytest.raises(ReleaseError, match="--license-file is missing"):
        choose_licence("cc-by-nc-sa-4.0", None, [real])
    (tmp_path / "terms").write_text("terms of the weights")
    licence = choose_licence("cc-by-nc-sa-4.0", tmp_path / "terms", [real])
    assert licence.texts["LICENSE"] == "terms of the weights"
    assert "Apache License" in licence.texts["LICENSE-code"]


# Names, the stranger, the verbs


@pytest.mark.parametrize("repo_id", ["name", "a/b/c", "a/", "some one/x", "a/b--c", "a/x.git"])
def test_a_name_that_is_no_repository_is_refused(repo_id):
    with pytest.raises(ReleaseError, match="--repo-id"):
        hub.require_repo_id(repo_id)


@pytest.mark.parametrize("tag", ["main", "a b", "-v1", "v..1", "refs/tags/v1", "x.lock", "abcdef1234567"])
def test_a_tag_that_git_or_a_reader_would_misread_is_refused(tag):
    with pytest.raises(ReleaseError, match="--tag"):
        hub.require_tag(tag)


def test_good_names_pass():
    hub.require_repo_id("some-one/Med3D.R1_tiny")
    for tag in ("v1", "v1.0.2", "2026-11"):
        hub.require_tag(tag)


def test_whoever_is_not_logged_in_is_told_how(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(ReleaseError, match="hf auth login"):
        hub.open_hub()


def test_a_hub_out_of_reach_and_a_hub_that_refuses_are_a_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: "hf_any")
    with pytest.raises(ReleaseError, match=r"cannot be reached: .*offline mode"), hub.asking():
        hub.open_hub()  # tests are offline
    lost = HfHubHTTPError.__bases__[0]
    with pytest.raises(ReleaseError, match="cannot be reached: connection refused"), hub.asking():
        raise lost("connection refused")
    with pytest.raises(FileNotFoundError), hub.asking():
        raise FileNotFoundError("a file of ours")


def test_a_folder_that_does_not_load_for_a_stranger_is_refused(tmp_path):
    folder = tiny_checkpoint(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {}, "model_type": "unheard_of"}))
    with pytest.raises(ValueError, match=r"does not load with trust_remote_code=True in a new process .*unheard_of"):
        load_as_stranger(folder)


def test_a_dry_run_shows_every_file_and_asks_nobody(chain, tmp_path, trusting, capsys, monkeypatch):
    made, runs, result = chain
    monkeypatch.setattr(hub, "open_hub", lambda: pytest.fail("the Hub was asked"))
    words = ["release", str(made), "--repo-id", REPO, "--tag", "v2", "--dry-run", "--card", str(tmp_path / "card.md")]
    assert cli.main([*words, "--results", str(result), "--runs", *map(str, runs)]) == 0
    shown = capsys.readouterr().out
    lines = re.findall(r"(?m)^ +([\d,]+)  ([0-9a-f]{64})  (\S+)$", shown)
    by_path = {path: (size, digest) for size, digest, path in lines}
    assert by_path["model.safetensors"] == (
        f"{(made / 'model.safetensors').stat().st_size:,}",
        sha256_of(made / "model.safetensors"),
    )
    assert {"README.md", "LICENSE", "chat_template.jinja", ".eval_results/balanced-mmvqa.yaml"} <= by_path.keys()
    assert by_path["README.md"][1] == sha256_of(tmp_path / "card.md")
    assert "tag         v2" in shown
    assert verbs_release.NOTHING_SENT in shown


def test_a_refusal_is_one_line_and_leaves_with_2(chain, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(chain[0], broken)
    (broken / "scan.nii.gz").write_bytes(b"x")
    assert cli.main(["release", str(broken), "--repo-id", REPO, "--dry-run"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"med3d-r1: error: {broken / 'scan.nii.gz'}: a scan")


# The Space


@pytest.fixture
def space(tmp_path):
    folder = tmp_path / "space"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "app.pyc").write_bytes(b"x")
    (folder / "app.py").write_text("import os\nprint(os.environ['MED3D_R1_MODEL'])\n")
    (folder / "requirements.txt").write_text("med3d-r1\n")
    (folder / "README.md").write_text("---\ntitle: T\nsdk: gradio\nsdk_version: 6.31.0\napp_file: app.py\n---\n# T\n")
    return folder


def space_words(folder: Path) -> list[str]:
    return ["release-space", "--repo-id", "someone/space", "--model", REPO, "--folder", str(folder), "--dry-run"]


def test_a_space_is_shown_with_its_model(space, capsys):
    assert cli.main([*space_words(space), "--revision", "v1"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"MED3D_R1_MODEL +someone/tiny\n", shown)
    assert re.search(r"MED3D_R1_REVISION +the commit of v1", shown)
    sent = re.findall(r"[0-9a-f]{64}  (\S+)", shown)
    assert [name for name in sent if "/" not in name] == ["README.md", "app.py", "requirements.txt"]
    assert {"med3d_r1/__init__.py", "med3d_r1/inference.py", "med3d_r1/data/phantom/chest.py"} < {*sent}
    assert not [name for name in sent if re.search("test|venv|benchmark", name)]


IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import med3d_r1.checkpoints, med3d_r1.inference, med3d_r1.data.phantom
print(med3d_r1.__file__)
"""


def test_a_space_brings_the_package_along(space, tmp_path):
    """And Python takes that one, wherever another is installed."""
    (space / "requirements.txt").write_text("# first\nmed3d-r1>=0.1\nspaces\n")
    staged = stage_space(SpaceRelease("someone/space", REPO, folder=space), tmp_path / "staged")
    lines = (staged.folder / "requirements.txt").read_text().splitlines()
    assert lines[:2] == ["# first", "spaces"]
    needed = {re.match(r"[\w-]+", line)[0] for line in lines[3:]}
    assert {"torch", "transformers", "nibabel"} < needed
    assert not needed & {"gradio", "pytest", "trl", "med3d-r1"}
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT, staged.folder], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert Path(ran.stdout.strip()) == staged.folder / "med3d_r1" / "__init__.py"


def test_a_space_that_has_the_package_from_elsewhere_is_left_as_it_is(space, tmp_path):
    (space / "requirements.txt").write_text("https://example.org/med3d_r1-0.1-py3-none-any.whl\n")
    staged = stage_space(SpaceRelease("someone/space", REPO, folder=space), tmp_path / "staged")
    assert [entry.path for entry in staged.entries] == ["README.md", "app.py", "requirements.txt"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda folder: (folder / "requirements.txt").unlink(), "requirements.txt missing"),
        (lambda folder: (folder / "app.py").unlink(), "app_file app.py, and there is no such file"),
        (lambda folder: (folder / "README.md").write_text("---\nsdk: docker\n---\n"), "sdk 'docker'"),
        (lambda folder: (folder / "example.nii.gz").write_bytes(b"x"), "example.nii.gz: a scan"),
        (
            lambda folder: (folder / "med3d_r1").mkdir() or (folder / "med3d_r1" / "a.py").touch(),
            "the package goes there",
        ),
        (lambda folder: (folder / "key.pem").write_text("x"), "key.pem: a file for secrets"),
        (lambda folder: (folder / "app.py").write_text("key = 'hf_" + "a1B2" * 9 + "'"), "a token of Hugging Face"),
    ],
    ids=["requirements", "app", "sdk", "scan", "package", "key", "token"],
)
def test_a_space_that_must_not_go_out_is_refused(space, change, word, capsys):
    change(space)
    assert cli.main(space_words(space)) == 2
    assert word in capsys.readouterr().err
