"""Subjects are drawn as often real as generated, and some seldom."""

from __future__ import annotations

import numpy as np
import pytest

from mdmf_core.training import subjects


def test_subjects_are_drawn_as_often_real_as_generated() -> None:
    rng = np.random.default_rng(0)
    labels, shown = np.repeat([0, 1], 300), np.r_[np.repeat([0, 1], [240, 60]), np.repeat([0, 1], [60, 240])]
    found = np.eye(2)[shown] + rng.normal(0, 0.01, (600, 2))
    even = np.full(600, 1 / 300)
    weights = subjects.balanced(even, labels, found, 2, 0)
    for label in (0, 1):
        assert weights[labels == label].sum() == pytest.approx(1)
        assert weights[(labels == label) & (shown == 0)].sum() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(subjects.balanced(even, labels, found, 0, 0), even)


def test_chosen_pictures_get_no_more_than_their_share() -> None:
    labels, chosen = np.repeat([0, 1], 10), np.tile(np.arange(10) < 5, 2)
    weights = subjects.capped(np.full(20, 0.1), labels, chosen, 0.2)
    for label in (0, 1):
        assert weights[(labels == label) & chosen].sum() == pytest.approx(0.2)
        assert weights[labels == label].sum() == pytest.approx(1)
