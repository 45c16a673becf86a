"""Files come from the Hub one at a time and never take more than their budget."""

import os

import pytest
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from hypothesis import given
from hypothesis import strategies as st

import med3d_r1.data.hub_files as hub_files
from dataset_trees import CTRateTree
from hub_server import LoopbackHub
from med3d_r1.data.ct_rate import ct_rate_on_hub, read_ct_rate
from med3d_r1.data.hub_files import HubFolder


class FakeHub:
    """Stands in for hf_hub_download: files of given sizes, and an account of what was asked."""

    def __init__(self, sizes):
        self.sizes, self.downloads, self.error = sizes, [], None

    def __call__(self, repo_id, filename, *, repo_type, revision, local_dir, dry_run=False):
        assert (repo_id, repo_type, revision) == ("owner/data", "dataset", "main")
        if self.error:
            raise self.error
        if filename not in self.sizes:
            raise EntryNotFoundError(filename)
        if dry_run:
            return type("DryRun", (), {"file_size": self.sizes[filename]})
        self.downloads.append(filename)
        path = local_dir / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * self.sizes[filename])
        return str(path)


@pytest.fixture
def hub(monkeypatch):
    hub = FakeHub(
        {"table.csv": 10_000, **{f"volumes/{name}.nii.gz": 30_000 for name in "abcdef"}, "big.nii.gz": 95_000}
    )
    monkeypatch.setattr(hub_files, "hf_hub_download", hub)
    ticks = iter(range(10**9, 10**12, 10**6))
    monkeypatch.setattr(hub_files.time, "time_ns", lambda: next(ticks))
    return hub


@pytest.fixture
def folder(tmp_path):
    return HubFolder("owner/data", tmp_path / "data", budget_bytes=102_000)


def names(folder):
    return sorted(path.name[0] for path in folder.folder.rglob("*.gz"))


def test_a_file_is_downloaded_once(hub, folder):
    path = folder.fetch("volumes/a.nii.gz")
    assert path == folder.folder / "volumes/a.nii.gz"
    assert folder.fetch(path) == path
    assert hub.downloads == ["volumes/a.nii.gz"]


def test_what_was_not_used_for_longest_makes_room(hub, folder):
    for name in "table.csv", "volumes/a.nii.gz", "volumes/b.nii.gz", "volumes/c.nii.gz":
        folder.fetch(name)
    folder.fetch("volumes/a.nii.gz")
    folder.fetch("volumes/d.nii.gz")
    assert names(folder) == ["a", "c", "d"]
    assert (folder.folder / "table.csv").is_file()


def test_what_is_left_of_broken_downloads_goes_first(hub, folder):
    folder.fetch("volumes/a.nii.gz")
    broken = folder.folder / ".cache" / "b.incomplete"
    broken.write_bytes(b"0" * 65_000)
    folder.fetch("volumes/c.nii.gz")
    assert not broken.exists()
    assert names(folder) == ["a", "c"]


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(41_024, 130_000))
def test_the_budget_is_never_exceeded(tmp_path_factory, wanted, budget):
    with pytest.MonkeyPatch.context() as patch:
        fake = FakeHub({"table.csv": 10_000, **{f"{name}.nii.gz": 30_000 for name in "abcdef"}})
        folder = HubFolder("owner/data", tmp_path_factory.mktemp("hub"), budget)

        def download(*args, **kwargs):
            result = fake(*args, **kwargs)
            assert folder.used_bytes() <= budget
            return result

        patch.setattr(hub_files, "hf_hub_download", download)
        folder.fetch("table.csv")
        for name in wanted:
            assert folder.fetch(f"{name}.nii.gz").stat().st_size == 30_000


def test_a_file_that_cannot_fit_is_refused_before_anything_goes(hub, folder):
    folder.fetch("table.csv")
    folder.fetch("volumes/a.nii.gz")
    with pytest.raises(
        ValueError, match=r"big.nii.gz takes 96,024 bytes, with the tables in .* 106,024, and the budget is 102,000"
    ):
        folder.fetch("big.nii.gz")
    assert names(folder) == ["a"]


