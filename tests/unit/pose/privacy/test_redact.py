"""Regions of a picture are redacted for good."""

from dataclasses import asdict

import numpy as np
import pytest

from pose.privacy.redact import METHODS, SOLID_COLOUR, redact, redaction_parameters
from pose.results import RedactionResult
from pose.scan.pictures import decode_picture, encode_jpeg


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    v, u = np.mgrid[:200, :300]
    return (u - 140) ** 2 + (v - 90) ** 2 < 60**2


def segments(data):
    """Markers of a JPEG file up to its first scan, with what they hold."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


@pytest.mark.parametrize("method", METHODS)
def test_pixels_far_from_the_mask_are_not_changed(picture, mask, method):
    before = picture.copy()
    redacted = redact(picture, mask, method)
    assert (picture == before).all()
    v, u = np.mgrid[:200, :300]
    far = (u - 140) ** 2 + (v - 90) ** 2 > 70**2
    assert (redacted[far] == picture[far]).all()
    assert not np.shares_memory(redacted, picture)


def test_solid_keeps_no_tone(picture, mask):
    assert (redact(picture, mask, "solid")[mask] == SOLID_COLOUR).all()


def test_blur_is_smooth_and_mosaic_is_tiles(picture, mask):
    blurred, tiled = (redact(picture, mask, method).astype(int) for method in ("blur", "mosaic"))
    steps = np.abs(np.diff(blurred, axis=1))[:, :-1][mask[:, 2:] & mask[:, :-2]]
    assert steps.max() <= 8  # smooth, though the source is noise of full strength
    grid = redaction_parameters("mosaic").grid
    assert 1 < len(np.unique(tiled[mask], axis=0)) <= grid**2


@pytest.mark.parametrize("method", ["blur", "mosaic"])
def test_only_a_tone_is_kept_with_noise_about_it(mask, method):
    """Covered sources of all kinds lie about as many means as there are levels, and show no pattern."""
    rng = np.random.default_rng(1)
    u = np.arange(300)[None, :].repeat(200, axis=0)
    means, slopes = [], []
    for _ in range(60):
        base = np.full((200, 300, 3), rng.uniform(0, 255, 3))
        side = rng.choice([-1.0, 1.0])
        source = np.clip(base + side * (u - 140)[..., None], 0, 255).astype(np.uint8)
        shown = redact(source, mask, method).astype(float)
        means.append(shown[mask].mean())
        left, right = shown[mask & (u < 120)].mean(), shown[mask & (u > 160)].mean()
        slopes.append(side * (right - left))
    known = redaction_parameters(method)
    middles = np.sort(means)
    cuts = np.flatnonzero(np.diff(middles) > 2 * known.noise)
    assert len(cuts) + 1 == known.levels
    assert all(group.std() < known.noise for group in np.split(middles, cuts + 1))
    # The sources rise by 120 from left to right, or fall by it; what is shown does neither.
    assert abs(np.mean(slopes)) < 3 * np.std(slopes) / np.sqrt(len(slopes))


def test_light_regions_stay_light_and_dark_ones_dark(mask):
    for value, light in ((60, False), (200, True)):
        shown = redact(np.full((200, 300, 3), value, np.uint8), mask)[mask].mean()
        assert (shown > 126) == light


def test_the_tone_comes_from_masked_pixels_only(mask):
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[~mask] = 255
    assert redact(picture, mask)[mask].mean() < 126


@pytest.mark.parametrize("method", METHODS)
def test_a_result_can_hold_what_a_method_keeps(method):
    said = asdict(redaction_parameters(method))
    assert RedactionResult(method=method, **said, regions=(((1, 2), (3, 4), (5, 0)),)).second_look == 0
    assert (said["levels"] == 1) == (method == "solid")


@pytest.mark.parametrize("method", METHODS)
def test_masked_pixels_change_nothing_around_them_not_even_in_the_file(picture, mask, method):
    other = picture.copy()
    other[mask] = 255 - other[mask]
    files = [encode_jpeg(redact(one, mask, method)) for one in (picture, other)]
    one, two = (decode_picture(file) for file in files)
    v, u = np.mgrid[:200, :300]
    far = (u - 140) ** 2 + (v - 90) ** 2 > (60 + 10 + 24) ** 2  # beyond the rim and the blocks of a JPEG
    assert (one[far] == two[far]).all()
    if method == "solid":  # of which nothing is left, in the rim neither
        assert files[0] == files[1]


def test_equal_pictures_give_equal_bytes(picture, mask):
    assert (redact(picture, mask) == redact(picture.copy(), mask.copy())).all()


def test_each_of_several_regions_is_redacted(picture):
    mask = np.zeros((200, 300), bool)
    mask[20:60, 20:60] = mask[50:90, 50:90] = True
    mask[120:160, 200:260] = True
    redacted = redact(picture, mask)
    assert (redacted[mask] != picture[mask]).any(axis=1).mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 200), (200, 300)])
@pytest.mark.parametrize("method", METHODS)
def test_a_mask_of_any_size_is_redacted(picture, size, method):
    mask = np.zeros((200, 300), bool)
    mask[: size[0], : size[1]] = True
    redacted = redact(picture, mask, method)
    assert redacted.shape == picture.shape
    assert (redacted[mask] != picture[mask]).any()


def test_an_empty_mask_changes_nothing(picture):
    assert (redact(picture, np.zeros((200, 300), bool)) == picture).all()


@pytest.mark.parametrize(
    ("rgb", "mask", "method"),
    [
        (np.zeros((5, 5, 3), np.float32), np.zeros((5, 5), bool), "blur"),
        (np.zeros((5, 5), np.uint8), np.zeros((5, 5), bool), "blur"),
        (np.zeros((5, 5, 3), np.uint8), np.zeros((5, 6), bool), "blur"),
        (np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5), bool), "pixelate"),
    ],
)
def test_wrong_arguments_raise_an_error(rgb, mask, method):
    with pytest.raises(ValueError, match="expected"):
        redact(rgb, mask, method)


def test_a_jpeg_holds_its_pixels_and_nothing_else(picture):
    data = encode_jpeg(picture)
    markers = [marker for marker, _ in segments(data)]
    # JFIF's own header, tables and one baseline frame: no APP1 (EXIF), APP2 (ICC), APP13, comment.
    assert set(markers) <= {0xE0, 0xDB, 0xC0, 0xC4}
    assert dict(segments(data))[0xE0][-2:] == b"\0\0"  # no thumbnail either
    for word in (b"Exif", b"ICC_PROFILE", b"http", b"Photoshop"):
        assert word not in data


def test_a_jpeg_of_a_turned_view_is_encoded_as_seen(picture):
    import cv2

    turned = np.rot90(picture)
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(turned), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == turned.shape
