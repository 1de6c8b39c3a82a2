"""Finds slices that are nearly the same picture, so that a split can keep them together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = NDArray[Any]
Pairs = NDArray[np.int64]

THUMBNAIL = 32
"""Side of a thumbnail in pixels: noise averages out and patients stay apart. Where 0.98 finds 2 pairs of look-alikes
among the 259 patients of OpenKBP (one pair truly is one patient scanned twice), a side of 16 finds 20."""
READ = 128
"""Images read at a time."""
BLOCK = 1024
"""Thumbnails compared at a time: the products of two blocks take 4 MB however many slices there are."""
CONSTANT = 1e-3
"""Least standard deviation, in stored grey levels, of a thumbnail that can be compared at all."""


def thumbnail_vectors(images: Array) -> NDArray[np.float32]:
    """Return mean-free thumbnails of length 1, so that a scalar product is Pearson's correlation.

    Each thumbnail pixel is the mean over its area (no aliasing, any image size). The correlation ignores brightness
    and contrast. A constant image becomes the zero vector, which resembles nothing.

    Args:
        images: (N, H, W) grey values.

    Returns:
        (N, D) float32, D at most ``THUMBNAIL`` squared.
    """
    height, width = images.shape[1:]
    rows, columns = area_weights(height), area_weights(width)
    vectors = np.empty((len(images), len(rows) * len(columns)), dtype=np.float32)
    for start in range(0, len(images), READ):
        block = np.asarray(images[start : start + READ], dtype=np.float32)
        vectors[start : start + READ] = (rows @ block @ columns.T).reshape(len(block), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    constant = norm <= CONSTANT * np.sqrt(vectors.shape[1])
    vectors /= np.where(constant, np.inf, norm)
    return vectors


def area_weights(length: int) -> NDArray[np.float32]:
    """Return the (T, length) matrix that averages ``length`` pixels into T = min(length, THUMBNAIL) equal areas."""
    side = min(length, THUMBNAIL)
    edges = np.linspace(0, length, side + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * (side / length)).astype(np.float32)
    return weights


def similar_pairs(first: NDArray[np.float32], second: NDArray[np.float32], similarity: float) -> Iterator[Pairs]:
    """Yield the pairs of rows whose correlation exceeds ``similarity``, block by block.

    Args:
        first: (N, D) thumbnail vectors.
        second: (M, D) thumbnail vectors.
        similarity: In (0, 1]; nothing exceeds 1, whatever the rounding.

    Yields:
        (P, 2) row numbers in ``first`` and ``second``.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity={similarity}: must lie in (0, 1]")
    if similarity == 1:
        return
    for i in range(0, len(first), BLOCK):
        for j in range(0, len(second), BLOCK):
            found = np.argwhere(first[i : i + BLOCK] @ second[j : j + BLOCK].T > similarity)
            if len(found):
                yield np.add(found, (i, j))


def cluster_vectors(vectors: NDArray[np.float32], similarity: float) -> NDArray[np.int64]:
    """Number the clusters of near-duplicate slices: the connected components of similar thumbnails.

    Each block of pairs is merged into the numbering at once, so memory stays flat even where all slices are alike.

    Args:
        vectors: (N, D) as :func:`thumbnail_vectors` returns them.
        similarity: Slices whose thumbnails correlate more than this are joined, and so are the slices that a chain of
            such pairs connects. In (0, 1]; at 1 nothing is joined.

    Returns:
        (N,) cluster numbers, counted from 0 in the order of first appearance.

    Raises:
        ValueError: If ``similarity`` lies outside (0, 1].
    """
    cluster = np.arange(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        for pairs in similar_pairs(vectors[start : start + BLOCK], vectors[start:], similarity):
            ends = cluster[pairs + start]
            ends = ends[ends[:, 0] != ends[:, 1]]
            if len(ends):
                cluster = component_numbers(ends, len(vectors))[cluster]
    return number_in_order(cluster)


def component_numbers(edges: Pairs, nodes: int) -> NDArray[np.int64]:
    """Return the (nodes,) numbers of the connected components of an undirected graph given by its (E, 2) edges."""
    graph = coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def number_in_order(keys: Array) -> NDArray[np.int64]:
    """Replace equal keys by equal numbers, counted from 0 in the order of first appearance."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
