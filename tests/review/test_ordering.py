import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.review.ordering import Columns, Order, edge_distances, measured, nearest_distances, sorted_rows


def test_equal_values_keep_their_order_both_ways_and_missing_ones_come_last():
    column = np.array([2.0, np.nan, 1.0, 2.0, np.nan, 3.0])

    assert [part.tolist() for part in sorted_rows(column)[:1]] == [[2, 0, 3, 5, 1, 4]]
    assert sorted_rows(column, is_descending=True)[0].tolist() == [5, 0, 3, 2, 1, 4]
    assert sorted_rows(column)[1] == 2


def test_texts_sort_as_texts_and_numbers_in_texts_as_numbers():
    assert sorted_rows(np.array(["b", "", "a", "b"], dtype=object))[0].tolist() == [2, 0, 3, 1]
    assert sorted_rows(np.array(["10", "9", None], dtype=object))[0].tolist() == [1, 0, 2]


def test_only_what_passes_a_filter_is_sorted():
    columns = Columns({"score": np.array([0.3, np.nan, 0.1, 0.2])})
    shown = np.array([True, True, False, True])

    assert columns.rows(Order("score"), shown)[0].tolist() == [3, 0, 1]
    assert columns.rows(Order("score"), shown)[1] == 1
    assert columns.rows(Order())[0].tolist() == [0, 1, 2, 3]
    assert columns.rows(Order(is_descending=True), shown)[0].tolist() == [3, 1, 0]


def test_distances_are_in_nanometres_also_where_voxels_are_no_cubes():
    points = np.array([[10.0, 10, 10], [10, 10, 13], [10, 20, 10]])
    columns = measured(points, (21, 100, 100), np.array([40.0, 20.0, 10.0]))

    assert columns["nearest_nm"].tolist() == [3.0, 3.0, 20.0]
    assert columns["edge_nm"].tolist() == [10.5, 13.5, 10.5]
    assert np.isnan(measured(points[:1], (21, 100, 100), np.ones(3))["nearest_nm"]).all()
    assert measured(points[:0], (21, 100, 100), np.ones(3))["edge_nm"].tolist() == []


def test_what_is_outside_is_a_negative_distance_from_the_edge():
    edges = edge_distances(np.array([[0.0, 5, 5], [-0.5, 5, 5], [-2.0, 5, 5], [5, 5, 9.0]]), (10, 10, 10))

    assert edges.tolist() == [0.5, 0.0, -1.5, 0.5]


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=2, max_size=20))
def test_the_nearest_distance_is_that_of_a_full_comparison(points):
    points = np.array(points, dtype=float)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)

    assert nearest_distances(points).tolist() == pytest.approx(distances.min(axis=1).tolist())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("far", [1e160, 1.7e308])
def test_a_damaged_position_beyond_all_volumes_has_no_neighbour_and_the_others_have_theirs(far):
    points = np.array([[10.0, 10, 10], [far, -far, far], [10, 10, 13], [-far, far, 1]])
    columns = measured(points, (21, 100, 100), np.array([40.0, 20.0, 10.0]))

    np.testing.assert_array_equal(columns["nearest_nm"], [3.0, np.nan, 3.0, np.nan])
    assert columns["edge_nm"][0] == 10.5
    assert np.isnan(nearest_distances(points[[0, 1]])).all()
