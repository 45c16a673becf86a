"""Dividing the work of filling a store. How it goes on after anything is tested where stores are filled."""

import pytest

from med3d_r1.data.filling import in_shard


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_volume_is_in_one_shard(count):
    volumes = [f"train_{number}_a_1.nii.gz" for number in range(500)]
    sizes = [sum(in_shard(volume, (index, count)) for volume in volumes) for index in range(1, count + 1)]
    assert sum(sizes) == 500
    assert min(sizes) > 0.6 * 500 / count


def test_the_choice_is_the_same_for_ever():
    """sha256 of this name begins with 25502d0f7f36f099."""
    assert 0x25502D0F7F36F099 % 7 == 4
    assert [in_shard("valid_1_a_1.nii.gz", (index, 7)) for index in range(1, 8)].index(True) == 4
