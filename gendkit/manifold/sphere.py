"""The unit sphere in D dimensions: distances, tangent vectors, means. Points are rows (..., D)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidEmbeddings

Floats = NDArray[np.float64]
TINY = 1e-12


def geodesic(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the angle (...) in radians between unit vectors, exact for near and opposite ones.

    References
    ----------
    Kahan, How Futile are Mindless Assessments of Roundoff, 2006, section 12.
    """
    a, b = _floats(x), _floats(y)
    apart, together = np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)
    return np.asarray(2 * np.arctan2(apart, together))


def log_map(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the tangent vector (..., D) at x that leads to y: as long as the angle between them.

    Of opposite points, to which all directions lead, it is 0.
    """
    a, b = _floats(x), _floats(y)
    across = b - np.sum(a * b, axis=-1, keepdims=True) * a
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    angle = geodesic(a, b)[..., None]
    return np.asarray(np.where(length > TINY, angle * across / np.maximum(length, TINY), 0.0))


def exp_map(x: ArrayLike, v: ArrayLike) -> Floats:
    """Return the point (..., D) to which a tangent vector v at x leads."""
    a, w = _floats(x), _floats(v)
    angle = np.linalg.norm(w, axis=-1, keepdims=True)
    point = np.cos(angle) * a + np.sinc(angle / np.pi) * w
    return np.asarray(point / np.linalg.norm(point, axis=-1, keepdims=True))


def transport(x: ArrayLike, y: ArrayLike, v: ArrayLike) -> Floats:
    """Carry tangent vectors v at x along the shortest way to y, without turning them.

    Angles and lengths stay as they are. From a point to its opposite there is no one shortest way.

    References
    ----------
    Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, section 8.1.
    """
    a, b, w = _floats(x), _floats(y), _floats(v)
    one = 1 + np.sum(a * b, axis=-1, keepdims=True)
    share = np.sum(b * w, axis=-1, keepdims=True) / np.maximum(one, TINY)
    return np.asarray(w - share * (a + b))


def mean_direction(x: ArrayLike) -> tuple[Floats, float]:
    """Return the mean direction (D,) of points (N, D), and the length of their mean in 0..1.

    Raises
    ------
    InvalidEmbeddings
        If there is no point, or they cancel out.

    References
    ----------
    Mardia and Jupp, Directional Statistics, 2000, section 9.2.
    """
    points = _floats(x)
    if not len(points):
        raise InvalidEmbeddings("there is no point, so there is no mean direction.")
    mean = points.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < TINY:
        raise InvalidEmbeddings("the points cancel out, so that they have no mean direction.")
    return mean / length, min(length, 1.0)


def concentration(resultant: float, dim: int) -> float:
    """Return the von Mises-Fisher concentration of points by the length of their mean.

    The maximum-likelihood estimate: 0 for points all over the sphere, infinite for equal ones. The
    ratio of Bessel functions is a continued fraction, as these vanish in float64 where D is large.

    Parameters
    ----------
    resultant
        Length of the mean, in 0..1.
    dim
        D.

    References
    ----------
    Banerjee et al., Clustering on the Unit Hypersphere using von Mises-Fisher Distributions, JMLR
    2005 (the first guess); Sra, A short note on parameter approximation for von Mises-Fisher
    distributions, Computational Statistics 2012 (Newton's steps); Gautschi and Slavik, On the
    computation of modified Bessel function ratios, Mathematics of Computation 1978.
    """
    if resultant <= 0:
        return 0.0
    if resultant >= 1:
        return float("inf")
    kappa = resultant * (dim - resultant**2) / (1 - resultant**2)
    for _ in range(100):
        ratio = bessel_ratio(kappa, dim)
        slope = 1 - ratio**2 - (dim - 1) / kappa * ratio
        step = (ratio - resultant) / slope
        kappa = max(kappa - step, kappa / 2)
        if abs(step) <= 1e-12 * kappa:
            break
    return float(kappa)


def bessel_ratio(kappa: float, dim: int) -> float:
    """Return I_{D/2}(kappa) / I_{D/2-1}(kappa): the expected length of the mean.

    By the modified Lentz method on 1 / (D / kappa + 1 / ((D + 2) / kappa + ...)).
    """
    if kappa <= 0:
        return 0.0
    value = c = dim / kappa
    d = 0.0
    for n in range(1, 100_000):
        term = (dim + 2 * n) / kappa
        d = 1 / (term + d)
        c = term + 1 / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return 1 / value


def _floats(x: ArrayLike) -> Floats:
    return np.asarray(x, dtype=np.float64)
