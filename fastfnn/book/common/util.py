"""The book's `common.util`."""

import numpy as np
import numpy.typing as npt

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]

_REACH = 5  # neighbours on either side that a smoothed point is the mean of
_WEIGHTS = np.kaiser(2 * _REACH + 1, 2)


def smooth_curve(x: npt.ArrayLike) -> np.ndarray:
    """Return a curve of which each point is a weighted mean of 11 points, for plots.

    The weights are those of a Kaiser window with beta = 2. Beyond its ends the curve is mirrored: on the left at the
    first point, on the right behind the last one.
    """
    mirrored = np.pad(np.pad(x, (_REACH, 0), "reflect"), (0, _REACH), "symmetric")
    return np.convolve(mirrored, _WEIGHTS / _WEIGHTS.sum(), "valid")


def shuffle_dataset(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and targets in one random order, that of `np.random.permutation`."""
    order = np.random.permutation(len(x))
    return x[order], t[order]


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """Return the rows, or columns, of a convolution's output; not whole if the filter does not fit."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data: np.ndarray, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> np.ndarray:
    """Return what a filter sees at each of its places, one row a place.

    Parameters
    ----------
    input_data : (N, C, H, W) array
        Images.
    filter_h, filter_w : int
        Rows and columns of the filter.
    stride : int, default 1
        Distance between the places of the filter.
    pad : int, default 0
        Rows and columns of zeros around the images.

    Returns
    -------
    (N out_h out_w, C filter_h filter_w) float64 array
    """
    padded = np.pad(np.asarray(input_data, np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (filter_h, filter_w), axis=(2, 3))
    places = views[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return places.reshape(-1, padded.shape[1] * filter_h * filter_w)


def col2im(
    col: np.ndarray, input_shape: tuple[int, int, int, int], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> np.ndarray:
    """Return images (N, C, H, W) to which each place of a filter adds its row: the adjoint of `im2col`."""
    samples, channels, height, width = input_shape
    padded = np.zeros((samples, channels, height + 2 * pad, width + 2 * pad))
    places = np.lib.stride_tricks.sliding_window_view(padded, (filter_h, filter_w), axis=(2, 3), writeable=True)
    places = places[:, :, ::stride, ::stride]
    count = places.shape[2:4]
    rows = np.reshape(col, (samples, *count, channels, filter_h, filter_w)).transpose(0, 3, 1, 2, 4, 5)
    for i in range(filter_h):  # the places of one element of the filter do not overlap
        for j in range(filter_w):
            places[..., i, j] += rows[..., i, j]
    return padded[:, :, pad : pad + height, pad : pad + width]
