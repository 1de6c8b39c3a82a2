from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import near_duplicates
from datamodules.near_duplicates import (
    area_weights,
    cluster_vectors,
    number_in_order,
    similar_pairs,
    thumbnail_vectors,
)


def noise(count, size=(64, 48), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size)).astype(np.uint8)


def test_copies_join_and_strangers_do_not():
    images = noise(6)
    images[4] = images[1]
    images[5] = np.clip(images[1] * 0.5 + 40, 0, 255)  # brightness and contrast do not matter
    assert cluster_vectors(thumbnail_vectors(images), 0.98).tolist() == [0, 1, 2, 3, 1, 1]


def test_a_chain_of_pairs_is_one_cluster():
    first, last = noise(2).astype(np.float64)
    images = np.stack([(1 - t) * first + t * last for t in np.linspace(0, 1, 21)])
    vectors = thumbnail_vectors(images)
    assert vectors[0] @ vectors[-1] < 0.5
    assert cluster_vectors(thumbnail_vectors(images), 0.98).max() == 0


def test_constant_images_join_nothing():
    images = np.zeros((4, 32, 32), dtype=np.int16)
    images[1] = 1000
    images[2:] = np.random.default_rng(0).integers(0, 4000, (32, 32))
    assert cluster_vectors(thumbnail_vectors(images), 0.98).tolist() == [0, 1, 2, 2]


def test_similarity_one_joins_nothing_and_other_values_are_refused():
    assert cluster_vectors(thumbnail_vectors(np.repeat(noise(1), 3, axis=0)), 1).tolist() == [0, 1, 2]
    for similarity in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ValueError, match="similarity"):
            cluster_vectors(thumbnail_vectors(noise(2)), similarity)


@pytest.mark.parametrize("length", [7, 32, 33, 64, 100, 217])
def test_area_weights_average_every_pixel_equally(length):
    weights = area_weights(length)
    assert weights.shape == (min(length, 32), length)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), len(weights) / length, rtol=1e-4)


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((2, 128, 128), dtype=np.uint8)
    stripes[0, ::2] = 255
    stripes[1, 1::2] = 255
    assert not thumbnail_vectors(stripes).any()


def test_blocks_change_nothing(monkeypatch, tmp_path):
    images = noise(40, (16, 16))
    images[[7, 22, 39]] = images[3]
    whole = cluster_vectors(thumbnail_vectors(images), 0.98)
    np.save(tmp_path / "images.npy", images)
    monkeypatch.setattr(near_duplicates, "BLOCK", 6)
    monkeypatch.setattr(near_duplicates, "READ", 7)
    np.testing.assert_array_equal(
        cluster_vectors(thumbnail_vectors(np.load(tmp_path / "images.npy", mmap_mode="r")), 0.98), whole
    )
    assert np.bincount(whole).max() == 4


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.05, 0.95), st.integers(1, 9))
def test_clusters_are_the_components_of_the_similar_pairs(seed, count, similarity, block):
    vectors = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T > similarity
    reach = alike | np.eye(count, dtype=bool)
    for _ in range(count):
        reach = reach @ reach
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK", block)
        cluster = cluster_vectors(vectors, similarity)
        pairs = {tuple(pair) for found in similar_pairs(vectors, vectors, similarity) for pair in found.tolist()}
    np.testing.assert_array_equal(cluster[:, None] == cluster[None, :], reach)
    assert pairs == {tuple(pair) for pair in np.argwhere(alike).tolist()}


def test_numbers_follow_the_first_appearance():
    assert number_in_order(np.array(["b", "a", "b", "c"])).tolist() == [0, 1, 0, 2]
