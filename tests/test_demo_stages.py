"""Commands that depend on each other: order, cores, notes, and what happens after a failure."""

import json
import sys
import time

import pytest

from med3d_r1.demo.stages import Stage, StageError, run_stages

# Stands for the program: "say WORD" appends a word with the time, "fail" fails, "wait" takes a while.
SCRIPT = """
import sys, time
verb, folder, word = sys.argv[1:]
if verb == "fail" and not __import__("pathlib").Path(folder, "mended").exists():
    print("  3%|#  | working"); sys.exit("error: the cupboard is bare")
with open(folder + "/order.txt", "a", 1) as file:
    file.write(f"{word} begins {time.time()}\\n")
    if verb == "wait":
        time.sleep(1.0)
    file.write(f"{word} ends {time.time()}\\n")
"""
PROGRAM = (sys.executable, "-c", SCRIPT)


def stage(name, folder, needs=(), verb="say", **more):
    return Stage(name, name, (verb, str(folder), name), needs=needs, **more)


def order(folder):
    path = folder / "order.txt"
    return [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.exists() else []


def run(stages, folder, cores=1):
    return run_stages(stages, folder, cores, PROGRAM)


def test_stages_run_in_order_and_leave_notes_with_their_commands(tmp_path):
    seconds = run([stage("a", tmp_path), stage("b", tmp_path, ("a",))], tmp_path)
    assert order(tmp_path) == ["a begins", "a ends", "b begins", "b ends"]
    assert seconds.keys() == {"a", "b"}
    note = json.loads((tmp_path / "stages" / "b.json").read_text())
    assert note["arguments"] == ["say", str(tmp_path), "b"]
    assert "$ med3d-r1 say" in (tmp_path / "logs" / "a.log").read_text()


@pytest.mark.parametrize("threads", [1, 2])
def test_products_have_the_threads_of_the_stage(tmp_path, threads):
    said = "import os; print(os.environ['OMP_NUM_THREADS'], 'threads')"
    run_stages([stage("a", tmp_path, threads=threads)], tmp_path, 2, (sys.executable, "-c", said))
    assert f"\n{threads} threads\n" in (tmp_path / "logs" / "a.log").read_text()


def test_what_ended_well_is_not_run_again(tmp_path):
    stages = [stage("a", tmp_path), stage("b", tmp_path, ("a",))]
    first = run(stages, tmp_path)
    started = time.monotonic()
    again = run(stages, tmp_path)
    assert time.monotonic() - started < 0.3
    assert len(order(tmp_path)) == 4
    assert again == pytest.approx(first, abs=0.06)


def test_another_command_runs_again_with_all_that_builds_on_it(tmp_path):
    run([stage("a", tmp_path), stage("b", tmp_path, ("a",)), stage("c", tmp_path)], tmp_path)
    changed = Stage("a", "a", ("say", str(tmp_path), "A"))
    run([changed, stage("b", tmp_path, ("a",)), stage("c", tmp_path)], tmp_path)
    assert [line.split()[0] for line in order(tmp_path)[::2]] == ["a", "b", "c", "A", "b"]


def test_independent_stages_share_the_cores_and_a_large_one_waits(tmp_path):
    stages = [stage("a", tmp_path, verb="wait"), stage("b", tmp_path, verb="wait"), stage("c", tmp_path, cores=2)]
    run(stages, tmp_path, cores=2)
    said = order(tmp_path)
    assert {*said[:2]} == {"a begins", "b begins"}
    assert said[-2:] == ["c begins", "c ends"]


def test_a_stage_that_wants_more_cores_than_there_are_runs_alone(tmp_path):
    run([stage("a", tmp_path, cores=8), stage("b", tmp_path, cores=8)], tmp_path, cores=1)
    assert order(tmp_path) == ["a begins", "a ends", "b begins", "b ends"]


def test_a_stage_of_several_processes_is_started_by_torchrun(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys; open(sys.argv[1] + '/' + os.environ['RANK'], 'w').write(os.environ['WORLD_SIZE'])"
    )
    pair = Stage("pair", "pair", (str(tmp_path),), cores=2, processes=2)
    run_stages([pair], tmp_path, 2, (sys.executable, str(script)))
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["2", "2"]
    assert "$ torchrun --standalone --nproc_per_node 2 -m med3d_r1.cli" in (tmp_path / "logs" / "pair.log").read_text()


def test_what_the_program_says_itself_comes_before_what_is_said_about_it(tmp_path):
    program = (sys.executable, "-c", "print('med3d-r1: error: no bread'); print('a'); print('b'); print('c'); exit(1)")
    with pytest.raises(StageError, match=r"status 1: med3d-r1: error: no bread \(all"):
        run_stages([Stage("a", "a", ())], tmp_path, 1, program)


def test_a_failure_tells_the_last_words_and_the_next_run_goes_on_from_there(tmp_path):
    stages = [stage("a", tmp_path), stage("b", tmp_path, ("a",), verb="fail")]
    with pytest.raises(StageError, match=r"b failed with exit status 1: .*the cupboard is bare .*b\.log"):
        run(stages, tmp_path)
    (tmp_path / "mended").touch()
    run(stages, tmp_path)
    assert order(tmp_path) == ["a begins", "a ends", "b begins", "b ends"]


def test_a_failure_ends_what_runs_beside_it(tmp_path):
    with pytest.raises(StageError):
        run([stage("slow", tmp_path, verb="wait"), stage("bad", tmp_path, verb="fail")], tmp_path, cores=2)
    time.sleep(1.2)
    assert "slow ends" not in order(tmp_path)


def test_what_is_whole_or_absent_by_itself_is_not_made_twice(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    assert run([stage("a", tmp_path, makes=made)], tmp_path) == {"a": 0.0}
    assert order(tmp_path) == []


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([("a", ()), ("a", ())], "two stages are called a"),
        ([("b", ("a",)), ("a", ())], "stage b needs a, which is not before it"),
    ],
    ids=["twice", "order"],
)
def test_chains_that_make_no_sense_are_refused(tmp_path, stages, message):
    with pytest.raises(ValueError, match=message):
        run([stage(name, tmp_path, needs) for name, needs in stages], tmp_path)
