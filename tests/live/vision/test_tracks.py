"""Faces followed from picture to picture."""

from itertools import pairwise, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.vision.tracks import FaceView, Glimpse, follow, is_still

MOUTH = np.zeros((32, 32), np.uint8)


def view(x: float, width: float = 0.1, y: float = 0.3) -> FaceView:
    return FaceView(x, y, width, np.zeros((48, 48), np.uint8), MOUTH, np.zeros(8, np.float32), 1.0, 0.0)


places = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 0.3)), max_size=5)


@given(st.lists(places, max_size=8))
def test_every_view_is_in_one_track_and_no_track_has_two_of_a_picture(pictures):
    views = [(t, [view(x, width, y) for x, y, width in faces]) for t, faces in enumerate(pictures)]
    tracks = follow(views)
    assert sorted(id(glimpse.view) for track in tracks for glimpse in track) == sorted(
        id(face) for _, faces in views for face in faces
    )
    for track in tracks:
        times = [glimpse.t_ns for glimpse in track]
        assert times == sorted(set(times))


@given(steps=st.lists(st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)), min_size=1, max_size=30))
def test_people_who_sit_apart_keep_their_tracks_in_whatever_order_they_are_found(steps):
    left, right, orders = 0.3, 0.7, [list(order) for order in permutations((0, 1))]
    pictures = []
    for t, (one, other) in enumerate(steps):
        left, right = left + one, right + other
        if right - left < 0.2:
            break
        pictures.append((t, [(view(left), view(right))[i] for i in orders[t % 2]]))
    tracks = follow(pictures)
    assert len(tracks) == (2 if pictures else 0)
    assert all(abs(b.view.x - a.view.x) < 0.03 for track in tracks for a, b in pairwise(track))


def test_a_face_is_taken_up_again_where_it_was():
    seen = [(0, [view(0.2), view(0.8)]), (1, [view(0.8)]), (2, []), (3, [view(0.22), view(0.8)])]
    assert [[glimpse.t_ns for glimpse in track] for track in follow(seen)] == [[0, 3], [0, 1, 3]]


def test_far_or_of_another_size_is_somebody_else():
    assert len(follow([(0, [view(0.2)]), (1, [view(0.29)])])) == 2
    assert len(follow([(0, [view(0.2)]), (1, [view(0.21, width=0.2)])])) == 2


def test_the_nearest_pair_is_joined_first():
    first, second = follow([(0, [view(0.50), view(0.56)]), (1, [view(0.55)])])
    assert (len(first), len(second)) == (1, 2)


def taken(cuts: list[np.ndarray]) -> list[Glimpse]:
    return [
        Glimpse(t, FaceView(0.5, 0.5, 0.2, cut, MOUTH, np.zeros(8, np.float32), 1.0, 0.0)) for t, cut in enumerate(cuts)
    ]


@given(st.integers(0, 1000), st.integers(1, 10))
def test_a_picture_of_a_face_is_still_and_a_face_is_not(seed, count):
    rng = np.random.default_rng(seed)
    face = rng.integers(20, 200, (48, 48), np.uint8)
    compressed = [face + (rng.random((48, 48)) < 0.05).astype(np.uint8) for _ in range(count)]
    assert is_still(taken(compressed)) == (count > 1), "one view alone tells nothing"
    living = [(face + rng.normal(0, 1.0, (48, 48))).round().astype(np.uint8) for _ in range(count)]
    assert not is_still(taken(living))
