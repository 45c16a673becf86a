"""Pictures: what is up, what is left, square millimetres, and colours that mean what the caption says."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from med3d_r1.pictures import (
    AGAINST_COLOR,
    FOR_COLOR,
    PANEL_PIXELS,
    SCALE_BAR_MM,
    TEXT_COLOR,
    VIEWS,
    gray_levels,
    place_in_mm,
    plane_picture,
    plane_svg,
    three_planes,
)
from med3d_r1.volume_med3d_r1 import coarse_affine

AXIAL, CORONAL, SAGITTAL = VIEWS


def test_gray_levels_of_the_windows_edges():
    """The mediastinal window is 40 +- 200 HU; 40 lies in its middle, 255 * 0.5 = 127.5, which rounds to 128."""
    assert gray_levels(np.array([-2000, -160, 40, 240, 3000]), "mediastinum").tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("view", "first", "last"),
    [(AXIAL, "AR", "PL"), (CORONAL, "IR", "SL"), (SAGITTAL, "IA", "SP")],
    ids=lambda value: getattr(value, "name", None),
)
def test_each_letter_stands_where_its_side_is(view, first, last):
    """A canonical volume grows to S, P and L: its first rows and columns lie at I, A and R, its last at S, P and L."""
    volume = np.zeros((6, 6, 6))
    rows, columns = [axis for axis in range(3) if axis != view.axis]
    edges = {first[0]: (rows, 0), last[0]: (rows, 5), first[1]: (columns, 0), last[1]: (columns, 5)}
    pixels = dict(zip(view.letters, (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]), strict=True))
    for letter, (axis, index) in edges.items():
        marked = volume.copy()
        np.moveaxis(marked, axis, 0)[index] = 1
        assert view.plane(marked, 3)[pixels[letter]].all(), letter


def test_the_plane_is_the_one_that_was_asked_for():
    volume = np.arange(24).reshape(2, 3, 4)
    assert AXIAL.plane(volume, 1).tolist() == volume[1].tolist()
    assert CORONAL.plane(volume, 2).tolist() == volume[::-1, 2].tolist()
    assert SAGITTAL.plane(volume, 3).tolist() == volume[::-1, :, 3].tolist()


def test_pixels_are_square_in_millimetres():
    """Extents are 5 * 6 = 30, 20 * 1 = 20 and 20 * 2 = 40 mm; the longest side takes PANEL_PIXELS."""
    hu, spacing = np.zeros((5, 20, 20)), (6.0, 1.0, 2.0)
    sizes = [plane_picture(hu, spacing, view, 2, "lung").size for view in VIEWS]
    full, three_quarters, half = PANEL_PIXELS, PANEL_PIXELS * 3 // 4, PANEL_PIXELS // 2
    assert sizes == [(full, half), (full, three_quarters), (half, three_quarters)]


def test_the_bar_is_as_long_as_it_says():
    picture = np.array(plane_picture(np.full((10, 20, 20), -2000), (10.0, 10.0, 10.0), AXIAL, 5, "lung"))
    yellow = (picture == TEXT_COLOR).all(-1)
    length = yellow[:, : PANEL_PIXELS // 3].sum(axis=1).max()
    assert length == SCALE_BAR_MM * PANEL_PIXELS // 200


def test_bright_tissue_shows_bright_at_its_place():
    hu = np.full((8, 8, 8), -1000)
    hu[:, :, :4] = 1500  # the patient's right
    for view in (AXIAL, CORONAL):
        picture = np.array(plane_picture(hu, (10.0, 10.0, 10.0), view, 4, "bone").convert("L"))
        quarter = PANEL_PIXELS // 4
        assert picture[quarter, quarter] == 255
        assert picture[quarter, 3 * quarter] == 0


def test_colours_say_what_speaks_for_and_against():
    """Black tissue, so that a colour is left alone: at full strength 160 / 255 of it, at half of that 80 / 255."""
    relevance = np.zeros((2, 2, 2))
    relevance[0, 0, 0], relevance[0, 0, 1] = 2.0, -1.0  # feet, front: for at the right, against at the left
    picture = np.array(plane_picture(np.full((8, 8, 8), -3000), (1.0, 1.0, 1.0), AXIAL, 0, "lung", relevance))
    near, far = PANEL_PIXELS // 4, PANEL_PIXELS * 3 // 4
    np.testing.assert_allclose(picture[near, near], np.multiply(FOR_COLOR, 160 / 255), atol=1)
    np.testing.assert_allclose(picture[near, far], np.multiply(AGAINST_COLOR, 80 / 255), atol=1)
    assert picture[far, far].tolist() == [0, 0, 0]
    above = np.array(plane_picture(np.full((8, 8, 8), -3000), (1.0, 1.0, 1.0), AXIAL, 4, "lung", relevance))
    assert above[near, near].tolist() == [0, 0, 0]


def test_relevance_of_nothing_changes_nothing():
    hu = np.random.default_rng(0).integers(-1000, 400, (4, 4, 4))
    plain = plane_picture(hu, (1.0, 1.0, 1.0), CORONAL, 1, "lung")
    assert plane_picture(hu, (1.0, 1.0, 1.0), CORONAL, 1, "lung", np.zeros((2, 2, 2))) == plain


def test_a_sheet_has_a_row_a_window_and_goes_through_the_position():
    hu = np.full((4, 4, 4), -3000)
    hu[0, 0, 0] = 3000
    one = three_planes(hu, (1.0, 1.0, 1.0), windows=("lung",))
    two = three_planes(hu, (1.0, 1.0, 1.0), windows=("lung", "bone"), caption="a caption")
    assert two.width == one.width > 3 * PANEL_PIXELS
    assert two.height > 2 * one.height - 1
    assert np.array(one.convert("L"))[40 : 40 + PANEL_PIXELS // 2, 40:150].max() == 0  # the middle is black
    corner = np.array(three_planes(hu, (1.0, 1.0, 1.0), ("lung",), position=(0, 0, 0)).convert("L"))
    assert corner[40, 20] > 200


CANONICAL = np.array([[0, 0, -2.0, 50], [0, -4.0, 0, 60], [8.0, 0, 0, -70], [0, 0, 0, 1]])
"""A canonical volume: 8 mm along D to the head, 4 mm along H to the back, 2 mm along W to the left."""

SVG = "{http://www.w3.org/2000/svg}"


def drawn(view, position, relevance=None, relevance_affine=None, hu=None):
    """The SVG of a plane of (4, 6, 10) voxels, 32 x 24 x 20 mm."""
    hu = np.zeros((4, 6, 10), np.int16) if hu is None else hu
    return ElementTree.fromstring(plane_svg(hu, CANONICAL, view, position, "lung", relevance, relevance_affine))


@pytest.mark.parametrize(("view", "box"), [(AXIAL, "20.0 24.0"), (CORONAL, "20.0 32.0"), (SAGITTAL, "24.0 32.0")])
def test_a_drawing_is_as_large_as_the_plane_in_millimetres(view, box):
    assert drawn(view, (1, 2, 3)).get("viewBox") == f"0 0 {box}"


def test_a_drawing_holds_the_planes_gray_levels_as_they_are():
    hu = np.random.default_rng(0).integers(-1500, 500, (4, 6, 10)).astype(np.int16)
    for view in VIEWS:
        href = drawn(view, (1, 2, 3), hu=hu).find(f"{SVG}image").get("href")
        picture = Image.open(io.BytesIO(base64.b64decode(href.removeprefix("data:image/png;base64,"))))
        index = (1, 2, 3)[view.axis]
        np.testing.assert_array_equal(np.array(picture), gray_levels(view.plane(hu, index), "lung"))


@pytest.mark.parametrize(
    ("view", "x", "y"),
    # Voxel (1, 2, 3) has its middle 12 mm from the feet, 10 mm from the front, 7 mm from the right; 32 - 12 = 20.
    [(AXIAL, 7, 10), (CORONAL, 7, 20), (SAGITTAL, 10, 20)],
)
def test_the_crosshair_goes_through_the_voxels_middle(view, x, y):
    path = drawn(view, (1, 2, 3)).find(f"{SVG}path[@class='crosshair']").get("d")
    assert f"M0 {y:.1f}H" in path
    assert f"M{x:.1f} 0V" in path


def test_the_letters_of_a_drawing_stand_at_its_edges():
    hu, affine = np.zeros((40, 60, 100), np.int16), CANONICAL  # 320 x 240 x 200 mm: room for all of them
    drawing = ElementTree.fromstring(plane_svg(hu, affine, CORONAL, (0, 0, 0), "lung"))
    letters = {text.text: (float(text.get("x")), float(text.get("y"))) for text in drawing.iter(f"{SVG}text")}
    assert letters["S"][1] < letters["R"][1] == letters["L"][1] < letters["I"][1]
    assert letters["R"][0] < letters["S"][0] == letters["I"][0] < letters["L"][0]


def test_cells_of_a_coarser_grid_lie_where_their_millimetres_are():
    """Two cells a side over the same box, so a cell is (2, 3, 5) voxels, 16 x 12 x 10 mm. Cell (1, 0, 1) is upper,
    front, left: on an axial plane x 10..20, y 0..12; on a coronal one y 0..16, for the head is up."""
    relevance = np.zeros((2, 2, 2))
    relevance[1, 0, 1], relevance[1, 1, 0], relevance[1, 0, 0] = 2.0, -1.0, 0.19  # the last is too faint
    coarse = coarse_affine(CANONICAL, (4, 6, 10), (2, 2, 2))

    def cells(view, position):
        names = ("x", "y", "width", "height", "fill-opacity")
        drawing = drawn(view, position, relevance, coarse)
        return [(*(float(cell.get(name)) for name in names), cell.get("fill")) for cell in drawing.iter(f"{SVG}rect")]

    orange, blue = "rgb(255,140,0)", "rgb(60,130,255)"
    full, half = 0.44, 0.22
    assert cells(AXIAL, (2, 0, 0)) == [(10, 0, 10, 12, full, orange), (0, 12, 10, 12, half, blue)]
    assert cells(AXIAL, (1, 0, 0)) == []
    assert cells(CORONAL, (0, 2, 0)) == [(10, 0, 10, 16, full, orange)]
    assert cells(SAGITTAL, (0, 0, 4)) == [(12, 0, 12, 16, half, blue)]


def test_cells_that_lie_elsewhere_or_say_nothing_are_left_out():
    far = CANONICAL.copy()
    far[2, 3] += 1000  # a metre above
    assert drawn(AXIAL, (0, 0, 0), np.ones((2, 2, 2)), far).find(f"{SVG}rect") is None
    assert drawn(AXIAL, (0, 0, 0), np.zeros((4, 6, 10)), CANONICAL).find(f"{SVG}rect") is None


def test_places_name_the_side_of_the_patient():
    """Voxel (1, 2, 30): x = 50 - 60 = -10, y = 60 - 8 = 52, z = -70 + 8 = -62."""
    assert place_in_mm(CANONICAL, (1, 2, 30)) == ("L 10", "A 52", "I 62")
