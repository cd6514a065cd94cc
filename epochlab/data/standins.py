"""Pools of images that stand in for MNIST and CIFAR-10 where neither can be had.

Both are made from what scikit-learn ships: 1,797 handwritten UCI digits of 8×8 pixels, drawn
larger and slightly moved, turned, scaled and sheared, and two photographs. Nothing is random
from call to call: the same versions of NumPy and SciPy give the same pool.
"""

import functools
from typing import NamedTuple

import numpy as np

CLASS_NAMES = tuple("0123456789")
_TRAINING_DIGITS = 1_500  # of the 1,797 source digits; the test pool is made from the others
_IMAGES_PER_WARP = 50  # fewer than source digits, so that no two images are the same
_WARPS_PER_CHUNK = 20  # divides every pool's number of warps; a chunk takes a few MB


class Pool(NamedTuple):
    """Images and labels, uint8, and which source digit each training image was drawn from."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source_digits: np.ndarray


@functools.cache
def mnist() -> Pool:
    """Return 60,000 + 10,000 images of 28×28 pixels.

    >>> pool = mnist()
    >>> pool.x_train.shape, pool.x_test.shape, pool.x_train.dtype
    ((60000, 28, 28), (10000, 28, 28), dtype('uint8'))
    """
    return _pool(60_000, 10_000, 28, None)


@functools.cache
def cifar10() -> Pool:
    """Return 50,000 + 10,000 images of 32×32×3: coloured digits over crops of photographs."""
    from sklearn.datasets import load_sample_images

    return _pool(50_000, 10_000, 32, np.stack(load_sample_images().images))


def _pool(n_train: int, n_test: int, size: int, photographs: np.ndarray | None) -> Pool:
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    rng = np.random.default_rng(0)
    pixels, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    pixels = (pixels[order] / 16).astype(np.float32)
    labels = labels[order].astype(np.uint8)
    train, test = slice(_TRAINING_DIGITS), slice(_TRAINING_DIGITS, None)
    # The products are small: on a busy machine threads waiting for each other take 20 times longer.
    with threadpool_limits(1, user_api="blas"):
        x_train, digits = _draw(pixels[train], n_train, size, photographs, rng)
        x_test, test_digits = _draw(pixels[test], n_test, size, photographs, rng)
    return Pool(x_train, labels[train][digits], x_test, labels[test][test_digits], digits)


def _draw(
    pixels: np.ndarray, n: int, size: int, photographs: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` images of the source digits `pixels` (rows of 64), and each one's source digit."""
    n_warps = n // _IMAGES_PER_WARP
    sources = np.resize(np.arange(len(pixels)), (n_warps, _IMAGES_PER_WARP))
    channels = () if photographs is None else (3,)
    # Warps are the second axis: neighbours in the pool then share neither warp nor source digit.
    images = np.empty((_IMAGES_PER_WARP, n_warps, size, size, *channels), np.uint8)
    for first in range(0, n_warps, _WARPS_PER_CHUNK):
        chunk = slice(first, first + _WARPS_PER_CHUNK)
        ink = pixels[sources[chunk]] @ _warps(_WARPS_PER_CHUNK, size, rng)
        # The power makes strokes as thin, and the mean as dark, as MNIST's.
        ink = (ink.clip(0, 1) ** np.float32(1.8)).reshape(*ink.shape[:2], size, size)
        picture = 255 * ink if photographs is None else _paint(ink, photographs, rng)
        images[:, chunk] = np.rint(picture).swapaxes(0, 1)
    return images.reshape(n, size, size, *channels), sources.T.ravel()


def _warps(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` random mild warps, each a matrix (64, size²) from 8×8 pixels to an image.

    The value at a real coordinate of an interpolating spline is linear in the pixels, so that
    drawing many digits with one warp is one matrix product.
    """
    from scipy.interpolate import CubicSpline

    angle = np.radians(rng.uniform(-8, 8, n))
    shear = rng.uniform(-0.1, 0.1, n)
    scale = rng.uniform(0.92, 1.08, n) * size / 28 * 2.5  # 8 pixels become 20 of MNIST's 28
    shift = rng.uniform(-1, 1, (2, n, 1, 1))
    y, x = np.indices((size, size))[:, None] - (size - 1) / 2 - shift
    cos, sin, shear = (t[:, None, None] for t in (np.cos(angle), np.sin(angle), shear))
    scale = scale[:, None, None]
    down = (cos * y + sin * x) / scale + 3.5
    right = (cos * x - sin * y + shear * y) / scale + 3.5
    # The 8 pixels lie at 0..7 with nothing but background around them.
    basis = CubicSpline(np.arange(-6, 14), np.eye(20)[:, 6:14])
    rows, columns = (np.moveaxis(basis(t), -1, 1).astype(np.float32) for t in (down, right))
    return (rows[:, :, None] * columns[:, None]).reshape(n, 64, size * size)


def _paint(ink: np.ndarray, photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return `ink`, shape (..., size, size), in random colours over random crops, 0 to 255."""
    size = ink.shape[-1]
    crops = np.lib.stride_tricks.sliding_window_view(photographs, (1, size, size, 3))
    crops = crops[:, :, :, 0, 0]
    crop = crops[tuple(rng.integers(0, limit, ink.shape[:2]) for limit in crops.shape[:3])]
    # Far from the crop's mean in every channel, so that the digit can be seen.
    colour = rng.uniform(0, 80, (*ink.shape[:2], 1, 1, 3)).astype(np.float32)
    colour = np.where(crop.mean(axis=(2, 3), keepdims=True) < 128, 255 - colour, colour)
    return crop + ink[..., None] * (colour - crop)