def test_using_a_file_does_not_look_like_changing_it(hub, folder):
    path = folder.fetch("volumes/a.nii.gz")
    os.utime(path, ns=(5, 7))
    folder.fetch("volumes/a.nii.gz")
    assert path.stat().st_mtime_ns == 7
    assert path.stat().st_atime_ns > 5


@pytest.mark.parametrize("file", ["../other", "/etc/passwd"])
def test_only_files_of_the_folder_are_fetched(hub, folder, file):
    with pytest.raises(ValueError, match="does not lie in"):
        folder.fetch(file)


def test_a_budget_is_positive(tmp_path):
    with pytest.raises(ValueError, match="budget_bytes"):
        HubFolder("owner/data", tmp_path, 0)


class Response:
    headers, request, status_code = {}, None, 403


class TestErrors:
    @pytest.mark.parametrize("error", [GatedRepoError, RepositoryNotFoundError])
    def test_of_access_say_where_to_accept_the_terms(self, hub, folder, error):
        hub.error = error("refused", response=Response)
        with pytest.raises(PermissionError, match=r"accepted.*hf auth login|hf auth login.*accepted") as caught:
            folder.fetch("table.csv")
        assert "/datasets/owner/data" in str(caught.value)

    def test_of_a_missing_file(self, hub, folder):
        with pytest.raises(FileNotFoundError, match=r"no file nothing.csv in revision main"):
            folder.fetch("nothing.csv")

    def test_of_the_server(self, hub, folder):
        hub.error = HfHubHTTPError("500 Server Error", response=Response)
        with pytest.raises(ConnectionError, match="500 Server Error"):
            folder.fetch("table.csv")

    def test_of_a_size_that_nobody_knows(self, hub, folder):
        hub.sizes["table.csv"] = None
        with pytest.raises(ConnectionError, match=r"size of table\.csv"):
            folder.fetch("table.csv")

    def test_offline(self, folder):
        """The real client, which tests keep offline."""
        with pytest.raises(ConnectionError, match=r"table.csv is not in .* cannot be reached"):
            folder.fetch("table.csv")


CLIENT = """
from med3d_r1.data.ct_rate import ct_rate_on_hub, read_ct_rate
hub = ct_rate_on_hub(sys.argv[1], budget_bytes=int(sys.argv[2]))
scans = read_ct_rate(hub, "validation")
sizes = []
for scan in scans:
    for volume in scan.volumes:
        hub.fetch(volume.path)
        sizes.append(hub.used_bytes())
result = {"scans": [scan.name for scan in scans], "largest": max(sizes),
          "left": sorted(path.name for path in hub.folder.rglob("*.nii.gz"))}
"""


def test_ct_rate_comes_from_the_hub_volume_by_volume(tmp_path):
    tree = CTRateTree(tmp_path / "source")
    for name in ("valid_1_a_1", "valid_2_a_1", "valid_3_a_1"):
        tree.add(name, "Emphysema").write_bytes(b"0" * 100_000)
    tree.write()
    budget = 250_000
    with LoopbackHub(tmp_path / "hub") as server:
        repository = server.create("ibrahimhamamci/CT-RATE", "datasets")
        files = {
            path.relative_to(tree.folder).as_posix(): server.store([path.read_bytes()], lfs=path.suffix == ".gz")
            for path in tree.folder.rglob("*")
            if path.is_file()
        }
        repository.commit("data", files)
        result = server.client(tmp_path / "home", CLIENT, tmp_path / "local", budget)
    assert result["scans"] == ["valid_1_a", "valid_2_a", "valid_3_a"]
    assert result["left"] == ["valid_2_a_1.nii.gz", "valid_3_a_1.nii.gz"]
    assert 200_000 < result["largest"] <= budget


def test_a_hub_folder_lists_scans_before_their_volumes_are_there(hub, tmp_path, monkeypatch):
    tree = CTRateTree(tmp_path)
    tree.add("valid_1_a_1").unlink()
    tree.write()
    monkeypatch.setattr(hub_files, "hf_hub_download", lambda **_: pytest.fail("tables are here"))
    (tree.folder / "dataset/metadata/no_chest_valid.txt").write_text("")
    [scan] = read_ct_rate(ct_rate_on_hub(tree.folder, 10**6), "validation")
    assert not scan.volumes[0].path.exists()
