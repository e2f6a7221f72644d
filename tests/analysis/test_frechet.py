"""The Frechet distance: exact between known Gaussians, sound for few vectors."""

import numpy as np
import pytest

from wan.analysis.frechet import LEAST_VECTORS, Gaussian, fit, frechet_distance, shrunk_covariance


def test_diagonal_gaussians_have_a_closed_form() -> None:
    one = Gaussian(mean=np.array([0.0, 1.0, 2.0]), covariance=np.diag([1.0, 4.0, 0.0]))
    other = Gaussian(mean=np.array([3.0, 1.0, 0.0]), covariance=np.diag([9.0, 1.0, 0.25]))
    # |m1 - m2|^2 + sum (s1 - s2)^2
    assert frechet_distance(one, other) == pytest.approx(9 + 4 + (1 - 3) ** 2 + (2 - 1) ** 2 + 0.5**2)


def test_it_is_a_distance_whatever_the_axes() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    plain = [np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 1.0, 1.0])]
    one, other = (Gaussian(mean=np.zeros(3), covariance=turn @ found @ turn.T) for found in plain)
    assert frechet_distance(one, other) == pytest.approx(1 + 1 + 4)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)


def test_commuting_is_not_assumed() -> None:
    """Two dimensions have tr (C1 C2)^(1/2) = (tr(C1 C2) + 2 det(C1 C2)^(1/2))^(1/2)."""
    first, second = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, -0.5], [-0.5, 3.0]])
    product = first @ second
    cross = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * cross
    zero = np.zeros(2)
    found = frechet_distance(Gaussian(mean=zero, covariance=first), Gaussian(mean=zero, covariance=second))
    assert found == pytest.approx(expected)


def test_sampled_gaussians_approach_the_exact_distance() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(size=(20000, 4)), 2.0 * random.normal(size=(20000, 4)) + 1.0
    assert frechet_distance(fit(one), fit(other)) == pytest.approx(4 * (1 + 1), rel=0.03)


def test_shrinkage_keeps_the_total_and_helps_when_vectors_are_few() -> None:
    random = np.random.default_rng(2)
    few = random.normal(size=(6, 14))
    sample, shrunk = np.cov(few.T, bias=True), shrunk_covariance(few)
    assert np.trace(shrunk) == pytest.approx(np.trace(sample))
    assert np.linalg.eigvalsh(shrunk).min() > 0.1 > np.linalg.eigvalsh(sample).min()
    assert np.linalg.norm(shrunk - np.eye(14)) < np.linalg.norm(sample - np.eye(14))
    many = random.normal(size=(50000, 3)) * [1.0, 2.0, 3.0]
    assert shrunk_covariance(many) == pytest.approx(np.cov(many.T), abs=0.01)
    assert shrunk_covariance(np.ones((5, 3))) == pytest.approx(np.zeros((3, 3)))


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_VECTORS} vectors"):
        fit(np.zeros((LEAST_VECTORS - 1, 5)))
