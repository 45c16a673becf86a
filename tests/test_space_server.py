"""The Space for programs: a real server on the loopback interface, gradio's own client, a tiny random model."""

import json
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from threading import Event, Lock

import pytest

pytest.importorskip("gradio", reason="the Space's extra is not installed")

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import limits
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.inference import diagnose, encode_scan, write_report
from med3d_r1.wording import DISCLAIMER
from scans import synthetic_chest, write_nifti
from space_server import space_server
from tiny import tiny_checkpoint

NAME = "DOE_JOHN_1961"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_NEW_TOKENS", 4)
        patch.setattr(limits, "MAX_WAITING", 2)
        patch.setattr(limits, "MAX_FILE_BYTES", 300_000)
        with space_server(tiny_checkpoint(tmp_path_factory.mktemp("space") / "model")) as running:
            yield running


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_nifti(tmp_path_factory.mktemp("scans") / f"{NAME}.nii.gz", synthetic_chest((24, 40, 40)))


def test_three_endpoints_are_public_and_describe_themselves(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/inspect", "/diagnose", "/report"}
    parameters = [parameter["parameter_name"] for parameter in endpoints["/diagnose"]["parameters"]]
    assert parameters == ["scan", "question", "options", "think", "abstain_below"]
    assert "not a medical device" in endpoints["/diagnose"]["description"]


def test_inspecting_says_what_the_model_would_see(client, scan, server):
    found = client.predict(handle_file(str(scan)), api_name="/inspect")
    assert found["shape"] == [32, 64, 64]
    assert found["source_shape"] == [24, 40, 40]
    assert NAME not in json.dumps(found)


def test_a_diagnosis_is_the_packages(client, scan, server):
    found = client.predict(handle_file(str(scan)), "Which?", "Mass\nCyst", False, 0.9, api_name="/diagnose")
    encoded = encode_scan(server.engine.model, server.engine.processor, scan)
    expected = diagnose(
        server.engine.model, server.engine.processor, encoded, "Which?", ["Mass", "Cyst"], think=False,
        abstain_below=0.9, max_new_tokens=4,
    ).to_dict()  # fmt: skip
    assert {key: found[key] for key in ("letter", "answer", "abstained", "text")} == {
        key: expected[key] for key in ("letter", "answer", "abstained", "text")
    }
    assert found["probabilities"] == pytest.approx(expected["probabilities"])
    assert found["disclaimer"] == DISCLAIMER


def test_without_options_the_18_abnormalities_are_asked_for(client, scan):
    assert list(client.predict(handle_file(str(scan)), api_name="/diagnose")["probabilities"]) == list(CT_RATE_LABELS)


def test_a_report_is_the_packages(client, scan, server):
    found = client.predict(handle_file(str(scan)), api_name="/report")
    encoded = encode_scan(server.engine.model, server.engine.processor, scan)
    expected = write_report(server.engine.model, server.engine.processor, encoded, max_new_tokens=4)
    assert {key: found[key] for key in ("findings", "impression", "text")} == {
        key: expected.to_dict()[key] for key in ("findings", "impression", "text")
    }


def test_refusals_and_bounds_come_as_sentences(client, tmp_path, capfd):
    noise = tmp_path / f"{NAME}.nii.gz"
    noise.write_bytes(b"no scan at all")
    with pytest.raises(AppError, match=r"Refused\. .*; found "):
        client.predict(handle_file(str(noise)), api_name="/inspect")
    assert NAME not in "".join(capfd.readouterr())


def test_a_file_that_is_too_large_is_turned_away_while_it_comes(server):
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s.nii"\r\n\r\n' % NAME.encode()
    body = part + bytes(limits.MAX_FILE_BYTES + 1) + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(f"{server.url}gradio_api/upload", body, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 413
    assert "maximum allowed size" in refused.value.read().decode()


def test_nothing_is_left_on_disk_and_no_name_was_ever_there(client, scan, server):
    client.predict(handle_file(str(scan)), api_name="/inspect")
    assert [path for path in server.files() if path.stat().st_size] == []
    assert not [path for path in server.files() if NAME in str(path)]


def test_one_question_at_a_time_and_a_clear_word_when_too_many_wait(client, scan, server, monkeypatch):
    """The first is answered, two wait, the fourth is sent away."""
    running, most, lock, go = [0], [0], Lock(), Event()
    report = server.engine.report

    def slow(prepared):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        go.wait(30)
        yield from report(prepared)
        with lock:
            running[0] -= 1

    monkeypatch.setattr(server.engine, "report", slow)
    jobs = [client.submit(handle_file(str(scan)), api_name="/report") for _ in range(3)]
    deadline = time.monotonic() + 30
    while sorted(job.status().code.name for job in jobs) != ["IN_QUEUE", "IN_QUEUE", "PROCESSING"]:
        assert time.monotonic() < deadline, [job.status().code.name for job in jobs]
        time.sleep(0.05)
    with pytest.raises(Exception, match="Queue is full"):
        client.predict(handle_file(str(scan)), api_name="/report")
    go.set()
    assert all(job.result(timeout=60) for job in jobs)
    assert most == [1]


@pytest.mark.skipif(find_spec("mcp") is None, reason="the package mcp is not installed")
def test_the_endpoints_are_tools_for_language_models(server):
    with urllib.request.urlopen(f"{server.url}gradio_api/mcp/schema") as answer:
        tools = {tool["name"].rpartition("_")[2]: tool for tool in json.load(answer)}
    assert set(tools) == {"inspect", "diagnose", "report"}
    assert "one a line" in json.dumps(tools["diagnose"]["inputSchema"])
