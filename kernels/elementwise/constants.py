"""The constants of the elementary functions, for float32 and float64.

The polynomials are minimax polynomials, found by Remez's algorithm in arithmetic of 220 bits for the error that is
named at the coefficients. Those for float32 were rounded one by one, from the lowest order up, and the others fitted
again after each; so were those of log1p for float64. `gelu_scale` is short in binary, and was chosen for each type so
that the polynomial with its rounded coefficients has a small error.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from .tracing import Traced


class Constants(NamedTuple):
    """The constants of one type."""

    zero: Any
    half: Any
    one: Any
    two: Any
    infinity: Any
    nan: Any
    tiny: Any  # the smallest normal number
    precision: Any  # bits in a significand
    two_to_precision: Any
    shifter: Any  # 1.5 * 2^(precision - 1): adding it rounds to an integer and leaves that in the low bits
    log2_e: Any
    ln2_high: Any  # so few bits that its product with any k is exact
    ln2_low: Any  # ln 2 - ln2_high
    exp_least: Any  # the least x with a normal e^x
    exp_most: Any  # the greatest x with a finite e^x
    infinite: Any  # e^infinite rounds k to the exponent of infinity
    saturated: Any  # 1 + e^saturated is 1
    splitter: Any  # adding and subtracting it rounds a number up to gelu_most to few enough bits for an exact square
    silu_least: Any  # the least x with a normal silu(x)
    gelu_most: Any  # the greatest a with a normal gelu(-a)
    gelu_scale: Any
    density_0: Any  # 1 / sqrt(2 pi), the density of the standard normal at 0
    exp_polynomial: Any  # from the lowest order
    log_polynomial: Any
    tanh_polynomial: Any
    log1p_polynomial: Any
    gelu_polynomial: Any


def _constants(real: Any, precision: int, **more: Any) -> Constants:
    numbers: dict[str, Any] = {
        "zero": 0,
        "half": 0.5,
        "one": 1,
        "two": 2,
        "infinity": np.inf,
        "nan": np.nan,
        "tiny": np.finfo(real).tiny,
        "precision": precision,
        "two_to_precision": 2.0**precision,
        "shifter": 1.5 * 2.0 ** (precision - 1),
        "log2_e": 1.4426950408889634,
        "saturated": -40,
        "density_0": 0.3989422804014327,
    }
    typed = {
        name: tuple(map(real, number)) if isinstance(number, tuple) else real(number)
        for name, number in (numbers | more).items()
    }
    return Constants(**typed)


# P, Q, L and S are the polynomials of elementary.py. Each has the least relative error:
#     P on |r| <= 0.347: of r + r^2 P(r), against e^r - 1
#     Q on 0 <= z <= 0.0295: of 2 s + s z Q(z), against 2 artanh s
#     L on 0 <= t <= 1: of t + t^2 L(t), against log(1 + t)
#     S on 0 <= a <= 13.2 (float32) or 37.7 (float64), a little more than gelu_most
# The intervals of P and Q leave room for a k that was rounded to the farther side. The comment at each polynomial is
# its error with the rounded coefficients.
FLOAT32 = _constants(
    np.float32,
    24,
    ln2_high=0.69314575,  # 16 bits
    ln2_low=1.4286068e-06,
    exp_least=-87.33654,
    exp_most=88.72283,
    infinite=89,
    splitter=1.5 * 2.0**15,  # leaves multiples of 2^-8
    silu_least=-91.85677,
    gelu_most=13.146246,
    gelu_scale=3.375,
    exp_polynomial=(0.49999997, 0.16666539, 0.04166774, 0.008367048, 0.001383999),  # 2^-26.0
    log_polynomial=(0.66666776, 0.39977556, 0.29872027),  # 2^-30.1
    tanh_polynomial=(-0.33333322, 0.13331142, -0.052715294),  # 2^-32.4
    log1p_polynomial=(  # 2^-27.5
        -0.49999934,
        0.3333055,
        -0.2495894,
        0.19697012,
        -0.15359621,
        0.10687165,
        -0.057725452,
        0.02023524,
        -0.0033249387,
    ),
    gelu_polynomial=(  # 2^-27.7
        0.7410803,
        -1.1059844,
        1.1815028,
        -0.78707373,
        0.1395439,
        0.2503802,
        -0.14462435,
        -0.109017126,
        0.081963025,
        0.072529756,
    ),
)
FLOAT64 = _constants(
    np.float64,
    53,
    ln2_high=0.6931471805598903,  # 42 bits
    ln2_low=5.497923018708371e-14,
    exp_least=-708.3964185322641,
    exp_most=709.782712893384,
    infinite=710,
    splitter=1.5 * 2.0**32,  # leaves multiples of 2^-20
    silu_least=-714.9686572379665,
    gelu_most=37.615868313955986,
    gelu_scale=5.5,
    exp_polynomial=(  # 2^-54.8
        0.5000000000000006,
        0.16666666666666588,
        0.041666666666575945,
        0.00833333333339006,
        0.00138888889318541,
        0.0001984126971817803,
        2.4801504903221732e-05,
        2.755740794227813e-06,
        2.7626193080423155e-07,
        2.5053778407697805e-08,
    ),
    log_polynomial=(  # 2^-58.8
        0.6666666666666696,
        0.3999999999960971,
        0.28571428706161184,
        0.22222201804781241,
        0.18183414608775772,
        0.15317524133287952,
        0.14764041890920626,
    ),
    tanh_polynomial=(  # 2^-57.4
        -0.3333333333333247,
        0.13333333332777586,
        -0.0539682527713702,
        0.021869369923402413,
        -0.008857282354365465,
        0.003444512580542151,
    ),
    log1p_polynomial=(  # 2^-56.4
        -0.4999999999999946,
        0.3333333333323525,
        -0.24999999993685548,
        0.19999999791536763,
        -0.1666666250169876,
        0.1428565892966568,
        -0.12499479848563826,
        0.11107507267491022,
        -0.09981020138461533,
        0.09013170214451827,
        -0.08081252666169715,
        0.07035622646309578,
        -0.057503251655111186,
        0.042301591478531776,
        -0.026745312598689095,
        0.013839516412940586,
        -0.005543572101464709,
        0.0015959003281915574,
        -0.0002917948865706996,
        2.533324100433796e-05,
    ),
    gelu_polynomial=(  # 2^-56.5
        0.7737696342764068,
        -1.3703668411486762,
        2.1423859562499787,
        -2.936392522348958,
        3.485958925727335,
        -3.5104988786790186,
        2.8862451721545064,
        -1.782209352404515,
        0.625403564624541,
        0.1380372483591196,
        -0.3323111943030129,
        0.14625761675280355,
        0.06684663509732937,
        -0.09927804651021503,
        0.0073130295866156315,
        0.04862347014964656,
        -0.017548725321996056,
        -0.023278339532228097,
        0.013171841459466208,
        0.012027488758926811,
        -0.005924954102987918,
        -0.005409118287251977,
    ),
)


def constants(x: Any) -> Constants:
    """The constants of the type of a number, traced if the number is."""
    if not isinstance(x, Traced):
        return FLOAT64 if isinstance(x, np.float64) else FLOAT32
    real = x.value.type

    def traced(number: Any) -> Any:
        return Traced(x.builder, ir.Constant(real, float(number)))

    table = FLOAT64 if isinstance(real, ir.DoubleType) else FLOAT32
    return Constants(*(tuple(map(traced, item)) if isinstance(item, tuple) else traced(item) for item in table))
